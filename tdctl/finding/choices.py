"""What ``tdctl find`` chooses where the user chooses nothing: by numbers alone, no file is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tdctl.cuts import FEW_IMAGES
from tdctl.recipes import DETECT_UP_TO

__all__ = [
    "FEWEST_EPOCHS",
    "SMALLER",
    "Choice",
    "Seen",
    "choose",
    "epochs_for",
    "epochs_within",
    "folds_for",
    "mirrors_by_names",
    "size_for",
]

# Pixels a side below which the network sees too little of a photograph.
SMALLEST, STEP = 32, 16
# What a budget of time that is too short for the chosen size comes down to.
SMALLER = 32
# The middle square of a picture that is this many times as long as wide leaves most of it out.
LONG = 2.0
# With at most FEW_IMAGES, networks judge images that they have not seen: FOLDS networks, and
# MORE_FOLDS up to VERY_FEW images, where a network misses the images of its fold most. Of fewer
# than FEWEST_IN_FOLDS images, a network learns nothing about the others.
FOLDS, MORE_FOLDS, VERY_FEW, FEWEST_IN_FOLDS = 5, 10, 400, 20
# The lengths on which the shipped detector was trained reach from 5 to 60 epochs.
MOST_EPOCHS, FEWEST_EPOCHS = 60, 5
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
        share_held: whether a share of the images is held out as test set by a seed, not by the
            user's own split.
    """

    images: int
    class_names: tuple[str, ...]
    short: int
    long: int
    alike: bool
    share_held: bool = False


@dataclass(frozen=True)
class Choice:
    """Settings by dotted key, and why each of the less plain ones was chosen, a line each."""

    settings: dict[str, Any]
    reasons: tuple[str, ...]


def choose(seen: Seen) -> Choice:
    """The settings that suit a data set; ``net`` and the rest are those of the recipe ``detect``.

    Every image gets a rank: none is held out as a test set, but by the user's own split.
    """
    settings: dict[str, Any] = {"recipe": "detect"}
    if seen.share_held:
        settings["data.test_share"] = 0.0
    reasons = []
    size = size_for(seen)
    if size is not None:
        settings["data.image_size"] = size
        reasons.append(f"image size {size}: the pictures' shorter side is {seen.short} pixels")
        if seen.long > LONG * seen.short:
            settings["data.fit"] = "pad"
            reasons.append(f"fit pad: the pictures are long, {seen.short} by {seen.long} pixels")
    settings["train.epochs"] = epochs_for(seen.images, len(seen.class_names))
    reasons.append(f"epochs {settings['train.epochs']}: there are {seen.images:,} images")
    folds = folds_for(seen.images)
    if folds:
        settings["train.folds"] = folds
        reasons.append(
            f"folds {folds}: a network memorises so few images, wrong labels too, so each image is "
            "judged by a network that has not seen it"
        )
    why = mirrors_by_names(seen.class_names)
    if why is not None:
        settings["train.flip"] = False
        reasons.append(f"no mirrored images: {why}")
    return Choice(settings, tuple(reasons))


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
        most: what suits the data: more of them would only let the network remember its labels.
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
