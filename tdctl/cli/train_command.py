"""The subcommand that trains on labels that are partly wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tdctl.cli.boundary import guarded, print_json, say, untouched_by_torchrun
from tdctl.cli.console import console
from tdctl.cli.flags import AsJson, DryRun, Overwrite, PrintConfig, Quiet, Resume, check_one_way
from tdctl.cli.options import DATA, NET, NOISE, Settings, print_config_of, section, with_settings
from tdctl.cli.progress_lines import shown_progress
from tdctl.cli.show import show_plan
from tdctl.cli.suited_settings import SuitedSettings

if TYPE_CHECKING:
    from tdctl.runner import GenerateResult

__all__ = ["train"]


@guarded
@with_settings("recipe", *DATA, *NOISE, *NET, *section("robust"))
def train(
    settings: Settings,
    td: Annotated[
        Path | None,
        typer.Option("--td", help="Run folder of generate-td; train on its data and its labels."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Run folder to write (default: beside --td, else in --root)."),
    ] = None,
    root: Annotated[Path, typer.Option("--root", help="Folder for default run folders.")] = Path(
        "replication"
    ),
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    print_config: PrintConfig = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a classifier on partly wrong labels by SSR, DivideMix, AugDesc, or plain training.

    It writes a run folder like that of generate-td. detect and denoise also work on this folder.

    Example: tdctl train --algorithm ssr --dataset folder --data-dir photos --image-size 64 --out a

    Example: tdctl train --algorithm dividemix --td runs/mine --epochs 60

    Example: tdctl train --td runs/mine --split-from worst.csv --split-ratio 0.2
    """
    check_one_way(resume, overwrite)
    untouched_by_torchrun("train")
    from tdctl import runner

    folder = out
    if resume:
        if folder is None:
            folder = runner.default_training(_begun(settings, td, True).resolved.config, td, root)
        begun = runner.settings_to_resume(folder)
        suited = SuitedSettings.going_on(settings, begun, folder, shown=print_config)
    else:
        suited = _begun(settings, td, print_config)
    suited.tell(timed=False)
    config = suited.resolved.config
    if print_config:
        print_config_of(suited.resolved)
        return
    folder = folder if folder is not None else runner.default_training(config, td, root)
    ways: dict[str, Any] = {"td": td, "resume": resume, "overwrite": overwrite}
    if dry_run:
        show_plan(runner.plan_train(config, folder, **ways), as_json)
        return
    from tdctl.training import tune_process

    tune_process()
    with shown_progress(quiet) as report:
        result = runner.train(config, folder, report=report, **ways)
    for note in result.notes:
        say(f"note: {note}")
    if as_json:
        print_json({"folder": str(result.folder), **result.manifest})
    else:
        _show(result)


def _begun(settings: Settings, td: Path | None, shown: bool) -> SuitedSettings:
    """The settings of a new training; with ``--td``, they override those of the run."""
    if td is None:
        return SuitedSettings.of(settings, shown=shown)
    from tdctl import runner

    if settings.names_data():
        raise typer.BadParameter(
            "give either --td, whose data are used, or --dataset and --data-dir"
        )
    return SuitedSettings.of(settings, runner.settings_to_train_on(td), ("data", "noise"), shown)


def _show(result: GenerateResult) -> None:
    """Prints the errors of the classifier, and what happened to the labels."""
    manifest, stdout = result.manifest, console()
    data = manifest["dataset"]
    stdout.print(f"run        {result.folder}")
    stdout.print(
        f"data       {data['name']}: {data['train']} train, {data['valid']} held out, "
        f"{data['test']} test, {len(data['class_names'])} classes"
    )
    stdout.print(f"algorithm  {manifest['algorithm']}{_chosen(manifest['chosen'])}")
    if manifest["kept_last"] is not None:
        right = manifest["labels_right_last"]
        known = "" if right is None else f"; {right:.2%} of the labels it trains on are right"
        stdout.print(
            f"labels     {manifest['kept_last']:.1%} kept, {manifest['relabelled_last']:.1%} "
            f"relabelled in the last epoch{known}"
        )
    last, mean = manifest["test_error_last"], manifest["test_error_mean_of_last_10"]
    best = manifest["test_error_best"]
    errors = (
        "unknown, there are no test images"
        if last is None
        else f"{_percent(last)} at the last epoch, {_percent(mean)} as the mean of the last ten"
    )
    chosen = "" if best is None else f", {_percent(best)} at the best epoch by held-out images"
    stdout.print(f"test error {errors}{chosen}")
    stdout.print(
        f"time       {manifest['seconds']:.0f} s for {manifest['epochs']} epochs "
        f"on {manifest['device']}"
    )


def _chosen(facts: dict[str, Any]) -> str:
    """The settings that the algorithm chose itself, in words."""
    return "".join(
        f", {name.replace('_', ' ')} {value:.3g}"
        for name, value in facts.items()
        if value is not None
    )


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.2%}"
