"""Does instance noise depend on the image? A linear probe of the pixels against the class matrix.

usage: .venv/bin/python -m scripts.experiments.instance_noise DIR [--images N] [--ratio R]
       [--seeds 0 1 2] [--noise instance uniform] [--out FILE.json]

DIR is an image folder as tdctl reads it. For each kind of noise and each seed, two predictors of
the given label from the true label are trained on four fifths of the samples, and judged on the
last fifth:

- matrix: the counted transition matrix, with one added to every cell;
- probe: for each true class a logistic regression of the given label on the pixels (averaged to
  8 x 8, standardised, 40 principal components). Its regularisation is selected on a fifth of the
  first part.

``uniform`` noise is the control: there the probe must not be better.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from scripts.experiments.tables.detection import instance_table
from tdctl.config import DataConfig, NoiseConfig
from tdctl.data import DataSet, open_dataset
from tdctl.files import write_json
from tdctl.noise import make_noise

SIDE, COMPONENTS, AT_ONCE = 8, 40, 500
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def pixels_of(dataset: DataSet) -> Floats:
    """Images brought down to 8 x 8 by averaging areas, each standardised; [n, C * 64]."""
    c, h, w = dataset.train.shape
    if h % SIDE or w % SIDE:
        raise SystemExit(f"images of {h} x {w}: expected multiples of {SIDE}")
    rows = np.arange(len(dataset.train))
    small = [
        np.asarray(batch, dtype=np.float64)
        .reshape(-1, c, SIDE, h // SIDE, SIDE, w // SIDE)
        .mean(axis=(3, 5))
        .reshape(-1, c * SIDE * SIDE)
        for batch in dataset.train.batches(np.array_split(rows, -(-len(rows) // AT_ONCE)))
    ]
    values = np.concatenate(small)
    values -= values.mean(axis=1, keepdims=True)
    return values / np.maximum(values.std(axis=1, keepdims=True), 1e-9)


def by_matrix(true: Ints, given: Ints, asked: Ints, k: int) -> Floats:
    """P(given) for each asked true label, float64 [m, k], from counts."""
    counts = np.ones((k, k))
    np.add.at(counts, (true, given), 1)
    return (counts / counts.sum(axis=1, keepdims=True))[asked]


def by_probe(
    values: Floats, true: Ints, given: Ints, new: Floats, asked: Ints, k: int, strength: float
) -> Floats:
    """P(given) for each asked image and true label, float64 [m, k]."""
    found = by_matrix(true, given, asked, k)
    for label in np.unique(asked):
        own, there = true == label, asked == label
        seen = np.unique(given[own])
        if len(seen) < 2:
            continue
        probe = LogisticRegression(C=strength, max_iter=2000).fit(values[own], given[own])
        # Labels that the probe never met keep what the matrix gives them.
        unseen = np.setdiff1d(np.arange(k), seen)
        rest = 1 - found[np.ix_(there, unseen)].sum(axis=1, keepdims=True)
        found[np.ix_(there, seen)] = rest * probe.predict_proba(new[there])
    return found


def chosen_strength(values: Floats, true: Ints, given: Ints, k: int, seed: int) -> float:
    """The regularisation whose probe a fifth of these samples finds likeliest."""
    apart = np.random.default_rng([seed, 1]).random(len(true)) < 0.2
    rest = ~apart

    def likelihood(strength: float) -> float:
        probs = by_probe(
            values[rest], true[rest], given[rest], values[apart], true[apart], k, strength
        )
        return float(np.log(probs[np.arange(len(probs)), given[apart]]).mean())

    return max(STRENGTHS, key=likelihood)


def judged(probs: Floats, true: Ints, given: Ints) -> dict[str, float]:
    """Log-likelihood a sample, accuracy on the flipped ones, and AUC of being flipped."""
    rows, flipped = np.arange(len(true)), given != true
    others = probs.copy()
    others[rows, true] = 0
    return {
        "log_likelihood": float(np.log(probs[rows, given]).mean()),
        "flip_named": float((others.argmax(axis=1) == given)[flipped].mean()),
        "flipped_auc": float(roc_auc_score(flipped, 1 - probs[rows, true])),
    }


def measured(
    dataset: DataSet, values: Floats, kind: str, ratio: float, seed: int
) -> dict[str, Any]:
    """One kind of noise with one seed."""
    true, index, k = dataset.labels.true, dataset.labels.index, dataset.num_classes
    config = NoiseConfig.model_validate({"noise_type": kind, "noise_ratio": ratio})
    noise, _ = make_noise(config, dataset.class_names)
    drawn = noise.draw(true, index, seed, dataset.train)
    given = drawn.given
    held = np.random.default_rng(seed).random(len(true)) < 0.2
    kept = ~held
    reduced = PCA(COMPONENTS, svd_solver="full").fit(values[kept])
    scale = reduced.transform(values[kept]).std()
    inputs = reduced.transform(values) / scale
    strength = chosen_strength(inputs[kept], true[kept], given[kept], k, seed)
    probe = by_probe(inputs[kept], true[kept], given[kept], inputs[held], true[held], k, strength)
    matrix = by_matrix(true[kept], given[kept], true[held], k)
    return {
        "noise": kind,
        "seed": seed,
        "expected_rate": float(drawn.rates.mean()),
        "realised_rate": float((given != true).mean()),
        "judged_on": int(held.sum()),
        "flipped": int((given != true)[held].sum()),
        "strength": strength,
        "matrix": judged(matrix, true[held], given[held]),
        "probe": judged(probe, true[held], given[held]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--ratio", type=float, default=0.3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--noise", nargs="+", default=["instance", "uniform"])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    config = DataConfig(dataset="folder", data_dir=options.folder, limit=options.images)
    dataset = open_dataset(config)
    values = pixels_of(dataset)
    rows = [
        measured(dataset, values, kind, options.ratio, seed)
        for kind in options.noise
        for seed in options.seeds
    ]
    print(instance_table(rows))
    if options.out is not None:
        write_json(
            options.out, {"images": len(dataset.train), "ratio": options.ratio, "rows": rows}
        )
    else:
        print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
