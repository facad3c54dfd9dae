"""The recipe ``features``: linear heads on EfficientNet-Lite0's ImageNet features.

Beside its figures, a row has those of what others do with the same features: the out-of-fold
logistic regression of scikit-learn, ranked by self-confidence and by cleanlab's label issues.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.experiments.pretrained.rows import Row, figures_of, settings_of
from scripts.experiments.pretrained.weights import NET, write_weights

__all__ = ["measure"]

SIDE = 112


def measure(row: Row, folder: Path, work: Path) -> dict[str, Any]:
    """Records and ranks; returns the figures, the rivals' figures, and seconds.

    ``seconds`` contains decoding and features where ``work/cache`` does not have them yet.
    """
    from tdctl import runner
    from tdctl.dynamics import read_run
    from tdctl.inputs import open_training_data, settled
    from tdctl.settings import load_config

    own = {
        "recipe": "features",
        "net.net_type": NET,
        "net.pretrained": str(write_weights(work / "lite0.safetensors")),
        "data.image_size": SIDE,
        "data.cache_dir": str(work / "cache"),
    }
    config = load_config(overrides={**own, **settings_of(row, folder)})
    run = work / "runs" / row.name
    started = time.process_time(), time.perf_counter()
    runner.generate_td(config, run, overwrite=True)
    spent = time.process_time() - started[0], time.perf_counter() - started[1]
    dataset = open_training_data(settled(config))
    _, labels, _ = read_run(run)
    rows = dataset.train.rows_of(labels.index)
    vectors = next(dataset.train.batches([rows])).numpy()
    return {
        "cpu_seconds": spent[0],
        "seconds": spent[1],
        "rivals": rivals(vectors, labels.assigned, labels.flipped),
        **figures_of(run),
    }


def rivals(
    vectors: NDArray[np.float32], given: NDArray[np.int64], flipped: NDArray[np.bool_]
) -> dict[str, dict[str, float]]:
    """AUC, AP and seconds of out-of-fold logistic regressions on features.

    ``plain`` has scikit-learn's own settings; ``scaled`` has standardised features and the inverse
    strength 0.01, which was better in trials.
    """
    from cleanlab.filter import find_label_issues
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import average_precision_score, roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    models = {
        "plain": LogisticRegression(max_iter=1000),
        "scaled": make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)),
    }
    found = {}
    for name, model in models.items():
        started = time.perf_counter()
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        probs = cross_val_predict(model, vectors, given, cv=folds, method="predict_proba")
        seconds = time.perf_counter() - started
        suspicion = 1 - probs[np.arange(len(given)), given]
        issues = find_label_issues(given, probs, return_indices_ranked_by="self_confidence")
        # cleanlab's issues come first, in its order; then all others.
        ranked = suspicion.copy()
        ranked[issues] = 2 + np.arange(len(issues), 0, -1)
        for kind, values in (("self-confidence", suspicion), ("label-issues", ranked)):
            found[f"{name} {kind}"] = {
                "auc": float(roc_auc_score(flipped, values)),
                "ap": float(average_precision_score(flipped, values)),
                "seconds": seconds,
            }
    return found
