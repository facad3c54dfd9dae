"""How good a ranking is, read from the files of a run whichever program wrote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scripts.experiments.speed.measure import BenchError


def judge(suspicion: NDArray[Any], flipped: NDArray[np.bool_]) -> dict[str, float]:
    """AUC and AP in [0, 1] of a suspicion score; positive class: mislabeled."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    if flipped.all() or not flipped.any():
        raise BenchError("no label, or every label, is flipped; give another --noise-ratio")
    return {
        "auc": float(roc_auc_score(flipped, suspicion)),
        "ap": float(average_precision_score(flipped, suspicion)),
    }


def softmax_margin(td: NDArray[Any], column: NDArray[np.int64]) -> NDArray[np.float64]:
    """Float64 [n]: mean over epochs of the given label's probability minus the largest other.

    Args:
        td: float [n, E, k], k at least 2.
        column: int64 [n], the column of each sample's given label.
    """
    own = np.take_along_axis(td, column[:, None, None], axis=2)[:, :, 0]
    others = td.copy()
    np.put_along_axis(others, column[:, None, None], -1, axis=2)
    margins = own.astype(np.float64) - others.max(axis=2)
    return np.asarray(margins.mean(axis=1))


def plain_quality(folder: Path) -> dict[str, Any]:
    """What the plain pipeline's run is worth."""
    with np.load(folder / "td.npz", allow_pickle=False) as file:
        td, given, true = file["td"], file["assigned"], file["true"]
    found = judge(-softmax_margin(td, given), given != true)
    error = json.loads((folder / "times.json").read_text())["test_error"]
    return {"aum_softmax": found, "test_error": error}


def tdctl_quality(folder: Path) -> dict[str, Any]:
    """What a run of generate-td is worth: AUM on logits as recorded, and on softmax."""
    with np.load(folder / "training_dynamics.npz", allow_pickle=False) as file:
        td, margin = file["td"], file["margin"]
    flipped = torch.load(folder / "metadata.pth", weights_only=True)["label_flipped"].numpy()
    error = json.loads((folder / "manifest.json").read_text())["test_error_last"]
    result = {"aum_logits": judge(-margin.mean(axis=1, dtype=np.float64), flipped)}
    if td.shape[2] > 1:
        first = np.zeros(len(td), dtype=np.int64)
        result["aum_softmax"] = judge(-softmax_margin(td, first), flipped)
    return {**result, "test_error": error}


def check_same_labels(plain: Path, ours: Path) -> None:
    """Refuses to compare runs that were given different labels.

    Raises:
        BenchError: indices or labels differ.
    """
    metadata = torch.load(ours / "metadata.pth", weights_only=True)
    with np.load(plain / "td.npz", allow_pickle=False) as file:
        pairs = (("index", "train_indices"), ("assigned", "assigned_targets"))
        for name, key in pairs:
            if not np.array_equal(file[name], metadata[key].numpy()):
                raise BenchError(f"{plain} and {ours}: {key} differ; the runs cannot be compared")
