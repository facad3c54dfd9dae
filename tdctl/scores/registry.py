"""All hand-made scores by name."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from tdctl.dynamics import TrainingDynamics, read_run
from tdctl.errors import ConfigError
from tdctl.scores import curves, learning
from tdctl.scores.class_mixture import wrong_event_mixture_of_run
from tdctl.scores.confident import Quality, issue_rank, label_quality, pred_probs
from tdctl.scores.curve_values import Floats
from tdctl.scores.definition import Need, Score
from tdctl.scores.noise_model import wrong_given_heldout

__all__ = ["SCORES", "find_score", "score", "score_names"]

# The number of epochs of el2n-early. Its source recommends 10 to 20 of 200.
EARLY = 10


def _quality(dynamics: TrainingDynamics, method: Quality, last: bool = False) -> Floats:
    return label_quality(pred_probs(dynamics, last), dynamics.labels[:, 0], method)


def _issues(dynamics: TrainingDynamics, last: bool = False) -> Floats:
    return issue_rank(pred_probs(dynamics, last), dynamics.labels[:, 0])


_CLEANLAB: tuple[Need, ...] = ("two classes", "every class", "two labels", "cleanlab")

_ALL = (
    Score(
        "aum",
        "area under the margin: minus the mean logit margin of the given label",
        "any number",
        lambda r: curves.aum(r.margin),
        needs=("margin",),
    ),
    Score(
        "aum-softmax",
        "mean of the largest other probability minus the given label's",
        "[-1, 1]",
        lambda r: curves.aum_softmax(r.given, r.other),
        needs=("two classes",),
    ),
    Score(
        "forgetting",
        "how often the given label was predicted and then not; E if it never was",
        "[0, E]",
        lambda r: learning.forgetting(r.right),
        needs=("two classes", "two epochs"),
    ),
    Score(
        "first-learned",
        "the first epoch that predicted the given label; E if none did",
        "[0, E]",
        lambda r: learning.first_learned(r.right),
        needs=("two classes",),
    ),
    Score(
        "never-learned",
        "1 if no epoch predicted the given label, else 0",
        "{0, 1}",
        lambda r: learning.never_learned(r.right),
        needs=("two classes",),
    ),
    Score(
        "mean-correct-epoch",
        "InterpretDL's mean of the epochs that predicted the given label; E if none did",
        "[0, E]",
        lambda r: learning.mean_correct_epoch(r.right),
        needs=("two classes",),
    ),
    Score(
        "wrong-events",
        "how many epochs did not predict the given label",
        "[0, E]",
        lambda r: learning.wrong_events(r.right),
        needs=("two classes",),
        aliases=("correctness",),
    ),
    Score(
        "wrong-events-class",
        "P(upper of two components of its given class) by the share of such epochs",
        "[0, 1]",
        of_run=wrong_event_mixture_of_run,
        needs=("two classes",),
    ),
    Score(
        "p-mean",
        "minus the given label's mean probability (the confidence of data maps, negated)",
        "[-1, 0]",
        lambda r: curves.p_mean(r.given),
        aliases=("confidence", "cl-self-confidence"),
    ),
    Score(
        "p-last",
        "minus the given label's probability in the last epoch",
        "[-1, 0]",
        lambda r: curves.p_last(r.given),
        aliases=("cl-self-confidence-last",),
    ),
    Score(
        "variability",
        "standard deviation of the given label's probability; its direction depends on the run",
        "[0, 0.5]",
        lambda r: curves.variability(r.given),
        needs=("two epochs",),
    ),
    Score(
        "loss-mean",
        "mean cross-entropy of the given label",
        "[0, inf)",
        lambda r: curves.loss_mean(r.loss),
        needs=("loss",),
        aliases=("loss-cumulative",),
    ),
    Score(
        "loss-last",
        "cross-entropy of the given label in the last epoch",
        "[0, inf)",
        lambda r: curves.loss_last(r.loss),
        needs=("loss",),
    ),
    Score(
        "el2n",
        "mean length of the error vector, softmax minus one-hot given label",
        "[0, sqrt 2]",
        lambda r: curves.el2n(r.probs),
        needs=("two classes", "every class"),
    ),
    Score(
        "el2n-early",
        f"el2n over the first {EARLY} epochs only",
        "[0, sqrt 2]",
        lambda r: curves.el2n(r.probs, EARLY),
        needs=("two classes", "every class"),
    ),
    Score(
        "entropy",
        "mean entropy of the softmax; it does not use the given label",
        "[0, ln k]",
        lambda r: curves.mean_entropy(r.entropy),
        needs=("two classes", "entropy"),
    ),
    Score(
        "signed-entropy",
        "minus the entropy summed over the epochs, where it counts as negative if another class is "
        "predicted",
        "[-E ln k, E ln k]",
        lambda r: curves.signed_entropy(r.entropy, r.right),
        needs=("two classes", "entropy"),
    ),
    Score(
        "cl-margin",
        "cleanlab's normalised margin on the mean softmax",
        "[0, 1]",
        of_run=partial(_quality, method="normalized_margin"),
        needs=_CLEANLAB,
    ),
    Score(
        "cl-margin-last",
        "cleanlab's normalised margin on the last softmax",
        "[0, 1]",
        of_run=partial(_quality, method="normalized_margin", last=True),
        needs=_CLEANLAB,
    ),
    Score(
        "cl-joint",
        "cleanlab's confident joint on the mean softmax: its label issues come first",
        "[0, 1]",
        of_run=_issues,
        needs=_CLEANLAB,
    ),
    Score(
        "cl-joint-last",
        "cleanlab's confident joint on the last softmax: its label issues come first",
        "[0, 1]",
        of_run=partial(_issues, last=True),
        needs=_CLEANLAB,
    ),
    Score(
        "oof-aum",
        "minus the mean logit margin of the given label, by networks that have not seen the label",
        "any number",
        lambda r: curves.aum(r.margin),
        needs=("margin",),
        heldout=True,
    ),
    Score(
        "oof-aum-late",
        "oof-aum over the second half of the epochs",
        "any number",
        lambda r: curves.aum(r.margin[:, r.margin.shape[1] // 2 :]),
        needs=("margin",),
        heldout=True,
    ),
    Score(
        "oof-self-confidence",
        "minus the given label's last probability, by a network that has not seen the label",
        "[-1, 0]",
        lambda r: curves.p_last(r.given),
        heldout=True,
    ),
    Score(
        "oof-margin",
        "cleanlab's normalised margin on the last softmax of networks that have not seen the label",
        "[0, 1]",
        of_run=partial(_quality, method="normalized_margin", last=True),
        needs=_CLEANLAB,
        heldout=True,
    ),
    Score(
        "oof-joint",
        "cleanlab's confident joint on the same softmax as oof-margin: its issues come first",
        "[0, 1]",
        of_run=partial(_issues, last=True),
        needs=_CLEANLAB,
        heldout=True,
    ),
    Score(
        "oof-posterior",
        "P(the given label is wrong) by a model of the labels and held-out predictions",
        "[0, 1]",
        of_run=wrong_given_heldout,
        needs=("two classes", "every class"),
        heldout=True,
    ),
    Score(
        "final-margin",
        "minus the given label's logit margin by the finished network, without augmentation",
        "any number",
        of_run=lambda dynamics: -np.asarray(dynamics.final_margin, dtype=np.float64),
        needs=("final",),
    ),
    Score(
        "knn",
        "1 minus the share of the 20 nearest features with the given label, by class frequency",
        "[0, 1]",
        of_run=lambda dynamics: np.asarray(dynamics.knn, dtype=np.float64),
        needs=("features",),
    ),
    Score(
        "centre",
        "how much farther the features are from the centre of their class than from another",
        "[-2, 2]",
        of_run=lambda dynamics: np.asarray(dynamics.centre, dtype=np.float64),
        needs=("features",),
    ),
)

SCORES: dict[str, Score] = {found.name: found for found in _ALL}


def score_names() -> list[str]:
    """The names of all scores, without aliases."""
    return list(SCORES)


def find_score(name: str) -> Score:
    """The score with this name or alias.

    Raises:
        ConfigError: the name is unknown.
    """
    for found in _ALL:
        if name == found.name or name in found.aliases:
            return found
    raise ConfigError(f"score: '{name}' is unknown; use one of {', '.join(SCORES)}")


def score(dynamics: TrainingDynamics | Path | str, name: str) -> Floats:
    """Computes a hand-made score of each sample.

    Args:
        dynamics: recorded dynamics, or a run folder. ``TrainingDynamics.of`` makes dynamics from
            arrays.
        name: one of ``score_names()``, or an alias.

    Returns:
        Float64 [n], in the order of the dynamics; higher means more likely mislabeled.

    Raises:
        ConfigError: the name is unknown.
        DynamicsError: the run is missing or malformed, or the dynamics lack what the score needs
            or contain NaN.

    Example::

        >>> suspicion = tdctl.score("runs/a", "aum-softmax")
    """
    if isinstance(dynamics, str | Path):
        dynamics = read_run(Path(dynamics))[0]
    return find_score(name)(dynamics)
