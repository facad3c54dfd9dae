"""``--report``: the HTML report beside what another command does with a ranking."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tdctl.cli.boundary import say
from tdctl.cli.output import echo

if TYPE_CHECKING:
    from tdctl.runner import DetectResult

__all__ = ["ReportFile", "check_report_file", "report_beside"]

ReportFile = Annotated[
    Path | None,
    typer.Option(
        "--report",
        help="Also write the HTML report of the ranking to this file, such as report.html; tdctl "
        "report has more options.",
    ),
]


def check_report_file(runs: Sequence[Path], file: Path | None, overwrite: bool) -> None:
    """Refuses, before the work is done, what could not be written.

    Raises:
        ConfigError, RunError: as ``runner.check_report``.
    """
    if file is not None:
        from tdctl import runner

        runner.check_report(runs, file, overwrite)


def report_beside(
    result: DetectResult, file: Path | None, overwrite: bool, denoise: Path | None = None
) -> None:
    """Writes the report of a ranking where one is asked for, and says its notes."""
    if file is None:
        return
    from tdctl import runner
    from tdctl.cli.clean_command import moved_settings  # which takes options of detect's own

    config = moved_settings(result.runs[0], None, None)
    written = runner.report_of(result, file, config=config, denoise=denoise, overwrite=overwrite)
    for note in written.notes:
        say(f"note: {note}")
    echo(f"report {written.file}", err=True)
