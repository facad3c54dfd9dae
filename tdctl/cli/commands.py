"""The subcommands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tdctl.cli.boundary import (
    guarded,
    joined,
    print_json,
    say,
    stop_on_sigterm,
    untouched_by_torchrun,
)
from tdctl.cli.cache import cache
from tdctl.cli.clean import clean
from tdctl.cli.compare import compare
from tdctl.cli.corrupt import corrupt
from tdctl.cli.datasets import datasets
from tdctl.cli.detect import WAYS, DetectorFile, KeepPerClass, Runs, detect, the_source
from tdctl.cli.detectors import detectors
from tdctl.cli.export import export
from tdctl.cli.options import (
    DATA,
    NET,
    NOISE,
    Settings,
    print_config_of,
    section,
    with_settings,
)
from tdctl.cli.output import in_utf8, let_all_text_through
from tdctl.cli.progress import shown_progress
from tdctl.cli.recipes import recipes
from tdctl.cli.scores import scores
from tdctl.cli.show import show_denoise, show_generate, show_plan, show_train_detector
from tdctl.config import Config
from tdctl.errors import ConfigError
from tdctl.processors import tune_environment

__all__ = ["app", "main"]

app = typer.Typer(
    name="tdctl",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Find the wrong labels in an image data set by watching a network train on it.\n\n"
    "Three steps: generate-td records how a network learns each sample, train-detector learns "
    "what the curve of a wrong label looks like (detect ranks by it), denoise drops the worst "
    "and retrains.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on with an unfinished run, by its own settings where none are given."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check, say what would be done, stop.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")]
PrintConfig = Annotated[
    bool, typer.Option("--print-config", help="Print the resolved settings as YAML and stop.")
]


@app.callback(invoke_without_command=True)
def _root(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if show_version:
        from importlib.metadata import version

        typer.echo(f"tdctl {version('tdctl')}")
        raise typer.Exit


@app.command("generate-td")
@guarded
@with_settings("recipe", *DATA, *NOISE, *NET, *section("train"))
def generate_td(
    settings: Settings,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Run folder to write (default: the paper's name under --root)."),
    ] = None,
    root: Annotated[Path, typer.Option("--root", help="Where default folders go.")] = Path(
        "replication"
    ),
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    print_config: PrintConfig = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Step 1: train a classifier and record every sample's softmax at every epoch.

    Example: tdctl generate-td --dataset folder --data-dir photos --image-size 64 --out runs/a

    Example of a second round, without the surest errors of the first:

    tdctl detect --td runs/a --out worst.csv

    tdctl generate-td --dataset folder --data-dir photos --image-size 64 --leave-out worst.csv
    --out runs/b
    """
    _check_one_way(resume, overwrite)
    config, folder = _going_on(settings, out, root) if resume else (settings.resolve(), out)
    if print_config:
        print_config_of(config)
        return
    from tdctl import runner

    folder = folder if folder is not None else runner.default_folder(config, root)
    if dry_run:
        plan = runner.plan_generate(config, folder, resume=resume, overwrite=overwrite)
        show_plan(plan, as_json)
        return
    with joined(config.device) as world, shown_progress(quiet or not world.is_first) as report:
        result = runner.generate_td(
            config, folder, resume=resume, overwrite=overwrite, report=report, world=world
        )
    for note in result.notes:
        say(f"note: {note}")
    if not world.is_first:
        return
    if as_json:
        print_json({"folder": str(result.folder), **result.manifest})
    else:
        show_generate(result)


def _check_one_way(resume: bool, overwrite: bool) -> None:
    if resume and overwrite:
        raise typer.BadParameter("--resume goes on and --overwrite begins anew; give one of them")


def _going_on(settings: Settings, out: Path | None, root: Path) -> tuple[Config, Path]:
    """Settings and folder of a run that goes on: its own settings where none are given."""
    from tdctl import runner

    folder = out if out is not None else runner.default_folder(settings.resolve(), root)
    return settings.going_on(runner.settings_to_resume(folder), folder), folder


