"""From the settings to a listing: chooses the source, and applies the label table and the limit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tdctl.config import DataConfig
from tdctl.config.data import usual_values
from tdctl.errors import DataError
from tdctl.sources.archives import READERS, as_folder, list_archive
from tdctl.sources.embeddings import list_embeddings
from tdctl.sources.folder import list_folder
from tdctl.sources.listing import Listing
from tdctl.sources.named import in_torchvisions_layout, list_digits, list_torchvision
from tdctl.sources.shards import list_hf, list_webdataset
from tdctl.sources.tables import list_table, read_labels

__all__ = ["list_dataset"]


def list_dataset(config: DataConfig, split_seed: int = 0) -> Listing:
    """The data set that the settings name, with its labels and its limit.

    No pixel is read yet, except for the data sets of torchvision and the digits: these are read
    with their pixels.

    Args:
        config: the settings.
        split_seed: seed of the split into training and test images, if the source has no split.

    Returns:
        The listing of the training and test images.

    Raises:
        DataError: something is missing or malformed. The message names the path and the expected
            layout.
    """
    listing = _list(config, split_seed)
    asked = "test_share" in config.model_fields_set
    if listing.one_list and not len(listing.test_index) and not asked:
        note = (
            "no test set: every image is trained on and ranked, and the log has no test error; "
            "--test-share 0.2 holds out a fifth of them"
        )
        listing = replace(listing, notes=(*listing.notes, note))
    if not listing.one_list and config.test_share not in usual_values("test_share"):
        note = f"--test-share {config.test_share:g} is of no use: there is a test set already"
        listing = replace(listing, notes=(*listing.notes, note))
    if config.limit is not None and config.limit >= len(listing):
        # This limit has no effect, so a label table may not name further images because of it.
        config = config.model_copy(update={"limit": None})
    # The limit comes first: a table made with the same limit has no rows for the other images.
    listing = listing.limited(config.limit)
    if config.labels is not None and config.dataset not in ("table", "embeddings"):
        listing = _relabelled(config, listing)
    return listing


def _list(config: DataConfig, split_seed: int) -> Listing:
    readers = {
        "folder": list_folder,
        "table": list_table,
        "webdataset": list_webdataset,
        "hf": list_hf,
        "embeddings": list_embeddings,
        **{name: list_archive for name in READERS},
    }
    if config.dataset == "digits":
        return list_digits()
    if config.dataset in readers:
        return readers[config.dataset](config, split_seed)
    listing = None if in_torchvisions_layout(config) else as_folder(config, split_seed)
    return list_torchvision(config) if listing is None else listing


def _relabelled(config: DataConfig, listing: Listing) -> Listing:
    """The listing with the labels of the user's table instead of its own.

    If the test images were split off the list of training images, the table also labels the test
    images. Their true labels are then the test labels. Images without a row are left out.
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
