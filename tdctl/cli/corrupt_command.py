"""The subcommand that writes a noisy label table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tdctl.catalogue import samples_of
from tdctl.cli.boundary import guarded, print_json, say, untouched_by_torchrun
from tdctl.cli.console import console, table_of
from tdctl.cli.flags import AsJson, Overwrite, PrintConfig
from tdctl.cli.options import DATA, NOISE, Settings, print_config_of, with_settings
from tdctl.cli.show import asked

if TYPE_CHECKING:
    from tdctl.runner import CorruptResult

__all__ = ["corrupt"]

# Up to this number of classes, the whole confusion matrix is printed.
WHOLE = 12
# The table contains all training images, so settings that drop or hold out images do not apply.
WITHOUT = {"data.num_valid", "data.valid_labels", "noise.oracle"}


@guarded
@with_settings(*(key for key in (*DATA, *NOISE) if key not in WITHOUT))
def corrupt(
    settings: Settings,
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="CSV to write: index, file_name, label, true_label (and a table's split)."
        ),
    ],
    overwrite: Overwrite = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Draw the labels, say what would be written, stop.")
    ] = False,
    print_config: PrintConfig = False,
    as_json: AsJson = False,
) -> None:
    """Write a table of noisy labels, for other tools or for --labels; train nothing.

    generate-td would make the same labels with the same settings and seeds. Use the table with
    --labels FILE --true-column true_label. If your own table has splits, the new table has the
    same splits.

    Example: tdctl corrupt --dataset folder --data-dir photos --noise-ratio 0.2 --out noisy.csv
    """
    found = settings.resolve()
    config = found.config
    if print_config:
        print_config_of(found)
        return
    from tdctl import runner

    untouched_by_torchrun("corrupt")
    result = runner.corrupt_labels(config, out, overwrite=overwrite, dry_run=dry_run)
    for note in result.notes:
        say(f"note: {note}")
    if as_json:
        print_json(result.report())
    else:
        _show(result, out)


def _show(result: CorruptResult, out: Path) -> None:
    """Prints the rates, and the confusion matrix (with many classes, only its largest pairs)."""
    given, names = result.given, result.class_names
    confusion, flipped = given.confusion, int(given.labels.flipped.sum())
    stdout = console()
    count = f"{len(given.labels)} {samples_of(result.dataset)}"
    stdout.print(f"data       {result.dataset}: {count}, {len(names)} classes")
    stdout.print(
        f"noise      {asked(given.noise)}{confusion.expected_rate:.2%} expected, "
        f"{flipped} labels flipped ({confusion.realised_rate:.2%})"
    )
    stdout.print(f"{'table' if result.file else 'would write':<10} {out}")
    if len(names) <= WHOLE:
        title = "labels by true (rows) and given class (columns), expected in brackets"
        table = table_of(["", *names], right=names, title=title)
        cells = [["-"] * len(names) for _ in names]
        columns = (confusion.true, confusion.given, confusion.count, confusion.expected)
        for true, label, count, expected in zip(*columns, strict=True):
            cells[true][label] = f"{count} ({expected:.0f})"
        for name, row in zip(names, cells, strict=True):
            table.add_row(name, *row)
    else:
        headers = ("true label", "given label", "labels", "expected")
        table = table_of(headers, right=headers[2:], title="the most frequent flips")
        for at in confusion.largest_flips(10):
            pair = (names[confusion.true[at]], names[confusion.given[at]])
            table.add_row(*pair, str(confusion.count[at]), f"{confusion.expected[at]:.1f}")
    stdout.print(table)
