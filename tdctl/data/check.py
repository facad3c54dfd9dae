"""The check of a data set before every training, for what is wrong or suspicious.

It takes seconds. Each finding is one line: the number of cases, the first one, and advice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.catalogue import samples_of
from tdctl.config import DataConfig
from tdctl.data.alike import Alike, alike_files, alike_pixels
from tdctl.data.decode import Decoder
from tdctl.data.image_storage import Held
from tdctl.data.shown import Shown, shown, sides
from tdctl.data.survey import of_all
from tdctl.errors import DataError
from tdctl.names import nearly_alike, not_labelled
from tdctl.sources import Listing
from tdctl.sources.vector_files import VectorRows

__all__ = ["check_classes", "findings"]

Rows = NDArray[np.int64]
# Class sizes are extreme if one class has TIMES as many images as another, or this SHARE of all.
TIMES, SHARE = 50, 0.9
# Strong crops and enlargements are reported if they concern at least this share of the images.
MANY = 0.1
# Different image sizes are reported if the longest short side is this many times the shortest.
SIDES = 10


def check_classes(
    targets: NDArray[np.int64], class_names: list[str], name: str, limit: int | None
) -> None:
    """Checks that the labels have more than one class, as a classifier needs at least two.

    Args:
        targets: int64 [n], the given labels of the training images.
        class_names: k names.
        name: the name of the data set.
        limit: the number of images that the user asks for, or None.

    Raises:
        DataError: all labels are of one class. The message names it and says where to look.
    """
    present = np.unique(targets)
    if len(present) != 1:
        return
    kind = samples_of(name)
    way = "look at the labels, and at the folder that is given as --data-dir"
    if kind == "vectors":
        way = "look at the labels, and at the column that --label-column names"
    if limit is not None and len(class_names) > 1:
        way = f"give a larger --limit than {limit}"
    raise DataError(
        f"{name}: all {len(targets):,} training {kind} have the class "
        f"'{class_names[present[0]]}'; expected at least two classes: {way}"
    )


def findings(
    config: DataConfig, listing: Listing, held: Held, file_sizes: Rows | None
) -> list[str]:
    """What is wrong or suspicious in a data set, one line for each finding.

    The labels are the user's, before any noise. If the pixels are not in memory, a fixed sample of
    them is checked, and the line gives the size of the sample.

    Args:
        config: the settings.
        listing: classes, labels and names of all images.
        held: the pixels of all images.
        file_sizes: int64 [n + m], the size of each encoded image in bytes; None if the images came
            decoded.
    """
    rows, images = _Named(listing), listing.images
    found = shown(held, len(rows))
    notes = [*_of_classes(config, listing, rows), *_of_shown(config, found, rows)]
    if isinstance(images, torch.Tensor):
        alike = alike_pixels(images)
    elif (
        isinstance(images, VectorRows)
        or held.decoder is None
        or held.seen is None
        or file_sizes is None
    ):
        return notes
    else:
        alike = alike_files(images, file_sizes, held.seen)
        notes += _of_sizes(config, held.decoder, rows)
    # What shows nothing, or does not decode, is told of already.
    told = {*found.one_colour.tolist(), *found.broken, *held.broken}
    return [*notes, *_of_alike(alike, rows, told)]


@dataclass(frozen=True)
class _Named:
    """Names and labels of a listing's images by row, training images first."""

    listing: Listing

    def __len__(self) -> int:
        return len(self.listing) + len(self.listing.test_index)

    def name(self, row: int) -> str:
        """The name of an image in messages."""
        listing, n = self.listing, len(self.listing)
        if listing.names is not None:
            return listing.names[row]
        if not isinstance(listing.images, torch.Tensor):
            return listing.images.name(row)
        at = listing.labels.index[row] if row < n else listing.test_index[row - n]
        return f"{'training' if row < n else 'test'} image {at}"

    def trains(self, row: int) -> bool:
        """Whether a row is a training image."""
        return row < len(self.listing)

    def label(self, row: int) -> int:
        """The given label of a training image, or the label of a test image."""
        n = len(self.listing)
        targets = self.listing.labels.assigned if row < n else self.listing.test_targets
        return int(targets[row if row < n else row - n])


