"""What is chosen where the user sets nothing: by numbers alone, no file is read.

``tdctl find`` takes all of it. The other commands take what the pictures ask for; see ``suited``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tdctl.cuts import FEW_IMAGES
from tdctl.recipes import DETECT_UP_TO

__all__ = [
    "FEWEST_EPOCHS",
    "OF_PICTURES",
    "SMALLER",
    "SMALLER_OF_TRAINED",
    "Choice",
    "Chosen",
    "Seen",
    "SeenVectors",
    "choose",
    "epochs_for",
    "epochs_up_to",
    "epochs_within",
    "fewer_heads",
    "folds_for",
    "mirrors_by_names",
    "size_for",
]

# Pixels a side below which the network sees too little of a photograph.
SMALLEST, STEP = 32, 16
# The image size if --time is too short for the chosen size.
SMALLER = 32
# The image sizes for a pretrained network then; the largest that fits is taken. Smaller ones were
# not tried.
SMALLER_OF_TRAINED = (160, 128, 96, 64)
# The middle square of a picture that is this many times as long as wide leaves most of it out.
LONG = 2.0
# With at most FEW_IMAGES, networks judge images that they have not seen: FOLDS networks, and
# MORE_FOLDS up to VERY_FEW images, where a network misses the images of its fold most. Of fewer
# than FEWEST_IN_FOLDS images, a network learns nothing about the others.
FOLDS, MORE_FOLDS, VERY_FEW, FEWEST_IN_FOLDS = 5, 10, 400, 20
# The lengths on which the shipped detector was trained reach from 5 to 60 epochs.
MOST_EPOCHS, FEWEST_EPOCHS = 60, 5
# From so many images on, of at most so many pixels a side, the network sees their whole resolution.
# It takes 2.7 times the time of half of it. 50,000 CIFAR-10 images with human labels, 16 epochs: AP
# 86.5 instead of 82.5. With 10,000 images, more epochs at half of the resolution are better.
MANY_IMAGES, WHOLE_UP_TO = 20_000, 40
# So many images also gain from more epochs if the user gives the time: 40 in place of 16 had an AP
# of 90.8 instead of 89.5.
MOST_OF_MANY = 40
# What the sizes of the pictures decide, for every command that trains.
OF_PICTURES = ("data.image_size", "data.fit")
# Words of a class name that a mirror turns into the other class.
SIDES = {"left", "right", "links", "rechts", "gauche", "droite", "lefthand", "righthand"}
WORDS = re.compile(r"[^\W\d_]+")
# One letter or one number, with a word such as "digit" or "class" before it at most.
SIGN = re.compile(r"(?:[^\W\d_]+[\s_-]+)?(?:\d{1,3}|[^\W\d_])", re.IGNORECASE)


@dataclass(frozen=True)
class Seen:
    """What was seen of a data set.

    Attributes:
        images: how many are trained on.
        class_names: k names.
        short: the median of the images' shorter sides, in pixels.
        long: the median of their longer sides.
        alike: whether all have one width and height.
    """

    images: int
    class_names: tuple[str, ...]
    short: int
    long: int
    alike: bool

    kind: ClassVar[str] = "image"

    @property
    def words(self) -> str:
        """How many of what there are."""
        alike = "" if self.alike else " (the median)"
        return (
            f"{self.images:,} images in {len(self.class_names):,} classes, "
            f"{self.short} by {self.long} pixels{alike}"
        )


@dataclass(frozen=True)
class SeenVectors:
    """What was seen of embeddings.

    Attributes:
        vectors: how many are trained on.
        class_names: k names.
        numbers: of each vector.
    """

    vectors: int
    class_names: tuple[str, ...]
    numbers: int

    kind: ClassVar[str] = "vector"

    @property
    def words(self) -> str:
        """How many of what there are."""
        return (
            f"{self.vectors:,} vectors of {self.numbers:,} numbers in "
            f"{len(self.class_names):,} classes"
        )


@dataclass(frozen=True)
class Chosen:
    """One setting that is chosen.

    Attributes:
        key: the dotted key.
        value: the value.
        reason: why, in a line that begins with the choice; ``""`` for a plain one.
    """

    key: str
    value: Any
    reason: str = ""


@dataclass(frozen=True)
class Choice:
    """All settings that are chosen."""

    parts: tuple[Chosen, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """The values by dotted key."""
        return {one.key: one.value for one in self.parts}

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why, a line for each that is not plain."""
        return tuple(one.reason for one in self.parts if one.reason)

    def only(self, keys: Collection[str]) -> Choice:
        """The choice of these settings alone."""
        return Choice(tuple(one for one in self.parts if one.key in keys))

    def without(self, keys: Collection[str]) -> Choice:
        """The choice of all other settings."""
        return Choice(tuple(one for one in self.parts if one.key not in keys))

    def free(self, named: Collection[str]) -> Choice:
        """The choice of what the user has not set. With the size the user sets the fit, too."""
        size = set(OF_PICTURES) if "data.image_size" in named else set()
        return self.without({*named, *size})

    def replaced(self, other: Chosen) -> Choice:
        """The choice with another value of a setting."""
        return Choice((*self.without({other.key}).parts, other))


