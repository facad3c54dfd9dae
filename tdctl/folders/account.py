"""The account of the entries of a folder that are not read, with the reason for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from posixpath import splitext

__all__ = [
    "AGAIN",
    "BESIDE",
    "HIDDEN",
    "NOWHERE",
    "NO_FILE",
    "NO_IMAGE",
    "OUTPUT",
    "Account",
    "Reason",
]

# The reasons why an entry is not read: the words for one entry, then the words for several.
NO_IMAGE = ("file is no image by its name", "files are no images by their name")
HIDDEN = (
    "is hidden or left by a system or a tool",
    "are hidden or left by a system or a tool",
)
NOWHERE = ("link leads nowhere", "links lead nowhere")
AGAIN = (
    "folder is read already under another path",
    "folders are read already under other paths",
)
NO_FILE = ("is neither a file nor a folder", "are neither files nor folders")
BESIDE = ("image lies beside the class folders", "images lie beside the class folders")
OUTPUT = ("folder is a run of tdctl", "folders are runs of tdctl")
# The largest number of kinds of files that a note names for one reason.
KINDS = 4

Reason = tuple[str, str]


@dataclass
class _Entries:
    first: str
    count: int = 0
    kinds: Counter[str] = field(default_factory=Counter)


class Account:
    """The entries of a folder that are not read, by split and by reason."""

    def __init__(self) -> None:
        self._found: dict[str, dict[Reason, _Entries]] = {}

    def add(self, split: str, reason: Reason, path: str, kind: str = "") -> None:
        """Adds one entry.

        Args:
            split: the name that the note uses for this part of the data.
            reason: one of the reasons in this module.
            path: the entry's path, relative to the data folder. Notes name the first path.
            kind: the kind of file, such as ``.txt``. Notes name the most frequent kinds.
        """
        entries = self._found.setdefault(split, {}).setdefault(reason, _Entries(path))
        entries.count += 1
        if kind:
            entries.kinds[kind] += 1

    def add_entries(self, split: str, folder: str, entries: Iterable[tuple[str, Reason]]) -> None:
        """Adds several entries of one folder.

        Args:
            split: as in ``add``.
            folder: the folder, relative to the data folder; ``""`` for the data folder itself.
            entries: the name and the reason of each entry.
        """
        for name, reason in entries:
            path = f"{folder}/{name}" if folder else name
            self.add(split, reason, path, _kind(name, reason))

    def notes(self) -> list[str]:
        """One line for each split that has entries which are not read."""
        return [
            f"left out of {split}: "
            + "; ".join(_in_words(reason, entries) for reason, entries in found.items())
            for split, found in self._found.items()
        ]

    def in_place(self, split: str) -> str:
        """The entries of one split that are not read, in brackets; ``""`` if there are none."""
        found = self._found.get(split, {})
        words = "; ".join(_in_words(reason, entries) for reason, entries in found.items())
        return f" ({words})" if words else ""


def _kind(name: str, reason: Reason) -> str:
    """The suffix of a file. For hidden and left-over entries: the name."""
    if reason is HIDDEN:
        return "._*" if name.startswith("._") else name
    if reason is NO_IMAGE:
        return splitext(name)[1].lower() or "without suffix"
    return ""


def _in_words(reason: Reason, entries: _Entries) -> str:
    one, several = reason
    kinds = entries.kinds.most_common(KINDS)
    more = len(entries.kinds) - len(kinds)
    named = ", ".join(f"{kind} {count}" for kind, count in kinds)
    named += f", {more} more kinds" if more else ""
    # For a single entry, its path already shows its kind.
    shown = f" ({named})" if named and entries.count > 1 else ""
    return f"{entries.count} {one if entries.count == 1 else several}{shown}, first {entries.first}"
