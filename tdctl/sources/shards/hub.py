"""Folders that the Hugging Face package ``datasets`` saved with ``save_to_disk``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.folders import saved_otherwise, split_kind
from tdctl.sources.listing import Listing
from tdctl.sources.shards.arrow import blocks, column_names
from tdctl.sources.shards.labelled import (
    Values,
    check_class_names,
    check_range,
    label_columns,
    listing_of,
)
from tdctl.sources.shards.slices import Slices

__all__ = ["list_hf"]

LAYOUT = "expected what datasets' save_to_disk wrote: a Dataset, or a DatasetDict with 'train'"
SPLITS = ("train", "test", "val")
IMAGE_NAMES = ("image", "img")


def list_hf(config: DataConfig, split_seed: int) -> Listing:
    """The images of a saved Hugging Face data set, in the order of the saved rows.

    The image column is the only ``Image`` feature, or else a column ``image`` or ``img`` of
    encoded bytes. The given labels are in ``config.label_column``. If this setting has its default
    and the column does not exist, they are in the only ``ClassLabel`` feature. The classes are
    those of the ``ClassLabel``. If there is none, they are the numbers up to the largest one, or
    the sorted names, of the training images. The test images are the split ``test`` or
    ``validation``.

    Only pyarrow is needed, not the package ``datasets`` with its caches and its own decoding. The
    folder holds JSON files and Arrow streams, and an image is a range of bytes in a stream. So no
    worker process has to hold a table.

    Args:
        config: names the folder, the label columns, and the share to hold out as the test set if
            the folder has no test split.
        split_seed: seed of that share.

    Returns:
        The listing of the training and test images.

    Raises:
        DataError: pyarrow is missing, ``save_to_disk`` did not write the folder, a file is
            damaged, a column is missing or ambiguous, an image or a label is None, or a label is
            not one of the classes. The message names file and row.
        ConfigError: the held-out share would leave no training image.
    """
    root = config.data_dir or Path()
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise DataError(
            f"folder {root}: reading it needs the package pyarrow; pip install 'tdctl[hf]'"
        ) from None
    train_folder, test_folder, notes = _find_splits(root)
    split = _Split.of(root, train_folder)
    image = _image_column(split)
    given, true = label_columns(config)
    if given == "label" and given not in split.features:
        given = _class_label(split)
        notes.append(f"no column 'label': the given labels are the column {given!r}")
    names = (split.class_names(c) for c in (given, true) if c is not None)
    class_names = next((found for found in names if found is not None), None)
    rows = _Rows()
    columns = [given] if true is None else [given, true]
    found = rows.read(split, image, columns, class_names)
    right, test = found[1] if true is not None else None, None
    if test_folder is not None:
        tested = _Split.of(root, test_folder)
        # The test labels should be the true ones, if these are given.
        column = true if true is not None and true in tested.features else given
        test = rows.read(tested, image, [column], class_names)[0]
    return listing_of(config, split_seed, rows.images(), found[0], right, test, class_names, notes)


def _find_splits(root: Path) -> tuple[Path, Path | None, list[str]]:
    if not root.is_dir():
        raise DataError(f"folder {root}: no such folder; {LAYOUT}")
    if (root / "state.json").is_file():
        return root, None, []
    if not (root / "dataset_dict.json").is_file():
        raise DataError(
            f"folder {root}: neither dataset_dict.json nor state.json in it; {LAYOUT}"
            f"{saved_otherwise(root)}"
        )
    splits = _read_json(root / "dataset_dict.json").get("splits")
    splits = [str(name) for name in splits] if isinstance(splits, list) else []
    of_kind = {kind: [n for n in splits if split_kind(n) == kind] for kind in SPLITS}
    trains = ["train"] if "train" in splits else of_kind["train"]
    if len(trains) != 1:
        raise DataError(
            f"{root / 'dataset_dict.json'}: no split 'train' but {splits}; {LAYOUT}, or give the "
            "folder of one split as --data-dir"
        )
    train = trains[0]
    test = next(iter(of_kind["test"] + of_kind["val"]), None)
    unread = [name for name in splits if name not in {train, test}]
    notes = [f"splits that were left out: {', '.join(unread)}"] if unread else []
    return root / train, root / test if test is not None else None, notes


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {LAYOUT}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: does not read as JSON ({error}); save the data anew") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: is no JSON object; {LAYOUT}")
    return content


@dataclass(frozen=True)
class _Split:
    """One split: a saved ``Dataset``.

    Attributes:
        root: the data folder. Paths of images outside the Arrow files are relative to it.
        folder: the folder of the split.
        files: its Arrow files, in the order of the rows.
        features: the description of each column; empty if the folder does not give one.
    """

    root: Path
    folder: Path
    files: list[Path]
    features: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, root: Path, folder: Path) -> _Split:
        state = _read_json(folder / "state.json")
        entries = state.get("_data_files")
        entries = entries if isinstance(entries, list) else []
        names = [entry.get("filename") for entry in entries if isinstance(entry, dict)]
        if not names or not all(isinstance(name, str) and name for name in names):
            raise DataError(f"{folder / 'state.json'}: names no data files; {LAYOUT}, with rows")
        far = [name for name in names if Path(str(name)).name != name]
        if far:
            raise DataError(
                f"{folder / 'state.json'}: names the data file {far[0]!r}; expected files beside it"
            )
        if state.get("_indices_data_files"):
            raise DataError(
                f"{folder}: saved as a selection of rows, by an old version of datasets; load it "
                "with that version, call flatten_indices() and save it anew"
            )
        files = [folder / str(name) for name in names]
        features = _read_json(folder / "dataset_info.json").get("features")
        features = features if isinstance(features, dict) else {}
        described = {
            name: feature if isinstance(feature := features.get(name), dict) else {}
            for name in column_names(files[0])
        }
        return cls(root, folder, files, described)

    def of_kind(self, kind: str) -> list[str]:
        """The columns whose feature has this type."""
        return [name for name, feature in self.features.items() if feature.get("_type") == kind]

    def class_names(self, column: str) -> list[str] | None:
        """The classes of a ``ClassLabel`` column; None for any other column."""
        names = self.features.get(column, {}).get("names")
        if column not in self.of_kind("ClassLabel") or not isinstance(names, list):
            return None
        return check_class_names(f"{self.folder}: column {column!r}", names)

    def values(self, column: str, labels: Sequence[Any], class_names: list[str] | None) -> Values:
        """Joins the blocks of a label column, and maps the split's own class numbers to names.

        Numbers stay as they are if they already count through ``class_names``.
        """

        def where(row: int) -> str:
            return f"{self.folder}: row {row}, label in column {column!r}"

        if isinstance(labels[0], list):
            return Values([name for block in labels for name in block], where)
        numbers = Values(np.concatenate(labels), where)
        own = self.class_names(column)
        if own is None or own == class_names:
            return numbers
        check_range(numbers, len(own), f"with {len(own)} classes")
        return Values([own[int(number)] for number in numbers.values], where)


def _image_column(split: _Split) -> str:
    images = split.of_kind("Image") or [name for name in IMAGE_NAMES if name in split.features]
    if len(images) != 1:
        has = f"several image columns, {', '.join(images)}" if images else "no image column"
        raise DataError(
            f"{split.folder}: {has}; expected one Image feature among {', '.join(split.features)} "
            "(remove_columns or cast_column, and save anew)"
        )
    return images[0]


def _class_label(split: _Split) -> str:
    columns = split.of_kind("ClassLabel")
    if len(columns) != 1:
        raise DataError(
            f"{split.folder}: no column 'label', and {len(columns)} ClassLabel features; name one "
            f"of {', '.join(split.features)} by --label-column"
        )
    return columns[0]


@dataclass
class _Rows:
    """The places of the images of all splits, one split after the other."""

    files: list[Path] = field(default_factory=list)
    spans: list[NDArray[np.int64]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def images(self) -> Slices:
        """The images of all splits read so far."""
        file, offset, size = np.concatenate(self.spans, axis=1)
        return Slices(self.files, file, offset, size, self.names)

    def read(
        self, split: _Split, image: str, columns: list[str], class_names: list[str] | None
    ) -> list[Values]:
        """Adds the rows of a split, and returns the labels of some of its columns."""
        labels: list[list[Any]] = [[] for _ in columns]
        before = len(self.names)
        for block in blocks(split.files):
            if not self.files or self.files[-1] != block.path:
                self.files.append(block.path)
            offset, size, elsewhere = block.byte_ranges(image)
            file = np.full(len(offset), len(self.files) - 1, dtype=np.int64)
            file[list(elsewhere)] = -1
            self.spans.append(np.stack([file, offset, size]))
            names = [f"row {block.before + row}" for row in range(len(offset))]
            for row, path in elsewhere.items():
                if "://" in path:
                    raise DataError(
                        f"{block.where(row)}: the image is not in the folder but at {path!r}; "
                        "save the data anew with the images in it"
                    )
                names[row] = str(split.root / path)
            self.names += names
            for found, column in zip(labels, columns, strict=True):
                found.append(block.labels(column))
        if len(self.names) == before:
            raise DataError(f"{split.folder}: has no rows; {LAYOUT}")
        return [
            split.values(column, found, class_names)
            for column, found in zip(columns, labels, strict=True)
        ]
