"""What a score is: its function, what it needs of the dynamics, and how it is computed."""

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
    "margin",
    "loss",
    "two epochs",
    "two labels",
    "cleanlab",
]
# Of each need, whether dynamics meet it, and what to say where they do not.
_NEEDS: dict[Need, tuple[Callable[[TrainingDynamics], bool], str]] = {
    "two classes": (
        lambda dynamics: dynamics.td.shape[2] > 1 or dynamics.other is not None,
        "td holds a single class; expected two or more",
    ),
    "every class": (
        lambda dynamics: dynamics.has_every_class,
        f"it needs {EVERY_CLASS}; record the run with --store full",
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
}

NO_HELDOUT = "the run has no held-out curves; record the run with tdctl generate-td --folds K"


@dataclass(frozen=True)
class Score:
    """A hand-made score: called with dynamics it gives one suspicion per sample.

    Formula and source stand in the docstring of its function.

    Attributes:
        name: what ``--score`` calls it.
        description: one line.
        range: of its values; higher is always worse.
        of_rows: gives the suspicion of a slab of rows, float64 [s]; None where ``of_run`` is set.
        of_run: gives the suspicion of a run that cannot be scored row by row, float64 [n].
        needs: what dynamics must have for it.
        heldout: it is of the held-out curves, and needs them.
        aliases: further names; scores that others define and that rank the same.
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
        """Float64 [n], higher means more likely mislabeled.

        Raises:
            DynamicsError: the dynamics lack what it needs, or hold NaN.
        """
        return scores_of(dynamics, [self])[self.name]

    def why_not(self, dynamics: TrainingDynamics) -> str | None:
        """What the dynamics lack for this score, in one line; None where it can be computed."""
        read = dynamics.heldout if self.heldout else dynamics
        if read is None:
            return f"score {self.name}: {NO_HELDOUT}"
        lacking = (says for met, says in map(_NEEDS.__getitem__, self.needs) if not met(read))
        lack = next(lacking, None)
        return None if lack is None else f"score {self.name}: {lack}"


def scores_of(dynamics: TrainingDynamics, scores: Sequence[Score]) -> dict[str, Floats]:
    """Several scores by name, each float64 [n], in one pass over the dynamics.

    One slab of rows is in memory at a time; confident learning holds one row of k probabilities
    per sample.

    Raises:
        DynamicsError: the dynamics lack what one of them needs, or hold NaN.
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
