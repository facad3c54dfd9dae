"""Reads a flat JSON list of labels, as published code reads and writes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tdctl.errors import DataError
from tdctl.sources.tables.headers import Read, one_line, places_of

__all__ = ["read_label_list"]

EXPECTED = "expected a list of class numbers, one for each training image, such as [3, 0, 5]"
HEADER = ["index", "label"]


def read_label_list(path: Path, wanted: Sequence[str]) -> Read:
    """A list of class numbers as a table of ``index`` and ``label``.

    The label at position i belongs to the image with index i.

    Raises:
        DataError: the file is not such a list.

    Source: ``noise_file`` in ``dataloader_cifar.py`` of LiJunnan1992/DivideMix, which other code
        for robust training has taken over.
    """
    try:
        labels = json.loads(path.read_bytes())
    except UnicodeDecodeError:
        raise DataError(f"{path}: is no UTF-8 text; {EXPECTED}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is no JSON ({one_line(str(error))}); {EXPECTED}") from None
    if not isinstance(labels, list) or not labels:
        kind = "an empty list" if labels == [] else f"a JSON value of the type {_kind(labels)}"
        raise DataError(f"{path}: holds {kind}; {EXPECTED}")
    for place, label in enumerate(labels):
        if type(label) is not int:  # True is an int as well
            raise DataError(
                f"{path}: label {place} (from 0) is of the type {_kind(label)}; {EXPECTED}"
            )
    columns = {"index": [str(row) for row in range(len(labels))], "label": [*map(str, labels)]}
    there = places_of(path, HEADER, wanted)
    return Read(HEADER, [], {name: columns[name] for name in there}, None, numbered=True)


def _kind(value: object) -> str:
    names = {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
