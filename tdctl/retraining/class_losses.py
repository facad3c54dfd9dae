"""Which classes lose most labels in a cleaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tdctl.labels import Labels
from tdctl.retraining.label_sets import LabelSet

__all__ = ["LISTED", "ClassLoss", "class_losses", "emptied_note"]

# How many classes are listed.
LISTED = 10


@dataclass(frozen=True)
class ClassLoss:
    """What happened to the samples of one given class.

    Attributes:
        name: of the class.
        given: the number of samples with this given label.
        dropped: how many of them are dropped.
        relabelled: how many of them get another label.
        gained: the number of samples of other classes that get this label.
        left: the number of samples that are trained on with this label.
    """

    name: str
    given: int
    dropped: int
    relabelled: int
    gained: int
    left: int

    @property
    def lost(self) -> float:
        """The share of its given samples that the class loses, in [0, 1]."""
        return (self.dropped + self.relabelled) / self.given

    def to_dict(self) -> dict[str, Any]:
        """All values, JSON-ready; ``class`` is the name."""
        facts = asdict(self)
        return {"class": facts.pop("name"), **facts, "lost": self.lost}


def class_losses(
    labels: Labels, after: LabelSet, names: Sequence[str], listed: int | None = LISTED
) -> tuple[ClassLoss, ...]:
    """The classes that lose a label, the largest share first; among equal shares, by number.

    Args:
        labels: the labels of the n samples before the cleaning.
        after: the labels after the cleaning.
        names: k names of the classes.
        listed: the largest number of classes to list; None lists all.
    """
    k = len(names)
    changed = after.assigned != labels.assigned
    given = np.bincount(labels.assigned, minlength=k)
    dropped = np.bincount(labels.assigned[~after.keep], minlength=k)
    away = np.bincount(labels.assigned[after.keep & changed], minlength=k)
    gained = np.bincount(after.assigned[after.keep & changed], minlength=k)
    lost = dropped + away
    share = lost / np.maximum(given, 1)
    order = np.argsort(-share, kind="stable")
    losers = order[lost[order] > 0][:listed]
    columns = (given, dropped, away, gained, given - lost + gained)
    return tuple(
        ClassLoss(str(names[c]), *(int(column[c]) for column in columns)) for c in losers.tolist()
    )


def emptied_note(labels: Labels, after: LabelSet, names: Sequence[str], what: str) -> str | None:
    """A line for the user if a class has no label left; None otherwise.

    Such a cleaning is allowed, because the user chose the share.

    Args:
        labels: the labels before the cleaning.
        after: the labels after the cleaning.
        names: the names of the classes.
        what: the cleaning, in words, for the message.
    """
    empty = [one for one in class_losses(labels, after, names, None) if not one.left]
    if not empty:
        return None
    some = ", ".join(f"'{one.name}'" for one in empty[:3])
    more = f" and {len(empty) - 3} more" if len(empty) > 3 else ""
    plural = "classes" if len(empty) > 1 else "class"
    return (
        f"{what}: no label of the {plural} {some}{more} is left; --keep-per-class 0.5 keeps half "
        "of each class"
    )
