from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Bomb, planted_labels

from tdctl.errors import DynamicsError
from tdctl.metadata import METADATA_KEYS, read_metadata, write_metadata


def test_round_trip(tmp_path: Path) -> None:
    labels = planted_labels(30, 4)
    write_metadata(tmp_path / "metadata.pth", labels, np.array([1000, 1001]))
    found, valid = read_metadata(tmp_path / "metadata.pth")
    for name in ("index", "assigned", "true"):
        assert (getattr(found, name) == getattr(labels, name)).all()
    assert valid.tolist() == [1000, 1001]


@pytest.mark.parametrize("save", [torch.save, lambda o, p: p.write_bytes(pickle.dumps(o))])
def test_a_pickle_bomb_is_refused_and_not_executed(tmp_path: Path, save: Any) -> None:
    crater = tmp_path / "crater"
    save({key: Bomb(crater) for key in METADATA_KEYS}, tmp_path / "metadata.pth")
    with pytest.raises(DynamicsError, match="nothing was executed"):
        read_metadata(tmp_path / "metadata.pth")
    assert not crater.exists()


def damaged(**changes: Any) -> OrderedDict[str, Any]:
    labels = planted_labels(10, 3)
    content: OrderedDict[str, Any] = OrderedDict(
        train_indices=torch.from_numpy(labels.index),
        valid_indices=torch.zeros(0, dtype=torch.int64),
        true_targets=torch.from_numpy(labels.true),
        assigned_targets=torch.from_numpy(labels.assigned),
        label_flipped=torch.from_numpy(labels.flipped),
    )
    content.update(changes)
    return content


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"a": torch.zeros(1)}, "expected the keys"),
        (torch.zeros(3), "expected the keys"),
        (damaged(true_targets=torch.zeros(9, dtype=torch.int64)), "true_targets 9"),
        (damaged(true_targets=torch.full((10,), -1)), "negative"),
        (damaged(true_targets=torch.zeros(10)), "whole numbers"),
        (damaged(true_targets=torch.zeros(10, dtype=torch.bfloat16)), "whole numbers"),
        (damaged(true_targets="words"), "not a one-dimensional tensor"),
        (damaged(label_flipped=torch.ones(10, dtype=torch.bool)), "label_flipped"),
        (damaged(train_indices=torch.zeros(10, dtype=torch.int64)), "twice"),
    ],
)
def test_damaged_metadata_is_refused(tmp_path: Path, content: Any, says: str) -> None:
    torch.save(content, tmp_path / "metadata.pth")
    with pytest.raises(Exception, match=says) as caught:
        read_metadata(tmp_path / "metadata.pth")
    assert type(caught.value).__module__ == "tdctl.errors"


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metadata.pth"
    write_metadata(path, planted_labels(30, 4), np.zeros(0, np.int64))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DynamicsError, match=r"metadata\.pth"):
        read_metadata(path)
