"""What a training gets after a cleaning: labels, weights, and the noise rates that are printed."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tdctl.data import Images
from tdctl.labels import Labels
from tdctl.retraining.label_sets import (
    all_given,
    clean_subset,
    pruned,
    randomly_removed,
    relabelled,
    reweighted,
    true_labels,
)

# Six samples; 1 and 4 are wrong, and of 5 it is only known that it is wrong.
LABELS = Labels(
    np.array([7, 3, 5, 0, 9, 2]), np.array([0, 1, 2, 0, 1, 2]), np.array([0, 2, 2, 0, 0, -1])
)
FLAGGED = np.array([False, True, False, True, True, True])
SUGGESTED = np.array([0, 2, 2, 1, 0, 0])


def test_pruning_counts_what_is_left_and_both_noise_rates():
    facts = pruned(LABELS, FLAGGED).facts(LABELS)
    assert facts == {
        "removed": 4,
        "kept": 2,
        "relabelled": 0,
        "wrong_left": 0,
        "noise_before": 0.5,
        "noise_after": 0.0,
    }


def test_relabelling_changes_the_flagged_samples_alone():
    found = relabelled(LABELS, FLAGGED, SUGGESTED)
    np.testing.assert_array_equal(found.assigned, [0, 2, 2, 1, 0, 0])
    facts = found.facts(LABELS)
    assert (facts["removed"], facts["relabelled"]) == (0, 4)
    # A right label became wrong (3); where the truth is unknown, a known fault was changed (5).
    assert (facts["wrong_left"], facts["noise_after"]) == (1, 1 / 6)


def test_a_suggestion_below_the_floor_is_dropped_or_kept_as_asked():
    confidence = np.array([1, 0.9, 1, 0.2, 0.6, 0.5])
    dropped = relabelled(LABELS, FLAGGED, SUGGESTED, confidence, 0.6, "drop")
    np.testing.assert_array_equal(dropped.keep, [True, True, True, False, True, False])
    kept = relabelled(LABELS, FLAGGED, SUGGESTED, confidence, 0.6, "keep")
    assert kept.keep.all()
    np.testing.assert_array_equal(kept.assigned, [0, 2, 2, 0, 0, 2])


def test_a_flagged_sample_whose_suggestion_is_its_own_label_is_not_kept_as_if_corrected():
    found = relabelled(LABELS, FLAGGED, LABELS.assigned, below="drop")
    assert found.keep.tolist() == (~FLAGGED).tolist()


def test_controls():
    assert all_given(LABELS).facts(LABELS)["noise_after"] == 0.5
    clean = clean_subset(LABELS).facts(LABELS)
    assert (clean["kept"], clean["noise_after"]) == (3, 0)
    right = true_labels(LABELS)
    np.testing.assert_array_equal(right.assigned[right.keep], [0, 2, 2, 0, 0])
    assert right.facts(LABELS)["noise_after"] == 0


def test_a_random_removal_is_that_of_its_seed_and_size():
    one, again, other = (randomly_removed(LABELS, 2, seed).keep for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one.sum(), other.sum()) == (4, 4)


def test_without_truth_no_rate_is_made_up():
    unknown = Labels(LABELS.index, LABELS.assigned, LABELS.assigned)
    facts = relabelled(unknown, FLAGGED, SUGGESTED).facts(unknown)
    assert facts["wrong_left"] is facts["noise_before"] is facts["noise_after"] is None


@given(st.lists(st.floats(0.125, 8, width=32), min_size=6, max_size=6))
def test_weights_have_a_mean_of_one_and_reach_the_images(weights):
    found = reweighted(LABELS, np.array(weights))
    assert found.weights is not None
    np.testing.assert_allclose(found.weights.mean(), 1, rtol=1e-5)
    images = Images.held(torch.zeros(6, 1, 2, 2, dtype=torch.uint8), LABELS.index, LABELS.assigned)
    taken = found.of(images).take(np.array([4, 0]))
    assert taken.weights is not None
    np.testing.assert_array_equal(taken.weights, found.weights[[4, 0]])


def test_a_fingerprint_tells_labels_and_weights_apart():
    sets = [
        all_given(LABELS),
        pruned(LABELS, FLAGGED),
        relabelled(LABELS, FLAGGED, SUGGESTED),
        reweighted(LABELS, np.arange(1, 7)),
        reweighted(LABELS, np.arange(6, 0, -1)),
    ]
    assert len({one.fingerprint(LABELS) for one in sets}) == 5
    # Dropped samples have no part in it.
    other = np.where(FLAGGED, 0, LABELS.assigned)
    same = Labels(LABELS.index, other, LABELS.true)
    assert pruned(same, FLAGGED).fingerprint(same) == sets[1].fingerprint(LABELS)