def choose(seen: Seen) -> Choice:
    """The settings that suit a data set; the network is that of the recipe ``detect``."""
    parts = [Chosen("recipe", "detect")]
    size = size_for(seen)
    if size is not None:
        why = f"image size {size}: the pictures' shorter side is {seen.short} pixels"
        parts.append(Chosen("data.image_size", size, why))
        if seen.long > LONG * seen.short:
            why = f"fit pad: the pictures are long, {seen.short} by {seen.long} pixels"
            parts.append(Chosen("data.fit", "pad", why))
    epochs = epochs_for(seen.images, len(seen.class_names))
    why = f"epochs {epochs}: there are {seen.images:,} images"
    parts.append(Chosen("train.epochs", epochs, why))
    if seen.images >= MANY_IMAGES and seen.long <= WHOLE_UP_TO:
        why = f"the whole resolution: it pays with {seen.images:,} images"
        parts.append(Chosen("net.stride", 1, why))
    folds = folds_for(seen.images)
    if folds:
        why = (
            f"folds {folds}: a network memorises so few images, wrong labels too, so each image is "
            "judged by a network that has not seen it"
        )
        parts.append(Chosen("train.folds", folds, why))
    mirrored = mirrors_by_names(seen.class_names)
    if mirrored is not None:
        parts.append(Chosen("train.flip", False, f"no mirrored images: {mirrored}"))
    return Choice(tuple(parts))


def fewer_heads(asked: tuple[int, int], fitting: tuple[int, int]) -> Choice:
    """Fewer heads and epochs for very many vectors.

    Args:
        asked: folds and epochs of the settings.
        fitting: folds and epochs that do not take hours.
    """
    why = "more take long for so many vectors and classes"
    found = zip(("train.folds", "train.epochs"), ("folds", "epochs"), asked, fitting, strict=True)
    return Choice(
        tuple(
            Chosen(key, fits, f"{name} {fits}: {why}")
            for key, name, was, fits in found
            if fits != was
        )
    )


def size_for(seen: Seen) -> int | None:
    """Pixels a side that images are brought to; None where they can stay as they are."""
    if seen.alike and seen.long <= DETECT_UP_TO:
        return None
    return max(SMALLEST, min(DETECT_UP_TO, round(seen.short / STEP) * STEP))


def epochs_for(images: int, classes: int) -> int:
    """Epochs by the number of images; 20 to 40, and fewer for many images.

    A few images are remembered soon, wrong labels and all: the mean curve then suggests the given
    label, and ``auto:combined`` takes wrong labels for none. Of 300, 600 and 1,200 photographs of
    hand signs at 64 pixels with 10 % of the labels flipped, the share of flipped labels for which
    another class was suggested was 0.96, 0.54, 0.00 after 20, 30, 60 epochs; 0.96, 0.81, 0.12
    after 15, 25, 40; and 0.89, 0.44 after 30, 45. The AP was 0.99 to 1 in all of them. Many images
    need fewer passes, and many classes more: 28 for 10,000 images of ten classes, 16 for 50,000,
    29 for 50,000 of a hundred.
    """
    few = 20.0 + max(0, images - 600) / 60
    many = 60.0 * (1000.0 / max(1, images)) ** (1 / 3)
    wanted: float = min(few, 40.0, many) * (max(classes, 10) / 10) ** 0.25
    return max(10, min(MOST_EPOCHS, round(wanted)))


def epochs_up_to(images: int, chosen: int) -> int:
    """The largest number of epochs that is planned if the user gives a time.

    Args:
        images: how many are trained on.
        chosen: the epochs that are chosen without a time.
    """
    return max(chosen, MOST_OF_MANY) if images >= MANY_IMAGES else chosen


def folds_for(images: int) -> int:
    """Networks, each trained without a fold of the images, which it then judges; 0: no folds.

    A network that trains on all of a few images memorises the wrong labels, and its curves do not
    show how many there are. With folds, ``auto`` estimates from held-out predictions
    (replication/small_sets.md). The time grows with the number of folds, minus one.
    """
    if not FEWEST_IN_FOLDS <= images <= FEW_IMAGES:
        return 0
    return MORE_FOLDS if images <= VERY_FEW else FOLDS


def epochs_within(seconds: float, fixed: float, per_epoch: float, most: int) -> int:
    """How many epochs fit into a time, of which ``fixed`` seconds go elsewhere; at most ``most``.

    Args:
        most: the largest number that suits the data.
    """
    return max(0, min(most, int((seconds - fixed) / max(per_epoch, 1e-9))))


def mirrors_by_names(class_names: Sequence[str]) -> str | None:
    """Why a mirrored image may show another class, by the classes' names; None where it may not.

    So it is with digits and letters, of which most have a number or a single letter as name, and
    with classes that tell left from right.
    """
    signs = [name for name in class_names if SIGN.fullmatch(name.strip())]
    if 2 * len(signs) > len(class_names):
        return f"class names such as {signs[0]!r} may be digits or letters"
    for name in class_names:
        if SIDES & {word.casefold() for word in WORDS.findall(name)}:
            return f"the class {name!r} tells left from right"
    return None
