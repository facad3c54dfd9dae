"""The subcommand that compares scores and detectors over runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tdctl.cli.boundary import guarded, print_json, say, untouched_by_torchrun
from tdctl.cli.console import console, table_of
from tdctl.cli.flags import BUILTIN, AsJson, Device, Quiet

if TYPE_CHECKING:
    from rich.table import Table

    from tdctl.bootstrap import Figure
    from tdctl.runner import Compared, ComparedRow, Source

__all__ = ["compare"]

ALL, NONE = "all", "none"
# Marks by whether a detector was trained on the run.
MARKS = {True: " *", False: "", None: " ?"}
NAMED = "score or detector"
HEADERS = {
    "auc": "AUC",
    "ap": "AP (mAP)",
    "f1": "F1 at the realised rate",
    "top1": "worst 1%",
    "top5": "worst 5%",
    "top10": "worst 10%",
}


@guarded
def compare(
    td: Annotated[list[Path], typer.Option("--td", help="Run folder; repeatable.")],
    detector: Annotated[
        list[Path] | None,
        typer.Option(
            "--detector",
            help="Detector file, or a shipped one; repeatable (default: builtin, together with "
            "all scores).",
        ),
    ] = None,
    score: Annotated[
        list[str] | None,
        typer.Option(
            "--score",
            help="Hand-made score (repeatable), all, or none. tdctl scores lists the scores "
            "(default: all scores for which a run has the data).",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for compare.json, compare.csv and the plots; an existing table is "
            "extended.",
        ),
    ] = None,
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=0, help="Resamples for each interval; 0 gives none.")
    ] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the resamples.")] = 0,
    plots: Annotated[
        bool,
        typer.Option("--plots/--no-plots", help="Draw plots."),
    ] = True,
    device: Device = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Compute all rows again.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare scores and detectors on runs whose flipped labels are known.

    Example: tdctl compare --td runs/a

    Example: tdctl compare --td runs/a --td runs/b --detector detectors/c.pth.tar --out table
    """
    untouched_by_torchrun("compare")
    from tdctl import runner
    from tdctl.detector import shipped_detectors
    from tdctl.scores import SCORES, find_score

    if not score and not detector and shipped_detectors():
        detector = [BUILTIN]
    names = [ALL] if not score else [name for name in score if name != NONE]
    every = ALL in names
    named = [find_score(name).name for name in names if name != ALL]
    chosen = list(SCORES) if every else named
    sources: list[Source] = [SCORES[name] for name in dict.fromkeys(chosen)]
    result = runner.compare(
        td,
        [*sources, *(detector or [])],
        leave_out=every,
        out=out,
        bootstrap=bootstrap,
        seed=seed,
        plots=plots,
        overwrite=overwrite,
        device=device,
        told=None if quiet else say,
    )
    if as_json:
        print_json({**result.to_dict(), "files": [str(path) for path in result.files]})
    else:
        _show(result)


def _show(result: Compared) -> None:
    shown = console()
    for run in dict.fromkeys(row.run for row in result.rows):
        rows = [row for row in result.rows if row.run == run]
        shown.print(f"run        {run}: {rows[0].samples} samples, {rows[0].epochs} epochs")
        if rows[0].realised_rate is None:
            shown.print("metrics    none: no label of this run is known to be wrong")
        else:
            shown.print(f"flipped    {rows[0].realised_rate:.2%} of the labels")
        shown.print(_grid(rows))
        for row in rows:
            if row.left_out is not None:
                shown.print(f"left out   {row.left_out}")
    if len({row.run for row in result.rows}) > 1 and result.means:
        shown.print(_by_run(result))
        shown.print(_means(result))
        if len({mean.runs for mean in result.means}) > 1:
            shown.print("           means over fewer runs come last; do not compare them")
    if any(row.in_sample for row in result.rows):
        shown.print("*          in-sample: trained on this run; not in the means")
    if any(row.in_sample is None for row in result.rows):
        shown.print("?          its file does not say whether it was trained on this run")
    if result.bootstrap:
        shown.print(
            f"intervals  95 % of {result.bootstrap} resamples of the rows, seed {result.seed}"
        )
    for path in result.files:
        shown.print(f"written    {path}")


def _grid(rows: list[ComparedRow]) -> Table:
    headers = (*HEADERS.values(), "seconds")
    grid = table_of([NAMED, *headers], right=headers)
    ranked = sorted(rows, key=lambda row: -row.figures["ap"].value if row.figures else 1.0)
    for row in ranked:
        if row.left_out is not None:
            continue
        figures = row.figures or {}
        cells = [_cell(figures.get(name), name == "ap") for name in HEADERS]
        grid.add_row(row.name + MARKS[row.in_sample], *cells, f"{row.seconds:.2f}")
    return grid


def _by_run(result: Compared) -> Table:
    """The APs: one row for each score or detector, one column for each run."""
    runs = list(dict.fromkeys(row.run for row in result.rows))
    grid = table_of([NAMED, *runs], right=runs, title="AP of each run")
    found = {(row.name, row.run): row for row in result.rows}
    for name in _best_first(result):
        cells = []
        for run in runs:
            row = found.get((name, run))
            figures = row.figures if row else None
            mark = MARKS[row.in_sample] if row and figures else ""
            cells.append(_cell(figures["ap"] if figures else None, interval=False) + mark)
        grid.add_row(name, *cells)
    return grid


def _best_first(result: Compared) -> list[str]:
    """Names by falling mean AP; those with fewer runs come last."""
    aps = {mean.name: (-mean.runs, -mean.mean) for mean in result.means if mean.figure == "ap"}
    return sorted(aps, key=lambda name: aps[name])


def _cell(figure: Figure | None, interval: bool) -> str:
    if figure is None:
        return "-"
    if not interval or figure.low is None:
        return f"{figure.value:.4f}"
    return f"{figure.value:.4f} [{figure.low:.4f}, {figure.high:.4f}]"


def _means(result: Compared) -> Table:
    headers = (*HEADERS.values(), "runs")
    title = "mean over the runs ± half of the range"
    grid = table_of([NAMED, *headers], right=headers, title=title)
    found = {(mean.name, mean.figure): mean for mean in result.means}
    for name in _best_first(result):
        cells = [found[name, figure] for figure in HEADERS]
        grid.add_row(
            name,
            *(f"{cell.mean:.4f} ± {cell.half_range:.4f}" for cell in cells),
            str(cells[0].runs),
        )
    return grid
