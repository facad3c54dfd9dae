"""Which class is taken for which: given labels against suggested ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.figures.canvas import WRONG, plain

__all__ = ["confused_pairs", "draw_confusion"]


def confused_pairs(
    given: NDArray[np.int64], suggested: NDArray[np.int64], top: int | None = None
) -> list[tuple[int, int, int]]:
    """Given class, suggested class and how many samples, the most frequent first.

    Samples whose suggested class is the given one do not count; of equal counts the lower
    classes go first.

    Args:
        given: int [n], classes.
        suggested: int [n], classes.
        top: how many pairs at the most.
    """
    differ = given != suggested
    if not differ.any():
        return []
    k = int(max(given.max(), suggested.max())) + 1
    keys, counts = np.unique(given[differ] * k + suggested[differ], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:top]
    return [(*map(int, divmod(int(keys[at]), k)), int(counts[at])) for at in order]  # type: ignore[misc]


def draw_confusion(
    ax: Any,
    given: NDArray[np.int64],
    suggested: NDArray[np.int64],
    names: Sequence[str],
    top: int = 20,
) -> int:
    """A bar for each of the most frequent pairs "given → suggested"; gives how many are left out.

    A matrix of 1,000 classes could not be read; the pairs to look at can.

    Args:
        ax: matplotlib's axes to draw in.
        given: int [n], the given classes of the samples, such as those that are flagged.
        suggested: int [n], the classes that are suggested for them.
        names: of the classes.
        top: how many pairs are drawn.
    """
    pairs = confused_pairs(given, suggested)
    shown = pairs[:top]
    labels = [f"{plain(names[a], 18)} → {plain(names[b], 18)}" for a, b, _ in shown]
    ax.barh(range(len(shown)), [count for *_, count in shown], color=WRONG)
    ax.set_yticks(range(len(shown)), labels, fontsize=8, parse_math=False)
    ax.invert_yaxis()
    for place, (*_, count) in enumerate(shown):
        ax.annotate(
            f"{count:,}", (count, place), xytext=(3, 0), textcoords="offset points",
            va="center", fontsize=8,
        )  # fmt: skip
    left = len(pairs) - len(shown)
    more = f" ({left:,} rarer pairs are not drawn)" if left else ""
    ax.set_xlabel(f"samples{more}" if shown else "no sample's suggested label differs")
    ax.set_ylabel("given → suggested")
    ax.margins(x=0.12)
    ax.xaxis.get_major_locator().set_params(integer=True)
    return left
