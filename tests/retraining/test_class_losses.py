"""Which classes lose most in a cleaning."""

from __future__ import annotations

import numpy as np

from tdctl.labels import Labels
from tdctl.retraining.class_losses import class_losses, emptied_note
from tdctl.retraining.label_sets import LabelSet, all_given, pruned

# Class a: four samples, b: two, c: one, d: none.
GIVEN = np.array([0, 0, 0, 0, 1, 1, 2])
LABELS = Labels(np.arange(7), GIVEN, GIVEN)
NAMES = ["a", "b", "c", "d"]


def test_the_largest_share_comes_first():
    assigned = np.array([1, 0, 0, 0, 1, 1, 2])
    keep = np.array([True, False, True, True, False, True, True])
    first, second = class_losses(LABELS, LabelSet("relabelled", keep, assigned), NAMES)
    assert first.to_dict() == {
        "class": "a", "given": 4, "dropped": 1, "relabelled": 1, "gained": 0, "left": 2,
        "lost": 0.5,
    }  # fmt: skip
    assert second.to_dict() == {
        "class": "b", "given": 2, "dropped": 1, "relabelled": 0, "gained": 1, "left": 2,
        "lost": 0.5,
    }  # fmt: skip
    assert class_losses(LABELS, all_given(LABELS), NAMES) == ()
    assert len(class_losses(LABELS, pruned(LABELS, GIVEN < 2), NAMES, 1)) == 1


def test_a_class_without_a_label_is_named():
    gone = emptied_note(LABELS, pruned(LABELS, GIVEN == 2), NAMES, "pruned 0.1")
    assert gone is not None and gone.startswith("pruned 0.1: no label of the class 'c' is left")
    both = emptied_note(LABELS, pruned(LABELS, GIVEN > 0), NAMES, "x")
    assert both is not None and "classes 'b', 'c' is left" in both
    assert emptied_note(LABELS, pruned(LABELS, np.arange(7) == 4), NAMES, "x") is None