@app.command("train-detector")
@guarded
@with_settings(*section("detector"))
def train_detector(
    settings: Settings,
    td: Annotated[
        list[Path],
        typer.Option("--td", help="Run folder with known flips; repeatable, the last is held out."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="Detector to write: NAME.safetensors with its card NAME.json, and NAME.pth.tar "
            "for the paper's network.",
        ),
    ],
    init_from: Annotated[
        Path | None, typer.Option("--init-from", help="Detector file to fine-tune.")
    ] = None,
    about: Annotated[
        str, typer.Option("--about", help="What the runs are of, for the detector's card.")
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
    config = settings.resolve()
    if print_config:
        print_config_of(config)
        return
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


app.command("detect")(detect)


@app.command("denoise")
@guarded
@with_settings(*(key for key in DATA if key != "data.num_valid"), *NET, *section("retrain"))
def denoise(
    settings: Settings,
    td: Runs,
    remove_ratio: Annotated[
        list[str],
        typer.Option(
            "--remove-ratio",
            help="Share to drop, in [0, 1), or auto: as many as an estimate says are wrong "
            f"({WAYS}); repeatable.",
        ),
    ],
    keep_per_class: KeepPerClass = None,
    detector: DetectorFile = None,
    score: Annotated[
        str | None,
        typer.Option(
            "--score", help="Hand-made score in place of a detector; tdctl scores lists them."
        ),
    ] = None,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines",
            help="Also train on all labels, on random removals, and on the truly clean subset.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Where the retrainings go (default: beside the run, named after it)."
        ),
    ] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    print_config: PrintConfig = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Step 3: drop the worst-ranked share, retrain a fresh network on the rest, compare.

    Data set and labels come from the (first) run; --epochs, --lr and so on are those of the
    retraining.

    Example: tdctl denoise --td runs/a --detector detectors/b.pth.tar --remove-ratio 0.2
    """
    _check_one_way(resume, overwrite)
    source = the_source(detector, score)
    from tdctl import runner

    base = runner.settings_of_run(td[0])
    if base is None and not settings.names_data():
        raise ConfigError(
            f"{td[0]}: holds no config.yaml of tdctl; name the data it was made from with "
            "--dataset and --data-dir"
        )
    # What other code recorded was no recipe of ours: it retrains by the paper's values.
    config = settings.resolve({"recipe": None} if base is None else base, runner.PINNED)
    if resume:
        place = out if out is not None else runner.default_denoising(td, config.seed)
        own = runner.denoising_to_resume(place)
        config = config if own is None else settings.resolve(own, runner.PINNED)
    if print_config:
        print_config_of(config)
        return
    with joined(config.device) as world, shown_progress(quiet or not world.is_first) as report:
        result = runner.denoise(
            config,
            td,
            source,
            remove_ratio,
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


app.command("clean")(clean)
app.command("compare")(compare)
app.command("export")(export)
app.command("scores")(scores)
app.command("detectors")(detectors)
app.command("recipes")(recipes)
app.command("datasets")(datasets)
app.command("corrupt")(corrupt)
app.command("cache")(cache)


def main() -> None:
    """The entry point of the ``tdctl`` command."""
    tune_environment()  # before torch and numpy are loaded, which read it once
    stop_on_sigterm()
    in_utf8()
    let_all_text_through()
    if "" in sys.argv[1:]:
        # As a path it would be this folder.
        before = sys.argv[sys.argv.index("", 1) - 1]
        say(f"tdctl: error: the argument after {before} is empty; a shell variable may not be set")
        raise SystemExit(2)
    try:
        app(prog_name="tdctl")
    except OSError as error:  # a disk that is full as help is written; commands tell of their own
        say(f"tdctl: error: {error.strerror or error}")
        raise SystemExit(1) from None
