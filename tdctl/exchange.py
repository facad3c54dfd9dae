"""What other programs read: InterpretDL's file and ranking, cleanlab's arrays, data maps.

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
    """What InterpretDL's detector returns of a run, from our suspicion of its rows.

    ``order`` is int64 [n], the rows by rising suspicion: **the worst come last**, ties in the
    order of rows. ``predictions`` is a list of n numbers, row by row: P(mislabeled), where a
    detector gave it. InterpretDL's docstring calls them "predictions as clean", but they are the
    second output of a network trained with 1 for flipped labels, and its tutorial shows the end
    of ``order`` as the wrong ones. Rows are positions, not indices: ``index[order]`` are these.

    Args:
        suspicion: float64 [n], higher means more likely mislabeled.

    Source: ``BHDFInterpreter.interpret`` in ``interpretdl/interpreter/training_dynamics.py`` and
        ``tutorials/example_beyond_manually_designed_feature_cv.ipynb`` of PaddlePaddle/InterpretDL;
        ``get_order`` in ``detector_model/predict.py`` of Christophe-Jia/mislabel-detection.
    """
    return np.argsort(suspicion, kind="stable").astype(np.int64), suspicion.tolist()


def write_order(path: Path, index: NDArray[np.int64], suspicion: NDArray[np.float64]) -> None:
    """Writes an npz file with ``order``, ``predictions`` and ``index``, whole or not at all."""
    order, predictions = order_and_predictions(suspicion)
    arrays = {"order": order, "predictions": np.array(predictions), "index": index}
    _write(path, arrays)


def write_interpretdl(path: Path, dynamics: TrainingDynamics, labels: Labels) -> None:
    """Writes the npz file of InterpretDL's ``TrainingDynamics.save``, whole or not at all.

    ``label_flip`` bool [n], all False where the truth is unknown; ``labels`` int [n, k] and ``td``
    float16 [n, E, k], the given label first and the others by falling mean probability; and
    ``index`` int64 [n], which InterpretDL does not look for. Rows are in the order of
    ``dynamics``, which ``read_run`` sorts by index, as InterpretDL does.

    Raises:
        DynamicsError: the run keeps no probability but the given label's.

    Source: as ``order_and_predictions``.
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
    """Writes an npz file that cleanlab's functions take, whole or not at all.

    ``pred_probs`` float32 [n, k], the softmax averaged over the epochs, column c is class c;
    ``labels`` int64 [n], the given ones; ``index`` int64 [n]. The network has seen the labels:
    cleanlab asks for out-of-fold probabilities, and judges these too mildly or too harshly as the
    training was long or short.

    Raises:
        DynamicsError: the run keeps no probability but the given label's.
    """
    _check_full(dynamics, "cleanlab")
    probs = pred_probs(dynamics)
    _write(path, {"pred_probs": probs, "labels": labels.assigned, "index": labels.index})


def label_quality_of(
    suspicion: NDArray[np.float64], gives_probability: bool
) -> NDArray[np.float64]:
    """Cleanlab's label quality, float64 [n] in [0, 1], **lower** is worse.

    1 - suspicion where that is P(mislabeled); else 1 - (suspicion - min) / (max - min) within the
    run, and 1 where all are alike: then only the order means anything.
    """
    if gives_probability:
        return 1.0 - suspicion
    low, spread = float(suspicion.min()), float(np.ptp(suspicion))
    return 1.0 - (suspicion - low) / spread if spread else np.ones(len(suspicion))


def data_map(dynamics: TrainingDynamics) -> dict[str, NDArray[np.float64]]:
    """``confidence``, ``variability`` and ``correctness`` of each sample, float64 [n].

    Mean and standard deviation over the epochs of the given label's probability, and the share of
    epochs that predicted it, in [0, 1]. The paper's code writes the number of these epochs.

    Raises:
        DynamicsError: the run has one epoch or one class.

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
