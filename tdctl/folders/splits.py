"""The names that people give to the splits of a data set."""

from __future__ import annotations

import re

from tdctl.names import SPLITS

__all__ = ["split_kind"]

# The words that may stand beside the name of a split, as in train_images, TestSet and val2017.
BESIDE = {"data", "dataset", "folder", "image", "images", "img", "imgs", "photos", "pictures"}
BESIDE |= {"set", "split"}
# A word in capitals, or a word in lower case that may begin with a capital.
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def split_kind(name: str) -> str | None:
    """The split that a folder's name stands for: ``train``, ``test`` or ``val``, or None.

    Case, digits, and words such as ``set`` and ``images`` do not matter.
    """
    if not name.isascii():
        return None
    words = [word.lower() for word in WORD.findall(name)]
    kinds = {SPLITS[word] for word in words if word in SPLITS}
    rest = {word for word in words if word not in SPLITS}
    return kinds.pop() if len(kinds) == 1 and rest <= BESIDE else None


def mentioned_kind(name: str) -> str | None:
    """The split that one word of a name stands for, as in ``seg_train``; None if there is none."""
    words = [word.lower() for word in WORD.findall(name)] if name.isascii() else []
    kinds = {SPLITS[word] for word in words if word in SPLITS}
    return kinds.pop() if len(kinds) == 1 else None
