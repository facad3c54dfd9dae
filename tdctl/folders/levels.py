"""Finds the level of the class folders where there are folders inside folders."""

from __future__ import annotations

from collections.abc import Sequence

from tdctl.errors import DataError
from tdctl.folders.hints import listed
from tdctl.folders.splits import split_kind
from tdctl.folders.walk import Place, Tree, joined
from tdctl.names import normal

__all__ = ["classes_in", "inner_folder", "nested_in", "tested_apart"]

# A folder with such a name is not a class if it contains folders itself.
WRAPS = {"data", "dataset", "datasets", "image", "images", "imgs", "photos", "pictures", "raw"}
# A folder with such a name is not a class if a folder beside it contains class folders.
ASIDE = {"demo", "doc", "docs", "example", "examples", "figures", "preview", "sample", "samples"}


def classes_in(tree: Tree, top: str) -> list[str]:
    """The folders in a folder that contain images, at any depth."""
    place = tree.look(top)
    return [n for n in place.all_folders if tree.holds_images(joined(top, n))]


def nested_in(tree: Tree, top: str, names: Sequence[str]) -> list[str]:
    """The folders whose images are all in subfolders."""
    return [name for name in names if not tree.look(joined(top, name)).images]


def tested_apart(tree: Tree, top: str, holding: Sequence[str]) -> str | None:
    """The folder that holds the test set beside the class folders; None if there is none.

    It has a name such as ``test`` and contains folders with the names of the classes.
    """
    apart = [n for n in holding if split_kind(n) in {"test", "val"}]
    classes = {normal(name) for name in holding if name not in apart}
    found = [
        name
        for name in nested_in(tree, top, apart)
        if classes.issuperset(map(normal, classes_in(tree, joined(top, name))))
    ]
    return found[0] if len(found) == 1 and len(classes) > 1 else None


def inner_folder(tree: Tree, top: str, here: Place, holding: Sequence[str]) -> str | None:
    """The folder that contains the class folders; None if ``top`` itself contains them.

    Args:
        tree: the tree of the data folder.
        top: a folder without ``train/`` in it.
        here: the contents of ``top``.
        holding: the folders in ``top`` that contain images, at any depth.

    Raises:
        DataError: there are class folders inside class folders and it is unclear which are meant.
    """
    nested = nested_in(tree, top, holding)
    split = [name for name in nested if _has_train(tree, joined(top, name))]
    if len(split) > 1:
        raise _unclear(tree, top, split, "splits of their own")
    if split:
        return split[0]
    if len(holding) == 1:
        lone = holding[0]
        return lone if nested and not here.images and split_kind(lone) is None else None
    inner = {name: classes_in(tree, joined(top, name)) for name in nested}
    inner = {name: classes for name, classes in inner.items() if len(classes) > 1}
    if not inner or tested_apart(tree, top, holding):
        return None
    direct = len(nested) < len(holding)
    wraps = [name for name in inner if name.lower() in WRAPS] if direct else []
    asides = [name for name in inner if _all_aside(set(holding) - {name})]
    clear = [*wraps, *(name for name in asides if name not in wraps)]
    if len(clear) == 1:
        return clear[0]
    deep = [name for name, classes in inner.items() if len(classes) > len(holding)]
    if direct and deep:
        # A class may well have a few subfolders. It hardly has more than there are classes.
        raise _unclear(tree, top, deep, f"the folders {listed(inner[deep[0]])}")
    shared = set.intersection(*(set(map(normal, classes)) for classes in inner.values()))
    if len(inner) == len(holding) and len(shared) > 1:
        raise _unclear(tree, top, list(inner), f"the same folders, {listed(sorted(shared))}")
    return None


def _all_aside(names: set[str]) -> bool:
    return all(name.lower() in ASIDE for name in names)


def _has_train(tree: Tree, top: str) -> bool:
    names = tree.look(top).all_folders
    return any(split_kind(n) == "train" and classes_in(tree, joined(top, n)) for n in names)


def _unclear(tree: Tree, top: str, names: Sequence[str], what: str) -> DataError:
    whole = tree.path(top)
    each = "holds" if len(names) == 1 else "hold"
    return DataError(
        f"folder {whole}: class folders inside class folders: {listed(names)} {each} {what}; give "
        f"--data-dir {whole}/{names[0]} to read those, or put the folders that are the classes "
        f"into {whole}/train"
    )
