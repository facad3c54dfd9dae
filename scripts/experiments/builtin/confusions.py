"""A transition matrix of a network's own confusions, for matrix noise.

People and networks confuse classes that look alike, so no human label is needed. For the samples
with a correct label: the mean softmax of each class, less the smallest mean that each sample has,
to the power 1.5, scaled to the rate.

usage: .venv/bin/python -m scripts.experiments.builtin.confusions RUN RATE OUT.npy
  RUN: of tdctl generate-td with --store full, with known wrong labels
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from tdctl.dynamics import read_run
from tdctl.errors import TdctlError
from tdctl.files import atomic_path

POWER = 1.5


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit(str(__doc__))
    run, rate, out = Path(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])
    dynamics, labels, _ = read_run(run)
    k = dynamics.num_classes
    means = np.zeros((len(dynamics), k))
    np.put_along_axis(
        means,
        np.asarray(dynamics.labels).astype(np.int64),
        np.asarray(dynamics.td).mean(axis=1, dtype=np.float64),
        axis=1,
    )
    means -= means.min(axis=1, keepdims=True)
    right = ~labels.flipped
    alike = np.stack([means[right & (labels.true == c)].mean(axis=0) for c in range(k)])
    np.fill_diagonal(alike, 0)
    alike **= POWER
    matrix = rate * alike / alike.sum(axis=1, keepdims=True)
    np.fill_diagonal(matrix, 1 - rate)
    with atomic_path(out) as part, part.open("wb") as file:
        np.save(file, matrix)


if __name__ == "__main__":
    try:
        main()
    except TdctlError as error:
        sys.exit(f"confusions: error: {error}")
