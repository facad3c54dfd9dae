"""The subcommand that records the training dynamics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tdctl.cli.boundary import guarded, joined, print_json, say
from tdctl.cli.flags import AsJson, DryRun, Overwrite, PrintConfig, Quiet, Resume, check_one_way
from tdctl.cli.options import DATA, NET, NOISE, Settings, print_config_of, section, with_settings
from tdctl.cli.progress_lines import shown_progress
from tdctl.cli.show import show_generate, show_plan
from tdctl.cli.suited_settings import SuitedSettings

__all__ = ["generate_td"]


@guarded
@with_settings("recipe", *DATA, *NOISE, *NET, *section("train"))
def generate_td(
    settings: Settings,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Run folder to write (default: the paper's name under --root)."),
    ] = None,
    root: Annotated[Path, typer.Option("--root", help="Folder for default run folders.")] = Path(
        "replication"
    ),
    log_with: Annotated[
        str | None,
        typer.Option(
            "--log-with",
            help="tensorboard: also write a TensorBoard log, into OUT/tensorboard (needs the extra "
            "tensorboard).",
        ),
    ] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    print_config: PrintConfig = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Step 1: train a classifier and record every sample's softmax at every epoch.

    Example: tdctl generate-td --dataset folder --data-dir photos --image-size 64 --out runs/a

    Example of a second round, without the most suspicious samples of the first:

    tdctl detect --td runs/a --out worst.csv

    tdctl generate-td --dataset folder --data-dir photos --image-size 64 --leave-out worst.csv
    --out runs/b
    """
    check_one_way(resume, overwrite)
    from tdctl import runner

    folder = out
    if resume:
        folder = out if out is not None else _default_folder(settings, root)
        begun = runner.settings_to_resume(folder)
        suited = SuitedSettings.going_on(settings, begun, folder, shown=print_config)
    else:
        suited = SuitedSettings.of(settings, shown=print_config)
    config = suited.resolved.config
    suited.tell(timed=not print_config)
    if print_config:
        print_config_of(suited.resolved)
        return
    folder = folder if folder is not None else runner.default_folder(config, root)
    if dry_run:
        plan = runner.plan_generate(config, folder, resume=resume, overwrite=overwrite)
        show_plan(plan, as_json)
        return
    with joined(config.device) as world, shown_progress(quiet or not world.is_first) as report:
        result = runner.generate_td(
            config,
            folder,
            resume=resume,
            overwrite=overwrite,
            log_with=log_with,
            report=report,
            world=world,
        )
    for note in result.notes:
        say(f"note: {note}")
    if not world.is_first:
        return
    if as_json:
        print_json({"folder": str(result.folder), **result.manifest})
    else:
        show_generate(result)


def _default_folder(settings: Settings, root: Path) -> Path:
    from tdctl import runner

    return runner.default_folder(settings.resolve().config, root)
