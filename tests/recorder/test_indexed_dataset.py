from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Subset, TensorDataset

from tdctl import IndexedDataset
from tdctl.errors import DataError


class Together(TensorDataset):
    """Reads the samples of a batch together, as torch allows."""

    def __getitems__(self, positions: list[int]) -> list[Any]:
        return [self[position] for position in positions]


@pytest.mark.parametrize("kind", [TensorDataset, Together])
@pytest.mark.parametrize("workers", [0, 2])
def test_each_sample_keeps_its_id(kind: type[TensorDataset], workers: int) -> None:
    whole = IndexedDataset(kind(torch.arange(20) * 10, torch.arange(20) % 3))
    some = Subset(whole, [3, 5, 7, 11])
    found = [batch for batch in DataLoader(some, 3, shuffle=True, num_workers=workers)]
    ids, values, labels = (torch.cat(column) for column in zip(*found, strict=True))
    assert sorted(ids.tolist()) == [3, 5, 7, 11]
    assert (values == 10 * ids).all() and (labels == ids % 3).all()


def test_samples_of_any_kind() -> None:
    assert IndexedDataset(["a", "b"])[-1] == (1, "b")
    assert IndexedDataset([["a", 1]], ids=["x.png"])[0] == ("x.png", "a", 1)
    assert IndexedDataset([{"text": "a"}], key="row")[0] == {"text": "a", "row": 0}
    batch = next(iter(DataLoader(IndexedDataset([(1.0, 0), (2.0, 1)], ids=["a", "b"]), 2)))
    assert list(batch[0]) == ["a", "b"]


def test_what_cannot_be_indexed_is_refused() -> None:
    with pytest.raises(DataError, match="generator has no length"):
        IndexedDataset(i for i in range(3))
    with pytest.raises(DataError, match="1 ids for 2 samples"):
        IndexedDataset([1, 2], ids=[5])
    with pytest.raises(DataError, match="the id 'a' appears twice"):
        IndexedDataset([1, 2], ids=["a", "a"])
    with pytest.raises(DataError, match="have a 'id' already"):
        IndexedDataset([{"id": 3}])[0]
    with pytest.raises(IndexError):
        IndexedDataset([1, 2])[2]
