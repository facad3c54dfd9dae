"""Leaves out table rows: those without a label, without a file, or that repeat another row."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tdctl.sources.listing import Skipped
from tdctl.sources.tables.columns import Table, shown

__all__ = ["SKIPS", "Sieve"]

SKIPS = "; --skip-unreadable leaves such rows out"


class Sieve:
    """Decides which rows of a table are used.

    Args:
        table: the table.
        skip: True leaves out faulty rows; False makes the first faulty row an error.

    Attributes:
        kept: bool [n], True for the rows that are used.
        notes: what the user should know, one line each.
    """

    def __init__(self, table: Table, skip: bool) -> None:
        self.kept: NDArray[np.bool_] = np.ones(len(table), np.bool_)
        self.notes: list[str] = []
        self._table, self._skip = table, skip
        self._reasons: dict[int, str] = {}

    def refuse(self, wrong: Mapping[int, str], skippable: bool = True) -> None:
        """Leaves faulty rows out, or raises an error for the first of them.

        Args:
            wrong: for each faulty row, the end of the message about it.
            skippable: whether rows with this fault may be left out.

        Raises:
            DataError: the rows may not be left out, or no row is left.
        """
        wrong = {row: why for row, why in wrong.items() if self.kept[row]}
        if not wrong:
            return
        first = min(wrong)
        if not (self._skip and skippable):
            raise self._table.error(first, wrong[first] + (SKIPS if skippable else ""))
        self.kept[list(wrong)] = False
        self._reasons |= wrong
        if not self.kept.any():
            raise self._table.error(
                first, f"{wrong[first]}; every row was left out, for this or another reason"
            )

    def merge(self, keys: Sequence[Hashable], names: Sequence[str], columns: Sequence[str]) -> None:
        """Merges rows of the same image if they agree, and refuses them if they differ.

        Args:
            keys: for each row, its image.
            names: for each row, the image's name in the table.
            columns: the columns in which the rows must agree, if the table has them.
        """
        rows = np.flatnonzero(self.kept).tolist()
        of_image: dict[Hashable, list[int]] = {}
        for row in rows:
            of_image.setdefault(keys[row], []).append(row)
        if len(of_image) == len(rows):
            return
        there = [name for name in dict.fromkeys(columns) if name in self._table.columns]
        values = {name: self._table.labels(name) for name in there}
        again: list[int] = []
        wrong: dict[int, str] = {}
        for first, *others in of_image.values():
            for row in others:
                differs = next((c for c in there if values[c][row] != values[c][first]), None)
                if differs is None:
                    again.append(row)
                    continue
                wrong[row] = (
                    f" names {shown(names[row])} a second time, after {self._table.at(first)}, "
                    f"with {shown(values[differs][row])} in place of "
                    f"{shown(values[differs][first])} in column {shown(differs)}; expected one row "
                    "an image"
                )
        if not self._skip:
            self.refuse(wrong)
        # Nobody knows which of the rows is right, so none of them is used.
        doubtful = {keys[row]: row for row in reversed(wrong)}
        says = {key: f" is contradicted by {self._table.at(row)}" for key, row in doubtful.items()}
        self.refuse({row: says[keys[row]] for row in rows if keys[row] in says} | wrong)
        again = [row for row in again if self.kept[row]]
        if again:
            self.kept[again] = False
            many = f"{len(again)} rows repeat others" if len(again) > 1 else "a row repeats another"
            self.notes.append(
                f"{self._table.path}: {many} in everything and count{'s' * (len(again) == 1)} "
                f"once, first {self._table.at(again[0])}"
            )

    def skipped(
        self, names: Sequence[str], splits: Sequence[str] | None, index: Sequence[int] | None = None
    ) -> tuple[Skipped, ...]:
        """The faulty rows that were left out, in order; see ``Skipped``.

        Args:
            names: the file name of each row.
            splits: the split of each row, or None.
            index: the index of each row; None if it is the row's number.
        """
        return tuple(
            Skipped(
                index=row if index is None else int(index[row]),
                file_name=names[row],
                split="" if splits is None else splits[row],
                reason=f"{self._table.at(row)}{self._reasons[row]}",
            )
            for row in sorted(self._reasons)
        )

    def note(self, skipped: Sequence[Skipped]) -> tuple[str, ...]:
        """All notes, with one about the rows that were left out."""
        if not skipped:
            return tuple(self.notes)
        many = f"{len(skipped)} rows were" if len(skipped) > 1 else "a row was"
        return (
            *self.notes,
            f"{self._table.path}: {many} left out, first {skipped[0].reason}",
        )
