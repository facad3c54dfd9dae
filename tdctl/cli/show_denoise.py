"""Prints the results of a denoising as tables on stdout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from tdctl.cli.console import console as _console
from tdctl.cli.console import table_of
from tdctl.cli.show import judgement, percent, show_estimates

if TYPE_CHECKING:
    from tdctl.retraining import ClassLoss, Round
    from tdctl.runner import DenoiseResult, Retraining

__all__ = ["show_denoise", "show_most_lost"]

NAMES = {
    "all": "all given labels",
    "clean": "truly clean labels",
    "true": "true labels",
    "pruned": "without the worst {}",
    "random": "without a random {}",
    "relabelled": "the worst {} relabelled",
    "reweighted": "all, weighed by suspicion",
}
# How many of the classes that lost most are printed; JSON has more.
MOST_LOST = 3


def show_denoise(result: DenoiseResult, dry_run: bool) -> None:
    """Prints one row for each retraining, and the classes that lost most."""
    stdout, metrics = _console(), result.detection.metrics
    stdout.print(f"judged     {judgement(result.detection)}")
    if metrics.auc is not None:
        stdout.print(f"AUC        {metrics.auc:.4f}")
        stdout.print(f"AP (mAP)   {metrics.ap:.4f}")
    show_estimates(stdout, result.detection)
    if result.rounds:
        _show_rounds(stdout, result.rounds)
    _show_rows(stdout, result.rows, dry_run)
    for row in result.rows:
        if row.action is not None and row.classes:
            show_most_lost(stdout, row.classes, _name(row))
    if result.file is not None:
        stdout.print(f"table      {result.file}")


def _show_rows(stdout: Console, rows: Sequence[Retraining], dry_run: bool) -> None:
    title = "would train" if dry_run else "test error after retraining"
    changed = any(row.relabelled != 0 for row in rows)
    counts = ["removed", *(["relabelled"] if changed else []), "kept", "wrong labels left"]
    before = next((row.noise_before for row in rows if row.noise_before is not None), None)
    known = before is not None
    headers = (*counts, *(["noise"] if known else []), "last epoch", "best by held-out", "seconds")
    table = table_of(["trained on", *headers], right=headers, title=title)
    for row in rows:
        numbers = [row.removed, *([row.relabelled] if changed else []), row.kept, row.flipped_left]
        table.add_row(
            _name(row),
            *("-" if number is None else str(number) for number in numbers),
            *([percent(row.noise_after)] if known else []),
            percent(row.test_error_last),
            percent(row.test_error_best),
            "-" if row.seconds is None else f"{row.seconds:.0f}",
        )
    stdout.print(table)
    if known:
        stdout.print(f"noise      {before:.2%} of the given labels are wrong")


def _show_rounds(stdout: Console, rounds: Sequence[Round]) -> None:
    headers = ("trained on", "AUC", "AP (mAP)", "flagged", "noise before", "noise after")
    table = table_of(["round", *headers, "recording"], right=headers, title="rounds")
    for one in rounds:
        table.add_row(
            str(one.round),
            str(one.trained_on),
            "-" if one.auc is None else f"{one.auc:.4f}",
            "-" if one.ap is None else f"{one.ap:.4f}",
            str(one.flagged),
            percent(one.noise_before),
            percent(one.noise_after),
            one.run,
        )
    stdout.print(table)


def show_most_lost(stdout: Console, classes: Sequence[ClassLoss], of: str | None = None) -> None:
    """Prints the classes that lost the largest share of their labels, in one line."""
    shown = "; ".join(
        f"class {one.name}: {one.dropped + one.relabelled} of {one.given} labels ({one.lost:.0%})"
        for one in classes[:MOST_LOST]
    )
    stdout.print(f"lost most  {shown}{'' if of is None else f' ({of})'}")


def _name(row: Retraining) -> str:
    """What was trained on, in words: the ratio, and how many samples the floor per class kept."""
    ratio = row.remove_ratio
    if row.kind == "reweighted":
        return NAMES[row.kind] + ("" if ratio is None else f", assuming {ratio:.3g} wrong")
    ratio = ratio or 0.0
    text = f"{ratio:g}" if row.method is None else f"{ratio:.3f} (auto:{row.method})"
    return NAMES[row.kind].format(text + (f", {row.spared} spared" if row.spared else ""))
