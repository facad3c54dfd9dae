"""Names of classes, files and splits: when two of them are the same, or nearly so."""

from __future__ import annotations

import unicodedata

__all__ = ["normal"]


def normal(text: str) -> str:
    """The text in Unicode's normal form C, in which names are compared.

    A letter with a mark may be written as one character or as two: macOS and some tools write the
    second form, and both look the same.
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text)
