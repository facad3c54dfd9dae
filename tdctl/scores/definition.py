"""What a score is: its function, what it needs from the dynamics, and how it is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tdctl.dynamics import TrainingDynamics
from tdctl.dynamics.store import EVERY_CLASS
from tdctl.errors import DynamicsError
from tdctl.scores.confident import NO_CLEANLAB, cleanlab_missing
from tdctl.scores.curve_values import Floats, Rows, rows_at_once
from tdctl.slabs import slabs_of

__all__ = ["Need", "Score", "scores_of"]

Need = Literal[
    "two classes",
    "every class",
    "entropy",
    "margin",
    "loss",
    "two epochs",
    "two labels",
    "cleanlab",
    "features",
    "final",
]
# For each need: whether the dynamics meet it, and the message if they do not.
_NEEDS: dict[Need, tuple[Callable[[TrainingDynamics], bool], str]] = {
    "two classes": (
        lambda dynamics: dynamics.td.shape[2] > 1 or dynamics.other is not None,
        "td holds a single class; expected two or more",
    ),
    "every class": (
        lambda dynamics: dynamics.has_every_class,
        f"it needs {EVERY_CLASS}; record the run with --store full",
    ),
    "entropy": (
        lambda dynamics: dynamics.entropy is not None or dynamics.has_every_class,
        f"it needs the softmax's entropy, or {EVERY_CLASS} by earlier versions; record the run "
        "again",
    ),
    "margin": (
        lambda dynamics: dynamics.margin is not None,
        "training_dynamics.npz holds no margin (the published code writes none); use "
        "aum-softmax, or record the run with tdctl generate-td",
    ),
    "loss": (
        lambda dynamics: dynamics.loss is not None,
        "training_dynamics.npz holds no loss (the published code writes none); use p-mean or "
        "p-last, or record the run with tdctl generate-td",
    ),
    "two epochs": (
        lambda dynamics: dynamics.epochs > 1,
        "the run has one epoch; expected two or more",
    ),
    "two labels": (
        lambda dynamics: len(np.unique(dynamics.labels[:, 0])) > 1,
        "all given labels are the same; expected two classes or more",
    ),
    "cleanlab": (lambda dynamics: not cleanlab_missing(), NO_CLEANLAB),
    "features": (
        lambda dynamics: dynamics.on_features,
        "the run is not of features; record it with --recipe features, or of --dataset embeddings",
    ),
    "final": (
        lambda dynamics: dynamics.final_margin is not None,
        "the run has no predictions of the finished network; record it again with tdctl "
        "generate-td, without --folds and --threshold-samples",
    ),
}

NO_HELDOUT = "the run has no held-out curves; record the run with tdctl generate-td --folds K"


@dataclass(frozen=True)
class Score:
    """A hand-made score; calling it with dynamics gives the suspicion of each sample.

    The docstring of its function has the formula and the source.

    Attributes:
        name: the name for ``--score``.
        description: one line.
        range: the range of its values; higher always means more likely mislabeled.
        of_rows: returns the suspicion of a slab of rows, float64 [s]; None if ``of_run`` is set.
        of_run: returns the suspicion of a whole run, float64 [n], for scores that cannot be
            computed row by row.
        needs: what the dynamics must have.
        aliases: other names: scores from elsewhere that rank the same.
        heldout: whether it is computed from the held-out curves.
    """

    name: str
    description: str
    range: str
    of_rows: Callable[[Rows], Floats] | None = None
    of_run: Callable[[TrainingDynamics], Floats] | None = None
    needs: tuple[Need, ...] = ()
    aliases: tuple[str, ...] = ()
    heldout: bool = False

    def __call__(self, dynamics: TrainingDynamics) -> Floats:
        """The score of each sample, float64 [n]; higher means more likely mislabeled.

        Raises:
            DynamicsError: the dynamics lack what the score needs, or contain NaN.
        """
        return scores_of(dynamics, [self])[self.name]

    def why_not(self, dynamics: TrainingDynamics) -> str | None:
        """What this score needs and the dynamics lack, in one line; None if it can be computed."""
        read = dynamics.heldout if self.heldout else dynamics
        if read is None:
            return f"score {self.name}: {NO_HELDOUT}"
        lacking = (says for met, says in map(_NEEDS.__getitem__, self.needs) if not met(read))
        lack = next(lacking, None)
        return None if lack is None else f"score {self.name}: {lack}"


def scores_of(dynamics: TrainingDynamics, scores: Sequence[Score]) -> dict[str, Floats]:
    """Computes several scores in one pass over the dynamics.

    One slab of rows is in memory at a time. Confident learning keeps k probabilities for each
    sample in memory.

    Args:
        dynamics: recorded dynamics of n samples.
        scores: the scores.

    Returns:
        Float64 [n] for each name; higher means more likely mislabeled.

    Raises:
        DynamicsError: the dynamics lack what a score needs, or contain NaN.
    """
    for score in scores:
        lack = score.why_not(dynamics)
        if lack is not None:
            raise DynamicsError(lack)
    found = {score.name: np.empty(len(dynamics)) for score in scores}
    for read in (dynamics, dynamics.heldout):
        if read is not None:
            _compute(read, [s for s in scores if s.heldout == (read is not dynamics)], found)
    return found


def _compute(dynamics: TrainingDynamics, scores: list[Score], found: dict[str, Floats]) -> None:
    by_rows = {score.name: score.of_rows for score in scores if score.of_rows is not None}
    if by_rows:
        for start, stop in slabs_of(len(dynamics), rows_at_once(dynamics)):
            rows = Rows(dynamics, start, stop)
            for name, of_rows in by_rows.items():
                found[name][start:stop] = of_rows(rows)
    for score in scores:
        if score.of_run is not None:
            found[score.name][:] = score.of_run(dynamics)
