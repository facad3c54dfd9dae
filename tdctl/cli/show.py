"""Prints the results of several commands as tables on stdout."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from tdctl.catalogue import samples_of
from tdctl.cli.boundary import print_json, say
from tdctl.cli.console import console as _console
from tdctl.cli.console import table_of

# If an interval begins below this share, there may be no wrong label.
PERHAPS_NONE = 0.005

if TYPE_CHECKING:
    from tdctl.cuts import Estimate
    from tdctl.metrics import Cut
    from tdctl.runner import (
        DetectResult,
        Flagged,
        GenerateResult,
        ScoreTable,
        TrainDetectorResult,
    )

__all__ = [
    "asked",
    "judgement",
    "percent",
    "show_detect",
    "show_estimates",
    "show_generate",
    "show_judged",
    "show_noise",
    "show_plan",
    "show_scores",
    "show_train_detector",
    "show_worst",
]

SEEN = {
    True: "in-sample: the detector was trained on {}",
    False: "not in-sample: the detector was not trained on {}",
    None: "unknown whether the detector was trained on {}: its file does not say",
}


def show_plan(lines: list[str], as_json: bool) -> None:
    """Prints what would be done: as messages, and as JSON if that is asked for."""
    for line in lines:
        say(line)
    if as_json:
        print_json({"dry_run": True, "plan": lines})


def show_generate(result: GenerateResult) -> None:
    """Prints what was recorded, and the errors of the classifier."""
    manifest = result.manifest
    data = manifest["dataset"]
    console = _console()
    console.print(f"run        {result.folder}")
    console.print(
        f"data       {data['name']}: {data['train']} train, {data['valid']} held out, "
        f"{data['test']} test, {len(data['class_names'])} classes"
    )
    console.print(f"noise      {show_noise(manifest)}")
    if (left := manifest.get("left_out")) is not None:
        console.print(f"left out   {left['count']} of the worst ranked: predicted, not trained on")
    best = manifest["test_error_best"]
    last = manifest["test_error_last"]
    none = f"none, without test {samples_of(data['name'])}"
    console.print(
        f"test error {none if last is None else percent(last)}"
        + ("" if last is None else " at the last epoch")
        + (" of the averaged weights" if manifest.get("weights") == "running average" else "")
        + ("" if best is None else f", {percent(best)} at the best epoch on held-out images")
    )
    console.print(
        f"time       {manifest['seconds']:.0f} s for {manifest['epochs']} epochs "
        f"on {manifest['device']}"
    )


def show_train_detector(result: TrainDetectorResult) -> None:
    """Prints the detector's files and its metrics on held-out rows."""
    held = result.card.held_out
    console = _console()
    console.print(f"detector   {result.files[0]}")
    console.print(f"           {', '.join(map(str, result.files[1:]))}")
    for run in result.card.trained_on:
        known = run["fingerprint"] is not None
        console.print(
            f"trained on {run['run']}"
            + (f": {run['samples']} curves of {run['epochs']} epochs, " if known else "")
            + (f"{run['flipped']} flipped" if known else "")
        )
    console.print(
        f"held out   {held['samples']} curves by {held['by']}: AUC {held['auc']:.4f}, "
        f"AP {held['ap']:.4f} ({held['note']})"
    )


def show_detect(result: DetectResult, out: Path | None, top: int) -> None:
    """Prints the metrics and the worst samples."""
    console = _console()
    name = "run" if len(result.runs) == 1 else "runs"
    names = ", ".join(map(str, result.runs))
    console.print(f"{name:<10} {names}: {len(result.labels)} samples")
    show_judged(result)
    show_estimates(console, result)
    if result.flagged is not None:
        found = result.flagged
        count = f"{found.rows.sum()} flagged" if found.cut is None else _cut(found.cut)
        console.print(f"cut        {count}{_spared(found)}")
    if out is not None:
        console.print(f"ranking    {out}")
    show_worst(result, top)


def show_judged(result: DetectResult) -> None:
    """Prints by what a ranking was made, and its metrics where the truth is known."""
    console, metrics = _console(), result.metrics
    console.print(f"judged     {judgement(result)}")
    if metrics.auc is None:
        few = "every" if result.labels.flipped.all() else "no"
        console.print(f"metrics    none: {few} label of this run is known to be wrong")
    else:
        console.print(f"AUC        {metrics.auc:.4f}")
        console.print(f"AP (mAP)   {metrics.ap:.4f}")
        if metrics.at_half is not None:
            console.print(f"at 0.5     {_cut(metrics.at_half)}")
        console.print(
            f"at rate    {_cut(metrics.at_realised_rate)}, the realised {metrics.realised_rate:.2%}"
        )


