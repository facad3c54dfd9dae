"""The subcommand that trains a detector."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tdctl.cli.boundary import guarded, print_json, untouched_by_torchrun
from tdctl.cli.flags import AsJson, DryRun, Overwrite, PrintConfig, Quiet
from tdctl.cli.options import Settings, print_config_of, section, with_settings
from tdctl.cli.progress_lines import shown_progress
from tdctl.cli.show import show_plan, show_train_detector

__all__ = ["train_detector"]


@guarded
@with_settings(*section("detector"))
def train_detector(
    settings: Settings,
    td: Annotated[
        list[Path],
        typer.Option(
            "--td",
            help="Run folder whose flipped labels are known; repeatable. The last one is held out.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="Detector to write: NAME.safetensors with its card NAME.json; for the paper's "
            "network also NAME.pth.tar.",
        ),
    ],
    init_from: Annotated[
        Path | None, typer.Option("--init-from", help="Detector file to fine-tune.")
    ] = None,
    about: Annotated[
        str, typer.Option("--about", help="A description of the runs, for the detector's card.")
    ] = "",
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    print_config: PrintConfig = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Step 2: train a detector on runs whose flipped labels are known.

    Example: tdctl train-detector --td runs/a --out detectors/a.pth.tar

    Example: tdctl train-detector --td runs/a --td runs/b --detector-net gru --out detectors/ab

    Example: tdctl train-detector --td runs/a --init-from builtin --detector-net gru --width 64
    --channels context --out detectors/tuned
    """
    found = settings.resolve()
    if print_config:
        print_config_of(found)
        return
    config = found.config
    from tdctl import runner

    untouched_by_torchrun("train-detector")
    if dry_run:
        plan = runner.plan_detector(config, td, out, init_from=init_from, overwrite=overwrite)
        show_plan(plan, as_json)
        return
    with shown_progress(quiet) as report:
        result = runner.train_detector(
            config,
            td,
            out,
            init_from=init_from,
            about=about,
            overwrite=overwrite,
            report=report,
        )
    if as_json:
        print_json(
            {
                "files": [str(path) for path in result.files],
                "trained_on": result.card.trained_on,
                "held_out": result.card.held_out,
                "settings": result.card.settings,
            }
        )
    else:
        show_train_detector(result)
