"""The subcommand that drops, relabels or reweights what a ranking flags, and retrains."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tdctl.cli.boundary import guarded, joined, print_json, say
from tdctl.cli.flags import (
    WAYS,
    AsJson,
    BelowFloor,
    ConfidenceFloor,
    DetectorFile,
    DryRun,
    KeepPerClass,
    Overwrite,
    PrintConfig,
    Quiet,
    RelabelWith,
    Resume,
    Runs,
    ScoreName,
    check_one_way,
    the_source,
)
from tdctl.cli.options import DATA, NET, Settings, print_config_of, section, with_settings
from tdctl.cli.progress_lines import shown_progress
from tdctl.cli.report_option import ReportFile, check_report_file, report_beside
from tdctl.cli.show_denoise import show_denoise
from tdctl.cli.suited_settings import SuitedSettings
from tdctl.errors import ConfigError

__all__ = ["denoise"]


@guarded
@with_settings(*(key for key in DATA if key != "data.num_valid"), *NET, *section("retrain"))
def denoise(
    settings: Settings,
    td: Runs,
    remove_ratio: Annotated[
        list[str] | None,
        typer.Option(
            "--remove-ratio",
            help="Share to drop or relabel, in [0, 1), or auto: the estimated share of wrong "
            f"labels ({WAYS}); repeatable. With --action reweight it is the share of wrong labels "
            "that the weights assume, needed if the ranking gives no P(mislabeled). Most default "
            "rankings give none; --detector builtin does.",
        ),
    ] = None,
    action: Annotated[
        str,
        typer.Option(
            "--action",
            help="What happens to the flagged images: prune drops them, relabel gives them a new "
            "label, reweight drops none and multiplies the loss of each image by "
            "1 - P(mislabeled).",
        ),
    ] = "prune",
    relabel_by: RelabelWith = None,
    confidence_floor: ConfidenceFloor = None,
    below: BelowFloor = None,
    rounds: Annotated[
        int,
        typer.Option(
            "--rounds",
            help="How often to record and rank before the retraining. Each further round records "
            "the run again without the flagged images, predicts these, and ranks all again.",
        ),
    ] = 1,
    keep_per_class: KeepPerClass = None,
    detector: DetectorFile = None,
    score: ScoreName = None,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines",
            help="Also train on all labels, on random removals, on the truly clean subset, and "
            "with --action relabel on the true labels.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder of the retrainings (default: next to the run, named after it)."
        ),
    ] = None,
    report_to: ReportFile = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    print_config: PrintConfig = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Step 3: drop or relabel the worst-ranked share, retrain a new network, compare.

    The data set and the labels come from the (first) run. Settings such as --epochs and --lr apply
    to the retraining.

    Example: tdctl denoise --td runs/a --detector detectors/b.pth.tar --remove-ratio 0.2

    Example: tdctl denoise --td runs/a --remove-ratio auto --action relabel --baselines

    Example: tdctl denoise --td runs/a --action reweight
    """
    check_one_way(resume, overwrite)
    source = the_source(detector, score)
    if not remove_ratio and action in {"prune", "relabel"}:
        raise typer.BadParameter("Missing option '--remove-ratio'.")
    from tdctl import runner

    cleaning = runner.cleaning_of(action, relabel_by, confidence_floor, below)

    base = runner.settings_of_run(td[0])
    if base is None and not settings.names_data():
        raise ConfigError(
            f"{td[0]}: holds no config.yaml of tdctl; name the data it was made from with "
            "--dataset and --data-dir"
        )
    # A run of another program used no recipe of ours, so the paper's values are the defaults.
    base = {"recipe": None} if base is None else base
    suited = SuitedSettings.of(settings, base, runner.PINNED, shown=print_config)
    suited.tell(timed=False)
    found = suited.resolved
    if resume:
        place = out if out is not None else runner.default_denoising(td, found.config.seed)
        own = runner.denoising_to_resume(place)
        found = found if own is None else settings.resolve(own, runner.PINNED)
    if print_config:
        print_config_of(found)
        return
    config = found.config
    check_report_file(td, report_to, overwrite)
    if runner.without_test_images(td[0]):
        say(
            f"note: the run {td[0]} has no test images, so the table will have no test error; to "
            "get one, put images with right labels into a folder test (or give --test-share), and "
            "record again"
        )
    with joined(config.device) as world, shown_progress(quiet or not world.is_first) as report:
        result = runner.denoise(
            config,
            td,
            source,
            remove_ratio or [],
            cleaning=cleaning,
            rounds=rounds,
            keep_per_class=keep_per_class,
            baselines=baselines,
            out=out,
            resume=resume,
            overwrite=overwrite,
            dry_run=dry_run,
            report=report,
            world=world,
        )
    for note in result.notes:
        say(f"note: {note}")
    if not world.is_first:
        return
    if as_json:
        print_json(runner.denoise_report(result))
    else:
        show_denoise(result, dry_run)
    if not dry_run:
        table = None if result.file is None else result.file.parent
        report_beside(result.detection, report_to, overwrite, table)
