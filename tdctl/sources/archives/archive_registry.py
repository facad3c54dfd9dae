"""Lists a data set of the catalogue from its archive's layout, or from an image folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tdctl.catalogue import CATALOGUE, find, nearest
from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.folders import is_left_over, split_kind
from tdctl.sources.archives.caltech256 import CLUTTER, list_caltech256
from tdctl.sources.archives.clothing import list_clothing100k
from tdctl.sources.archives.cub import list_cub_200_2011
from tdctl.sources.archives.present import folders_in
from tdctl.sources.archives.tiny_imagenet import list_tiny_imagenet
from tdctl.sources.archives.webvision import list_webvision50
from tdctl.sources.folder import list_folder
from tdctl.sources.listing import Listing

__all__ = ["READERS", "as_folder", "list_archive"]

READERS: dict[str, Callable[[Path, DataConfig, int], Listing]] = {
    "tiny_imagenet": list_tiny_imagenet,
    "cub_200_2011": list_cub_200_2011,
    "caltech256": list_caltech256,
    "webvision50": list_webvision50,
    "clothing100k": list_clothing100k,
}
# A mirrored digit is no longer that digit.
NOT_MIRRORED = {"mnist", "svhn"}


def list_archive(config: DataConfig, split_seed: int) -> Listing:
    """A data set of ``READERS``, from its unpacked archive or else from an image folder.

    The search covers ``data_dir``, ``data_dir/<dataset>``, and the archive's top folder in both.

    Raises:
        DataError: the data set has neither layout (the message names what is missing and where),
            or it is malformed.
    """
    name, directory = config.dataset, config.data_dir or Path()
    if not directory.is_dir():
        raise DataError(f"{name}: {directory}: no such folder; give an existing --data-dir")
    root = find(name, directory)
    if root is not None:
        return _compared(READERS[name](root, config, split_seed), config)
    listing = as_folder(config, split_seed)
    if listing is not None:
        return _compared(listing, config)
    entry = CATALOGUE[name]
    home, lacks = nearest(name, directory)
    if len(lacks) < len(entry.landmarks):
        raise DataError(
            f"{name}: {home} lacks {', '.join(lacks)}; unpack the archive anew: expected "
            f"{entry.layout}"
        )
    places = ", ".join(str(directory / p) for p in (name, *entry.folders))
    raise DataError(
        f"{name}: {', '.join(entry.landmarks)} are not in {directory} nor in {places}; expected "
        f"{entry.layout}, or an image folder: train/ with {entry.classes} class folders"
    )


def as_folder(config: DataConfig, split_seed: int) -> Listing | None:
    """The listing of a data set of the catalogue that was saved as an image folder.

    The search covers ``data_dir/<dataset>`` and ``data_dir``. ``train/`` must have as many class
    folders as the data set has classes, and ``test/`` or ``val/`` must have no other classes. The
    labels are not trusted as those of an archive are: someone may have changed them.

    Returns:
        The listing, under the name of the data set; None if neither folder fits.

    Raises:
        DataError: as ``list_folder``; or ``drop_clutter`` is set and the class is in the folder.
    """
    directory = config.data_dir or Path()
    for root in (directory / config.dataset, directory):
        if _is_image_folder(root, config.dataset):
            break
    else:
        return None
    listing = list_folder(config.model_copy(update={"data_dir": root}), split_seed)
    if config.drop_clutter and CLUTTER in listing.class_names:
        raise DataError(
            f"{root / 'train' / CLUTTER}: data.drop_clutter leaves it out in the archive's own "
            "layout alone; move the folder elsewhere"
        )
    return replace(
        listing, name=config.dataset, mirrors=config.dataset not in NOT_MIRRORED, trusted=False
    )


def _is_image_folder(root: Path, name: str) -> bool:
    if not root.is_dir():
        return False
    of_kind: dict[str | None, list[str]] = {}
    for folder in folders_in(root):
        of_kind.setdefault(split_kind(folder), []).append(folder)
    if len(of_kind.get("train", [])) != 1:
        return False
    classes = set(_own_folders(root / of_kind["train"][0]))
    tested = next((root / n for kind in ("test", "val") for n in of_kind.get(kind, [])), None)
    if tested is not None and not classes.issuperset(_own_folders(tested)):
        return False
    return len(classes) in _class_counts(name)


def _own_folders(folder: Path) -> list[str]:
    """The folders in a folder, without those that systems and tools leave behind."""
    return [name for name in folders_in(folder) if not is_left_over(name)]


def _class_counts(name: str) -> set[int | None]:
    # Caltech-256 with and without its class "clutter".
    return {256, 257} if name == "caltech256" else {CATALOGUE[name].classes}


def _compared(listing: Listing, config: DataConfig) -> Listing:
    """Adds a note if the numbers of images or classes differ from the published data set."""
    entry = CATALOGUE[config.dataset]
    n, m, k = len(listing.labels), len(listing.test_index), len(listing.class_names)
    differing = []
    if k not in _class_counts(config.dataset):
        differing.append(f"{k:,} classes instead of {entry.classes:,}")
    for found, published, what in ((n, entry.train, "training"), (m, entry.test, "test")):
        if published not in {None, found}:
            differing.append(f"{found:,} {what} images instead of {published:,}")
    if entry.total not in {None, n + m} and CLUTTER in listing.class_names:
        differing.append(f"{n + m:,} images instead of {entry.total:,}")
    if not differing:
        return listing
    note = f"{config.dataset}: not the published numbers: {', '.join(differing)}"
    return replace(listing, notes=(*listing.notes, note))