def show_worst(result: DetectResult, top: int) -> None:
    """Prints the worst samples as a table."""
    console = _console()
    if top:
        head = result.table.head(top)
        columns = list(map(str, head.columns))
        table = table_of(columns, whole=["index", "rank"], title=f"the {len(head)} worst")
        for row in head.itertuples(index=False):
            table.add_row(*map(_shown, row))
        console.print(table)


def show_scores(table: ScoreTable, run: Path) -> None:
    """Prints the scores' metrics, the best AP first, and which scores were left out."""
    console = _console()
    console.print(f"run        {run}: {table.samples} samples")
    if not table.truth_known:
        console.print("metrics    none: no label of this run is known to be wrong")
    judged = [(row.score, row.metrics) for row in table.rows if row.metrics is not None]
    ranked = sorted(judged, key=lambda pair: -(pair[1].ap or 0.0))
    headers = ("score", "AUC", "AP (mAP)", "F1 at the realised rate")
    grid = table_of(headers, right=headers[1:])
    for name, metrics in ranked:
        cut = metrics.at_realised_rate
        values = (metrics.auc, metrics.ap, None if cut is None else cut.f1)
        grid.add_row(name, *("-" if value is None else f"{value:.4f}" for value in values))
    console.print(grid)
    for row in table.rows:
        if row.left_out is not None:
            console.print(f"left out   {row.left_out}")


def _shown(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    # A label may be known to be wrong while the right one is unknown.
    return "-" if math.isnan(value) else f"{value:.4f}"


def show_estimates(console: Console, result: DetectResult) -> None:
    """Prints what was estimated of the share of wrong labels."""
    for found in result.estimates.values():
        known = (
            "the truth is unknown"
            if found.error is None or found.realised is None
            else f"{abs(found.error):.2%} {'more' if found.error > 0 else 'less'} than the "
            f"realised {found.realised:.2%}"
        )
        console.print(f"estimated  {_share(found)} by {found.method}, {known}")
        if found.limit is not None and (found.realised is None or found.realised > found.limit):
            console.print(f"           {found.method} can flag {found.limit:.2%} at the most")


def _share(found: Estimate) -> str:
    """The estimate in words, with its interval if it has one."""
    if found.low is None or found.high is None:
        return f"{found.rate:.2%} wrong labels"
    if found.low < PERHAPS_NONE:
        return f"{found.rate:.2%} wrong labels, at most {found.high:.1%}, perhaps none,"
    return f"{found.rate:.2%} wrong labels, between {found.low:.1%} and {found.high:.1%},"


def _spared(found: Flagged) -> str:
    if not found.spared:
        return ""
    return f"; {found.spared} more are kept by --keep-per-class {found.keep_per_class:g}"


def judgement(result: DetectResult) -> str:
    """By what a ranking was made, in words, and whether its detector has seen the runs."""
    score = result.ranker.facts["score"]
    several = len(result.runs) > 1
    these = "this run" if not several else f"{'one' if result.in_sample else 'any'} of these runs"
    how = f"by the score {score}, which is a formula"
    if score is None:
        how = SEEN[result.in_sample].format(these)
    return how + (f"; the mean of the ranks in {len(result.runs)} runs" if several else "")


def show_noise(manifest: dict[str, Any]) -> str:
    """What a manifest says of the noise, in words."""
    noise, flipped = manifest["noise"], manifest["flipped"]
    none = noise["type"] is None
    added = "none added" if none else f"{asked(noise)}{noise['expected_rate']:.2%} expected"
    if noise["oracle"]:
        return f"{added}; {noise['realised_rate']:.2%} of the labels are wrong and left out"
    if none:
        return f"{added}; {flipped or 'no'} labels are known to be wrong"
    return f"{added}, {flipped} labels flipped ({manifest['realised_rate']:.2%})"


def asked(noise: dict[str, Any]) -> str:
    """What was asked for: type and ratio, or type and file."""
    if noise["type"] == "labels":
        return f"labels of {noise['labels']['file']}, column {noise['labels']['column']}, "
    if noise["type"] == "matrix":
        return f"matrix {noise['matrix']['file']}, "
    return f"{noise['type']} {noise['ratio']:g} asked, "


def percent(value: float | None) -> str:
    """A share in percent, or a dash if it is unknown."""
    return "-" if value is None else f"{value:.2%}"


def _cut(cut: Cut | None) -> str:
    if cut is None:
        return "-"
    return (
        f"precision {percent(cut.precision)}, recall {percent(cut.recall)}, "
        f"F1 {percent(cut.f1)}, {cut.flagged} flagged"
    )
