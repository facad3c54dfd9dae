"""The ranker that is used if the user names neither a detector nor a score."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tdctl.cuts import Early, Evidence, early_part, judged_by_heldout, separation
from tdctl.detector.ranks import mid_ranks
from tdctl.dynamics import TrainingDynamics
from tdctl.errors import DetectorError, DynamicsError, TdctlError
from tdctl.rankers.ranker import ByDetector, ByScore
from tdctl.run import read_config
from tdctl.scores import find_score
from tdctl.training import Report, World

__all__ = [
    "AUTOMATIC",
    "STRANGE",
    "Automatic",
    "early_of",
    "probability_of",
    "stands_out",
    "weights",
]

# Its name as a value of --detector.
AUTOMATIC = "auto"
# The shipped detectors were not trained on curves of these losses. The mean loss ranks them better.
STRANGE = {"gce", "sce", "elr"}
# With these of them, the last predictions help. With elr they do not (replication/recipes.md).
STRANGE_WITH_FINAL = {"gce", "sce"}
# The AUM values of a run are fitted by two components. If these are at least this far apart, in
# standard deviations, they separate right from wrong labels. From the second distance on, the
# estimated share can be trusted, too, and decides.
STAND_OUT, FAR_APART = 3.5, 6.0
# From this share on, the detector ranks labels that go from each class to one other. Below it,
# two classes that look alike give the same picture without any wrong label.
FEW_PAIRS = 0.05
# The reported ranker of a run that AUM ranks because its wrong labels are well separated.
STANDS_OUT = "aum, as wrong labels stand out"
# The score that ranks runs with few images and held-out curves, together with the detector.
HELDOUT = "oof-posterior"
# The score that ranks runs of linear heads on features, together with the detector. The detector
# was not trained on such curves, but it sees noise that depends on the class: see
# replication/pretrained.md.
ON_FEATURES = "oof-self-confidence"
# The score of the finished network's predictions.
FINAL = "final-margin"
STAND_OUT_WITH = f"aum and {FINAL}, as wrong labels stand out"
LOSS_WITH = f"loss-mean and {FINAL}"
# The weights of AUM and of the last predictions relative to the detector's log odds: see
# ``weights``. With a weight above ONLY_AUM, AUM ranks alone.
LEAST_OF_AUM, FEW, ONLY_AUM = 0.5, 0.09, 100.0
NONE_OF_FINAL, STEEP_OF_FINAL, MOST_OF_FINAL = 0.6, 1.5, 2.0


@dataclass(frozen=True)
class Automatic:
    """Ranks by the shipped detector, a score, or several together: what was best in our trials.

    - Runs of heads on features: by the ranks of the detector and of the score
      ``oof-self-confidence`` together.
    - Runs with few images and held-out curves: by the ranks of the detector and of the score
      ``oof-posterior`` together.
    - Runs with the losses gce, sce or elr: by the mean loss, if it was recorded. With gce and sce
      by the sum of the mean loss and the last predictions, both standardised.
    - Runs whose wrong labels are well separated (see ``stands_out``): by the sum of
      AUM and the last predictions, unless they are so far apart that the estimated share of wrong
      labels decides.
    - Runs whose wrong labels go from each class to one other, if ``Evidence`` estimates at least
      ``FEW_PAIRS`` of them: by the detector.
    - Runs of which ``Evidence`` estimates less than 2 % wrong labels: by AUM.
    - All other runs: by the sum of the detector's log odds, AUM and the last predictions
      (``final-margin``). The fewer labels look wrong, the more AUM counts, because the detector
      was trained on shares from 5 to 40 %. The less the network has memorised, the more the last
      predictions count.
    - Runs without the margins that AUM needs: by the detector.

    The rule uses only the curves, never the true labels. The rule and its constants were chosen
    on runs with known flips and on runs of the benchmarks: see replication/easy_data.md,
    replication/full_size.md and replication/small_sets.md.

    Attributes:
        detector: the shipped detector.
        chosen: for each run ranked so far, the name of what ranked it.
        probabilities: for each run ranked so far, the detector's P(mislabeled), float64 [n].
        early: for each run ranked so far, its early part; None if it has none.
    """

    detector: ByDetector
    chosen: dict[Path, str] = field(default_factory=dict)
    probabilities: dict[Path, NDArray[np.float64]] = field(default_factory=dict)
    early: dict[Path, Early | None] = field(default_factory=dict)

    @property
    def gives_probability(self) -> bool:
        """Whether the suspicion is P(mislabeled) for all runs ranked so far."""
        return set(self.chosen.values()) <= {str(self.detector.file)}

    def _with(self, score: str) -> str:
        return f"{self.detector.file} and {score}"

    @property
    def label(self) -> str:
        """The name of the output folder."""
        return f"detector_{AUTOMATIC}"

    @property
    def facts(self) -> dict[str, str | None]:
        """The facts for tables; ``chosen`` says which ranker was chosen for each run."""
        return {"detector": AUTOMATIC, "score": None}

    def suspicion(
        self, run: Path, dynamics: TrainingDynamics, world: World, report: Report | None = None
    ) -> NDArray[np.float64]:
        """The suspicion of each sample, float64 [n]; higher means more likely mislabeled.

        Every process gets the whole array.

        Raises:
            DynamicsError, DetectorError: as in ``ByDetector``.
        """
        if dynamics.on_features and self.detector.why_not(dynamics) is not None:
            self.chosen[run] = ON_FEATURES
            return ByScore(find_score(ON_FEATURES)).suspicion(run, dynamics, world, report)
        probability = self.detector.suspicion(run, dynamics, world, report)
        self.probabilities[run] = probability
        if dynamics.on_features:
            choose = partial(self._with_score, ON_FEATURES)
        elif judged_by_heldout(dynamics):
            choose = partial(self._with_score, HELDOUT)
        else:
            self.early[run] = early_of(run, dynamics, self.detector, world)
            choose = partial(self._choose, self.early[run])
        chosen, suspicion = world.together(lambda: choose(run, dynamics, probability))
        self.chosen[run] = chosen
        return suspicion

    def _choose(
        self,
        early: Early | None,
        run: Path,
        dynamics: TrainingDynamics,
        probability: NDArray[np.float64],
    ) -> tuple[str, NDArray[np.float64]]:
        by_loss, by_aum = ByScore(find_score("loss-mean")), ByScore(find_score("aum"))
        trained_with = _loss_of(run)
        if trained_with in STRANGE and by_loss.why_not(dynamics) is None:
            losses = by_loss.scored(run, dynamics)
            return _by_losses(dynamics, losses, trained_with in STRANGE_WITH_FINAL)
        name = str(self.detector.file)
        if by_aum.why_not(dynamics) is not None:
            return name, probability
        aum = by_aum.scored(run, dynamics)
        evidence = Evidence.of(dynamics, probability)
        rate = evidence.range_with(early).rate
        of_aum, of_final = weights(dynamics, rate)
        final = find_score(FINAL)(dynamics) if of_final > 0 else None
        if stands_out(aum):
            return (STANDS_OUT, aum) if final is None else (STAND_OUT_WITH, aum + of_final * final)
        if evidence.goes_one_way and rate >= FEW_PAIRS:
            return name, probability
        if of_aum > ONLY_AUM:
            return "aum", aum
        together = _log_odds(probability) + of_aum * aum
        if final is not None:
            # With few wrong labels the weight of AUM is large. Without this factor the last
            # predictions would have almost no influence.
            together += of_final * max(1.0, of_aum) ** 0.5 * final
        # The values stay near log odds, whatever the weight of AUM is.
        together /= max(1.0, of_aum)
        return f"{name} and aum" if final is None else f"{name}, aum and {FINAL}", together

    def _with_score(
        self, score: str, _run: Path, dynamics: TrainingDynamics, probability: NDArray[np.float64]
    ) -> tuple[str, NDArray[np.float64]]:
        """By the ranks of the detector and of a score of held-out curves together."""
        # A score that is the same for all samples changes no rank.
        unseen = find_score(score)(dynamics)
        together = (mid_ranks(probability) + mid_ranks(unseen)) / 2
        return self._with(score), together.astype(np.float64)

    def notes(self) -> tuple[str, ...]:
        """One line for each run that was not ranked by the detector alone, with the reason."""
        detector = self.detector.file
        why = {
            self._with(
                HELDOUT
            ): "it has few images, and predictions by networks that have not seen them help there",
            STANDS_OUT: "in our trials AUM ranked such runs better",
            STAND_OUT_WITH: "in our trials these scores together ranked such runs better",
            "aum": "very few labels look wrong, and in our trials AUM ranked such runs better",
            self._with(ON_FEATURES): f"{detector} was not trained on curves of heads on features",
            ON_FEATURES: f"{detector} cannot read what was kept of its softmax",
            "loss-mean": f"{detector} was not trained on curves of its loss",
            LOSS_WITH: f"{detector} was not trained on curves of its loss",
            f"{detector} and aum": "in our trials their sum ranked such runs better",
            f"{detector}, aum and {FINAL}": "in our trials their sum ranked such runs better, as "
            "the network has not memorised all wrong labels",
        }
        return tuple(
            f"the run {run} is ranked by {name}: {why[name]}; --detector {detector} ranks by the "
            "detector alone"
            for run, name in self.chosen.items()
            if name in why
        )

    def why_not(self, dynamics: TrainingDynamics) -> str | None:
        """What the ranker needs and the run lacks; None if it can rank the run."""
        if dynamics.on_features:
            return ByScore(find_score(ON_FEATURES)).why_not(dynamics)
        return self.detector.why_not(dynamics)

    def has_seen(self, fingerprint: str) -> bool | None:
        """Whether the detector was trained on the run; None if its file does not say."""
        return self.detector.has_seen(fingerprint)

    def fingerprints(self) -> dict[str, str]:
        """The fingerprint of the detector's weights.

        With the run, it determines the choice, while the rule of this class is unchanged.
        """
        return {**self.detector.fingerprints(), "ranker": AUTOMATIC}


def weights(dynamics: TrainingDynamics, rate: float) -> tuple[float, float]:
    """The weights of AUM and of the last predictions in the sum.

    The weight of AUM is at least ``LEAST_OF_AUM``, and (``FEW`` / rate)^3 where few labels look
    wrong. The weight of the last predictions depends on the share of labels that the network
    contradicts, divided by the rate. It is 0 up to ``NONE_OF_FINAL`` (and if the predictions were
    not recorded), then rises with the slope ``STEEP_OF_FINAL``, up to ``MOST_OF_FINAL``. In the
    sum with the detector it is multiplied by the square root of the weight of AUM, where that is
    above 1.

    Args:
        dynamics: the run.
        rate: the estimated share of wrong labels, in [0, 1].

    Returns:
        Both weights, at least 0; the log odds have weight 1.
    """
    rate = max(rate, 1 / len(dynamics))
    of_aum = max(LEAST_OF_AUM, (FEW / rate) ** 3)
    if dynamics.final_margin is None:
        return of_aum, 0.0
    contradicted = float((dynamics.final_margin < 0).mean())
    of_final = STEEP_OF_FINAL * (contradicted / rate - NONE_OF_FINAL)
    return of_aum, float(np.clip(of_final, 0.0, MOST_OF_FINAL))


def _log_odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Float64 [n], finite; probabilities are kept 1e-6 away from 0 and 1."""
    inside = np.clip(probability, 1e-6, 1 - 1e-6)
    odds: NDArray[np.float64] = np.log(inside / (1 - inside))
    return odds


