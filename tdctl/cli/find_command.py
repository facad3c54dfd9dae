"""The subcommand that goes the whole way: from images or vectors to the labels to look at."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tdctl.catalogue import VECTOR_SUFFIXES
from tdctl.cli.boundary import guarded, joined, print_json, say, untouched_by_torchrun
from tdctl.cli.console import console
from tdctl.cli.flags import AsJson, DetectorFile, Overwrite, Quiet, the_source
from tdctl.cli.options import DATA, NET, NOISE, Settings, section, with_settings
from tdctl.cli.progress_lines import shown_progress
from tdctl.cli.show import show_plan
from tdctl.config import Config
from tdctl.errors import ConfigError

if TYPE_CHECKING:
    from tdctl.runner import FindResult
    from tdctl.runner.plan_find import FindPlan

__all__ = ["find", "seconds_of"]

UNITS = {"s": 1, "m": 60, "h": 3600}
PART = re.compile(r"(\d+(?:\.\d+)?)([smh])")


@guarded
@with_settings("recipe", *(key for key in DATA if key != "data.data_dir"), *NOISE, *NET,
               *section("train"))  # fmt: skip
def find(
    settings: Settings,
    path: Annotated[
        Path,
        typer.Argument(
            help="Folder of images, DIR/<class>/<image>; or a table of file names and labels; or a "
            "file of embeddings (.npy, .safetensors, .parquet), whose labels are in --labels.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder to write (default: find_NAME here, with the name of the data).",
        ),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option("--time", help="How long the recording may take, such as 10m, 90s or 1h30m."),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            "--rounds",
            min=1,
            max=2,
            help="2: train a second network without the labels that the first ranks worst, and "
            "rank by both (default: 1; or 2 if the folder has a second one).",
        ),
    ] = None,
    detector: DetectorFile = None,
    score: Annotated[
        str | None,
        typer.Option(
            "--score", help="Hand-made score instead of a detector; tdctl scores lists them."
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Say what would be done and how long it would take, and stop."
        ),
    ] = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find the wrong labels: check the data, record a training, rank, and write a report.

    tdctl chooses the settings that you do not give: image size, epochs, folds, mirrored images. It
    takes a test set only if the folder has one. --dry-run says what it chooses. The defaults below
    are those of generate-td. After Ctrl-C, the same command continues.

    With --recipe features, a pretrained network is not trained: linear heads on its features are,
    which takes a minute or two. Embeddings of any model are ranked in the same way.

    Example: tdctl find photos

    Example: tdctl find photos --labels labels.csv --time 10m --out found

    Example: tdctl find photos --recipe features --net-type resnet50 --pretrained imagenet

    Example: tdctl find clip.npy --labels labels.csv

    Example: tdctl find photos --rounds 2
    """
    untouched_by_torchrun("find")
    source = the_source(detector, score)
    seconds = None if time is None else seconds_of(time)
    settings = _of_path(settings, path)
    from tdctl import runner

    runner.check_ranker(source)

    named = settings.named_keys()
    resolve = _resolver(settings, named)
    base = resolve({})
    folder = out if out is not None else runner.default_out(base)
    begun = runner.begun_with(folder, base, overwrite)
    earlier = None if overwrite else runner.begun_rounds(folder)
    rounds = rounds or earlier or 1
    if begun is not None:
        config = replace(settings, reads_data=False).resolve(begun).config
        if (found := runner.find_finished(folder, config, source, rounds)) is not None:
            if dry_run:
                ended = f"{folder} is finished already; --overwrite or another --out begins anew"
                show_plan([f"would do nothing: {ended}"], as_json)
            else:
                if seconds is not None:
                    say("note: --time changes nothing: the recording is there already")
                _show(found, as_json)
            return
        runner.check_score(source, config, rounds)
        _say_it_continues(folder, seconds)
        if dry_run:
            show_plan([f"would continue the recording in {folder}"], as_json)
            return
    else:
        settings.resolve()  # says which data set is taken
        plan = runner.plan_find(resolve, named, seconds, base.device, rounds)
        runner.check_score(source, plan.config, rounds)
        _say_plan(plan, folder)
        if dry_run:
            if as_json:
                print_json(plan.report(folder))
            return
        config = plan.config
    with joined(config.device) as world, shown_progress(quiet) as report:
        try:
            result = runner.find(
                config, folder, source,
                rounds=rounds, overwrite=overwrite, report=report, world=world,
            )  # fmt: skip
        except KeyboardInterrupt:
            _say_how_it_goes_on(folder, config, overwrite)
            raise
    _show(result, as_json)


