"""Which row of the recording a sample has. Ids are whole numbers, or names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from tdctl.errors import DataError, DynamicsError

__all__ = ["Ids", "SampleIds", "is_whole"]

Ids = torch.Tensor | np.ndarray[Any, Any] | Sequence[int] | Sequence[str]

# Without a known number of samples, the row of a number is the number itself. Larger numbers than
# this would need files of many gigabytes for a few samples.
MOST = 1 << 26


class SampleIds:
    """Rows of ids.

    The row of a whole number is the number. A name gets the row of its place among the known
    names, or the next free row if the names are not known in advance.

    Attributes:
        fixed: the number of samples; None if it is not known.
        names: the row of each name; None as long as no id is a name.
    """

    def __init__(self, num_samples: int | None, file_names: Sequence[str] | None) -> None:
        if num_samples is not None and not (is_whole(num_samples) and num_samples > 0):
            raise DataError(
                f"recorder: num_samples is {num_samples!r}; expected a whole number of at least 1, "
                "or None"
            )
        if file_names is not None and num_samples not in {None, len(file_names)}:
            raise DataError(
                f"recorder: {len(file_names)} file_names for {num_samples} samples; expected one "
                "for each"
            )
        self.fixed = num_samples if file_names is None else len(file_names)
        self.names: dict[str, int] | None = None
        self._known = file_names is not None
        self._numbers = False
        self._list: list[str] = []
        if file_names is not None:
            self.put_names(file_names)

    @property
    def grows(self) -> bool:
        """Whether names are met in the loop, so that processes give them different rows."""
        return self.names is not None and not self._known

    def put_names(self, names: Iterable[str]) -> None:
        """Gives further names the next rows."""
        self.names = {} if self.names is None else self.names
        for name in names:
            if self.names.setdefault(name, len(self._list)) == len(self._list):
                self._list.append(name)

    def name_list(self) -> list[str]:
        """The names in the order of their rows; empty if ids are numbers."""
        return self._list

    def name_of(self, row: int) -> str:
        """How a message names the sample of a row."""
        return repr(self._list[row]) if 0 <= row < len(self._list) else str(row)

    def rows_of(self, ids: Ids) -> torch.Tensor:
        """Int64 [B]: the rows of a batch. Numbers are checked later, all batches at once.

        Raises:
            DynamicsError: the ids are neither whole numbers nor names, or of both kinds, or a name
                is not among those that were given.
        """
        if isinstance(ids, torch.Tensor):
            found = ids
        elif isinstance(ids, np.ndarray) and ids.dtype.kind in "iu":
            found = torch.from_numpy(ids)
        else:
            if not isinstance(ids, np.ndarray | Iterable) or isinstance(ids, str | bytes):
                raise DynamicsError(
                    f"recorder: the ids are {type(ids).__name__}; expected one for each sample of "
                    "the batch, whole numbers or strings"
                )
            values: list[Any] = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
            if values and all(isinstance(value, str) for value in values):
                return self._rows_of_names(values)
            if not all(is_whole(value) for value in values):
                wrong = next(value for value in values if not is_whole(value))
                raise DynamicsError(
                    f"recorder: the id {wrong!r} is {type(wrong).__name__}; expected whole numbers "
                    "or strings, the same kind for all samples"
                )
            found = torch.tensor([int(value) for value in values], dtype=torch.int64)
        if found.dtype.is_floating_point or found.dtype.is_complex or found.dtype == torch.bool:
            raise DynamicsError(
                f"recorder: the ids are {found.dtype}; expected whole numbers or strings"
            )
        if self.grows:
            raise DynamicsError(
                f"recorder: the ids are {found.dtype}, and were strings before; expected the same "
                "kind for all samples"
            )
        self._numbers = True
        return found

    def _rows_of_names(self, values: list[str]) -> torch.Tensor:
        if self._known:
            try:
                return torch.tensor([self.names[value] for value in values])  # type: ignore[index]
            except KeyError as error:
                raise DynamicsError(
                    f"recorder: the id {error} is not among the {len(self._list)} file_names that "
                    "were given"
                ) from None
        if self._numbers:
            raise DynamicsError(
                f"recorder: the id {values[0]!r} is a string, and ids were numbers before; "
                "expected the same kind for all samples"
            )
        names = self.names
        if names is None or not all(value in names for value in values):
            self.put_names(values)
            names = self.names or {}
        return torch.tensor([names[value] for value in values])

    def check_range(self, rows: np.ndarray[Any, Any]) -> None:
        """Refuses rows that no sample can have.

        Args:
            rows: int64 [S], at least one.

        Raises:
            DynamicsError: the message names the first such id.
        """
        least, largest = int(rows.min()), int(rows.max())
        limit = MOST if self.fixed is None else self.fixed
        if self.grows and self.fixed is not None and len(self._list) > self.fixed:
            raise DynamicsError(
                f"recorder: {self._list[self.fixed]!r} is sample {self.fixed + 1}, and num_samples "
                f"is {self.fixed}; give the right number, or leave it out"
            )
        if least >= 0 and largest < limit:
            return
        wrong = least if least < 0 else int(rows[rows >= limit][0])
        if self.fixed is None and wrong >= 0:
            raise DynamicsError(
                f"recorder: the id {wrong} is too large; expected positions in the data set, below "
                f"{MOST:,}; give such ids as strings, str(id)"
            )
        known = " and above" if self.fixed is None else f" to {self.fixed - 1}"
        raise DynamicsError(
            f"recorder: the id {wrong} is out of range; expected the positions 0{known} of the "
            "samples in the data set (tdctl.IndexedDataset adds them)"
        )


def is_whole(value: object) -> bool:
    """Whether a value is a whole number; True and False are none."""
    if isinstance(value, torch.Tensor):
        return value.ndim == 0 and not value.dtype.is_floating_point
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
