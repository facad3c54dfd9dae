"""From the settings to a listing: which source is read, with whose labels, and how much of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.sources.archives import READERS, as_folder, list_archive
from tdctl.sources.folder import list_folder
from tdctl.sources.listing import Listing
from tdctl.sources.named import in_torchvisions_layout, list_digits, list_torchvision
from tdctl.sources.shards import list_hf, list_webdataset
from tdctl.sources.tables import list_table, read_labels

__all__ = ["list_dataset"]


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
    if (
        not listing.one_list
        and config.test_share != type(config).model_fields["test_share"].default
    ):
        note = f"--test-share {config.test_share:g} is of no use: there is a test set already"
        listing = replace(listing, notes=(*listing.notes, note))
    if config.limit is not None and config.limit >= len(listing):
        # A limit that leaves out no image excuses no row of another one.
        config = config.model_copy(update={"limit": None})
    # Limited first: a table that was made with the limit has no rows of the other images.
    listing = listing.limited(config.limit)
    if config.labels is not None and config.dataset != "table":
        listing = _relabelled(config, listing)
    return listing


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
    says is right is what the test is judged by. Images that it leaves out are gone.
    """
    n, m = len(listing), len(listing.test_index) if listing.one_list else 0
    index = np.concatenate([listing.labels.index, listing.test_index])[: n + m]
    own = np.concatenate([listing.labels.true, listing.test_targets])[: n + m]
    found = read_labels(
        config,
        None if listing.names is None else listing.names[: n + m],
        index,
        listing.class_names,
        own if listing.trusted else None,
        tested=m,
    )
    train, test = np.flatnonzero(found.kept[:n]), np.arange(len(listing.test_index))
    if m:
        test = np.flatnonzero(found.kept[n:])
    if not len(train):
        raise DataError(f"{config.labels}: no training image has a label there; give it some")
    if len(train) < n or len(test) < len(listing.test_index):
        listing = listing.taken(train, test)
    labels = found.labels
    return replace(
        listing,
        labels=labels.take(np.arange(len(train))),
        test_targets=labels.true[len(train) :] if m else listing.test_targets,
        notes=(*listing.notes, *found.notes),
        skipped=(*listing.skipped, *found.skipped),
    )
