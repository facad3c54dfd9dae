"""The labels after a cleaning: which samples are kept, with which label and weight."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tdctl.data import Images
from tdctl.labels import Labels
from tdctl.streams import RANDOM_REMOVAL

__all__ = [
    "Kind",
    "LabelSet",
    "all_given",
    "clean_subset",
    "pruned",
    "randomly_removed",
    "relabelled",
    "reweighted",
    "true_labels",
]

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

# ``all``, ``random``, ``clean`` and ``true`` are controls; the last two need the truth.
Kind = Literal["pruned", "relabelled", "reweighted", "all", "random", "clean", "true"]


@dataclass(frozen=True)
class LabelSet:
    """The labels for one training on n recorded samples, row by row of ``Labels``.

    Attributes:
        kind: how they were made.
        keep: bool [n], the samples that are trained on.
        assigned: int64 [n], the label of each sample; those of dropped samples are not used.
        weights: float32 [n], at least 0, the weight of each sample's loss; None: all are equal.
    """

    kind: Kind
    keep: Bools
    assigned: Ints
    weights: NDArray[np.float32] | None = None

    def of(self, images: Images) -> Images:
        """The images that are trained on, with their labels and weights.

        Args:
            images: the n recorded images, in the same order of rows.
        """
        weights = None if self.weights is None else self.weights[self.keep]
        return images.take(self.keep, self.assigned[self.keep], weights)

    def fingerprint(self, labels: Labels) -> str:
        """Hex digest of the indices, the labels and the weights that are trained on.

        Args:
            labels: the labels of the recorded samples.
        """
        kept = Labels(labels.index, self.assigned, labels.true).take(self.keep)
        if self.weights is None:
            return kept.fingerprint()
        weights = self.weights[self.keep].astype("<f4").tobytes()
        return hashlib.sha256(kept.fingerprint().encode() + weights).hexdigest()

    def facts(self, labels: Labels) -> dict[str, Any]:
        """Counts and noise rates, JSON-ready.

        ``removed``, ``kept`` and ``relabelled`` are numbers of samples. ``wrong_left`` is the
        number of kept samples whose label is wrong. ``noise_before`` and ``noise_after`` are the
        shares of wrong labels among all samples and among the kept ones; with weights, the latter
        is the share of the weight that wrong labels have. These three are None if the truth is
        unknown. A relabelled sample whose true label is unknown counts as right only
        if its given label was known to be wrong.

        Args:
            labels: the labels of the recorded samples.
        """
        kept = int(self.keep.sum())
        wrong = self.wrong(labels) & self.keep
        known = bool(labels.flipped.any())
        left = int(wrong.sum()) if known else None
        share = None if left is None or not kept else left / kept
        if share is not None and self.weights is not None:
            share = float(self.weights[wrong].sum() / self.weights[self.keep].sum())
        return {
            "removed": len(labels) - kept,
            "kept": kept,
            "relabelled": int(((self.assigned != labels.assigned) & self.keep).sum()),
            "wrong_left": left,
            "noise_before": float(labels.flipped.mean()) if known else None,
            "noise_after": share,
        }

    def wrong(self, labels: Labels) -> Bools:
        """Bool [n]: whether each label is wrong, as far as the truth is known."""
        changed: Bools = self.assigned != labels.assigned
        # True label -1: the given label is known to be wrong, but the true one is not known.
        wrong: Bools = np.where(labels.true < 0, ~changed, self.assigned != labels.true)
        return wrong


def all_given(labels: Labels) -> LabelSet:
    """Control: all given labels."""
    return LabelSet("all", np.ones(len(labels), dtype=np.bool_), labels.assigned)


def pruned(labels: Labels, flagged: Bools) -> LabelSet:
    """The flagged samples are dropped.

    Args:
        labels: the labels of the n recorded samples.
        flagged: bool [n].
    """
    return LabelSet("pruned", ~flagged, labels.assigned)


def relabelled(
    labels: Labels,
    flagged: Bools,
    suggested: Ints,
    confidence: NDArray[np.floating] | None = None,
    floor: float = 0.0,
    below: Literal["drop", "keep"] = "drop",
) -> LabelSet:
    """The flagged samples get the suggested label, if the suggestion is sure enough.

    Args:
        labels: the labels of the n recorded samples.
        flagged: bool [n].
        suggested: int64 [n], the suggested class of each sample.
        confidence: float [n] in [0, 1], the probability of the suggested class; higher is surer.
            None takes every suggestion.
        floor: the least confidence with which a label is changed, in [0, 1].
        below: what happens to flagged samples below the floor, and to those whose suggestion is
            the given label: ``drop`` or ``keep``.
    """
    sure = flagged & (suggested != labels.assigned)
    if confidence is not None:
        sure &= confidence >= floor
    assigned = np.where(sure, suggested, labels.assigned)
    keep = np.ones(len(labels), dtype=np.bool_) if below == "keep" else ~flagged | sure
    return LabelSet("relabelled", keep, assigned)


def reweighted(labels: Labels, weights: NDArray[np.floating]) -> LabelSet:
    """All samples are kept; their losses have weights.

    Args:
        labels: the labels of the n recorded samples.
        weights: float [n], at least 0; they are scaled to a mean of 1, so that the learning rate
            means the same as without weights.
    """
    scaled = (weights / weights.mean()).astype(np.float32)
    return LabelSet("reweighted", np.ones(len(labels), dtype=np.bool_), labels.assigned, scaled)


def randomly_removed(labels: Labels, count: int, seed: int) -> LabelSet:
    """Control: ``count`` samples are dropped at random."""
    keep = np.ones(len(labels), dtype=np.bool_)
    keep[RANDOM_REMOVAL.numpy_generator(seed).permutation(len(labels))[:count]] = False
    return LabelSet("random", keep, labels.assigned)


def clean_subset(labels: Labels) -> LabelSet:
    """Control: exactly the wrong labels are dropped. It needs the truth."""
    return LabelSet("clean", ~labels.flipped, labels.assigned)


def true_labels(labels: Labels) -> LabelSet:
    """Control: all samples with their true labels; a sample whose true label is unknown is dropped.

    It needs the truth.
    """
    return LabelSet(
        "true", labels.true >= 0, np.where(labels.true < 0, labels.assigned, labels.true)
    )
