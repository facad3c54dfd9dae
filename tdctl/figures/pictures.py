"""A grid of pictures with a line or two below each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.figures.canvas import new_figure, plain

__all__ = ["draw_samples", "sized_for_samples"]

COLUMNS = 10


def sized_for_samples(count: int, columns: int = COLUMNS) -> Any:
    """A figure with room for so many pictures."""
    columns = max(1, min(count, columns))
    return new_figure(1.25 * columns, 0.3 + 1.6 * -(-count // columns))


def draw_samples(
    figure: Any,
    pictures: Sequence[NDArray[np.uint8] | None],
    titles: Sequence[Sequence[str]],
    columns: int = COLUMNS,
) -> None:
    """Pictures in rows from the left, each with its lines of text below.

    Args:
        figure: matplotlib's figure, as ``sized_for_samples`` makes it.
        pictures: uint8 [height, width, 3] or [height, width] each, of any size; None where one
            cannot be shown, which leaves its place empty but for "no picture".
        titles: lines below each.
        columns: how many in a row.
    """
    columns = max(1, min(len(pictures), columns))
    grid = figure.subplots(-(-len(pictures) // columns), columns, squeeze=False).reshape(-1)
    for ax in grid:
        ax.set_axis_off()
    for ax, picture, lines in zip(grid, pictures, titles, strict=False):
        if picture is None:
            ax.text(0.5, 0.5, "no picture", ha="center", va="center", fontsize=7)
        else:
            ax.imshow(picture, cmap="gray" if picture.ndim == 2 else None, vmin=0, vmax=255)
        text = "\n".join(plain(line, 20) for line in lines)
        # At the same height below all, however high the picture is.
        ax.text(
            0.5, -0.04, text, transform=ax.transAxes, ha="center", va="top", fontsize=7,
            parse_math=False,
        )  # fmt: skip
