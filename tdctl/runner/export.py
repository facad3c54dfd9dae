"""Writes a run in the file formats of other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tdctl.csv_files import write_csv
from tdctl.detector.builtin import BUILTIN
from tdctl.dynamics import TrainingDynamics, read_run
from tdctl.errors import ConfigError, DynamicsError
from tdctl.exchange import (
    data_map,
    label_quality_of,
    write_interpretdl,
    write_order,
    write_pred_probs,
)
from tdctl.labels import Labels
from tdctl.rankers.open_ranker import Source, open_ranker
from tdctl.run import refuse_existing
from tdctl.run.class_and_file_names import class_names, file_names
from tdctl.run.outside import refuse_in_data_of
from tdctl.training import World, pick_device

__all__ = ["FORMATS", "Format", "export"]

Format = Literal["cleanlab", "datamap", "interpretdl", "order"]
FORMATS: tuple[Format, ...] = get_args(Format)
# Formats that contain a ranking.
RANKED = ("cleanlab", "order")


def export(
    run: Path,
    kind: Format,
    out: Path,
    source: Source | None = None,
    *,
    held_out: bool = False,
    overwrite: bool = False,
    device: str = "auto",
) -> list[Path]:
    """Writes a run for another program, each file completely or not at all.

    - ``cleanlab``: the npz file ``out`` with ``pred_probs``, ``labels`` and ``index``; and, next
      to it, ``NAME.label_quality.csv`` with the columns of ``CleanLearning``'s label issues.
    - ``datamap``: a CSV file of confidence, variability and correctness.
    - ``interpretdl``: ``training_dynamics.npz`` as InterpretDL writes it.
    - ``order``: an npz file with ``order`` and ``predictions`` as InterpretDL returns them.

    Rows are sorted by index.

    Args:
        run: the run folder.
        kind: one of these formats.
        out: the file to write.
        source: a detector file or a score, by which ``cleanlab`` and ``order`` rank; None uses the
            shipped detector.
        held_out: write the softmax of networks that were not trained on the sample. The ranking
            still uses the whole run.
        overwrite: whether existing files may be replaced.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Returns:
        The paths of the files.

    Raises:
        ConfigError: the file name does not suit the format, or the format does not use a source or
            ``held_out``.
        DynamicsError: the run is missing or malformed, or lacks what the format or ``held_out``
            needs.
        DetectorError: the detector cannot be read, or gives NaN or a constant.
        RunError: a file exists already, or would be inside the data of the run.

    Example::

        >>> [file.name for file in tdctl.export(Path("runs/a"), "datamap", Path("map.csv"))]
        ['map.csv']
    """
    suffix = ".csv" if kind == "datamap" else ".npz"
    if out.suffix != suffix:
        raise ConfigError(f"{out}: {kind} is a {suffix} file; name it so")
    if source is not None and kind not in RANKED:
        raise ConfigError(f"export: {kind} holds no ranking; leave out --detector and --score")
    if held_out and kind == "order":
        raise ConfigError("export: order holds no softmax; leave out --held-out")
    quality = out.with_name(f"{out.stem}.label_quality.csv")
    files = [out, quality] if kind == "cleanlab" else [out]
    refuse_existing(files, overwrite)
    refuse_in_data_of([run], out)
    dynamics, labels, _ = read_run(run)
    written = _held_out(run, dynamics) if held_out else dynamics
    if kind == "interpretdl":
        write_interpretdl(out, written, labels)
    elif kind == "datamap":
        try:
            table = _of_samples(run, dynamics.index) | data_map(written)
        except DynamicsError as error:
            raise DynamicsError(f"{run}: datamap needs more, {error}") from None
        _write_csv(out, table)
    else:
        world = World(device=pick_device(device))
        ranker = open_ranker(source or Path(BUILTIN), world)
        suspicion = ranker.suspicion(run, dynamics, world)
        if kind == "order":
            write_order(out, dynamics.index, suspicion)
        else:
            write_pred_probs(out, written, labels)
            worth = label_quality_of(suspicion, ranker.gives_probability)
            _write_csv(quality, _issues(run, written, labels, worth))
    return files


def _held_out(run: Path, dynamics: TrainingDynamics) -> TrainingDynamics:
    if dynamics.heldout is None:
        raise DynamicsError(
            f"{run}: no held-out softmax; record the run with tdctl generate-td --folds K, or "
            "leave out --held-out"
        )
    return dynamics.heldout


def _issues(
    run: Path, dynamics: TrainingDynamics, labels: Labels, quality: NDArray[np.float64]
) -> dict[str, Sequence[object] | NDArray[np.generic]]:
    names = class_names(run, dynamics.num_classes)
    return _of_samples(run, dynamics.index) | {
        "given_label": names[labels.assigned],
        "predicted_label": names[dynamics.suggested()],
        "label_quality": quality,
    }


def _of_samples(
    run: Path, index: NDArray[np.int64]
) -> dict[str, Sequence[object] | NDArray[np.generic]]:
    return {"index": index, "file_name": file_names(run, index)}


def _write_csv(path: Path, columns: dict[str, Sequence[object] | NDArray[np.generic]]) -> None:
    write_csv(path, pd.DataFrame(columns))
