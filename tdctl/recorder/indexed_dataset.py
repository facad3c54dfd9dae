"""A data set that says which sample is which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch.utils.data import Dataset

from tdctl.errors import DataError

__all__ = ["IndexedDataset"]


class IndexedDataset(Dataset[Any]):
    """Wraps a map-style data set and adds the id of each sample, for ``Recorder.record``.

    A sample that is a tuple or list gets the id in front: (image, label) becomes
    (id, image, label). A sample that is a mapping gets it under ``key``. Any other sample becomes
    (id, sample). Wrap the whole data set before you take a subset of it, so that ids stay the same.

    Args:
        dataset: has ``__len__`` and ``__getitem__``.
        ids: n different ids, for example file names; by default the positions 0 to n - 1.
        key: the key of the id in samples that are mappings.

    Attributes:
        dataset: the wrapped data set.

    Raises:
        DataError: the data set is iterable only, or the number of ids is wrong, or an id appears
            twice.

    Example::

        >>> tdctl.IndexedDataset([("an image", 3), ("another", 1)])[1]
        (1, 'another', 1)
        >>> tdctl.IndexedDataset([{"text": "good", "label": 1}])[0]
        {'text': 'good', 'label': 1, 'id': 0}
    """

    def __init__(self, dataset: Any, ids: Sequence[int | str] | None = None, key: str = "id"):
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise DataError(
                f"IndexedDataset: {type(dataset).__name__} has no length or no positions; expected "
                "a map-style data set; let an iterable one yield an id of its own with each sample"
            )
        if ids is not None and len(ids) != len(dataset):
            raise DataError(f"IndexedDataset: {len(ids)} ids for {len(dataset)} samples")
        if ids is not None and len(set(ids)) < len(ids):
            seen: set[int | str] = set()
            twice = next(one for one in ids if one in seen or seen.add(one))  # type: ignore[func-returns-value]
            raise DataError(
                f"IndexedDataset: the id {twice!r} appears twice; expected different ids"
            )
        self.dataset, self._ids, self._key = dataset, ids, key

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, position: int) -> Any:
        place = range(len(self.dataset))[position]
        return self._with_id(place, self.dataset[place])

    def __getitems__(self, positions: Sequence[int]) -> list[Any]:
        """The samples of a batch, which some data sets read together."""
        places = [range(len(self.dataset))[position] for position in positions]
        if hasattr(self.dataset, "__getitems__"):
            samples = self.dataset.__getitems__(places)
        else:
            samples = [self.dataset[place] for place in places]
        return [self._with_id(*pair) for pair in zip(places, samples, strict=True)]

    def _with_id(self, place: int, sample: Any) -> Any:
        own = place if self._ids is None else self._ids[place]
        if isinstance(sample, Mapping):
            if self._key in sample:
                raise DataError(
                    f"IndexedDataset: the samples have a {self._key!r} already; name another key"
                )
            return {**sample, self._key: own}
        return (own, *sample) if isinstance(sample, tuple | list) else (own, sample)
