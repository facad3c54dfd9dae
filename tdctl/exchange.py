"""Writes files for other programs: InterpretDL, cleanlab and data maps.

Shape suffixes: n samples, E epochs, k classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.dynamics import Layout, TrainingDynamics, write_arrays
from tdctl.dynamics.store import EVERY_CLASS
from tdctl.errors import DynamicsError
from tdctl.labels import Labels
from tdctl.scores import SCORES, pred_probs, scores_of
from tdctl.slabs import rows_per_slab, slabs_of

__all__ = [
    "data_map",
    "label_quality_of",
    "order_and_predictions",
    "write_interpretdl",
    "write_order",
    "write_pred_probs",
]


def order_and_predictions(
    suspicion: NDArray[np.float64],
) -> tuple[NDArray[np.int64], list[float]]:
    """What InterpretDL's detector returns for a run, computed from the suspicion of its rows.

    InterpretDL's docstring calls ``predictions`` "predictions as clean". They are in fact the
    second output of a network that was trained with 1 for flipped labels, and InterpretDL's
    tutorial shows the end of ``order`` as the wrong labels.

    Args:
        suspicion: float64 [n], higher means more likely mislabeled.

    Returns:
        ``order``, int64 [n]: rows by rising suspicion, so that **the worst come last**; equal ones
        in the order of rows. These are positions; ``index[order]`` gives the indices.
        ``predictions``, a list of n numbers, row by row: the suspicion, which is P(mislabeled) if
        a detector gave it.

    Source: ``BHDFInterpreter.interpret`` in ``interpretdl/interpreter/training_dynamics.py`` and
        ``tutorials/example_beyond_manually_designed_feature_cv.ipynb`` of PaddlePaddle/InterpretDL;
        ``get_order`` in ``detector_model/predict.py`` of Christophe-Jia/mislabel-detection.
    """
    return np.argsort(suspicion, kind="stable").astype(np.int64), suspicion.tolist()


def write_order(path: Path, index: NDArray[np.int64], suspicion: NDArray[np.float64]) -> None:
    """Writes ``order``, ``predictions`` and ``index`` to an npz file, complete or not at all."""
    order, predictions = order_and_predictions(suspicion)
    arrays = {"order": order, "predictions": np.array(predictions), "index": index}
    _write(path, arrays)


def write_interpretdl(path: Path, dynamics: TrainingDynamics, labels: Labels) -> None:
    """Writes the npz file of InterpretDL's ``TrainingDynamics.save``, complete or not at all.

    Its arrays:

    - ``label_flip``, bool [n]; all False if the truth is unknown.
    - ``labels``, int [n, k], and ``td``, float16 [n, E, k]. The given label is first. The other
      classes follow by falling mean probability.
    - ``index``, int64 [n], which InterpretDL ignores.

    Rows are in the order of ``dynamics``. ``read_run`` sorts them by index, as InterpretDL does.

    Args:
        path: the file.
        dynamics: the dynamics of a run.
        labels: given and true labels, in the same order of rows.

    Raises:
        DynamicsError: the run recorded only the given label's probability.

    Source: see ``order_and_predictions``.
    """
    _check_full(dynamics, "interpretdl")
    n = len(dynamics)
    layout: Layout = {
        "label_flip": (np.dtype(np.bool_), (n,)),
        "labels": (dynamics.labels.dtype, dynamics.labels.shape),
        "td": (np.dtype(np.float16), dynamics.td.shape),
        "index": (np.dtype(np.int64), (n,)),
    }
    rows = rows_per_slab(dynamics.td)
    write_arrays(
        path,
        layout,
        {
            "label_flip": lambda: iter([labels.flipped]),
            "labels": lambda: (np.array(dynamics.labels[a:b]) for a, b in slabs_of(n, rows)),
            "td": lambda: (np.array(dynamics.td[a:b], order="C") for a, b in slabs_of(n, rows)),
            "index": lambda: iter([dynamics.index]),
        },
    )


def write_pred_probs(path: Path, dynamics: TrainingDynamics, labels: Labels) -> None:
    """Writes an npz file that cleanlab's functions can use, complete or not at all.

    The file contains ``pred_probs``, float32 [n, k], the softmax averaged over the epochs (column
    c is class c); ``labels``, int64 [n], the given labels; and ``index``, int64 [n].

    cleanlab asks for out-of-fold probabilities, but the recorded network has seen the labels.
    How well it fits them, and therefore what cleanlab finds, depends on the length of training.

    Args:
        path: the file.
        dynamics: the dynamics of a run.
        labels: given labels, in the same order of rows.

    Raises:
        DynamicsError: the run recorded only the given label's probability.
    """
    _check_full(dynamics, "cleanlab")
    probs = pred_probs(dynamics)
    _write(path, {"pred_probs": probs, "labels": labels.assigned, "index": labels.index})


def label_quality_of(
    suspicion: NDArray[np.float64], gives_probability: bool
) -> NDArray[np.float64]:
    """Cleanlab's label quality, float64 [n] in [0, 1]; **lower** means more likely mislabeled.

    For a probability it is 1 - suspicion. Otherwise it is 1 - (suspicion - min) / (max - min)
    within the run, where only the order has a meaning; it is 1 for all if all are equal.

    Args:
        suspicion: float64 [n], higher means more likely mislabeled.
        gives_probability: whether the suspicion is P(mislabeled).
    """
    if gives_probability:
        return 1.0 - suspicion
    low, spread = float(suspicion.min()), float(np.ptp(suspicion))
    return 1.0 - (suspicion - low) / spread if spread else np.ones(len(suspicion))


def data_map(dynamics: TrainingDynamics) -> dict[str, NDArray[np.float64]]:
    """``confidence``, ``variability`` and ``correctness`` of each sample, float64 [n].

    Confidence and variability are the mean and the standard deviation, over the epochs, of the
    given label's probability. Correctness is the share of epochs that predicted the given label,
    in [0, 1]; the paper's code writes the number of these epochs.

    Raises:
        DynamicsError: the run has only one epoch or only one class.

    Source: Swayamdipta et al., "Dataset Cartography: Mapping and Diagnosing Datasets with Training
        Dynamics", EMNLP 2020 (arXiv 2009.10795).
    """
    names = ("p-mean", "variability", "wrong-events")
    found = scores_of(dynamics, [SCORES[name] for name in names])
    return {
        "confidence": -found["p-mean"],
        "variability": found["variability"],
        "correctness": 1 - found["wrong-events"] / dynamics.epochs,
    }


def _check_full(dynamics: TrainingDynamics, kind: str) -> None:
    if not dynamics.has_every_class:
        raise DynamicsError(f"{kind}: needs {EVERY_CLASS}; record the run with --store full")


def _write(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    layout: Layout = {name: (array.dtype, array.shape) for name, array in arrays.items()}

    def once(array: NDArray[Any]) -> Callable[[], Iterator[NDArray[Any]]]:
        return lambda: iter([array])

    write_arrays(path, layout, {name: once(array) for name, array in arrays.items()})
