"""Image folders: one subfolder for each class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.folders import LAYOUT, Account, Layout, Split, Tree, Walk, find_layout, split_kind
from tdctl.labels import Labels, held_out_for_test
from tdctl.names import is_utf8, normal
from tdctl.sources.encoded import Files
from tdctl.sources.listing import Listing

__all__ = ["by_file_name", "list_folder"]

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class _Part:
    """The files of one split, class by class and sorted, as in torchvision's ImageFolder.

    Names are relative to the data folder.
    """

    names: list[str]
    targets: Ints


def list_folder(config: DataConfig, split_seed: int) -> Listing:
    """The images of an image folder.

    Classes are sorted by name, and the files of a class by path. This is the order of
    torchvision's ImageFolder if no folder is nested or hidden. ``index`` is the position in this
    order, over the training split. If the folder has both ``test/`` and ``val/``, the images of
    ``val/`` are held out for validation; their ``index`` continues after the training images. If
    it has neither, a share of each class is held out as the test set.

    ``limit`` takes the first N images *by file name*, whatever their class, and keeps their
    index. (The first N in the order of the classes would be a single class.)

    Args:
        config: names the folder and the share for the test set.
        split_seed: seed of the split, if the folder has no test set.

    Raises:
        DataError: a folder is missing, empty or cannot be listed, or it is not laid out as an
            image folder.
    """
    root = config.data_dir or Path()
    if not root.is_dir():
        raise DataError(f"folder {root}: no such folder; {LAYOUT}")
    tree, account = Tree(root), Account()
    layout = find_layout(tree, account)
    class_names = layout.train.classes
    train, tested, held = _read(tree, account, layout)
    notes = [*layout.notes, *account.notes()]
    names, targets = train.names, train.targets
    is_held = None
    if held is not None and layout.held is not None and layout.test is not None:
        is_held = np.arange(len(names) + len(held.names)) >= len(names)
        names, targets = [*names, *held.names], np.concatenate([targets, held.targets])
        notes.append(
            f"{layout.held.top}/ beside {layout.test.top}/: its {len(held.names)} images are held "
            "out for validation, neither trained on nor ranked"
        )
    if layout.held is None and layout.test is not None and split_kind(layout.test.top) == "val":
        notes.append(f"no test/: {layout.test.top}/ is the test set")
    n = len(names)
    if tested is not None:
        index, test_index = np.arange(n), np.arange(len(tested.names))
        test_targets = tested.targets
        names = [*names, *tested.names]
    else:
        apart = held_out_for_test(targets, config.test_share, split_seed)
        index, test_index = np.flatnonzero(~apart), np.flatnonzero(apart)
        targets, test_targets = targets[index], targets[test_index]
        names = [names[row] for row in (*index, *test_index)]
        if len(test_index):
            notes.append(
                f"no test/ or val/: {len(test_index)} images are held out as test set with the "
                "labels they have, and are not ranked; --test-share 0 ranks all"
            )
    return Listing(
        name="folder",
        class_names=class_names,
        labels=Labels(index, targets, targets),
        test_index=test_index,
        test_targets=test_targets,
        names=names,
        images=Files(root, names),
        first=_first(names[: len(index)], is_held),
        held=is_held,
        one_list=tested is None,
        notes=tuple(notes),
    )


def by_file_name(names: Sequence[str]) -> Ints:
    """The rows ordered by file name without folders, int64 [n]. ``limit`` takes the first."""
    last = [name.rpartition("/")[2] for name in names]
    return np.array(sorted(range(len(names)), key=lambda row: (last[row], row)), dtype=np.int64)


def _first(names: Sequence[str], held: NDArray[np.bool_] | None) -> Ints:
    """The rows by file name, held-out images last: a limit counts the images to train on."""
    first = by_file_name(names)
    return first if held is None else first[np.argsort(held[first], kind="stable")]


def _read(tree: Tree, account: Account, layout: Layout) -> tuple[_Part, _Part | None, _Part | None]:
    """The images of the training, test and validation sets."""
    walk = Walk(tree, account)
    splits = [split for split in (layout.train, layout.test, layout.held) if split is not None]
    labels = [_labels_of(tree, split, layout.train.classes) for split in splits]
    # Announce every folder before any link is followed; see ``Walk``.
    for split in splits:
        walk.announce(split.top)
    for split in splits:
        for name in split.classes:
            walk.announce(_below(split, name))
    for split in splits:
        for name in split.classes:
            walk.start(_below(split, name), _called(tree, split))
    walk.follow_links()
    train, *others = (
        _part(tree, walk, account, split, label)
        for split, label in zip(splits, labels, strict=True)
    )
    return train, others[0] if others else None, others[1] if len(others) > 1 else None


def _labels_of(tree: Tree, split: Split, class_names: Sequence[str]) -> list[int]:
    """The label of each class folder of a split, in the order of their names."""
    _check_names(tree.path(_below(split, name)) for name in split.classes)
    labels = {name: label for label, name in reversed(list(enumerate(class_names)))}
    # Systems may write the same name in two Unicode forms. If both forms are present, they are
    # two classes.
    same = {normal(name): label for label, name in reversed(list(enumerate(class_names)))}
    found = []
    for name in split.classes:
        label = labels.get(name, same.get(normal(name)))
        if label is None:
            near = [known for known in class_names if known.casefold() == name.casefold()]
            but = f", but one named {near[0]}" if near else ""
            raise DataError(
                f"folder {tree.path(_below(split, name))}: the training images have no class of "
                f"this name{but}; expected the same class folders in both splits"
            )
        found.append(label)
    return found


def _part(tree: Tree, walk: Walk, account: Account, split: Split, labels: Sequence[int]) -> _Part:
    names: list[str] = []
    sizes, targets = [], []
    # Labels follow the order of the training classes' names.
    for label, name in sorted(zip(labels, split.classes, strict=True)):
        here = walk.images(_below(split, name))
        if not here:
            raise DataError(
                f"folder {tree.path(_below(split, name))}: the class has no image; remove the "
                f"folder or fill it{account.in_place(_called(tree, split))}"
            )
        names += here
        sizes.append(len(here))
        targets.append(label)
    _check_names(names)
    return _Part(names, np.repeat(np.asarray(targets, dtype=np.int64), sizes))


def _below(split: Split, name: str) -> str:
    return f"{split.top}/{name}" if split.top else name


def _called(tree: Tree, split: Split) -> str:
    return f"{split.top}/" if split.top else str(tree.root)


def _check_names(paths: Iterable[str]) -> None:
    for path in paths:
        if not is_utf8(path):
            raise DataError(
                f"{path!r}: the name is not valid UTF-8 and could not be written to the "
                "results; rename it"
            )
