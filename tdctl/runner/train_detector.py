"""Step 2: train a detector on runs whose flipped labels are known."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tdctl.config import Config
from tdctl.detector import (
    Card,
    Curves,
    Detector,
    Reader,
    load_detector,
    reader_of,
    save_detector,
    train_net,
)
from tdctl.detector.channels import SETS
from tdctl.detector.detector_files import detector_files, written_files
from tdctl.detector.nets import OWN_WIDTHS
from tdctl.detector.preset import DetectorPreset
from tdctl.detector.reader import check_readable
from tdctl.detector.train_net import split_runs
from tdctl.dynamics import TrainingDynamics, read_run
from tdctl.errors import ConfigError, DynamicsError
from tdctl.files import read_json
from tdctl.rankers.ranker import all_alike
from tdctl.run import MANIFEST_FILE, refuse_existing
from tdctl.training import Report, pick_device

__all__ = ["TrainDetectorResult", "plan_detector", "train_detector"]


@dataclass(frozen=True)
class TrainDetectorResult:
    """The files that were written, and the detector's card."""

    files: tuple[Path, ...]
    card: Card


def train_detector(
    config: Config,
    runs: list[Path],
    out: Path,
    *,
    init_from: Path | None = None,
    about: str = "",
    overwrite: bool = False,
    report: Report | None = None,
) -> TrainDetectorResult:
    """Trains a detector on run folders of tdctl or of the published code, and writes its files.

    Args:
        config: all settings; ``config.detector`` is used.
        runs: run folders with known flips. With several, the last one is held out.
        out: name of the files; see ``save_detector``.
        init_from: a detector to start from; None starts with new weights.
        about: a description of the runs, for people who read the card.
        overwrite: whether existing files may be replaced.
        report: is told the progress.

    Returns:
        The paths of the files, and the card.

    Raises:
        ConfigError: a channel is unknown; or the detector to start from has another network or
            other channels; or a run is given twice.
        DynamicsError: a run is missing or malformed, or lacks what a channel needs.
        DetectorError: the runs lack correct or flipped labels, or the training collapsed.
        RunError: a file exists already.

    Example::

        >>> config = tdctl.load_config(overrides={"detector.epochs": 20, "detector.restarts": 1})
        >>> made = tdctl.train_detector(config, [Path("runs/a")], Path("own"))
        >>> [file.name for file in made.files]
        ['own.pth.tar', 'own.safetensors', 'own.json']
    """
    device = pick_device(config.device)
    reader = reader_of(config.detector)
    start, curves, trained_on = _prepared(runs, out, reader, init_from, overwrite)
    trained = train_net(
        curves, config.detector, config.seed, device, start.net if start else None, report
    )
    if start is not None and init_from is not None:
        unknown = [{"run": f"unknown, {init_from.name} does not say", "fingerprint": None}]
        before = start.card.trained_on if start.card else unknown
        again = {run["fingerprint"] for run in trained_on}
        trained_on = [run for run in before if run.get("fingerprint") not in again] + trained_on
    settings = _settings(config, reader, trained.recipe, init_from)
    held_out = {
        **_held_out(trained_on, by_run=len(runs) > 1),
        "samples": trained.held_out,
        "auc": trained.auc,
        "ap": trained.ap,
        "accuracy": trained.accuracy,
        "note": "the epoch was chosen by AP on these rows",
    }
    card = Card(trained_on, held_out, settings, version("tdctl"), about)
    detector = Detector(
        trained.net, card, trained.epoch, trained.accuracy, trained.optimizer, reader
    )
    return TrainDetectorResult(save_detector(out, detector), card)


def plan_detector(
    config: Config,
    runs: list[Path],
    out: Path,
    *,
    init_from: Path | None = None,
    overwrite: bool = False,
) -> list[str]:
    """What ``train_detector`` would train on, one line each; raises the errors that it would."""
    reader = reader_of(config.detector)
    _, curves, trained_on = _prepared(runs, out, reader, init_from, overwrite)
    split_runs(curves, config.detector.held_out, config.seed)
    lines = [
        f"{run['run']}: {run['samples']} curves of {run['epochs']} epochs, {run['flipped']} flipped"
        for run in trained_on
    ]
    files = written_files(out, reader)
    names = " and ".join(file.name for file in files[1:])
    return [*lines, f"would write {files[0]}, {names}"]


def _flags(reader: Reader) -> str:
    """The flags that give this reader."""
    names = ",".join(reader.channels)
    channels = next((name for name, of in SETS.items() if of == reader.channels), names)
    width = f"--width {reader.width} " if reader.width else ""
    return f"--detector-net {reader.net} {width}--channels {channels} --steps {reader.steps}"


