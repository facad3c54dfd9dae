"""The scores of a run's vectors themselves, computed when the run is recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.data import Images
from tdctl.data.vectors import VectorStore
from tdctl.dynamics import FEATURE_SCORES_FILE
from tdctl.errors import DataError
from tdctl.files import atomic_path
from tdctl.labels import Labels
from tdctl.scores.on_features import NEIGHBOURS, centre_distance, knn_vote

__all__ = ["write_feature_scores"]


def write_feature_scores(folder: Path, images: Images, labels: Labels, num_classes: int) -> None:
    """Writes the scores ``knn`` and ``centre`` of the vectors next to the dynamics.

    Args:
        folder: the run folder.
        images: the vectors.
        labels: their given labels, row by row.
        num_classes: k.

    Raises:
        DataError: there are too few vectors for neighbours.
    """
    n = len(labels)
    if n < 3:
        raise DataError(f"{n} vectors are too few to be ranked; give at least 3")
    vectors = _vectors_of(images)
    count = min(NEIGHBOURS, n - 1)
    knn = knn_vote(vectors, labels.assigned, count, num_classes)
    centre = centre_distance(vectors, labels.assigned, num_classes)
    with atomic_path(folder / FEATURE_SCORES_FILE) as part, part.open("wb") as file:
        np.savez(
            file, index=labels.index, knn=knn.astype(np.float32), centre=centre.astype(np.float32)
        )


def _vectors_of(images: Images) -> Any:
    store = images.store
    if not isinstance(store, VectorStore):
        raise TypeError("the scores are of vectors")
    if np.array_equal(images.rows, np.arange(len(store.values))):
        return store.values
    return _Rows(store.values, images.rows)


class _Rows:
    """Some rows of an array, of which only the requested ones are read."""

    ndim = 2

    def __init__(self, values: NDArray[Any], rows: NDArray[np.int64]) -> None:
        self._values, self._rows = values, rows
        self.shape = (len(rows), values.shape[1])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        found: NDArray[Any] = self._values[self._rows[key]]
        return found