def _by_losses(
    dynamics: TrainingDynamics, losses: NDArray[np.float64], with_final: bool
) -> tuple[str, NDArray[np.float64]]:
    """By the mean loss, and by the last predictions where they help and were recorded."""
    if not with_final or dynamics.final_margin is None:
        return "loss-mean", losses
    return LOSS_WITH, _standardised(losses) + _standardised(find_score(FINAL)(dynamics))


def _standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Float64 [n], with mean 0 and standard deviation 1; 0 where all values are the same."""
    spread = float(values.std())
    centred: NDArray[np.float64] = values - values.mean()
    return centred / (spread if spread > 0 else 1.0)


def stands_out(aum: NDArray[np.float64]) -> bool:
    """Whether the wrong labels of a run are well separated, but the estimated share is uncertain.

    Two components of AUM then lie at least ``STAND_OUT`` apart, and less than ``FAR_APART``.

    Args:
        aum: float64 [n], the score ``aum`` of each sample.
    """
    return STAND_OUT <= separation(aum) < FAR_APART


def _loss_of(run: Path) -> str | None:
    # A run of other code has no settings. If settings cannot be read, the run is still ranked.
    with suppress(TdctlError):
        return read_config(run).train.loss
    return None


def early_of(
    run: Path, dynamics: TrainingDynamics, detector: ByDetector, world: World
) -> Early | None:
    """The early part of a run that has memorised its labels, as the shipped detector reads it.

    None for other runs, and if the detector cannot tell the curves of that part apart.
    """
    part = world.together(lambda: early_part(dynamics))
    if part is None or detector.why_not(part) is not None:
        return None
    try:
        return Early(part, detector.suspicion(run, part, world))
    except (DynamicsError, DetectorError):
        return None


def probability_of(
    ranker: object, run: Path, dynamics: TrainingDynamics, detector: ByDetector, world: World
) -> NDArray[np.float64] | None:
    """P(mislabeled) by the shipped detector, float64 [n]; None if it cannot judge the run.

    Args:
        ranker: what ranked the run; a result that it has already computed is used again.
        run: the run folder.
        dynamics: the run's dynamics.
        detector: the shipped detector.
        world: the processes.
    """
    if isinstance(ranker, Automatic) and run in ranker.probabilities:
        return ranker.probabilities[run]
    if detector.why_not(dynamics) is not None:
        return None
    try:
        return detector.suspicion(run, dynamics, world)
    except DynamicsError:
        # All curves are the same: nothing can be estimated from them.
        return None
