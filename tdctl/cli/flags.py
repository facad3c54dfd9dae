"""Flags that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tdctl.runner import Source

__all__ = [
    "AUTO",
    "BUILTIN",
    "WAYS",
    "AsJson",
    "BelowFloor",
    "ConfidenceFloor",
    "DetectorFile",
    "Device",
    "DryRun",
    "KeepPerClass",
    "Overwrite",
    "PrintConfig",
    "Quiet",
    "RelabelWith",
    "Resume",
    "Run",
    "Runs",
    "ScoreName",
    "check_one_kind",
    "check_one_way",
    "the_source",
]

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check, say what would be done, and stop.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")]
PrintConfig = Annotated[
    bool,
    typer.Option(
        "--print-config",
        help="Print all settings as YAML, each with its origin, and stop.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print no progress on stderr.")]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Continue an unfinished run; its own settings are the defaults."),
]
Run = Annotated[Path, typer.Option("--td", help="Run folder of generate-td.")]
Runs = Annotated[
    list[Path],
    typer.Option(
        "--td",
        help="Run folder of generate-td; repeatable for runs of the same images and labels. Then "
        "each run is ranked, and a sample's suspicion is the mean of its ranks, scaled to (0, 1).",
    ),
]
DetectorFile = Annotated[
    Path | None,
    typer.Option(
        "--detector",
        help="Detector file (.pth.tar or .safetensors), or a shipped one: builtin, builtin:NAME; "
        "tdctl detectors lists them. The default, auto, looks at the run: it ranks by "
        "builtin, by a score, or by several together. A note says what ranks.",
        show_default=False,
    ),
]
ScoreName = Annotated[
    str | None,
    typer.Option("--score", help="Hand-made score instead of a detector; tdctl scores lists them."),
]
# What may follow ``auto``. ``tdctl.cuts.METHODS`` has the same names, but its import loads numpy.
WAYS = (
    "auto:combined, the default, separates wrong labels from hard images; auto:heldout: held-out "
    "predictions (--folds), which auto takes for at most 1,000 images; auto:mixture: two "
    "components of the mean loss; auto:sum: the mean of P(mislabeled), with --detector builtin or "
    "a file; auto:joint: the confident joint; auto:threshold: AUM's threshold samples (with "
    "--score aum, it flags exactly the samples below their cut); auto:late: "
    "InterpretDL's rule, at most 1 sample in 26 (with --score mean-correct-epoch, it flags "
    "exactly the samples of this rule)"
)
KeepPerClass = Annotated[
    float | None,
    typer.Option(
        "--keep-per-class",
        help="How much of each given class is always kept: a share below 1, or a number of samples "
        "(default: 0.5 with auto, else 0).",
    ),
]
RelabelWith = Annotated[
    str | None,
    typer.Option(
        "--relabel-by",
        help="With --action relabel: mean-softmax, the class with the largest mean softmax over "
        "the epochs (default); retrained (denoise only), the prediction of a network that is "
        "trained on the images that are not flagged; truth, the true label, if it is known.",
    ),
]
ConfidenceFloor = Annotated[
    float | None,
    typer.Option(
        "--confidence-floor",
        help="With --action relabel: the least probability of a new label, in [0, 1] (default: "
        "0.4 for mean-softmax, or 0.7 if the recording left images out; 0.9 for retrained).",
    ),
]
BelowFloor = Annotated[
    str | None,
    typer.Option(
        "--below",
        help="With --action relabel: drop (default) or keep the flagged images whose new label is "
        "below the floor or is the given one.",
    ),
]
BUILTIN = Path("builtin")
AUTO = Path("auto")


def the_source(detector: Path | None, score: str | None) -> Source:
    """The detector or the score that was given; if none was given, the automatic choice.

    Raises:
        typer.BadParameter: both were given.
        ConfigError: the score is unknown.
    """
    check_one_kind(detector is not None, score is not None)
    if score is None:
        return detector or AUTO
    from tdctl.scores import find_score

    return find_score(score)


def check_one_kind(detector: bool, scores: bool) -> None:
    """Refuses a detector together with a score."""
    if detector and scores:
        raise typer.BadParameter("give either --detector FILE or --score NAME")


def check_one_way(resume: bool, overwrite: bool) -> None:
    """Refuses --resume together with --overwrite."""
    if resume and overwrite:
        raise typer.BadParameter("--resume continues, --overwrite starts again; give one of them")
