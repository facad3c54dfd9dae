"""The cards of the gallery: as many of the worst samples as fit, each in as few bytes as can be."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.report.curves import as_text
from tdctl.report.thumbnails import Thumbnails

__all__ = ["CardTable", "Deck", "deal"]

# Cards are made so many at a time.
PART = 512
# Numbers of a card and what separates them, in bytes.
NUMBERS = 48
# Pictures are to be so small that this many cards fit, where there are as many.
WANTED = 4000


@dataclass(frozen=True)
class CardTable:
    """Some samples, worst first; m rows.

    Attributes:
        index: int64 [m].
        names: m file names; empty ones where there are none.
        given, suggested, second: int64 [m], classes; -1 where there is no second suggestion.
        p_given, p_suggested, p_second: float [m] in [0, 1], mean probabilities over the epochs.
        suspicion: float64 [m].
        flagged: bool [m].
        true: int64 [m], -1 where a label is known to be wrong but not what is right; or None.
        curves: uint8 [m, S] of the given label's probability.
    """

    index: NDArray[np.int64]
    names: Sequence[str]
    given: NDArray[np.int64]
    suggested: NDArray[np.int64]
    second: NDArray[np.int64]
    p_given: NDArray[np.floating[Any]]
    p_suggested: NDArray[np.floating[Any]]
    p_second: NDArray[np.floating[Any]]
    suspicion: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    true: NDArray[np.int64] | None
    curves: NDArray[np.uint8]


@dataclass
class Deck:
    """The cards of a page.

    Attributes:
        total: n, all samples of the run.
        flagged: how many of all look wrong; None where that is not estimated.
        class_names: k names.
        class_totals: int64 [k], samples of each given class.
        typical: uint8 [k, S], the typical curve of each class.
        epochs: E.
        folder: where the pictures lie as files, relative to the page, as a URL; None where not.
        columns: of the cards, by name, as JSON has them.
        no_picture: how many cards have no picture.
        side: the longer side of a picture, in pixels.
    """

    total: int
    flagged: int | None
    class_names: Sequence[str]
    class_totals: NDArray[np.int64]
    typical: NDArray[np.uint8]
    epochs: int
    folder: str | None = None
    columns: dict[str, list[Any]] = field(default_factory=dict)
    curves: list[NDArray[np.uint8]] = field(default_factory=list)
    no_picture: int = 0
    side: int = 0

    def __len__(self) -> int:
        return len(self.columns.get("index", ()))

    @property
    def left_out(self) -> int:
        """How many samples have no card."""
        return self.total - len(self)

    def drop(self, size: int) -> None:
        """Takes away the last cards, as many as make so many bytes, and one at least."""
        names, pictures = self.columns["name"], self.columns["picture"]
        left = len(self)
        while left and size > 0:
            left -= 1
            size -= len(json.dumps(names[left])) + len(pictures[left]) + NUMBERS
            self.no_picture -= not pictures[left]
        for values in self.columns.values():
            del values[left:]
        self.curves = [np.concatenate(self.curves)[:left]]

    def to_dict(self) -> dict[str, Any]:
        """What the page's program reads, JSON-ready."""
        curves = np.concatenate(self.curves) if self.curves else np.zeros((0, 1), np.uint8)
        return {
            "total": self.total,
            "flagged": self.flagged,
            "classes": list(self.class_names),
            "classTotals": self.class_totals.tolist(),
            "epochs": self.epochs,
            "steps": int(curves.shape[1]),
            "folder": self.folder,
            "cards": {**self.columns, "curve": as_text(curves)},
            "typical": as_text(self.typical),
        }


def deal(
    deck: Deck,
    worst: NDArray[np.int64],
    table_of: Callable[[NDArray[np.int64]], CardTable],
    pictures: tuple[Thumbnails, Callable[[CardTable], NDArray[np.int64]]] | None,
    budget: int,
    max_rows: int | None,
) -> None:
    """Fills a deck with cards, worst first, until the bytes or the rows are used up.

    Args:
        deck: empty.
        worst: int64 [n], the rows of the run, worst first.
        table_of: the cards of some rows.
        pictures: and what finds the rows of these for a table, -1 where there is none.
        budget: bytes for all cards.
        max_rows: the most cards; None for no limit.
    """
    worst = worst if max_rows is None else worst[:max_rows]
    left = budget
    for start in range(0, len(worst), PART):
        table = table_of(worst[start : start + PART])
        sizes = _sizes(table)
        images = [""] * len(table.index)
        if pictures is not None:
            thumbnails, rows_of = pictures
            rows = rows_of(table)
            if not deck.side:
                wanted = min(len(worst), WANTED)
                some = np.resize(rows[rows >= 0], wanted) if (rows >= 0).any() else rows[:0]
                deck.side = thumbnails.side_for(some, budget, int(sizes.mean()))
            images = thumbnails.encoded(rows, deck.side)
        used = np.cumsum(sizes + [len(image) for image in images])
        fit = int(np.searchsorted(used, left, side="right"))
        _add(deck, table, images, fit)
        left -= int(used[fit - 1]) if fit else 0
        if fit < len(table.index):
            break


def _sizes(table: CardTable) -> NDArray[np.int64]:
    """Bytes of each card without its picture."""
    curve = -(-table.curves.shape[1] * 4 // 3)
    # A quote takes a byte more and a letter beyond ASCII six or twelve; escapes are JSON's.
    names = np.array([len(json.dumps(name)) for name in table.names], dtype=np.int64)
    return np.asarray(names + curve + NUMBERS)


def _add(deck: Deck, table: CardTable, images: Sequence[str], count: int) -> None:
    columns: dict[str, Sequence[Any]] = {
        "index": table.index.tolist(),
        "name": list(table.names),
        "given": table.given.tolist(),
        "suggested": table.suggested.tolist(),
        "second": table.second.tolist(),
        "pGiven": _per_mille(table.p_given),
        "pSuggested": _per_mille(table.p_suggested),
        "pSecond": _per_mille(table.p_second),
        "suspicion": [float(f"{value:.4g}") for value in table.suspicion.tolist()],
        "flagged": table.flagged.astype(int).tolist(),
        "picture": images,
    }
    if table.true is not None:
        columns["true"] = table.true.tolist()
    for name, values in columns.items():
        deck.columns.setdefault(name, []).extend(values[:count])
    deck.curves.append(table.curves[:count])
    deck.no_picture += sum(not image for image in images[:count])


def _per_mille(values: NDArray[np.floating[Any]]) -> list[int]:
    found: list[int] = np.rint(np.nan_to_num(values) * 1000).astype(np.int64).tolist()
    return found