def _say_it_continues(folder: Path, seconds: float | None) -> None:
    say(f"note: {folder} was begun already; it continues with the settings that it began with")
    if seconds is not None:
        say("note: --time has no effect: the number of epochs stays as it was at the start")


def _say_how_it_goes_on(folder: Path, config: Config, overwrite: bool) -> None:
    from tdctl import runner

    same = "the same command without --overwrite" if overwrite else "the same command"
    if config.reads_vectors:
        say(f"note: {same} trains the heads anew; finished features are kept")
    elif runner.is_unfinished(folder):
        say(f"note: {same} goes on from the last whole epoch")
    else:
        say("note: no whole epoch is recorded yet; the same command begins anew")


def _say_plan(plan: FindPlan, folder: Path) -> None:
    for note in plan.notes:
        say(f"note: {note}")
    for line in plan.lines(folder):
        say(line)


def seconds_of(text: str) -> float:
    """The seconds that a time such as ``1h30m`` means; a bare number has no unit and is refused.

    Raises:
        ConfigError: it is none.
    """
    parts = PART.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        found = sum(float(number) * UNITS[unit] for number, unit in parts)
        if found > 0:
            return found
    raise ConfigError(f"time: {text!r} is no time; expected such as 10m, 90s or 1h30m")


def _of_path(settings: Settings, path: Path) -> Settings:
    """The settings with the data that lie at a path: a folder, or a table that names images."""
    named = settings.overrides
    vectors = _holds_vectors(settings, path)
    if not path.exists():
        what = (
            "file; give the file of your embeddings"
            if vectors
            else ("folder; give the folder of your images")
        )
        raise ConfigError(f"{path}: no such {what}")
    if vectors:
        found = {"data.dataset": "embeddings", "data.data_dir": str(path)}
        return replace(settings, overrides={**found, **named, "data.data_dir": str(path)})
    if path.is_file():
        if "data.labels" in named:
            raise ConfigError(
                f"{path}: is a file, but none of embeddings ({', '.join(VECTOR_SUFFIXES)}); give "
                "the folder of the images, and --labels"
            )
        table: dict[str, Any] = {"data.dataset": "table", "data.labels": str(path)}
        return replace(settings, overrides={**table, **named})
    return replace(settings, overrides={**named, "data.data_dir": str(path)})


def _holds_vectors(settings: Settings, path: Path) -> bool:
    """Whether a path is a file of embeddings: by --dataset, or else by its name.

    A Parquet file may also be a table that names images; then there is no other table.
    """
    asked = settings.value("data.dataset")
    if asked is not None:
        return bool(asked == "embeddings")
    labels = settings.value("data.labels") is not None
    return path.suffix in VECTOR_SUFFIXES and (path.suffix != ".parquet" or labels)


def _resolver(settings: Settings, named: frozenset[str]) -> Callable[[Mapping[str, Any]], Config]:
    """Gives the settings above chosen ones: what the user sets wins, wherever it stands."""
    plain = replace(settings, reads_data=False)
    asked = plain.resolve().config
    # Pretrained networks and embeddings have a recipe of their own.
    own = "recipe" in named or asked.net.starts_trained or asked.reads_vectors
    recipe = {} if own else {"recipe": "detect"}

    def resolve(chosen: Mapping[str, Any]) -> Config:
        return plain.resolve(chosen={**recipe, **chosen}).config

    return resolve


def _show(result: FindResult, as_json: bool) -> None:
    """Three lines: how many look wrong, where to look, what to type next."""
    for note in result.notes:
        say(f"note: {note}")
    if result.again:
        say(f"note: {result.out} is finished already; --overwrite or another --out begins anew")
    if as_json:
        print_json(result.report())
        return
    stdout = console()
    if result.wrong is None:
        stdout.print(f"found      all {result.samples:,} labels are ranked, the worst first")
    else:
        between = ""
        if result.low is not None and result.high is not None:
            none = " (perhaps none)" if result.low == 0 else ""
            between = f"; between {result.low:,}{none} and {result.high:,} labels"
        share = result.wrong / result.samples
        stdout.print(
            f"found      about {result.wrong:,} of {result.samples:,} labels look wrong "
            f"({share:.1%}{between})"
        )
    # The JSON is for programs.
    shown = [str(file) for file in result.files if file.suffix in {".html", ".csv"}]
    stdout.print(f"look at    {', '.join(reversed(shown))}")
    stdout.print(f"next       {_next(result)}")


def _next(result: FindResult) -> str:
    """What to do next, and to type: a look at the worst, and the labels as a person decides."""
    words = ["tdctl", "apply-review", "--td", str(result.run), "review.csv"]
    then = shlex.join([*words, "--out", str(result.out / "labels.csv")])
    return f"open the report, decide, save review.csv, then: {then}"