def _start(file: Path | None, reader: Reader) -> Detector | None:
    if file is None:
        return None
    start = load_detector(file)
    if start.reader != reader:
        raise ConfigError(
            f"train-detector: {file} is another network, or sees something else; ask for the same "
            f"with {_flags(start.reader)}"
        )
    return start


def _prepared(
    runs: list[Path], out: Path, reader: Reader, init_from: Path | None, overwrite: bool
) -> tuple[Detector | None, list[Curves], list[dict[str, Any]]]:
    """The detector to start from, the curves and their descriptions, after all checks."""
    # All files of this name are checked, because those that are not written are removed.
    named = dict.fromkeys((*written_files(out, reader), *detector_files(out)))
    refuse_existing(named, overwrite)
    start = _start(init_from, reader)
    curves, trained_on = _gather(runs, reader)
    if start is not None and start.has_seen(trained_on[-1]["fingerprint"]):
        raise ConfigError(
            f"train-detector: {init_from} was trained on {runs[-1]}, which would judge it now; let "
            "the last --td be a run that it has not seen"
        )
    return start, curves, trained_on


def _gather(runs: list[Path], reader: Reader) -> tuple[list[Curves], list[dict[str, Any]]]:
    if not runs:
        raise ConfigError("train-detector: no run is given; name at least one with --td")
    curves: list[Curves] = []
    described: list[dict[str, Any]] = []
    for folder in runs:
        dynamics, labels, _ = read_run(folder)
        fingerprint = dynamics.fingerprint()
        if any(run["fingerprint"] == fingerprint for run in described):
            raise ConfigError(
                f"train-detector: {folder} is given twice; what is held out must not be trained on"
            )
        if all_alike(dynamics):
            raise DynamicsError(f"{folder}: all curves are the same; there is nothing to learn")
        curves.append(Curves(_values(folder, dynamics, reader), labels.flipped))
        described.append(
            {
                "run": "/".join(folder.resolve().parts[-2:]),
                "samples": len(dynamics),
                "flipped": int(labels.flipped.sum()),
                "epochs": dynamics.epochs,
                "fingerprint": fingerprint,
                **_made_of(folder),
            }
        )
    return curves, described


def _made_of(folder: Path) -> dict[str, Any]:
    """Images, noise and recipe of a run of tdctl; empty for other runs."""
    if not (folder / MANIFEST_FILE).exists():
        return {}
    manifest = read_json(folder / MANIFEST_FILE)
    found: dict[str, Any] = {"recipe": manifest.get("recipe")}
    if isinstance(data := manifest.get("dataset"), dict):
        found |= {"dataset": data.get("name"), "image": data.get("image")}
    if isinstance(noise := manifest.get("noise"), dict):
        found |= {"noise": noise.get("type"), "noise_rate": noise.get("expected_rate")}
    return found | {"data_fingerprint": manifest.get("data_fingerprint")}


def _settings(
    config: Config, reader: Reader, recipe: DetectorPreset, init_from: Path | None
) -> dict[str, Any]:
    """The facts for the card about how the detector was trained."""
    return {
        "net": reader.net,
        "channels": ",".join(reader.channels),
        "steps": reader.steps,
        "width": reader.width or OWN_WIDTHS[reader.net],
        "preset": config.detector.preset,
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "lr": recipe.lr,
        "restarts": recipe.restarts,
        "average": recipe.average,
        "ranking": recipe.ranking,
        "augment": recipe.augment,
        "balanced": recipe.balanced,
        "seed": config.seed,
        "init_from": init_from.name if init_from is not None else None,
    }


def _held_out(trained_on: list[dict[str, Any]], by_run: bool) -> dict[str, Any]:
    """How rows were held out, and which other runs have the same images as the held-out run.

    The runs of a detector that the training started from are included. Runs that do not say what
    their images are get a list of their own.
    """
    *others, last = trained_on
    if not others:
        return {"by": "row"}
    images = last.get("data_fingerprint")
    same = [run["run"] for run in others if images and run.get("data_fingerprint") == images]
    unsaid = [run["run"] for run in others if not (images and run.get("data_fingerprint"))]
    found = {"by": "run" if by_run else "row", "same_images_as": same}
    return {**found, "maybe_same_images_as": unsaid} if unsaid else found


def _values(folder: Path, dynamics: TrainingDynamics, reader: Reader) -> NDArray[Any]:
    """What the detector sees of a run: [n, E] for the paper's network, else [n, T, C]."""
    try:
        if reader.is_papers:
            check_readable(dynamics, reader)
            return dynamics.given_curve()
        return reader.open(dynamics).rows()
    except DynamicsError as error:
        raise DynamicsError(f"{folder}: {error}") from None
