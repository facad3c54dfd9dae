"""Names of classes, files and splits: tells whether two names are the same or nearly the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

__all__ = [
    "SPLITS",
    "is_utf8",
    "nearly_alike",
    "normal",
    "not_labelled",
    "split_of",
    "trimmed",
]

# The usual names of the parts of a data set, in lower case.
SPLITS = {
    "train": "train",
    "training": "train",
    "trainset": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "valset": "val",
    "dev": "val",
    "eval": "val",
    "evaluation": "val",
    "test": "test",
    "testing": "test",
    "testset": "test",
}

# What tables and people write for a label that is not there, in lower case.
NO_LABEL = frozenset({
    "nan", "na", "n/a", "#n/a", "<na>", "none", "null", "nil", "undefined", "unknown", "?", "??",
    "-", "--", "unlabeled", "unlabelled", "unassigned", "not labeled", "not labelled",
    "not labeled yet", "not labelled yet", "no label", "todo", "tbd",
})  # fmt: skip
# Of two classes, one may well be -1.
NEGATIVE = frozenset({"-1", "-1.0"})

BLANKS = re.compile(r"[\s_]+")
# Only a dash between words: "A-" is not "A", and "-1" is not "1".
DASH = re.compile(r"(?<=\w)-+(?=\w)")
BETWEEN_DIGITS = re.compile(r"(?<=\d)[\s_-]+(?=\d)")
# Zeros after a point do not count: 1.01 is not 1.1.
LEADING_ZEROS = re.compile(r"(?<![\d.])0+(?=\d)")
POINT_ZERO = re.compile(r"(?<=\d)\.0+$")


def normal(text: str) -> str:
    """The text in Unicode's normal form C. Names are compared in this form.

    A letter with an accent may be one character or two. Both forms look the same; macOS and some
    tools write two.
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def is_utf8(text: str) -> bool:
    """Whether a name can be written as UTF-8. A file name with invalid bytes cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def trimmed(text: str) -> str:
    """The normal form without outer blanks. Labels and column names are compared in this form."""
    return normal(text).strip()


def split_of(text: str) -> str | None:
    """The split that a word stands for: ``train``, ``val`` or ``test``, or None.

    Case and outer blanks do not matter.
    """
    return SPLITS.get(trimmed(text).lower())


def not_labelled(names: Sequence[str]) -> list[str]:
    """The class names that are perhaps none, but stand for a label that is missing: ``NaN``, ``?``.

    Args:
        names: k different names.
    """
    plain = {name: " ".join(re.split(r"[\s_]+", trimmed(name).casefold())) for name in names}
    marks = NO_LABEL | NEGATIVE if len(names) > 2 else NO_LABEL
    return [name for name in names if plain[name] in marks]


def nearly_alike(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Groups of class names that differ only in spelling, in the order of ``names``.

    Differences in spelling are: case, blanks, ``_`` and ``-``, zeros before a number, and ``.0``
    after it; characters that cannot be seen, such as a space of no width; and wide or joined forms
    of the same letters. Examples are ``Cat`` and ``cat``, or ``1``, ``1.0`` and ``01``. A group has
    at least two names.

    Args:
        names: k different names.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_writing_aside(name), []).append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def _writing_aside(name: str) -> str:
    """The name without the differences in spelling that ``nearly_alike`` ignores."""
    text = name
    if not name.isascii():
        # Wide letters and ligatures become plain ones; of the rest, what has no shape goes.
        text = unicodedata.normalize("NFKC", name)
        text = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    text = trimmed(text.casefold())
    # Blanks between digits stay one blank: "1 0" is not "10".
    text = BETWEEN_DIGITS.sub("\0", text)
    text = BLANKS.sub("", DASH.sub("", text)).replace("\0", " ")
    text = POINT_ZERO.sub("", LEADING_ZEROS.sub("", text))
    return text or name
