"""Tables of the experiments that rank, flag or retrain, from their stored figures.

Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from scripts.experiments.tables.markdown import RESULTS, mean_and_spread, results, table

__all__ = [
    "capture_differences", "capture_table", "estimates_table", "forgetting_table", "human_labels",
    "instance_table", "photographs_detect", "photographs_retrained", "rounds_table",
]  # fmt: skip

Row = Mapping[str, Any]
CAPTURES = ("in-loop", "eval-pass")
RETRAINED_ON = {
    "all": "all given labels",
    "pruned": "without the worst",
    "random": "without as many at random",
    "clean": "truly clean labels",
}


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def photographs_detect() -> str:
    """How well each run's wrong labels are found by the detector of the other seed."""
    rows = []
    for file in sorted(RESULTS.glob("photographs_*_detect.json")):
        _, labels, seed, _ = file.stem.split("_")
        metrics = json.loads(file.read_text(encoding="utf-8"))["metrics"]
        cells = [metrics["realised_rate"], metrics["auc"], metrics["ap"]]
        cells += [metrics[cut]["f1"] for cut in ("at_half", "at_realised_rate")]
        rows.append([labels, seed[4:], *map(_percent, cells)])
    head = ("labels", "seed of the judged run", "wrong", "AUC", "AP", "F1 at 0.5", "F1 at the rate")
    return table(head, rows)


def photographs_retrained() -> str:
    """Test errors after retraining, and how many wrong labels were left."""
    runs: dict[str, dict[str, Any]] = {}
    for file in sorted(RESULTS.glob("photographs_*_denoise.json")):
        _, labels, seed, _ = file.stem.split("_")
        rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
        runs[f"{labels}, {seed}"] = {row["kind"]: row for row in rows}
    return table(
        ("trained on", *runs),
        [
            [name, *(_percent(run[kind]["test_error_last"])
                     + f" ({run[kind]['flipped_left']} wrong left)" for run in runs.values())]
            for kind, name in RETRAINED_ON.items()
        ],
    )  # fmt: skip


def human_labels() -> str:
    """How well human label errors are found by a detector of synthetic noise."""
    rows = []
    for file in sorted(RESULTS.glob("human_*.json")):
        _, column, seed = file.stem.split("_")
        metrics = json.loads(file.read_text(encoding="utf-8"))["metrics"]
        cells = [metrics["realised_rate"], metrics["auc"], metrics["ap"]]
        cells.append(metrics["at_realised_rate"]["f1"])
        rows.append([column, seed[4:], *map(_percent, cells)])
    return table(("column", "seed", "wrong", "AUC", "AP", "F1 at the rate"), rows)


def _captured(rows: Sequence[Row]) -> dict[tuple[Any, ...], tuple[Row, Row]]:
    """In-loop and eval-pass figures of each noise, length and score that has both."""
    found = {(r["noise"], r["epochs"], r["score"], r["capture"]): r for r in rows}
    return {
        key[:3]: (found[(*key[:3], CAPTURES[0])], found[(*key[:3], CAPTURES[1])])
        for key in found
        if key[3] == CAPTURES[0] and (*key[:3], CAPTURES[1]) in found
    }


def capture_table(rows: Sequence[Row]) -> str:
    """AUC / AP in % by noise, length and score, in-loop and eval-pass beside each other."""
    return table(
        ("noise", "epochs", "score", *(f"{name} AUC / AP" for name in CAPTURES)),
        [
            [*key, *(f"{100 * float(r['auc']):.1f} / {100 * float(r['ap']):.1f}" for r in both)]
            for key, both in _captured(rows).items()
        ],
    )


def capture_differences(rows: Sequence[Row]) -> str:
    """AP of eval-pass minus AP of in-loop, by score."""
    gaps: dict[str, list[float]] = {}
    for (_, _, score), (in_loop, eval_pass) in _captured(rows).items():
        gaps.setdefault(score, []).append(100 * (float(eval_pass["ap"]) - float(in_loop["ap"])))
    return table(
        ("score", "mean", "lowest", "highest", "settings"),
        [
            [score, *(f"{of(values):+.2f}" for of in (mean, min, max)), len(values)]
            for score, values in gaps.items()
        ],
    )


def forgetting_table(rows: Sequence[Row]) -> str:
    """Precision, recall and F1 in %, and counts: mean and standard deviation over the seeds."""
    figures = ("precision", "recall", "f1")
    lines = []
    for kind, how in dict.fromkeys((row["settings"], row["by"]) for row in rows):
        some = [row for row in rows if (row["settings"], row["by"]) == (kind, how)]
        # Where nothing is flagged, precision counts as 0.
        cells = [mean_and_spread([100 * (row[name] or 0.0) for row in some]) for name in figures]
        counts = [mean_and_spread([row[name] for row in some]) for name in ("flagged", "wrong")]
        lines.append([kind, how, *cells, *counts])
    return table(("recorded by", "flagged by", *figures, "flagged", "wrong"), lines)


