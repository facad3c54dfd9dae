"""AUM's threshold samples: right images under a label that cannot be right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tdctl.errors import ConfigError, DynamicsError

__all__ = ["above_threshold_samples", "draw_threshold_samples"]


def draw_threshold_samples(n: int, num_classes: int, seed: int) -> NDArray[np.bool_]:
    """Bool [n], True for n / (k + 1) samples drawn at random, as many as a class has on average.

    Train with these under the extra class k, then give the mask to ``above_threshold_samples``.
    They are not judged by that run: the paper trains a second time with others.

    Args:
        n: training samples.
        num_classes: k, without the extra class.
        seed: of the draw; another seed draws others.

    Raises:
        ConfigError: none or all of the samples would be drawn.

    Source: Pleiss et al., "Identifying Mislabeled Data using the Area Under the Margin Ranking",
        NeurIPS 2020 (arXiv 2001.10528), section 3.2.
    """
    count = n // (num_classes + 1)
    if not 0 < count < n:
        raise ConfigError(
            f"threshold samples: {n} samples of {num_classes} classes leave {count} to draw; "
            f"expected at least {num_classes + 1} samples"
        )
    drawn = np.zeros(n, dtype=np.bool_)
    drawn[np.random.default_rng([seed, 3]).permutation(n)[:count]] = True
    return drawn


def above_threshold_samples(
    suspicion: NDArray[np.float64], threshold: NDArray[np.bool_], percentile: float = 99.0
) -> NDArray[np.bool_]:
    """Bool [n]: samples more suspicious than nearly all threshold samples; none of these.

    The paper flags what has a lower AUM than the 99th percentile of theirs, and suspicion is
    minus AUM: flagged is what lies above their (100 - percentile)th percentile.

    Args:
        suspicion: float64 [n], such as the score ``aum``.
        threshold: bool [n], the threshold samples, which were trained on under an extra class.
        percentile: of the threshold samples, in (0, 100).

    Raises:
        DynamicsError: lengths differ, no or every sample is a threshold sample, or a suspicion
            is not finite.

    Source: as ``draw_threshold_samples``.
    """
    if suspicion.shape != threshold.shape or suspicion.ndim != 1:
        raise DynamicsError(
            f"threshold samples: {suspicion.shape} scores and {threshold.shape} marks; expected "
            "one of each per sample"
        )
    if not threshold.any() or threshold.all():
        raise DynamicsError("threshold samples: none or all are marked; expected some")
    if not np.isfinite(suspicion).all():
        raise DynamicsError("threshold samples: a suspicion is NaN or infinite")
    limit = np.percentile(suspicion[threshold], 100 - percentile)
    flagged: NDArray[np.bool_] = (suspicion > limit) & ~threshold
    return flagged
