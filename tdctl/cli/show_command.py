"""The subcommand that shows a run in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tdctl.cli.boundary import guarded, print_json, say, untouched_by_torchrun
from tdctl.cli.console import console
from tdctl.cli.flags import DetectorFile, the_source
from tdctl.cli.output import holds_all
from tdctl.cli.progress_lines import shown_progress
from tdctl.cli.show import show_estimates, show_judged, show_noise, show_worst

if TYPE_CHECKING:
    from tdctl.runner import RunSummary

__all__ = ["show"]

WIDTH = 40
FULL, ASCII = "█", "#"


@guarded
def show(
    run: Annotated[Path, typer.Argument(help="Run folder of generate-td.", show_default=False)],
    detector: DetectorFile = None,
    score: Annotated[
        str | None,
        typer.Option(
            "--score", help="Hand-made score instead of a detector; tdctl scores lists them."
        ),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=0, help="How many of the worst to print.")] = 10,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON on stdout.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print no progress on stderr.")] = False,
) -> None:
    """Show a run: what was recorded, a histogram of suspicion, the worst samples, the next step.

    Example: tdctl show runs/a
    """
    untouched_by_torchrun("show")
    source = the_source(detector, score)
    from tdctl import runner

    with shown_progress(quiet) as report:
        found = runner.summarise(run, source, device=device, report=report)
    for note in found.notes:
        say(f"note: {note}")
    if as_json:
        print_json(found.report(top))
        return
    stdout = console()
    _show_manifest(found)
    if found.ranked is not None:
        show_judged(found.ranked)
        show_estimates(stdout, found.ranked)
        if found.flagged is not None:
            stdout.print(f"look wrong {found.flagged} of {len(found.ranked.labels)} labels")
        _show_histogram(found)
        show_worst(found.ranked, top)
    for number, (command, why) in enumerate(found.next):
        heading = "next" if number == 0 else ""
        stdout.print(f"{heading:<10} {command}{'   # ' if command else ''}{why}")


def _show_manifest(found: RunSummary) -> None:
    stdout, facts = console(), found.manifest
    total = facts.get("epochs")
    stdout.print(f"run        {found.run}")
    if found.status != "complete":
        over = "no epoch is over" if not found.epochs else f"{found.epochs} epochs are over"
        if found.ranked is not None and found.ranked.recorded.planned is not None:
            runs = found.ranked.recorded
            over = f"{runs.dynamics[0].epochs} of {runs.planned} epochs are over, and are ranked"
        why = f" ({facts['reason']})" if facts.get("reason") else ""
        stdout.print(f"status     not finished: {found.status}{why}; {over}")
    elif not facts:
        stdout.print("status     recorded by other code, which says nothing of itself")
    data = facts.get("dataset")
    if isinstance(data, dict):
        counts = ", ".join(
            f"{data[key]} {word}"
            for key, word in (("train", "train"), ("valid", "held out"), ("test", "test"))
            if data.get(key) is not None
        )
        classes = len(data.get("class_names") or ())
        stdout.print(f"data       {data.get('name')}: {counts}, {classes} classes")
    if isinstance(facts.get("noise"), dict) and "flipped" in facts:
        stdout.print(f"noise      {show_noise(facts)}")
    if facts.get("net"):
        stdout.print(f"training   {_training(facts, total)}")


def _training(facts: dict[str, Any], epochs: int | None) -> str:
    parts = [str(facts["net"])]
    if facts.get("recipe"):
        parts.append(f"recipe {facts['recipe']}")
    if epochs is not None:
        parts.append(f"{epochs} epochs")
    parts.append(f"seed {facts.get('seed')}")
    if facts.get("seconds") is not None:
        parts.append(f"{facts['seconds']:.0f} s on {facts.get('device')}")
    if facts.get("test_error_last") is not None:
        parts.append(f"test error {facts['test_error_last']:.2%}")
    return ", ".join(parts)


def _show_histogram(found: RunSummary) -> None:
    """Bars by the logarithm: the few that are suspicious would not be seen beside the others."""
    from math import log1p

    stdout = console()
    block = FULL if holds_all(FULL) else ASCII
    most = log1p(max(found.counts))
    stdout.print("suspicion  samples (bars by the logarithm)")
    for low, count in zip(found.edges, found.counts, strict=False):
        bar = block * max(round(WIDTH * log1p(count) / most), count > 0)
        stdout.print(f"{low:>10.4g} {count:>8,} {bar}")
