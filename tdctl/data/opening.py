"""From the settings to a data set: its listing, its labels, its pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.config import DataConfig
from tdctl.data.archives import READERS, as_folder, list_archive
from tdctl.data.channels import channels
from tdctl.data.dataset import DataSet, Images, Skipped, by_class, channel_statistics
from tdctl.data.folder import list_folder
from tdctl.data.hold import Held, check_memory, hold
from tdctl.data.hub import list_hf
from tdctl.data.listed import list_table
from tdctl.data.listing import Listing
from tdctl.data.named import in_torchvisions_layout, list_digits, list_torchvision
from tdctl.data.store import MemoryStore
from tdctl.data.table import labels_from_table
from tdctl.data.webdataset import list_webdataset
from tdctl.errors import ConfigError

__all__ = ["list_dataset", "open_dataset"]


def list_dataset(config: DataConfig, split_seed: int = 0) -> Listing:
    """The data set that the settings name, its labels and their limit, before any pixel is read.

    (The sets of torchvision come with their pixels.)

    Args:
        config: the settings.
        split_seed: of the split into training and test images, where the source has none.

    Raises:
        DataError: something is missing or malformed; the message names the path and the
            layout that is expected there.
    """
    listing = _list(config, split_seed)
    if config.labels is not None and config.dataset != "table":
        listing = _relabelled(config, listing)
    return listing.limited(config.limit)


def open_dataset(config: DataConfig, split_seed: int = 0) -> DataSet:
    """The data set that the settings name, decoded and resized, with its labels.

    Raises:
        DataError: as ``list_dataset``; or images do not decode, differ in size and no
            ``image_size`` is given, or there is no room for them as they would be held.
        ConfigError: the images have not the channels that the settings normalise by.
    """
    listing = list_dataset(config, split_seed)
    n, m = len(listing), len(listing.test_index)
    names, stats = listing.names, None
    if isinstance(listing.images, torch.Tensor):
        held = _held(config, listing.images, n)
    else:
        stats = listing.images.stats()
        held = hold(config, listing.images, names or [], stats, n)
    whole = np.ones(n + m, dtype=np.bool_)
    whole[list(held.broken)] = False
    train, test = np.flatnonzero(whole[:n]), np.flatnonzero(whole[n:])
    labels = listing.labels.take(train)
    skipped = _skipped(listing, held.broken)
    notes = [*held.notes, *listing.notes]
    notes += by_class(labels.assigned, listing.class_names, config.limit)
    if skipped:
        notes.append(
            f"{len(skipped)} images do not decode and were left out, first "
            f"{skipped[0].file_name} ({skipped[0].reason})"
        )

    def files(rows: NDArray[np.int64]) -> tuple[list[str] | None, list[int] | None]:
        return (
            None if names is None else [names[row] for row in rows],
            None if stats is None else stats[rows, 0].tolist(),
        )

    file_names, file_sizes = files(train)
    test_names, test_sizes = files(test + n)
    targets = listing.test_targets[test]
    mean, std = channels(config, held.mean, held.std)
    return DataSet(
        name=listing.name,
        class_names=listing.class_names,
        train=Images(held.store, train, labels.index, labels.assigned),
        labels=labels,
        test=Images(held.store, test + n, listing.test_index[test], targets) if m else None,
        file_names=file_names,
        file_sizes=file_sizes,
        test_names=test_names,
        test_sizes=test_sizes,
        mean=mean,
        std=std,
        mirrors=listing.mirrors,
        held=None if listing.held is None else listing.held[train],
        one_list=listing.one_list,
        trusted=listing.trusted,
        skipped=skipped,
        notes=tuple(notes),
    )


def _list(config: DataConfig, split_seed: int) -> Listing:
    readers = {
        "folder": list_folder,
        "table": list_table,
        "webdataset": list_webdataset,
        "hf": list_hf,
        **{name: list_archive for name in READERS},
    }
    if config.dataset == "digits":
        return list_digits()
    if config.dataset in readers:
        return readers[config.dataset](config, split_seed)
    listing = None if in_torchvisions_layout(config) else as_folder(config, split_seed)
    return list_torchvision(config) if listing is None else listing


def _relabelled(config: DataConfig, listing: Listing) -> Listing:
    """The listing with the labels of the user's table in place of its own.

    Where the test images were split off the same list the table names them too, and what it
    says is right is what the test is judged by.
    """
    n, one = len(listing), listing.one_list
    count = n + len(listing.test_index) if one else n
    index = np.concatenate([listing.labels.index, listing.test_index])[:count]
    own = np.concatenate([listing.labels.true, listing.test_targets])[:count]
    labels = labels_from_table(
        config,
        None if listing.names is None else listing.names[:count],
        index,
        listing.class_names,
        own if listing.trusted else None,
    )
    return replace(
        listing,
        labels=labels.take(np.arange(n)),
        test_targets=labels.true[n:] if one else listing.test_targets,
    )


def _held(config: DataConfig, pixels: torch.Tensor, train: int) -> Held:
    """Pixels that come whole, brought to the size asked for."""
    if config.images in {"cache", "stream"}:
        raise ConfigError(
            f"data.images: '{config.images}' does not go with {config.dataset} in torchvision's "
            "layout, which is held in memory; leave out --images"
        )
    size = config.image_size
    if size is not None and pixels.shape[2:] != (size, size):
        from torchvision.transforms import v2

        check_memory(len(pixels), (pixels.shape[1], size, size))
        parts = torch.split(pixels, 4096)
        resize = v2.functional.resize
        pixels = torch.cat([resize(part, [size, size], antialias=True) for part in parts])
    return Held(MemoryStore(pixels), *channel_statistics(pixels[:train]), {}, ())


def _skipped(listing: Listing, broken: dict[int, str]) -> tuple[Skipped, ...]:
    index = np.concatenate([listing.labels.index, listing.test_index])
    n, images = len(listing), listing.images
    if isinstance(images, torch.Tensor):
        return ()
    return tuple(
        Skipped(
            index=int(index[row]),
            file_name=images.name(row) if listing.names is None else listing.names[row],
            split="train" if row < n else "test",
            reason=broken[row],
        )
        for row in sorted(broken)
    )
