"""Training dynamics in memory or in a file, read slab by slab.

Shape suffixes: n samples, E epochs, k classes (or the k kept columns). Numpy only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.dynamics.store import EVERY_CLASS
from tdctl.errors import DynamicsError
from tdctl.slabs import Array, ArrayFile, rows_per_slab, slabs_of

__all__ = ["TrainingDynamics"]


@dataclass(frozen=True)
class TrainingDynamics:
    """The softmax of every sample at every epoch, with the given label's probability first.

    The arrays are numpy arrays or ``ArrayFile`` objects. These are indexed in the same way, and
    only the requested part is read into memory.

    Attributes:
        td: float16 [n, E, k], probabilities in [0, 1]; column 0 belongs to the given label, the
            other columns follow by falling mean probability. With the stores ``given`` and
            ``topk:K`` there is only column 0.
        labels: int [n, k], the class of each column.
        index: int64 [n], the sample's position in the source data set.
        margin: float32 [n, E] or None, the given label's logit minus the largest other logit.
        loss: float32 [n, E] or None, cross-entropy of the given label in nats.
        entropy: float16 [n, E] or None, entropy of the softmax in nats; written with the stores
            ``given`` and ``topk:K``, whose td does not have it.
        recorded: uint8 [n, E] or None, 0 in epochs in which a sample was not recorded; its other
            values there are those of another epoch. None if every sample was always recorded.
        other: float16 [n, E, K] or None, each epoch's K largest probabilities of other classes.
        other_class: int [n, E, K] or None, their classes.
        mean: float16 [n, m] or None, the m largest mean probabilities over all epochs, falling.
        mean_class: int [n, m] or None, their classes; among equal means, the given label is first.
        knn, centre: float32 [n] or None, scores of the features that linear heads were trained on:
            the vote of the nearest neighbours, and the distance to the class's centre.
        final_margin: float32 [n] or None, the margin of the finished network's prediction, without
            augmentation; the mean over the image and its mirror if the training mirrors images.
        heldout: the dynamics of the same samples, row by row and epoch by epoch, by networks that
            were not trained on them; or None. All other arrays come from networks that were
            trained on the samples.

    Example::

        >>> dynamics, labels, _ = tdctl.read_run("runs/a")
        >>> dynamics.td.shape, dynamics.epochs, dynamics.num_classes
        ((60, 12, 5), 12, 5)
    """

    td: Array
    labels: Array
    index: NDArray[np.int64]
    margin: Array | None = None
    loss: Array | None = None
    entropy: Array | None = None
    recorded: Array | None = None
    other: Array | None = None
    other_class: Array | None = None
    mean: Array | None = None
    mean_class: Array | None = None
    heldout: TrainingDynamics | None = None
    knn: NDArray[np.float32] | None = None
    centre: NDArray[np.float32] | None = None
    final_margin: NDArray[np.float32] | None = None

    @classmethod
    def of(
        cls,
        probabilities: NDArray[np.floating[Any]],
        given: NDArray[np.integer[Any]],
        index: NDArray[np.integer[Any]] | None = None,
        margin: NDArray[np.floating[Any]] | None = None,
        loss: NDArray[np.floating[Any]] | None = None,
    ) -> TrainingDynamics:
        """Dynamics from arrays that another program recorded.

        Args:
            probabilities: float [n, E, k], the softmax of each sample at each epoch; column c is
                class c.
            given: int [n] in [0, k), the given labels.
            index: int [n], the samples' positions in the source data set; by default 0 to n - 1.
            margin: float [n, E], the given label's logit minus the largest other. Scores such as
                ``aum`` need it; ``aum-softmax`` does not.
            loss: float [n, E], cross-entropy of the given label in nats.

        Returns:
            The dynamics, row by row.

        Raises:
            DynamicsError: the shapes do not fit, a label is not in [0, k), or a row is no softmax.

        Example::

            >>> dynamics = TrainingDynamics.of(probabilities, given)
            >>> suspicion = tdctl.score(dynamics, "aum-softmax")
        """
        probs, labels = np.asarray(probabilities), np.asarray(given)
        if probs.ndim != 3 or labels.shape != probs.shape[:1] or 0 in probs.shape:
            raise DynamicsError(
                f"probabilities {probs.shape} and given labels {labels.shape}; expected "
                "[n, epochs, k] and [n]"
            )
        n, epochs, k = probs.shape
        if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= k:
            raise DynamicsError(f"given labels: expected whole numbers from 0 to {k - 1}")
        sums = probs.sum(axis=2, dtype=np.float64)
        if not ((probs >= 0).all() and np.allclose(sums, 1, atol=0.05)):
            raise DynamicsError(
                "probabilities: expected rows that are >= 0 and sum to 1; give the softmax, not "
                "logits"
            )
        index = np.arange(n) if index is None else np.asarray(index)
        for name, array, shape in (
            ("index", index, (n,)),
            ("margin", margin, (n, epochs)),
            ("loss", loss, (n, epochs)),
        ):
            if array is not None and np.shape(array) != shape:
                raise DynamicsError(f"{name} {np.shape(array)}; expected {shape}")
        td = probs.astype(np.float16)
        rank = -td.mean(axis=1, dtype=np.float64)
        rank[np.arange(n), labels] = -np.inf
        order = np.argsort(rank, axis=1, kind="stable")
        return cls(
            np.take_along_axis(td, order[:, None, :], axis=2),
            order,
            index.astype(np.int64),
            None if margin is None else np.asarray(margin, dtype=np.float32),
            None if loss is None else np.asarray(loss, dtype=np.float32),
        )

    def __len__(self) -> int:
        return len(self.td)

    @property
    def epochs(self) -> int:
        """E, the number of recorded epochs."""
        return int(self.td.shape[1])

    @cached_property
    def num_classes(self) -> int:
        """One more than the largest class number in the arrays."""
        largest = -1
        for array in (self.labels, self.mean_class, self.other_class):
            if array is not None:
                for start, stop in slabs_of(len(array), rows_per_slab(array)):
                    largest = max(largest, int(array[start:stop].max()))
        return largest + 1

    @property
    def on_features(self) -> bool:
        """Whether linear heads on features were recorded."""
        return self.knn is not None

    @property
    def has_every_class(self) -> bool:
        """Whether td contains the probability of every class."""
        return self.other is None and int(self.td.shape[2]) >= self.num_classes

    def take(self, rows: NDArray[np.int64]) -> TrainingDynamics:
        """The dynamics of some rows, in that order; arrays in a file stay there.

        Args:
            rows: int64, positions.
        """

        def taken(array: Array) -> Array:
            return array.take(rows) if isinstance(array, ArrayFile) else array[rows]

        changed: dict[str, Any] = {
            name: taken(array) for name, array in self._arrays() if name != "index"
        }
        heldout = None if self.heldout is None else self.heldout.take(rows)
        return replace(self, index=self.index[rows], heldout=heldout, **changed)

    def _arrays(self) -> Iterator[tuple[str, Array]]:
        """The arrays that exist, by name."""
        for field in fields(self):
            array = getattr(self, field.name)
            if array is not None and field.name != "heldout":
                yield field.name, array

    def slabs(self, rows: int | None = None) -> Iterator[TrainingDynamics]:
        """The dynamics in parts, each of them in memory.

        Args:
            rows: rows of each part; by default about ten million bytes.
        """
        present = dict(self._arrays())
        rows = rows or rows_per_slab(*present.values())
        heldout = repeat(None) if self.heldout is None else self.heldout.slabs(rows)
        for (start, stop), held in zip(slabs_of(len(self), rows), heldout, strict=False):
            part = {name: np.array(array[start:stop]) for name, array in present.items()}
            yield replace(self, heldout=held, **part)

    def given_curve(self, start: int = 0, stop: int | None = None) -> NDArray[np.float16]:
        """Float16 [n, E]: the given label's probability at each epoch, for some rows or all."""
        curves: NDArray[np.float16] = self.td[slice(start, stop), :, 0]
        return curves

    def first_epochs(self, count: int) -> TrainingDynamics:
        """The same run as if it had ended after ``count`` epochs, read when it is asked for.

        The columns of td keep their order, which is that of the whole run. There are no held-out
        curves, no predictions of the finished network, and no scores of features.

        Raises:
            DynamicsError: td does not contain the probability of every class.
        """
        if not self.has_every_class:
            raise DynamicsError(f"the first epochs of a run are only known with {EVERY_CLASS}")

        def cut(array: Array) -> Array:
            return array.columns(count) if isinstance(array, ArrayFile) else array[:, :count]

        margin, loss, recorded = (
            None if array is None else cut(array)
            for array in (self.margin, self.loss, self.recorded)
        )
        return TrainingDynamics(
            cut(self.td), self.labels, self.index, margin, loss, recorded=recorded
        )

    def suggested(self) -> NDArray[np.int64]:
        """Int64 [n]: the class with the largest mean probability over all epochs.

        It is the given label if no other class has a larger mean.
        """
        return self.suggestions()[0]

    def suggestions(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The classes of ``suggested``, int64 [n], and their mean probabilities, float64 [n]."""
        if self.mean is not None and self.mean_class is not None:
            return self.mean_class[:, 0].astype(np.int64), self.mean[:, 0].astype(np.float64)
        best, mean = np.empty(len(self), dtype=np.int64), np.empty(len(self), dtype=np.float64)
        for start, stop in slabs_of(len(self), rows_per_slab(self.td)):
            means = self.td[start:stop].mean(axis=1, dtype=np.float64)
            # argmax takes the first of equal values, which is the given label. With one column it
            # is always the given label.
            rows, column = np.arange(stop - start), means.argmax(axis=1)
            best[start:stop] = self.labels[start:stop][rows, column]
            mean[start:stop] = means[rows, column]
        return best, mean

    @property
    def knows_other_classes(self) -> bool:
        """Whether the mean probability of another class than the given one is recorded."""
        return self.mean_class is not None or int(self.td.shape[2]) > 1

    def digest(self) -> str:
        """Hex digest of everything that is recorded, in this order of rows."""
        digest = hashlib.sha256()
        for name, array in self._arrays():
            digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
            for start, stop in slabs_of(len(array), rows_per_slab(array)):
                digest.update(np.ascontiguousarray(array[start:stop]).tobytes())
        if self.heldout is not None:
            digest.update(self.heldout.digest().encode())
        return digest.hexdigest()

    def fingerprint(self) -> str:
        """Hex digest of indices, given labels and given curves, independent of the row order."""
        order = np.argsort(self.index)
        whole = self.take(order) if (order[1:] < order[:-1]).any() else self
        digest = hashlib.sha256(whole.index.astype("<i8").tobytes())
        digest.update(whole.labels[:, 0].astype("<i8").tobytes())
        for start, stop in slabs_of(len(self), rows_per_slab(self.td)):
            digest.update(whole.given_curve(start, stop).astype("<f2", order="C").tobytes())
        return digest.hexdigest()
