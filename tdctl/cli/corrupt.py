"""The subcommand that writes a noisy label table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tdctl.cli.boundary import guarded, print_json, untouched_by_torchrun
from tdctl.cli.options import DATA, NOISE, Settings, with_settings
from tdctl.cli.show import show_corrupt

__all__ = ["corrupt"]

# A table holds all training images: what drops or holds out some of them has no say.
WITHOUT = {"data.num_valid", "data.valid_labels", "noise.oracle"}


@guarded
@with_settings(*(key for key in (*DATA, *NOISE) if key not in WITHOUT))
def corrupt(
    settings: Settings,
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="CSV to write: index, file_name, label, true_label (a table's split too)."
        ),
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Draw, say what would be written, stop.")
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the resolved settings as YAML and stop.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON on stdout.")
    ] = False,
) -> None:
    """Write a table of noisy labels, for other tools or for --labels, and train nothing.

    The labels are those that generate-td gives with the same settings and seeds. The table goes
    back in with --labels FILE --true-column true_label; of a table with splits it has them too.

    Example: tdctl corrupt --dataset folder --data-dir photos --noise-ratio 0.2 --out noisy.csv
    """
    config = settings.resolve()
    if print_config:
        typer.echo(config.to_yaml(), nl=False)
        return
    from tdctl import runner

    untouched_by_torchrun("corrupt")
    result = runner.corrupt_labels(config, out, overwrite=overwrite, dry_run=dry_run)
    if as_json:
        print_json(result.report())
    else:
        show_corrupt(result, out)
