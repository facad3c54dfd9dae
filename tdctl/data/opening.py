"""Opens the data set that the settings name: its listing, its labels and its pixels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.config import DataConfig
from tdctl.data.check import check_classes, findings
from tdctl.data.colours import channels
from tdctl.data.dataset import DataSet, Images, Skipped, by_class, channel_statistics
from tdctl.data.decode import Told
from tdctl.data.image_storage import Held, check_memory, hold
from tdctl.data.pixel_store import MemoryStore
from tdctl.data.vectors import VectorStore, read_statistics
from tdctl.errors import ConfigError
from tdctl.sources import Listing, list_dataset
from tdctl.sources.vector_files import VectorRows

__all__ = ["open_dataset"]


def open_dataset(
    config: DataConfig, split_seed: int = 0, *, dry: bool = False, told: Told | None = None
) -> DataSet:
    """The data set that the settings name, with its pixels and labels.

    Args:
        config: the settings.
        split_seed: seed of the split into training and test images, if the source has no split.
        dry: decode only a sample of the images; see ``hold`` and ``findings``.
        told: is told how many images are decoded so far, and of how many.

    Returns:
        The data set.

    Raises:
        DataError: as ``list_dataset``; or images do not decode, images differ in size and no
            ``image_size`` is given, there is no room for the pixels, or all training images have
            the same class.
        ConfigError: the settings ask for ImageNet's statistics, and the images do not have 3
            channels; or for a cache or streaming of images that come decoded.

    Example:
        >>> from tdctl.config import DataConfig
        >>> data = open_dataset(DataConfig(dataset="digits"))
        >>> len(data.train), data.num_classes, data.train.shape
        (1198, 10, (1, 8, 8))
    """
    listing = list_dataset(config, split_seed)
    n = len(listing)
    check_classes(listing.labels.assigned, listing.class_names, listing.name, config.limit)
    if isinstance(listing.images, torch.Tensor):
        return _assembled(config, listing, _held(config, listing.images, n), None)
    if isinstance(listing.images, VectorRows):
        return _of_vectors(config, listing, listing.images)
    stats = listing.images.stats()
    held = hold(config, listing.images, listing.names or [], stats, n, dry, told)
    return _assembled(config, listing, held, stats)


def _of_vectors(config: DataConfig, listing: Listing, vectors: VectorRows) -> DataSet:
    """The data set of embeddings. All vectors are read once, to be checked."""
    mean, std = read_statistics(vectors)
    labels = listing.labels
    return DataSet(
        name=listing.name,
        class_names=listing.class_names,
        train=Images(VectorStore(vectors.values), vectors.rows, labels.index, labels.assigned),
        labels=labels,
        test=None,
        file_names=listing.names,
        file_sizes=None,
        mean=mean,
        std=std,
        mirrors=False,
        skipped=listing.skipped,
        notes=(
            *listing.notes,
            *by_class(labels.assigned, listing.class_names, config.limit, "vectors"),
        ),
    )


def _assembled(
    config: DataConfig, listing: Listing, held: Held, stats: NDArray[np.int64] | None
) -> DataSet:
    """The data set made of a listing and its pixels, without images that do not decode."""
    n, m = len(listing), len(listing.test_index)
    whole = np.ones(n + m, dtype=np.bool_)
    whole[list(held.broken)] = False
    train, test = np.flatnonzero(whole[:n]), np.flatnonzero(whole[n:])
    labels, targets = listing.labels.take(train), listing.test_targets[test]
    check_classes(labels.assigned, listing.class_names, listing.name, config.limit)
    mean, std = channels(config, held.mean, held.std)
    file_names, file_sizes = _files(listing, stats, train)
    test_names, test_sizes = _files(listing, stats, test + n)
    skipped = _skipped(listing, held.broken)
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
        skipped=(*listing.skipped, *skipped),
        reading=_unusual(held),
        notes=(
            *held.notes,
            *listing.notes,
            *by_class(labels.assigned, listing.class_names, config.limit),
            *_of_skipped(skipped),
            *findings(config, listing, held, None if stats is None else stats[:, 0]),
        ),
    )


def _unusual(held: Held) -> dict[str, str | int]:
    """The ways of reading that change pixels and are not the usual ones."""
    if held.decoder is None:
        return {}
    reading, how = held.decoder.reading, dict[str, str | int]()
    if reading.size is not None and reading.fit != "crop":
        how["fit"] = reading.fit
    if reading.size is not None and reading.reduced:
        how["large JPEGs decoded"] = "reduced"
    if reading.bits != 16:
        how["bits in use of 16"] = reading.bits
    if reading.ground is not None:
        how["ground of transparent images"] = reading.ground
    return how


def _files(
    listing: Listing, stats: NDArray[np.int64] | None, rows: NDArray[np.int64]
) -> tuple[list[str] | None, list[int] | None]:
    """The names and sizes of some images; None if they have none."""
    names = None if listing.names is None else [listing.names[row] for row in rows]
    return names, None if stats is None else stats[rows, 0].tolist()


def _of_skipped(skipped: tuple[Skipped, ...]) -> tuple[str, ...]:
    if not skipped:
        return ()
    first = skipped[0]
    return (
        f"{len(skipped)} images do not decode and were left out, first {first.file_name} "
        f"({first.reason})",
    )


def _held(config: DataConfig, pixels: torch.Tensor, train: int) -> Held:
    """Pixels that come decoded, resized to the requested size."""
    if config.images in {"cache", "stream"}:
        raise ConfigError(
            f"data.images: '{config.images}' does not go with {config.dataset}, whose pixels come "
            "whole and are held in memory; leave out --images"
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
    if not broken or isinstance(images, torch.Tensor):
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
