"""Finds the classes that a label column names, by class name or by class number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tdctl.errors import DataError
from tdctl.names import nearly_alike, normal, trimmed
from tdctl.sources.tables.columns import BROKEN, CONTROL, Table, shown
from tdctl.sources.tables.rows import Sieve

__all__ = ["classes_of", "looked_up"]

Ints = NDArray[np.int64]


def looked_up(values: Sequence[str], places: Mapping[str, int]) -> Ints:
    """The place of each value, int64 [n]; -1 for a value without a place."""
    return np.fromiter((places.get(value, -1) for value in values), np.int64, len(values))


def classes_of(table: Table, column: str, class_names: list[str], sieve: Sieve) -> Ints:
    """The label that each row of a column gives, int64 [n]; -1 for an empty value.

    Values are class names of the data set. The Unicode form and outer blanks do not matter. If no
    value is a class name, values are class numbers. A table that says so has class numbers alone.

    Raises:
        DataError: a value is not a class, or it is empty and such rows are not left out.
    """
    values = table[column]
    numbers = {str(label): label for label in range(len(class_names))}
    if table.read.numbered:
        labels = looked_up(values, numbers)
        if (labels < 0).any():
            row = int(np.argmax(labels < 0))
            raise table.error(
                row,
                f" is {shown(values[row])}; expected a class number from 0 to "
                f"{len(class_names) - 1}",
            )
        return labels
    places = {trimmed(name): label for label, name in enumerate(class_names)}
    places |= {normal(name): label for label, name in enumerate(class_names)}
    places |= {name: label for label, name in enumerate(class_names)}
    labels = looked_up(values, places)
    strange = np.flatnonzero(labels < 0)
    if len(strange):
        texts = table.labels(column)
        labels[strange] = [places.get(texts[row], -1) for row in strange.tolist()]
        empty = {int(row) for row in strange if labels[row] < 0 and not texts[row]}
        says = f", column {shown(column)}, is empty; expected a class name"
        sieve.refuse(dict.fromkeys(empty, says))
        if (labels < 0).all():
            numbered = looked_up(texts, numbers)
            # If some values are numbers, the error should name a row that is not a number.
            labels = numbered if (numbered >= 0).any() else labels
        unknown = [row for row in np.flatnonzero(labels < 0).tolist() if row not in empty]
        if unknown:
            raise _unknown(table, column, class_names, unknown[0])
    return labels


def _unknown(table: Table, column: str, class_names: list[str], row: int) -> DataError:
    value = table[column][row]
    if CONTROL.search(value):
        return table.error(row, f", column {shown(column)}: {shown(value)} {BROKEN}")
    some = ", ".join(map(shown, class_names[:12])) + (", ..." if len(class_names) > 12 else "")
    expected = f"expected one of {some}, or in all rows a class number from 0 to " + str(
        len(class_names) - 1
    )
    close = [name for name in class_names if nearly_alike([name, value])]
    if close:
        expected = f"expected {shown(close[0])}, as the data set writes it"
    return table.error(row, f", column {shown(column)}, names the class {shown(value)}; {expected}")
