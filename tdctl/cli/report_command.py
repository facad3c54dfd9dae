"""The subcommand that writes the HTML report."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tdctl.cli.boundary import guarded, print_json, say, untouched_by_torchrun
from tdctl.cli.clean_command import moved_settings
from tdctl.cli.console import console
from tdctl.cli.flags import DetectorFile, Run, the_source
from tdctl.cli.progress_lines import shown_progress

if TYPE_CHECKING:
    from tdctl.runner import ReportResult

__all__ = ["report", "show_report"]


@guarded
def report(
    td: Run,
    out: Annotated[Path, typer.Option("--out", help="Page to write.")] = Path("report.html"),
    detector: DetectorFile = None,
    score: Annotated[
        str | None,
        typer.Option(
            "--score", help="Hand-made score instead of a detector; tdctl scores lists them."
        ),
    ] = None,
    denoise: Annotated[
        Path | None,
        typer.Option("--denoise", help="Folder of a denoising: also show its table and curve."),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", help="Where the run's data is now (default: as recorded)."),
    ] = None,
    max_bytes: Annotated[
        int,
        typer.Option(
            "--max-bytes",
            min=1,
            help="Largest size of the page; cards of less suspicious samples are left out.",
        ),
    ] = 10_000_000,
    max_rows: Annotated[
        int | None,
        typer.Option("--max-rows", min=1, help="Largest number of cards (default: all that fit)."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON on stdout.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print no progress on stderr.")] = False,
) -> None:
    """Write one HTML file in which people look at the worst pictures and correct labels.

    The file opens from disk and sends nothing. People save their decisions as review.csv, and
    tdctl apply-review makes a label table from it.

    Example: tdctl report --td runs/a --out report.html

    Example: tdctl report --td runs/a --score aum --max-bytes 50000000 --out report.html
    """
    untouched_by_torchrun("report")
    source = the_source(detector, score)
    from tdctl import runner

    config = moved_settings(td, data_dir, None, device)
    with shown_progress(quiet) as progress:
        result = runner.report(
            td, source, out, config=config, denoise=denoise, max_bytes=max_bytes,
            max_rows=max_rows, overwrite=overwrite, device=device, report=progress,
        )  # fmt: skip
    for note in result.notes:
        say(f"note: {note}")
    if as_json:
        print_json({"run": str(td), **_facts(result)})
    else:
        show_report(result, td)


def show_report(result: ReportResult, td: Path) -> None:
    """Prints where the page is and what to do with it."""
    stdout = console()
    stdout.print(f"report     {result.file} ({result.size / 1e6:.1f} MB)")
    if result.samples:
        stdout.print(f"cards      {result.cards:,} of {result.samples:,} samples, worst first")
        if result.flagged is not None:
            stdout.print(f"look wrong {result.flagged:,} labels")
        stdout.print("next       open the page in a browser, decide, save review.csv, and then")
        # Quoted, so that what is shown can be typed.
        whole = shlex.quote(str(td))
        stdout.print(f"           tdctl apply-review --td {whole} review.csv --out labels.csv")


def _facts(result: ReportResult) -> dict[str, object]:
    return {**asdict(result), "file": str(result.file), "notes": list(result.notes)}
