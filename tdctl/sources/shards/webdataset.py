"""WebDataset shards: tar files in which images and labels are side by side."""

from __future__ import annotations

import json
import os
import re
import tarfile
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.folders import Tree, image_suffixes, split_kind
from tdctl.sources.listing import Listing
from tdctl.sources.shards.labelled import Values, check_class_names, label_columns, listing_of
from tdctl.sources.shards.slices import Slices
from tdctl.sources.shards.tars import compressed, extension, samples

__all__ = ["list_webdataset"]

LAYOUT = (
    "expected DIR/train-*.tar with DIR/test-*.tar or DIR/val-*.tar, DIR/train/*.tar with "
    "DIR/test or DIR/val, or DIR/*.tar"
)
COMPRESSED = re.compile(r"\.(tar\.\w+|tgz|tbz2?|txz|tzst)$")
CLASS_LISTS = ("classes.txt", "classnames.txt")
# No label needs this many bytes. A damaged length could exceed the memory.
LONGEST_LABEL = 1 << 24

Label = int | str


def list_webdataset(config: DataConfig, split_seed: int) -> Listing:
    """The images of WebDataset tar shards. Shards are sorted by name; members keep their order.

    A sample is a run of members with the same key. The key is the path up to the first dot of the
    file name. A sample has one image, and a label in ``KEY.cls`` (a class number) or in the fields
    of ``KEY.json`` (class numbers or names). ``.cls`` counts as the field ``label``. The classes
    are the lines of ``classes.txt`` or ``classnames.txt``, if the folder has such a file. If not,
    they are the numbers up to the largest one, or the sorted names, of the training shards.

    The reader of the package ``webdataset`` is a stream, but training needs the images in any
    order. So headers and labels are read once, with the standard library. Each image is read from
    its place in the shard when it is needed.

    Args:
        config: names the folder, the label columns, and the share to hold out as the test set if
            the folder has no test shards.
        split_seed: seed of that share.

    Returns:
        The listing of the training and test images.

    Raises:
        DataError: there are no shards, a shard is compressed or damaged, a sample is incomplete or
            ambiguous, or a label is unreadable or not one of the classes. The message names the
            shard and the member.
        ConfigError: the held-out share would leave no training image.

    Source: the WebDataset format, https://github.com/webdataset/webdataset.
    """
    root = config.data_dir or Path()
    if not root.is_dir():
        raise DataError(f"folder {root}: no such folder; {LAYOUT}")
    train_shards, test_shards, notes = _find_shards(root)
    class_names = _class_list(root)
    given, true = label_columns(config)
    index = _Index({given} if true is None else {given, true})
    n = index.read(train_shards, "training")
    rows, test_rows = range(n), range(n, n + index.read(test_shards, "test"))
    images = index.images()
    assigned = index.values(rows, given, images)
    right = index.values(rows, true, images) if true is not None else None
    test = None
    if test_shards:
        # The test labels should be the true ones, if these are given.
        known = true is not None and any(index.labels[true][row] is not None for row in test_rows)
        column = true if true is not None and known else given
        test = index.values(test_rows, column, images)
    lines = [*notes, *index.notes()]
    return listing_of(config, split_seed, images, assigned, right, test, class_names, lines)


def _find_shards(root: Path) -> tuple[list[Path], list[Path], list[str]]:
    """The training shards, the test shards, and notes about shards that are neither."""
    kinds: dict[str, list[Path]] = {"train": [], "test": [], "val": [], "": []}
    tree = Tree(root)
    for name in tree.look("").all_folders:
        kind = split_kind(name)
        if kind is not None:
            kinds[kind] += _tars(tree, name)
    if not kinds["train"]:
        for path in _tars(tree, ""):
            kinds[_kind(path)].append(path)
        if not (kinds["train"] or kinds["test"] or kinds["val"]):
            kinds["train"], kinds[""] = kinds[""], []
    if not kinds["train"]:
        others = kinds["test"] + kinds["val"]
        has = f"{others[0]} but no training shards" if others else "no tar files"
        raise DataError(f"folder {root}: {has}; {LAYOUT}")
    unread = kinds[""] + (kinds["val"] if kinds["test"] else [])
    notes = []
    if unread:
        notes.append(
            f"{len(unread)} shards serve neither for training nor for testing and were left out, "
            f"first {unread[0]}"
        )
    return kinds["train"], kinds["test"] or kinds["val"], notes


