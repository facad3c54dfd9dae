"""The subcommand that ranks, and compares scores on one run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tdctl.cli.boundary import guarded, joined, print_json, say
from tdctl.cli.flags import (
    WAYS,
    AsJson,
    DetectorFile,
    Device,
    KeepPerClass,
    Overwrite,
    Quiet,
    Runs,
    check_one_kind,
    the_source,
)
from tdctl.cli.progress_lines import shown_progress
from tdctl.cli.report_option import ReportFile, check_report_file, report_beside
from tdctl.cli.show import show_detect, show_scores
from tdctl.errors import ConfigError

if TYPE_CHECKING:
    from tdctl.runner import DetectResult, ScoreTable

__all__ = ["detect"]

ALL = "all"


@guarded
def detect(
    td: Runs,
    detector: DetectorFile = None,
    score: Annotated[
        list[str] | None,
        typer.Option(
            "--score",
            help="Hand-made score instead of a detector, such as aum. Several, or all, are "
            "compared if the truth is known. tdctl scores lists them.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="CSV to write: all samples, worst first. The same as JSON goes beside it."
        ),
    ] = None,
    cut: Annotated[
        str | None,
        typer.Option(
            "--cut",
            help="Also flag the worst: a share in [0, 1), or auto, the estimated share of wrong "
            f"labels ({WAYS}).",
        ),
    ] = None,
    keep_per_class: KeepPerClass = None,
    report_to: ReportFile = None,
    top: Annotated[int, typer.Option("--top", min=0, help="How many of the worst to print.")] = 10,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Rank the samples of a run, or of several runs together, by suspicion; retrain nothing.

    Example: tdctl detect --td runs/a --detector detectors/b.pth.tar --out ranking.csv

    Example: tdctl detect --td runs/a

    Example: tdctl detect --td runs/a --score aum --cut auto --out flagged.csv

    Example: tdctl detect --td runs/a --score all

    Example: tdctl detect --td runs/a --td runs/b --out ranking.csv

    Example: tdctl detect --td runs/a --cut auto --report report.html
    """
    check_one_kind(detector is not None, bool(score))
    if keep_per_class is not None and cut is None:
        raise typer.BadParameter("--keep-per-class goes with --cut; give both, or neither")
    from tdctl import runner
    from tdctl.scores import SCORES, find_score

    every = ALL in (score or [])
    named = [find_score(name).name for name in score or [] if name != ALL]
    names = list(SCORES) if every else named
    scores = [SCORES[name] for name in dict.fromkeys(names)]
    if len(scores) > 1:
        _check_comparable(td, out, cut, report_to)
        with joined(device) as world:
            table = world.together(lambda: runner.judge_scores(td[0], scores, leave_out=every))
        if world.is_first:
            _show_table(table, td[0], as_json)
        return
    source = scores[0] if scores else the_source(detector, None)
    check_report_file(td, report_to, overwrite)
    with joined(device) as world, shown_progress(quiet or not world.is_first) as report:
        result = runner.detect(
            td,
            source,
            out=out,
            cut=cut,
            keep_per_class=keep_per_class,
            overwrite=overwrite,
            report=report,
            world=world,
        )
    if world.is_first:
        for note in result.notes:
            say(f"note: {note}")
        _show_ranking(result, out, top, as_json)
        report_beside(result, report_to, overwrite)


def _check_comparable(
    td: list[Path], out: Path | None, cut: str | None, report_to: Path | None
) -> None:
    """Refuses options that need a single ranking.

    Raises:
        ConfigError: the message names the option.
    """
    single = (("--out", out), ("--cut", cut), ("--report", report_to))
    given = [name for name, value in single if value is not None]
    if given:
        raise ConfigError(f"detect: {given[0]} takes one ranking; give one --score with it")
    if len(td) > 1:
        raise ConfigError(
            "detect: several scores are compared on one run; give one --td or one --score, or "
            "call tdctl compare"
        )


def _show_table(table: ScoreTable, td: Path, as_json: bool) -> None:
    if as_json:
        print_json({"run": str(td), **table.to_dict()})
    else:
        show_scores(table, td)


def _show_ranking(result: DetectResult, out: Path | None, top: int, as_json: bool) -> None:
    if not as_json:
        show_detect(result, out, top)
        return
    from tdctl import runner

    print_json(
        {
            **runner.ranking_facts(result),
            "out": None if out is None else str(out),
            "samples": len(result.labels),
            "worst": json.loads(result.table.head(top).to_json(orient="records")),
        }
    )
