"""Errors about folders that cannot be read as image folders, with advice on what to give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tdctl.errors import DataError
from tdctl.folders.splits import split_kind
from tdctl.folders.walk import Place, Tree, joined

__all__ = [
    "LAYOUT", "listed", "no_class_folders", "no_labels", "saved_otherwise", "single_class",
    "table_hint",
]  # fmt: skip

LAYOUT = "expected DIR/train/<class>/<image> with DIR/test or DIR/val, or DIR/<class>/<image>"
TABLES = (".csv", ".tsv", ".parquet")
# The largest number of names in a message.
NAMED = 8
# The depth of the folders in the Hugging Face hub's cache.
DEEPEST = 6


def listed(names: Sequence[str]) -> str:
    """The first few names, and the number of those left out."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def table_hint(tree: Tree, top: str, images: str) -> str:
    """Advice on how to read images whose labels are in a table.

    Args:
        tree: the tree of the data folder.
        top: the first folder in which to look for a table.
        images: the folder that holds the images. It is the second place to look.
    """
    for folder in dict.fromkeys((top, images)):
        place = tree.look(folder)
        tables = place.files(*TABLES)
        # "metadata" is the usual name at Hugging Face, so it comes first.
        tables.sort(key=lambda name: (not name.startswith("metadata."), name))
        if tables:
            return (
                f"; where a table has the labels: --dataset table --data-dir {tree.path(images)} "
                f"--labels {tree.path(joined(folder, tables[0]))}"
            )
        if place.files(".jsonl"):
            return (
                "; with the package datasets: load_dataset('imagefolder', "
                f"data_dir={tree.path(folder)!r}).save_to_disk(NEW), then --dataset hf "
                "--data-dir NEW"
            )
    return "; where a table has the labels: --dataset table --labels FILE"


def saved_otherwise(root: Path) -> str:
    """Advice for a folder that ``save_to_disk`` did not write; ``""`` if there is none.

    The function looks for tables beside images, for class folders, and for the Parquet or Arrow
    files of the hub and its caches, up to a few levels deep.
    """
    tree = Tree(root)
    waiting = [("", 0)]
    classes = 0
    while waiting:
        top, depth = waiting.pop(0)
        place = tree.look(top)
        here = tree.path(top)
        if place.images and place.files(*TABLES, ".jsonl"):
            return table_hint(tree, top, top)
        for suffix in (".parquet", ".arrow"):
            if place.files(suffix):
                # The package recognises the splits by the file names in this folder and below.
                folder = here.removesuffix("/data") if top else here
                return (
                    f"; of its {suffix} files, with the package datasets: "
                    f"load_dataset({folder!r}).save_to_disk(NEW), then --data-dir NEW"
                )
        classes += bool(place.images and depth)
        if depth < DEEPEST:
            waiting += [(joined(top, name), depth + 1) for name in place.folders[:NAMED]]
    if classes > 1:
        return f"; for folders of images: --dataset folder --data-dir {root}"
    return ""


def no_labels(tree: Tree, path: str) -> str:
    """The note about a split that has images but no class folders."""
    count = len(tree.look(path).images)
    return (
        f"{path}/ is not read: its {count} images lie in no class folders, so they have no "
        f"labels{table_hint(tree, path, path)}"
    )


def no_class_folders(tree: Tree, top: str, holding: Sequence[str]) -> DataError | None:
    """The error for a folder without class folders; None if it has class folders.

    Args:
        tree: the tree of the data folder.
        top: the folder.
        holding: the folders in it that contain images.
    """
    here, whole = tree.look(top), tree.path(top)
    if not holding:
        found = f", but {len(here.images)} images" if here.images else ""
        also = f", but {listed(here.all_folders)} without images" if here.all_folders else ""
        hint = table_hint(tree, top, top) if here.images else ""
        return DataError(f"folder {whole}: no class folders in it{found or also}; {LAYOUT}{hint}")
    if not all(split_kind(name) for name in holding):
        return None
    trains = [name for name in holding if split_kind(name) == "train"]
    if not trains:
        return DataError(
            f"folder {whole}: no train/ in it, only {listed(holding)}; {LAYOUT}, or give "
            f"--data-dir {whole}/{holding[0]} to train on that"
        )
    path = joined(top, trains[0])
    also = f"; if {' and '.join(holding)} are the classes, rename them" if len(holding) > 1 else ""
    return DataError(
        f"folder {tree.path(path)}: no class folders in it, but {len(tree.look(path).images)} "
        f"images; {LAYOUT}{also}{table_hint(tree, path, path)}"
    )


def single_class(tree: Tree, top: str, name: str) -> DataError:
    """The error for a folder with a single class: a classifier needs at least two."""
    here, inner, whole = tree.look(top), tree.look(joined(top, name)), tree.path(top)
    holds = [_counted(inner)] if inner.images else []
    if inner.all_folders:
        holds.append(f"the folders {listed(inner.all_folders)}")
    others = [other for other in here.all_folders if other != name]
    beside = f"; no images in {listed(others)}" if others else ""
    beside += f"; beside it {_counted(here)}" if here.images else ""
    hint = table_hint(tree, top, joined(top, name)) if inner.images else ""
    return DataError(
        f"folder {whole}: a single class folder, {name}, which holds {' and '.join(holds)}{beside}"
        f"; two classes or more are needed: {LAYOUT}{hint}"
    )


def _counted(place: Place) -> str:
    return f"{len(place.images)} image{'s' if len(place.images) > 1 else ''}"
