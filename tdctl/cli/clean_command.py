"""The subcommand that writes a label table without the flagged labels."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tdctl.catalogue import samples_of
from tdctl.cli.boundary import guarded, print_json, say, untouched_by_torchrun
from tdctl.cli.console import console
from tdctl.cli.flags import (
    WAYS,
    AsJson,
    BelowFloor,
    ConfidenceFloor,
    DetectorFile,
    Device,
    KeepPerClass,
    Overwrite,
    Quiet,
    RelabelWith,
    Runs,
    ScoreName,
    the_source,
)
from tdctl.cli.progress_lines import shown_progress
from tdctl.cli.show import percent
from tdctl.cli.show_denoise import show_most_lost
from tdctl.config.data import default_test_share

if TYPE_CHECKING:
    from tdctl.config import Config
    from tdctl.runner import CleanResult

__all__ = ["clean", "moved_settings", "next_training"]


@guarded
def clean(
    td: Runs,
    remove_ratio: Annotated[
        str,
        typer.Option(
            "--remove-ratio",
            help="Share to flag, in [0, 1), or auto: the estimated share of wrong labels "
            f"({WAYS}).",
        ),
    ],
    action: Annotated[
        str,
        typer.Option(
            "--action",
            help="What to do with the flagged images: drop removes their rows, relabel gives them "
            "the suggested label, if its probability is high enough.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="File to write. A CSV has the columns index, file_name, label, action."
        ),
    ],
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="csv; json, a flat list of class numbers; or metadata, the metadata.csv that "
            "Hugging Face's imagefolder reads (default: by the name of --out).",
        ),
    ] = None,
    relabel_by: RelabelWith = None,
    confidence_floor: ConfidenceFloor = None,
    below: BelowFloor = None,
    detector: DetectorFile = None,
    score: ScoreName = None,
    keep_per_class: KeepPerClass = None,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", help="Where the run's data is now (default: as recorded)."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="Where the run's label table is now, if it had one."),
    ] = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Rank, say what would be written, stop.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write the labels of a run's images, with the flagged ones dropped or relabelled.

    The table also has the held-out images, with their labels unchanged. Use it with generate-td
    --labels FILE, which leaves out the dropped images.

    Example: tdctl clean --td runs/a --remove-ratio auto --action drop --out clean.csv

    Example: tdctl clean --td runs/a --score aum --remove-ratio 0.05 --action relabel --out l.csv
    """
    untouched_by_torchrun("clean")
    source = the_source(detector, score)
    from tdctl import runner

    config = moved_settings(td[0], data_dir, labels, device)
    with shown_progress(quiet) as report:
        result = runner.clean(
            config,
            td,
            source,
            remove_ratio,
            action,
            out,
            relabel_by=relabel_by,
            confidence_floor=confidence_floor,
            below=below,
            file_format=file_format,
            keep_per_class=keep_per_class,
            overwrite=overwrite,
            dry_run=dry_run,
            report=report,
        )
    for note in (*result.detection.notes, *result.notes):
        say(f"note: {note}")
    if as_json:
        print_json(result.report())
    else:
        _show(result, config, out)


def moved_settings(
    run: Path, data_dir: Path | None, labels: Path | None, device: str = "auto"
) -> Config | None:
    """The settings of a run, with the new place of its data; None if the run has no settings.

    Raises:
        typer.BadParameter: a new place is given, and the run has no settings.
    """
    from tdctl import runner
    from tdctl.settings import load_config

    base = runner.settings_of_run(run)
    moved = {"data.data_dir": data_dir, "data.labels": labels}
    given = {key: str(value) for key, value in moved.items() if value is not None}
    if base is not None:
        return load_config(None, {**given, "device": device}, base)
    if given:
        raise typer.BadParameter(
            f"{run} holds no settings of tdctl: leave out --data-dir and --labels"
        )
    return None


def _show(result: CleanResult, config: Config | None, out: Path) -> None:
    """Prints what happened to the labels, and how to use the table."""
    flagged, stdout = int(result.flagged.rows.sum()), console()
    kind = samples_of("" if config is None else config.data.dataset)
    stdout.print(f"ranked     {len(result.detection.labels)} of {_rows(result)} {kind}")
    if result.action == "drop":
        stdout.print(f"dropped    {result.dropped}, the flagged ones")
    else:
        right = "" if result.right is None else f", {result.right} of them with the true label"
        stdout.print(f"relabelled {result.relabelled} of {flagged} flagged{right}{_others(result)}")
    if result.wrong is not None and result.noise is not None:
        (before, after), (share, now) = result.wrong, result.noise
        stdout.print(
            f"wrong      {before} labels of ranked {kind} before ({share:.2%}), {after} after "
            f"({percent(now)})"
        )
    if result.classes:
        show_most_lost(stdout, result.classes)
    stdout.print(f"{'table' if result.file else 'would write':<10} {out}: {len(result.table)} rows")
    # imagefolder's file has no column that says which images were dropped.
    if config is not None and result.file is not None and result.format != "metadata":
        stdout.print(f"next       {next_training(config, result.one_list, out)}")


def _others(result: CleanResult) -> str:
    """What became of the flagged images that were not relabelled, in words."""
    if result.dropped:
        return (
            f"; {result.dropped} dropped, because no new label reaches the floor "
            "(see --confidence-floor)"
        )
    same = int(result.flagged.rows.sum()) - result.relabelled
    return f"; {same} more keep their label" if same else ""


def _rows(result: CleanResult) -> int:
    return len(result.table) + result.dropped


def next_training(config: Config, one_list: bool, out: Path) -> str:
    """The command that trains on the table, with the same images and the same held-out images."""
    data, words = config.data, ["tdctl", "generate-td", "--dataset", config.data.dataset]
    if data.data_dir is not None or data.dataset == "table":
        words += ["--data-dir", str(data.root)]
    if one_list and data.dataset != "table":
        # Other labels do not change the split: it is drawn by the labels of the data set itself.
        if data.test_share != default_test_share(data.dataset):
            words += ["--test-share", f"{data.test_share:g}"]
        if config.split_seed:
            words += ["--split-seed", str(config.split_seed)]
    if data.limit is not None and data.dataset != "table":
        words += ["--limit", str(data.limit)]
    if data.image_size is not None:
        words += ["--image-size", str(data.image_size)]
    if config.net.starts_trained:
        net = config.net
        words += ["--recipe", config.recipe or "finetune", "--net-type", net.net_type]
        words += ["--pretrained", str(net.pretrained)]
    return shlex.join([*words, "--labels", str(out)]) + " ..."
