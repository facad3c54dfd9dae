"""The data sets that tdctl knows by name: what they hold, how they lie on the disk, whose they are.

Standard library only: ``tdctl datasets`` and the settings read it without loading torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["CATALOGUE", "Entry"]


@dataclass(frozen=True)
class Entry:
    """One data set.

    Attributes:
        title: as it is cited.
        layout: what is expected under ``--data-dir``, in a few words.
        landmarks: paths below ``--data-dir``, or below one of ``folders`` there, that tell that
            the data set is there; all of them must be.
        folders: names that the archive's own top folder may have.
        classes, train, test: how many, where that is fixed; None where it is the user's.
        size: of its images, in words.
        terms: licence or terms of use.
        preset: settings that the paper uses for it, below the user's own.
        pretrained: whether the paper starts from ImageNet weights.
        in_memory: whether its reader gives all pixels at once, so that it is held in memory.
    """

    title: str
    layout: str
    terms: str
    landmarks: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    classes: int | None = None
    train: int | None = None
    test: int | None = None
    size: str = "any"
    preset: dict[str, Any] = field(default_factory=dict)
    pretrained: bool = False
    in_memory: bool = False


CATALOGUE: dict[str, Entry] = {
    "digits": Entry("", "", "", in_memory=True),
    "folder": Entry("", "", ""),
    "table": Entry("", "", ""),
    "webdataset": Entry("", "", ""),
    "hf": Entry("", "", ""),
    "cifar10": Entry("", "", "", in_memory=True),
    "cifar100": Entry("", "", "", in_memory=True),
    "mnist": Entry("", "", "", in_memory=True),
    "fashion_mnist": Entry("", "", "", in_memory=True),
    "svhn": Entry("", "", "", in_memory=True),
    "tiny_imagenet": Entry("", "", ""),
    "cub_200_2011": Entry("", "", ""),
    "caltech256": Entry("", "", ""),
    "webvision50": Entry("", "", ""),
    "clothing100k": Entry("", "", ""),
}
