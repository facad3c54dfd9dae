"""Tables of the experiments that train detectors, from their stored figures.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scripts.experiments.tables.markdown import mean_and_spread, results, table

__all__ = ["adaptation_table", "lstm", "more_recorded", "parts"]

# The steps of detector_parts/run.sh, and what their detectors lack.
STEPS = {
    "lstm": "",
    "gru": "",
    "tcn": "",
    "no_ranking_loss": ", without the ranking loss",
    "no_augmentation": ", without augmented curves",
}
SHOWN = 2  # hand-made scores, the best by mean AP


def _name(run: str) -> str:
    return Path(run).name.partition("_seed")[0]


def _scores(scores: Mapping[str, Any]) -> list[list[object]]:
    """The hand-made scores of the highest mean AP."""
    every = {name: [100 * run[name]["ap"] for run in scores.values()] for name in _in_all(scores)}
    best = sorted(every, key=lambda name: -mean(every[name]))[:SHOWN]
    return [[name, *(f"{ap:.1f}" for ap in every[name]), f"{mean(every[name]):.1f}"]
            for name in best]  # fmt: skip


def _in_all(scores: Mapping[str, Any]) -> list[str]:
    first, *others = scores.values()
    return [name for name in first if all(name in other for other in others)]


def _detectors(found: Mapping[str, Any], without: str = "") -> list[list[object]]:
    """AP in % of each network on each set of channels."""
    rows, runs = found["detectors"], list(found["scores"])
    lines: list[list[object]] = []
    for net, channels in dict.fromkeys((row["net"], row["channels"]) for row in rows):
        figures = [
            row["figures"] for row in rows if (row["net"], row["channels"]) == (net, channels)
        ]
        aps = [[100 * of_seed[run]["ap"] for of_seed in figures] for run in runs]
        cells = map(mean_and_spread, aps)
        lines.append([f"{net} on {channels}{without}", *cells, f"{mean(map(mean, aps)):.1f}"])
    return lines


def parts() -> str:
    """What each part of the detector adds."""
    steps = {step: results(f"readers_{step}") for step in STEPS}
    scores = steps["gru"]["scores"]
    lines = _scores(scores)
    for step, without in STEPS.items():
        lines += _detectors(steps[step], without)
    return table(("ranked by", *map(_name, scores), "mean"), lines)


def more_recorded(recipe: str) -> str:
    """What a detector gains where the recipe records more: the channels with and without it."""
    found = results(f"readers_{recipe}")
    return table(("ranked by", *map(_name, found["scores"]), "mean"), _detectors(found))


def adaptation_table(found: Mapping[str, Mapping[str, float]]) -> str:
    """AP in % of the detector, and what each way of adapting it to the run adds."""
    ways = list(next(iter(found.values())))[1:]
    rows = []
    for run, aps in found.items():
        plain = 100 * aps["detector"]
        rows.append([run, f"{plain:.2f}", *(f"{100 * aps[way] - plain:+.2f}" for way in ways)])
    return table(("run", "detector", *ways), rows)


def lstm() -> str:
    """How often the LSTM collapses, and the AP of the trainings that do not."""
    rows: list[Sequence[object]] = []
    for shown, name in (("published", "lstm_paper"), ("stable", "lstm_stable")):
        found = results(name)
        aps = [100 * ap for row in found["detectors"] for ap in _aps(row)]
        collapsed = f"{len(found['detectors']) - len(aps)} of {len(found['detectors'])}"
        spread = f"{mean(aps):.1f} ± {stdev(aps):.1f}"
        rows.append([shown, collapsed, spread, f"{min(aps):.1f} to {max(aps):.1f}"])
    (scores,) = found["scores"].values()
    best = max(scores, key=lambda name: scores[name]["ap"])
    rows.append([f"best hand-made score, {best}", "", f"{100 * scores[best]['ap']:.1f}", ""])
    head = ("hyper-parameters", "collapsed to a constant",
            "AP of the others, mean ± standard deviation", "lowest to highest")  # fmt: skip
    return table(head, rows)


def _aps(row: Mapping[str, Any]) -> list[float]:
    return [figures["ap"] for figures in row.get("figures", {}).values()]
