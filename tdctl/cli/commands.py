"""The subcommands."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tdctl.cli.apply_review_command import apply_review
from tdctl.cli.boundary import say, stop_on_sigterm
from tdctl.cli.cache_command import cache
from tdctl.cli.clean_command import clean
from tdctl.cli.compare_command import compare
from tdctl.cli.corrupt_command import corrupt
from tdctl.cli.datasets_command import datasets
from tdctl.cli.denoise_command import denoise
from tdctl.cli.detect_command import detect
from tdctl.cli.detectors_command import detectors
from tdctl.cli.export_command import export
from tdctl.cli.find_command import find
from tdctl.cli.generate_td_command import generate_td
from tdctl.cli.options import SettingsCommand
from tdctl.cli.output import in_utf8, let_all_text_through
from tdctl.cli.plot_command import plot
from tdctl.cli.recipes_command import recipes
from tdctl.cli.report_command import report
from tdctl.cli.scores_command import scores
from tdctl.cli.show_command import show
from tdctl.cli.sweep_command import sweep
from tdctl.cli.train_command import train
from tdctl.cli.train_detector_command import train_detector
from tdctl.processors import tune_environment

__all__ = ["app", "main"]

app = typer.Typer(
    name="tdctl",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Find the wrong labels in an image data set by watching a network train on it.\n\n"
    "Begin with find: tdctl find photos. The steps of the paper: generate-td records how a network "
    "learns each sample, train-detector learns "
    "what the curve of a wrong label looks like (detect ranks by it), denoise drops the worst "
    "and retrains.",
)


@app.callback(invoke_without_command=True)
def _root(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if show_version:
        from importlib.metadata import version

        typer.echo(f"tdctl {version('tdctl')}")
        raise typer.Exit


app.command("find")(find)
app.command("generate-td", cls=SettingsCommand)(generate_td)
app.command("train-detector", cls=SettingsCommand)(train_detector)
app.command("detect")(detect)
app.command("denoise", cls=SettingsCommand)(denoise)
app.command("train", cls=SettingsCommand)(train)
app.command("clean")(clean)
app.command("sweep")(sweep)
app.command("apply-review")(apply_review)
app.command("report")(report)
app.command("show")(show)
app.command("plot")(plot)
app.command("compare")(compare)
app.command("export")(export)
app.command("scores")(scores)
app.command("detectors")(detectors)
app.command("recipes")(recipes)
app.command("datasets")(datasets)
app.command("corrupt", cls=SettingsCommand)(corrupt)
app.command("cache")(cache)


def main() -> None:
    """The entry point of the ``tdctl`` command."""
    tune_environment()  # before torch and numpy are loaded, which read it once
    stop_on_sigterm()
    in_utf8()
    let_all_text_through()
    if "" in sys.argv[1:]:
        # As a path, an empty argument would mean the current folder.
        before = sys.argv[sys.argv.index("", 1) - 1]
        say(f"tdctl: error: the argument after {before} is empty; a shell variable may not be set")
        raise SystemExit(2)
    try:
        app(prog_name="tdctl")
    except OSError as error:  # a disk that is full as help is written; commands tell of their own
        say(f"tdctl: error: {error.strerror or error}")
        raise SystemExit(1) from None
