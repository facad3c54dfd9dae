"""The subcommand that makes people's decisions a label table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tdctl.catalogue import samples_of
from tdctl.cli.boundary import guarded, print_json, say, untouched_by_torchrun
from tdctl.cli.clean_command import moved_settings, next_training
from tdctl.cli.console import console
from tdctl.cli.flags import Run

if TYPE_CHECKING:
    from tdctl.config import Config
    from tdctl.runner import ReviewResult

__all__ = ["apply_review"]


@guarded
def apply_review(
    reviews: Annotated[
        list[Path],
        typer.Argument(
            metavar="REVIEW.csv...",
            help="One or several review.csv files of the report, with the columns index, "
            "file_name, given_label, decision (keep, relabel, drop or unsure), new_label.",
            show_default=False,
        ),
    ],
    td: Run,
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="CSV to write, with the columns index, file_name, label, action."
        ),
    ],
    copy_to: Annotated[
        Path | None,
        typer.Option(
            "--copy-to",
            help="Also copy the pictures of an image folder into this new folder, each into the "
            "folder of its decided class. Nothing is moved or deleted.",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", help="Where the run's data lies now (default: as recorded)."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="Where the run's label table lies now, if it had one."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the table --out.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, say what would be written, stop.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON on stdout.")
    ] = False,
) -> None:
    """Write a table of a run's labels, corrected by the decisions that people made in the report.

    The table has all images except the dropped ones. Train on it with --labels FILE.

    Example: tdctl apply-review --td runs/a review.csv --out labels.csv

    Example: tdctl apply-review --td runs/a ann.csv bob.csv --out labels.csv --copy-to corrected
    """
    untouched_by_torchrun("apply-review")
    from tdctl import runner

    config = moved_settings(td, data_dir, labels)
    result = runner.apply_review(
        config, td, reviews, out, copy_to=copy_to, overwrite=overwrite, dry_run=dry_run
    )
    for note in result.notes:
        say(f"note: {note}")
    if as_json:
        print_json(result.report())
    else:
        _show(result, config, out)


def _show(result: ReviewResult, config: Config | None, out: Path) -> None:
    """Prints what became of the labels, and how the table is used."""
    stdout, counts = console(), result.counts
    decided = sum(counts.values())
    files = len(result.reviews)
    kind = samples_of("" if config is None else config.data.dataset)
    stdout.print(f"decided    {decided} {kind} in {files} review{'s' * (files > 1)}")
    same = counts["relabel"] - result.changed
    alike = f"; {same} more have that label already" if same else ""
    stdout.print(f"relabelled {result.changed}{alike}")
    stdout.print(f"dropped    {counts['drop']}")
    stdout.print(f"kept       {counts['keep']}, and {counts['unsure']} that are unsure")
    if result.undecided:
        stdout.print(f"undecided  {result.undecided} rows without a decision")
    wrote = result.file is not None
    stdout.print(f"{'table' if wrote else 'would write':<10} {out}: {len(result.table)} rows")
    if (plan := result.copies) is not None:
        other = f", {plan.renamed} under another name" if plan.renamed else ""
        what = "copied" if wrote else "would copy"
        stdout.print(f"{what:<10} {plan.target}: {len(plan.pairs)} files{other}")
    if config is not None and wrote:
        stdout.print(f"next       {next_training(config, result.one_list, out)}")
