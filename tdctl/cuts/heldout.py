"""The estimate for at most 1,000 images, from networks that have not seen the labels."""

from __future__ import annotations

from tdctl.cuts.evidence import FEW_IMAGES, Range
from tdctl.dynamics import TrainingDynamics
from tdctl.scores.noise_model import NoiseModel

__all__ = ["heldout_range", "judged_by_heldout"]

# For heads on features: the number of samples times classes up to which the model is computed.
MOST_VALUES = 20_000_000
# The ends of the interval: it contains 95 % of the posterior distribution.
LOW, MIDDLE, HIGH = 0.025, 0.5, 0.975
# A lower end below this share counts as 0.
NONE = 0.002


def judged_by_heldout(dynamics: TrainingDynamics) -> bool:
    """Whether a run has at most ``FEW_IMAGES``, and held-out curves with every class.

    Heads on features are always judged so, unless the softmax of all samples is very large.

    Its estimate and its ranking then use the held-out curves.
    """
    held = dynamics.heldout
    if held is None:
        return False
    size = len(dynamics) * int(held.td.shape[2])
    if len(dynamics) > FEW_IMAGES and not (dynamics.on_features and size <= MOST_VALUES):
        return False
    return held.has_every_class and int(held.td.shape[2]) > 1


def heldout_range(heldout: TrainingDynamics) -> Range:
    """The share of wrong labels and its interval: median and 95 % of the posterior distribution.

    Args:
        heldout: the dynamics of networks that were not trained on the samples.

    Raises:
        DynamicsError: as in ``NoiseModel.of``.
    """
    low, rate, high = NoiseModel.of(heldout).quantiles(LOW, MIDDLE, HIGH)
    return Range(rate, 0.0 if low < NONE else low, high)