def _tars(tree: Tree, below: str) -> list[Path]:
    folder, place = Path(tree.path(below)), tree.look(below)
    for name in place.files(""):
        if COMPRESSED.search(name.lower()):
            raise compressed(folder / name)
    return [folder / name for name in place.files(".tar")]


def _kind(path: Path) -> str:
    name = path.name.lower()
    kinds = {kind for word in re.findall(r"[a-z]+", name) if (kind := split_kind(word))}
    kinds |= {"train"} if "train" in name else set()
    if len(kinds) > 1:
        raise DataError(
            f"{path}: the name says {' and '.join(sorted(kinds))}; rename the shard after one"
        )
    return kinds.pop() if kinds else ""


def _class_list(root: Path) -> list[str] | None:
    found = [root / name for name in CLASS_LISTS if (root / name).is_file()]
    if not found:
        return None
    if len(found) > 1:
        raise DataError(f"folder {root}: both {' and '.join(CLASS_LISTS)}; keep one of them")
    try:
        text = found[0].read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{found[0]}: cannot be read ({error}); expected UTF-8, one class a line"
        ) from None
    return check_class_names(str(found[0]), [line.strip() for line in text.rstrip().split("\n")])


@dataclass
class _Index:
    """The samples of the shards.

    Attributes:
        wanted: the label fields that are read.
        labels: for each field, the labels of the n samples; None if a sample lacks the field.
    """

    wanted: set[str]
    shards: list[Path] = field(default_factory=list)
    spans: array[int] = field(default_factory=lambda: array("q"))  # shard, offset, size in turn
    names: list[str] = field(default_factory=list)
    labels: dict[str, list[Label | None]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def read(self, shards: Sequence[Path], kind: str) -> int:
        """Adds the samples of some shards, and returns their number."""
        before = len(self.names)
        for shard in shards:
            self.shards.append(shard)
            try:
                with shard.open("rb") as file:
                    for key, members in samples(shard, file):
                        self._add(shard, file.fileno(), key, members)
            except OSError as error:
                raise DataError(
                    f"{shard}: cannot be read ({error.strerror or error}); mend or remove it"
                ) from None
        if shards and len(self.names) == before:
            raise DataError(
                f"{shards[0]}: no sample in any of the {kind} shards; expected members such as "
                "0001.jpg with 0001.cls or 0001.json"
            )
        return len(self.names) - before

    def images(self) -> Slices:
        """The images of all samples."""
        file, offset, size = np.array(self.spans, dtype=np.int64).reshape(-1, 3).T.copy()
        return Slices(self.shards, file, offset, size, self.names)

    def values(self, rows: range, column: str, images: Slices) -> Values:
        """One label field of some samples.

        All of them must have the field, either all as numbers or all as names.
        """
        values = self.labels[column][rows.start : rows.stop]
        numbered = isinstance(values[0], int)
        for row, value in zip(rows, values, strict=True):
            if value is None:
                also = " nor a .cls" if column == "label" else ""
                raise DataError(
                    f"{images.name(row)}: its labels have no field {column!r}{also}; expected it "
                    "in all, or another --label-column or --true-column"
                )
            if isinstance(value, int) != numbered:
                raise DataError(
                    f"{images.name(row)}: the label {value!r} of the field {column!r}, after "
                    f"{values[0]!r} and its like; expected class numbers or names in all"
                )
        return Values(
            np.array(values, dtype=np.int64) if numbered else [str(value) for value in values],
            lambda at: f"{images.name(rows[at])}: label in the field {column!r}",
        )

    def notes(self) -> list[str]:
        """Notes about members that were left out."""
        if not self.left_out:
            return []
        return [
            f"{len(self.left_out)} keys have neither an image nor a label and were left out, "
            f"first {self.left_out[0]}"
        ]

    def _add(self, shard: Path, handle: int, key: str, members: list[tarfile.TarInfo]) -> None:
        image = _image(shard, key, members)
        labels = [member for member in members if extension(member) in {"cls", "json"}]
        if image is None and not labels:
            self.left_out.append(f"{members[0].name!r} in {shard}")
            return
        if image is None:
            raise DataError(
                f"{shard}: {labels[0].name!r} has no image of its key; expected one of "
                f"{', '.join(s[1:] for s in sorted(image_suffixes()))} (links are not followed)"
            )
        if not labels:
            raise DataError(
                f"{shard}: {image.name!r} has no label; expected {key}.cls or {key}.json"
            )
        fields = self._fields(shard, handle, key, labels)
        for column in self.wanted:
            self.labels.setdefault(column, []).append(fields.get(column))
        self.spans.extend((len(self.shards) - 1, image.offset_data, image.size))
        self.names.append(image.name)

    def _fields(
        self, shard: Path, handle: int, key: str, members: list[tarfile.TarInfo]
    ) -> dict[str, Label]:
        fields: dict[str, Label] = {}
        kinds = [extension(member) for member in members]
        for member, kind in zip(members, kinds, strict=True):
            if kinds.count(kind) > 1:
                raise DataError(f"{shard}: the key {key!r} has two labels in .{kind}; expected one")
            where = f"{shard}: {member.name!r}"
            if member.size > LONGEST_LABEL:
                raise DataError(f"{where}: {member.size} bytes are too many for a label")
            text = os.pread(handle, member.size, member.offset_data)
            more = _read_cls(where, text) if kind == "cls" else _read_json(where, text, self.wanted)
            if fields.keys() & more.keys() & self.wanted and fields["label"] != more["label"]:
                raise DataError(
                    f"{shard}: the key {key!r} has two labels, {fields['label']!r} in "
                    f"{members[0].name!r} and {more['label']!r} in {member.name!r}; leave one out"
                )
            fields |= more
        return fields


def _image(shard: Path, key: str, members: Sequence[tarfile.TarInfo]) -> tarfile.TarInfo | None:
    """The image among the members: KEY.jpg, or else KEY.more.jpg; None if there is no image."""
    known = image_suffixes()
    images = [member for member in members if f".{extension(member).rpartition('.')[2]}" in known]
    images = [member for member in images if "." not in extension(member)] or images
    if len(images) > 1:
        raise DataError(
            f"{shard}: the key {key!r} has two images, {images[0].name!r} and "
            f"{images[1].name!r}; expected one (a key ends at the first dot of the name)"
        )
    return images[0] if images else None


def _read_cls(where: str, text: bytes) -> dict[str, Label]:
    if not re.fullmatch(rb"\s*-?[0-9]{1,9}\s*", text):
        raise DataError(
            f"{where}: the label {text[:20].decode('ascii', 'replace')!r} is no class number; "
            "expected one such as 3"
        )
    return {"label": int(text)}


def _read_json(where: str, text: bytes, wanted: set[str]) -> dict[str, Label]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: does not read as JSON ({error}); mend or remove it") from None
    if not isinstance(content, dict):
        raise DataError(f'{where}: is no JSON object; expected one such as {{"label": 3}}')
    fields: dict[str, Label] = {}
    for column in wanted:
        value = content.get(column)
        if isinstance(value, bool) or not isinstance(value, int | str | None):
            raise DataError(
                f"{where}: the label {str(value)[:40]!r} of the field {column!r} is neither a "
                "class number nor a name"
            )
        if isinstance(value, int) and abs(value) >= 1 << 31:
            raise DataError(f"{where}: the label in {column!r} is out of range: {str(value)[:40]}")
        if value is not None:
            fields[column] = value
    return fields
