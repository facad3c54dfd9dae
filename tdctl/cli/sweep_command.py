"""The subcommand that trains many rows and writes one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tdctl.cli.boundary import guarded, print_json, say, untouched_by_torchrun
from tdctl.cli.console import console, table_of
from tdctl.cli.flags import AsJson, DryRun, Quiet
from tdctl.cli.progress_lines import shown_progress
from tdctl.errors import RunError

if TYPE_CHECKING:
    from tdctl.runner import SweepProgress, SweepResult

__all__ = ["sweep"]


@guarded
def sweep(
    config: Annotated[
        Path, typer.Argument(help="YAML file of the sweep: settings, noises, seeds, rows.")
    ],
    out: Annotated[
        Path,
        typer.Option("--out", help="Folder of the recordings, the rows and the tables."),
    ],
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting for all runs, as section.key=value; repeatable."),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train over noises, seeds, rankers, remove ratios, cleanings and algorithms; write a table.

    Rows with a result are not trained again: run the same command again to continue. Several
    processes may work in one folder at the same time. docs/sweeps.md describes the file.

    Example: tdctl sweep configs/sweeps/digits.yaml --out sweeps/digits

    Example: tdctl sweep my.yaml --out sweeps/mine --set data.data_dir=photos --dry-run
    """
    untouched_by_torchrun("sweep")
    from tdctl import runner
    from tdctl.sweeping import read_sweep

    described = read_sweep(config, assignments or ())
    if dry_run:
        _show_plan(runner.plan_sweep(described, out), as_json)
        return
    from tdctl.training import tune_process

    tune_process()
    with shown_progress(quiet) as report:
        told = None if quiet else _tell
        result = runner.sweep(described, out, report=report, told=told)
    if as_json:
        files = [str(path) for path in result.files]
        print_json({**result.table.to_dict(), "files": files})
    else:
        _show(result)
    if left_out := result.table.left_out:
        say(
            f"note: {len(left_out)} controls are left out, because no label is known to be wrong; "
            f"the first one is {left_out[0]}"
        )
    if failed := result.table.failed:
        name, why = next(iter(failed.items()))
        more = "" if len(failed) == 1 else f" ({len(failed)} such)"
        raise RunError(f"{name}: {why}{more}; run the same command to try again")


def _tell(progress: SweepProgress) -> None:
    outcome = progress.outcome
    if isinstance(outcome, float):
        outcome = f"test error {outcome:.2%}"
    left = "" if progress.seconds_left is None else f", about {_time(progress.seconds_left)} left"
    say(
        f"row {progress.done} of {progress.rows}: {progress.row.name}: {outcome or 'no test set'}"
        f"{left if progress.done < progress.rows else ''}"
    )


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _show_plan(plan: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(plan)
        return
    for name in plan["rows"]:
        console().print(name)
    say(
        f"{len(plan['recordings'])} recordings and {len(plan['rows'])} rows; {plan['done']} rows "
        "have a result and are not trained again"
    )


def _show(result: SweepResult) -> None:
    """Prints the means over the seeds."""
    from tdctl.sweeping import records

    stdout = console()
    headers = ["noise left", "test error", "sd", "last ten", "gap closed", "seeds"]
    summary = records(result.table.summary)
    for noise in dict.fromkeys(row["noise"] for row in summary):
        grid = table_of(["trained on", "algorithm", *headers], right=headers, title=noise)
        for row in summary:
            if row["noise"] == noise:
                grid.add_row(
                    _trained_on(row),
                    row["algorithm"],
                    _percent(row["noise_after"]),
                    _percent(row["test_error_last"]),
                    _percent(row["sd"]),
                    _percent(row["test_error_mean_of_last_10"]),
                    _percent(row["gap_closed"], 0),
                    str(row["seeds"]),
                )
        stdout.print(grid)
    for path in result.files:
        stdout.print(f"written    {path}")


def _trained_on(row: dict[str, Any]) -> str:
    detector = row["detector"]
    parts = [row["labels"], row["remove_ratio"], None if detector is None else f"by {detector}"]
    equal = "equal steps" if row["equal"] == "steps" else None
    floor = row["confidence_floor"]
    parts += [row["relabel_by"], None if floor is None else f"floor {floor:g}", row["below"]]
    return " ".join(str(part) for part in (*parts, equal) if part is not None)


def _percent(share: float | None, digits: int = 2) -> str:
    return "-" if share is None else f"{share:.{digits}%}"