def notebooks_dynamics(rows: Sequence[Row]) -> str:
    """AUC, AP and the share of wrong labels among the 50 worst, seed by seed, in %."""
    head = ("data", "samples", "epochs", "seed", "AUC", "AP", "wrong among the 50 worst")
    return table(
        head,
        [
            [row["data"], row["samples"], row["epochs"], row["seed"], f"{100 * row['auc']:.1f}",
             f"{100 * row['ap']:.1f}", row["wrong_among_50_worst"]]
            for row in rows
        ],
    )  # fmt: skip


def notebooks_forgetting(rows: Sequence[Row]) -> str:
    """Recall, precision and F1 of the rule in %, seed by seed."""
    figures = ("recall", "precision", "f1")
    head = ("data", "samples", "epochs", "seed", "flagged", *figures)
    return table(
        head,
        [
            [row["data"], row["samples"], row["epochs"], row["seed"], row["flagged"],
             *(f"{100 * row[name]:.1f}" for name in figures)]
            for row in rows
        ],
    )  # fmt: skip


def other_data_table(rows: Sequence[Row]) -> str:
    """AUC and AP in %, mean and standard deviation over the seeds, for each data set and ranker."""
    lines = []
    for data, by in dict.fromkeys((row["data"], row["by"]) for row in rows):
        some = [row for row in rows if (row["data"], row["by"]) == (data, by)]
        cells = [mean_and_spread([100 * row[name] for row in some]) for name in ("auc", "ap")]
        lines.append([data, some[0]["samples"], by, *cells])
    return table(("data", "samples", "ranked by", "AUC", "AP"), lines)


def estimates_table(found: Row) -> str:
    """The share of wrong labels and the estimates of it in %, run by run."""
    runs, errors = found["runs"], found["errors"]
    wrong = found["wrong"] if "wrong" in found else _rates(runs)
    rows: list[list[object]] = [
        [run, f"{100 * rate:.1f}", *(f"{100 * (rate + errors[m][i]):.1f}" for m in errors)]
        for i, (run, rate) in enumerate(zip(runs, wrong, strict=True))
    ]
    rows.append(["mean error", "", *(f"{100 * mean(of):.1f}" for of in errors.values())])
    sizes = (f"{100 * mean(map(abs, of)):.1f}" for of in errors.values())
    rows.append(["mean absolute error", "", *sizes])
    return table(("run", "wrong", *errors), rows)


def _rates(runs: Sequence[str]) -> list[float]:
    """The share of wrong labels of runs that the benchmark recorded, by their folders' names."""
    # The stored rate has four digits; with the number of samples it is exact.
    rates = {
        f"{row['row']}_seed{row['seed']}_{row['length']}_{row['kind']}": round(
            row["rate"] * row["samples"]
        )
        / row["samples"]
        for row in results("finding")
    }
    return [rates[run] for run in runs]


def rounds_table(found: Sequence[Row]) -> str:
    """AP in % of ways to spend the time of one recording, and their mean CPU seconds."""
    columns = list(dict.fromkeys((f["row"], f["by"]) for f in found))
    rows = []
    for way in dict.fromkeys(f["way"] for f in found):
        of_way = [f for f in found if f["way"] == way]
        aps = [
            [100 * f["ap"] for f in of_way if (f["row"], f["by"]) == (row, by)]
            for row, by in columns
        ]
        # Results of earlier versions do not say how long a recording took.
        taken = [f["seconds"] for f in of_way if "seconds" in f]
        seconds = f"{sum(taken) / len(taken):.0f}" if taken else "-"
        rows.append([way, seconds, *(mean_and_spread(ap) if ap else "-" for ap in aps)])
    header = ("recorded", "CPU seconds", *(f"{row}: {by}" for row, by in columns))
    return table(header, rows)


def instance_table(rows: Sequence[Row]) -> str:
    """The class matrix and the probe of the pixels, by noise and seed."""
    names = ("log_likelihood", "flip_named", "flipped_auc")
    return table(
        ("noise", "seed", "realised", "log-likelihood", "flip's class named", "AUC of flipped"),
        [
            [row["noise"], row["seed"], f"{row['realised_rate']:.2%}",
             *(f"{row['matrix'][name]:.3f} / {row['probe'][name]:.3f}" for name in names)]
            for row in rows
        ],
    )  # fmt: skip