def _of_classes(config: DataConfig, listing: Listing, rows: _Named) -> list[str]:
    """Findings about classes: nearly equal names, a single image, very different sizes."""
    names, targets = listing.class_names, listing.labels.assigned
    notes = []
    alike = nearly_alike(names)
    if alike:
        shown = ", ".join(" / ".join(map(_quoted, group)) for group in alike[:3])
        more = ", ..." if len(alike) > 3 else ""
        notes.append(
            f"class names that differ in writing alone: {len(alike)}, {shown}{more}; where they "
            "are one class, give it one name"
        )
    counts = np.bincount(targets, minlength=len(names))
    missing = [name for name in not_labelled(names) if counts[names.index(name)]]
    if missing:
        many = sum(int(counts[names.index(name)]) for name in missing)
        table = config.labels is not None
        way = (
            "empty their cells and give --skip-unreadable"
            if table
            else "move them out of the data folder"
        )
        notes.append(
            f"class names that may stand for a missing label: {', '.join(map(_quoted, missing))} "
            f"({many:,} training images); where these are not labelled, {way}"
        )
    single = np.flatnonzero(counts == 1)
    if len(single):
        row = int(np.flatnonzero(targets == single[0])[0])
        limited = config.limit is not None
        way = (
            "a larger --limit reaches more" if limited else "add images, or leave such classes out"
        )
        notes.append(
            f"classes of one training image: {len(single):,} of {len(names):,}, first "
            f"'{names[single[0]]}' ({rows.name(row)}); they cannot be learned and are ranked as "
            f"wrong: {way}"
        )
    large, present = int(counts.argmax()), np.flatnonzero(counts)
    small = int(present[counts[present].argmin()])
    if counts[large] >= TIMES * counts[small] or counts[large] > SHARE * len(targets):
        notes.append(
            f"classes of very different size: '{names[large]}' has {counts[large]:,} training "
            f"images and '{names[small]}' has {counts[small]:,}; the labels of small classes look "
            "wrong because they are rare: see to --keep-per-class"
        )
    return notes


def _of_shown(config: DataConfig, found: Shown, rows: _Named) -> list[str]:
    """Findings about images that have one colour or (new ones) do not decode."""
    notes, of = [], of_all(len(found.looked), len(rows))
    if found.broken:
        row, reason = next(iter(sorted(found.broken.items())))
        then = "are left out" if config.skip_unreadable else "end the run: --skip-unreadable"
        notes.append(
            f"images that do not decode: {len(found.broken):,}{of}, first {rows.name(row)} "
            f"({reason.partition('; ')[0]}); they {then}"
        )
    if len(found.one_colour):
        notes.append(
            f"images of one colour: {len(found.one_colour):,}{of}, first "
            f"{rows.name(int(found.one_colour[0]))}; nothing can be learned from them: look at them"
        )
    return notes


def _quoted(name: str) -> str:
    """A class name with what does not show written out."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    return f"'{shown}'"


def _groups(count: int) -> str:
    return f"{count:,} group{'s' * (count != 1)}"


def _of_alike(alike: Alike, rows: _Named, told: set[int]) -> list[str]:
    """Copies with another label, in the test set too, and in the training set alone."""
    of = of_all(alike.looked, len(rows))
    groups = [group.tolist() for group in alike.groups if int(group[0]) not in told]
    names = rows.listing.class_names

    def pair(group: list[int]) -> str:
        """The first image of a group, and the first with another label or in the other split."""
        a = group[0]
        others = sorted(group[1:], key=lambda row: rows.label(row) == rows.label(a))
        b = others[0]
        if rows.label(a) == rows.label(b):
            b = next((row for row in group[1:] if not rows.trains(row)), b)
        return " and ".join(f"{rows.name(row)} ('{names[rows.label(row)]}')" for row in (a, b))

    differ = [g for g in groups if len({rows.label(row) for row in g}) > 1]
    both = [g for g in groups if rows.trains(g[0]) and not rows.trains(g[-1])]
    copies = [g for g in groups if rows.trains(g[-1]) and g not in differ]
    notes = []
    if differ:
        notes.append(
            f"images alike to the byte with different labels: {_groups(len(differ))}{of}, first "
            f"{pair(differ[0])}; at least one label of each group is wrong"
        )
    if both:
        notes.append(
            f"images alike to the byte in the training and in the test set: {_groups(len(both))}"
            f"{of}, first {pair(both[0])}; the test error is too low by them: remove one side"
        )
    if copies:
        more = sum(len(g) - 1 for g in copies)
        notes.append(
            f"images alike to the byte among the training images: {_groups(len(copies))} of "
            f"{more + len(copies):,}{of}, first {pair(copies[0])}; remove the copies"
        )
    return notes


def _of_sizes(config: DataConfig, decoder: Decoder, rows: _Named) -> list[str]:
    """Findings about images that lose much, or are enlarged much, at the requested size."""
    side = config.image_size
    looked, found = sides(decoder.images, decoder.reading.max_pixels)
    if side is None or not len(looked):
        return []
    of, notes = of_all(len(looked), len(rows)), []
    short, long = found.min(axis=1), found.max(axis=1)

    def first(which: NDArray[np.bool_]) -> str:
        at = int(which.argmax())
        return f"{rows.name(int(looked[at]))} ({found[at, 0]}x{found[at, 1]})"

    cropped, small = long > 2 * short, 2 * (long if config.fit == "pad" else short) < side
    if config.fit == "crop" and cropped.mean() >= MANY:
        notes.append(
            f"images that lose more than half to the crop: {cropped.sum():,}{of}, first "
            f"{first(cropped)}; --fit pad keeps the whole, --fit squash presses it square"
        )
    if small.mean() >= MANY:
        notes.append(
            f"images of less than half of --image-size {side}: {small.sum():,}{of}, first "
            f"{first(small)}; they are enlarged: a smaller --image-size costs less"
        )
    if short.min() < side and short.max() >= SIDES * short.min():
        notes.append(
            f"images of very different size{of}: from {first(short == short.min())} to "
            f"{first(short == short.max())}; the small ones are blurred beside the others"
        )
    return notes
