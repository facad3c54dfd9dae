"""What looks wrong in a ranking: what its own cut flags, else what an estimate says."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tdctl.cuts import Estimate
from tdctl.errors import DynamicsError
from tdctl.rankers.ranked import DetectResult, Flagged
from tdctl.training import World

__all__ = ["LooksWrong", "looks_wrong"]

METHOD = "combined"


@dataclass(frozen=True)
class LooksWrong:
    """The samples that look wrong.

    Attributes:
        result: the ranking, with the estimate that was made.
        estimate: the share of wrong labels; None if the user gave a share, or there is none.
        flagged: the samples; None where nothing can be estimated.
        notes: what the user should know, one line each.
    """

    result: DetectResult
    estimate: Estimate | None
    flagged: Flagged | None
    notes: tuple[str, ...] = ()


def looks_wrong(result: DetectResult, world: World) -> LooksWrong:
    """Cuts a ranking; where the run allows no estimate, a note says why."""
    if result.flagged is not None:
        # An estimate is stored by the method that was asked for, which may have used another one.
        method = result.flagged.method
        made = (found for found in result.estimates.values() if found.method == method)
        return LooksWrong(result, next(made, None), result.flagged)
    try:
        estimate = result.estimates.get(METHOD) or result.recorded.estimate(
            METHOD, result.ranker, result.ranking.suspicion, result.labels.flipped, world
        )
        result = replace(result, estimates={**result.estimates, METHOD: estimate})
        return LooksWrong(result, estimate, result.above(METHOD, 0.0))
    except DynamicsError as error:
        why = f"how many labels are wrong is not estimated, so there is no cut: {error}"
        return LooksWrong(result, None, None, (why,))
