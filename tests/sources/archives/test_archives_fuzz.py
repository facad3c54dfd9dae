from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from archives_made import (
    make_clothing100k,
    make_cub_200_2011,
    make_tiny_imagenet,
    make_webvision50,
    seen,
)

from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.sources.archives import list_archive
from tdctl.sources.listing import Listing

Maker = Callable[[Path], Path]
# Lists that say which image is which: with one of them damaged, no label may change.
LISTS: list[tuple[str, Maker, tuple[str, ...]]] = [
    ("tiny_imagenet", make_tiny_imagenet, ("wnids.txt",)),
    ("cub_200_2011", make_cub_200_2011, ("images.txt", "image_class_labels.txt")),
    ("webvision50", make_webvision50, ()),
    (
        "clothing100k",
        make_clothing100k,
        ("annotations/noisy_train_key_list.txt", "annotations/clean_test_key_list.txt"),
    ),
]
DAMAGES = 80


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """The text with bytes or lines changed, lost, doubled or swapped."""
    lines = data.splitlines(keepends=True)
    at, other = rng.integers(0, len(lines), 2)
    kind = rng.integers(0, 7)
    if kind == 0:
        return data[: rng.integers(0, len(data))]
    if kind == 1:
        lines[at], lines[other] = lines[other], lines[at]
    elif kind == 2:
        lines.insert(at, lines[other])
    elif kind == 3:
        del lines[at]
    elif kind == 4:
        fields = lines[at].split()
        lines[at] = b" ".join(rng.permutation(np.array([*fields, b"-1"]))[: len(fields)]) + b"\n"
    else:
        text = bytearray(data)
        for place in rng.integers(0, len(text), rng.integers(1, 4)):
            text[place] = rng.integers(0, 256) if kind == 5 else rng.choice([*b"0189/. \t\n"])
        return bytes(text)
    return b"".join(lines)


def labels_by_name(listing: Listing) -> dict[str, tuple[str, int]]:
    assert listing.names is not None
    targets = [*listing.labels.assigned, *listing.test_targets]
    return {
        name: (listing.class_names[target], int(target))
        for name, target in zip(listing.names, targets, strict=True)
    }


@pytest.mark.parametrize(("name", "make", "telling"), LISTS, ids=[name for name, *_ in LISTS])
def test_damaged_lists_are_refused_or_read_without_a_wrong_label(
    tmp_path: Path, name: str, make: Maker, telling: tuple[str, ...]
) -> None:
    top = make(tmp_path)
    config = DataConfig(dataset=name, data_dir=top)
    right = labels_by_name(list_archive(config, 0))
    files = sorted(path for path in top.rglob("*.txt") if "_boxes" not in path.name)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(DAMAGES):
        path = files[rng.integers(0, len(files))]
        data = path.read_bytes()
        path.write_bytes(damaged(data, rng))
        try:
            listing = list_archive(config, 0)
        except DataError as error:
            refused += 1
            message = str(error)
            assert len(message.splitlines()) == 1 and str(top) in message
        else:
            seen(listing)
            if path.relative_to(top).as_posix() in telling:
                found = labels_by_name(listing)
                assert all(right[name] == label for name, label in found.items())
        path.write_bytes(data)
    assert refused > DAMAGES / 4, "damage that does no harm is the smaller part"
