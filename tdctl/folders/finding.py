"""Finds out from its files which data set a folder holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tdctl.catalogue import CATALOGUE, VECTOR_SUFFIXES, find
from tdctl.errors import ConfigError, DataError
from tdctl.folders.account import Account
from tdctl.folders.hints import listed
from tdctl.folders.layout import find_layout
from tdctl.folders.splits import split_kind
from tdctl.folders.walk import Tree, joined

__all__ = ["FoundDataSet", "data_set_in", "found_in", "packed_in"]

SAVED = ("dataset_dict.json", "state.json")


@dataclass(frozen=True)
class FoundDataSet:
    """The data sets that a folder may hold.

    Attributes:
        fits: the data sets that the folder may hold, each with the evidence for it.
        lacks: the kinds of the user's own data that it does not hold, each with what is missing.
    """

    fits: dict[str, str]
    lacks: dict[str, str]


def data_set_in(data_dir: Path, labels: Path | None) -> tuple[str, str]:
    """The one data set that a folder holds, and the evidence for it.

    Args:
        data_dir: the folder, or a file of vectors.
        labels: the user's label table, or None. It may name the images of the folder.

    Returns:
        The name of the data set, and the evidence in words.

    Raises:
        ConfigError: the folder does not exist, or it holds no data set or several. The message
            says what was looked for.
    """
    if data_dir.is_file() and data_dir.suffix in VECTOR_SUFFIXES:
        return "embeddings", f"a {data_dir.suffix} file of vectors"
    if not data_dir.is_dir():
        raise ConfigError(f"data_dir: {data_dir}: no such folder; give an existing --data-dir")
    found = found_in(data_dir, labels)
    if len(found.fits) == 1:
        return next(iter(found.fits.items()))
    if found.fits:
        several = "; ".join(f"{name} ({why})" for name, why in found.fits.items())
        raise ConfigError(f"data_dir: {data_dir} may be {several}: say which with --dataset")
    others = [name for name in CATALOGUE if CATALOGUE[name].landmarks]
    raise ConfigError(
        f"data_dir: {data_dir} holds no data set that is known by its files; looked for were "
        + "; ".join(f"{name}: {why}" for name, why in found.lacks.items())
        + f"; and the files of {', '.join(others)}. Name yours with --dataset"
    )


def found_in(data_dir: Path, labels: Path | None = None) -> FoundDataSet:
    """The data sets that a folder may hold, judged by its folders and files.

    Args:
        data_dir: the folder.
        labels: the user's label table, or None. It may name the images of the folder.

    Raises:
        DataError: the system refuses to list the folder.
    """
    tree = Tree(data_dir)
    named = {
        name: f"{entry.landmarks[0]} is there"
        for name, entry in CATALOGUE.items()
        if entry.landmarks and _lies_in(name, data_dir)
    }
    packed = packed_in(data_dir)
    fits, lacks = {**named, **packed.fits}, packed.lacks
    # Some archives unpack to class folders. Such a folder is read as the named data set.
    if named or "hf" in fits:
        return FoundDataSet(fits, lacks)
    try:
        classes = find_layout(tree, Account()).train.classes
        fits["folder"] = f"class folders such as {listed(classes[:2])}"
    except DataError as error:
        if labels is not None and tree.holds_images(""):
            fits["table"] = f"images without class folders, and --labels {labels}"
        else:
            lacks["folder"] = str(error).removeprefix(f"folder {data_dir}: ")
    return FoundDataSet(fits, lacks)


def packed_in(data_dir: Path) -> FoundDataSet:
    """Whether a folder holds a saved Hugging Face data set or tar shards.

    These are the two kinds of data whose images are inside larger files.

    Raises:
        DataError: the system refuses to list the folder.
    """
    tree = Tree(data_dir)
    fits, lacks = {}, {}
    saved = [name for name in SAVED if name in tree.look("").files(".json")]
    if saved:
        fits["hf"] = f"{saved[0]} is there, as save_to_disk writes it"
    else:
        lacks["hf"] = f"no {' or '.join(SAVED)}"
    tars = _tars(tree)
    if tars:
        fits["webdataset"] = f"tar shards such as {tars[0]}"
    else:
        lacks["webdataset"] = "no *.tar"
    return FoundDataSet(fits, lacks)


def _lies_in(name: str, data_dir: Path) -> bool:
    if find(name, data_dir) is not None:
        return True
    # For data sets with a single landmark, torchvision also reads the compressed file.
    places = (data_dir, data_dir / name)
    marks = CATALOGUE[name].landmarks
    return len(marks) == 1 and any((place / f"{marks[0]}.gz").exists() for place in places)


def _tars(tree: Tree) -> list[str]:
    here = tree.look("")
    found = here.files(".tar")
    for name in here.all_folders:
        if split_kind(name) is not None:
            found += [joined(name, tar) for tar in tree.look(name).files(".tar")]
    return found
