"""The names that people give to the splits of a data set."""

from __future__ import annotations

import re

from tdctl.names import SPLITS

__all__ = ["split_kind"]

# What may stand beside such a word, as in train_images, TestSet and val2017.
BESIDE = {"data", "dataset", "folder", "image", "images", "img", "imgs", "photos", "pictures"}
BESIDE |= {"set", "split"}
# Capitals, or a word that may begin with one.
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def split_kind(name: str) -> str | None:
    """The split that a folder's name says: ``train``, ``test`` or ``val``; None for none.

    Case does not matter, nor do digits and words such as ``set`` and ``images`` beside it.
    """
    if not name.isascii():
        return None
    words = [word.lower() for word in WORD.findall(name)]
    kinds = {SPLITS[word] for word in words if word in SPLITS}
    rest = {word for word in words if word not in SPLITS}
    return kinds.pop() if len(kinds) == 1 and rest <= BESIDE else None


def mentioned_kind(name: str) -> str | None:
    """The split that one of a name's words says, whatever the others are: as in seg_train."""
    words = [word.lower() for word in WORD.findall(name)] if name.isascii() else []
    kinds = {SPLITS[word] for word in words if word in SPLITS}
    return kinds.pop() if len(kinds) == 1 else None
