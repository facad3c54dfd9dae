"""Rank the samples of a run by suspicion, without retraining."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tdctl.dynamics import TrainingDynamics, read_run
from tdctl.errors import RunError
from tdctl.files import atomic_path, first_line
from tdctl.labels import Labels
from tdctl.metrics import DetectionMetrics, detection_metrics
from tdctl.ranking import Ranking
from tdctl.run import MANIFEST_FILE, read_json, refuse_existing
from tdctl.runner.ranker import Ranker, Source, open_ranker
from tdctl.training import World, pick_device

__all__ = ["DetectResult", "detect", "rank_run"]


@dataclass(frozen=True)
class DetectResult:
    """A ranking of a run and how good it is where the truth is known.

    Attributes:
        table: worst first; ``index, file_name, given_label, suggested_label, suspicion, rank``,
            and ``true_label, label_flipped`` where labels are known to be flipped.
        ranking: the same by row of ``labels``.
        labels: given and true labels.
        metrics: None in each place where the truth is unknown.
        in_sample: whether the detector was trained on this run; None where it does not say, False
            for scores.
        fingerprints: of the run's dynamics and of the detector's weights.
        ranker: the detector or score that ranked.
    """

    table: pd.DataFrame
    ranking: Ranking
    labels: Labels
    valid_indices: NDArray[np.int64]
    metrics: DetectionMetrics
    in_sample: bool | None
    fingerprints: dict[str, str]
    ranker: Ranker


def detect(
    run: Path,
    source: Source,
    *,
    out: Path | None = None,
    overwrite: bool = False,
    device: str = "auto",
    world: World | None = None,
) -> DetectResult:
    """Ranks a run, and writes the table where ``out`` is given.

    Args:
        source: the detector's file, or a score (``tdctl.scores.find_score`` knows them by name).
        world: the processes that score a part of the curves each; they all read the run, and
            the first one writes. Without it, this process on ``device``.

    Raises:
        DynamicsError: the run is missing or malformed, or lacks what the score needs.
        DetectorError: the detector cannot be read or gives a constant.
        RunError: ``out`` is there already.
    """
    world = World(device=pick_device(device)) if world is None else world

    def write() -> None:
        if out is not None:
            with atomic_path(out) as part:
                result.table.to_csv(part, index=False)

    world.first(lambda: refuse_existing([] if out is None else [out], overwrite))
    ranker = world.together(lambda: open_ranker(source, world))
    result = rank_run(run, ranker, world)
    world.first(write)
    return result


def rank_run(run: Path, ranker: Ranker, world: World) -> DetectResult:
    """Ranks a run with a detector that is loaded already, or a score.

    The curves are read slab by slab: memory grows by some columns of the table alone.
    """
    dynamics, labels, valid = world.together(lambda: read_run(run))
    suspicion = ranker.suspicion(run, dynamics, world)
    ranking = Ranking(dynamics.index, suspicion)
    worst_first = ranking.worst_first()
    metrics = detection_metrics(suspicion, labels.flipped, worst_first)
    return DetectResult(
        table=_table(run, dynamics, labels, ranking, worst_first),
        ranking=ranking,
        labels=labels,
        valid_indices=valid,
        metrics=metrics if ranker.gives_probability else replace(metrics, at_half=None),
        in_sample=ranker.has_seen(fingerprint := dynamics.fingerprint()),
        fingerprints={"run": fingerprint, **ranker.fingerprints()},
        ranker=ranker,
    )


def _table(
    run: Path,
    dynamics: TrainingDynamics,
    labels: Labels,
    ranking: Ranking,
    worst_first: NDArray[np.int64],
) -> pd.DataFrame:
    names = _class_names(run, max(dynamics.num_classes, 1 + int(labels.true.max())))
    # A number a row instead of a name; two classes may bear the same.
    number, unique = pd.factorize(names)

    def named(classes: NDArray[np.int64]) -> Any:
        codes = number.astype(np.int32)[classes[worst_first]]
        return pd.Categorical.from_codes(codes, pd.Index(unique))

    index = dynamics.index[worst_first]
    columns: dict[str, Any] = {
        "index": index,
        "file_name": _file_names(run, index),
        "given_label": named(labels.assigned),
        "suggested_label": named(dynamics.suggested()),
        "suspicion": ranking.suspicion[worst_first],
        "rank": np.arange(1, len(index) + 1),
    }
    if labels.flipped.any():
        columns["true_label"] = named(labels.true)
        columns["label_flipped"] = labels.flipped[worst_first]
    return pd.DataFrame(columns, copy=False)


def _class_names(run: Path, at_least: int) -> NDArray[np.object_]:
    """Class names of our runs; the numbers themselves for other code's."""
    manifest = run / MANIFEST_FILE
    if manifest.exists():
        data = read_json(manifest).get("dataset")
        names = data.get("class_names") if isinstance(data, dict) else None
        if not isinstance(names, list) or len(names) < at_least:
            raise RunError(f"{manifest}: names no {at_least} classes; expected what tdctl wrote")
        return np.asarray(names, dtype=object)
    return np.asarray([str(label) for label in range(at_least)], dtype=object)


def _file_names(run: Path, index: NDArray[np.int64]) -> Any:
    path = run / "samples.csv"
    if not path.exists():
        return pd.Categorical.from_codes(np.zeros(len(index), np.int8), pd.Index([""]))
    try:
        table = pd.read_csv(path, dtype={"file_name": str}, keep_default_na=False)
        names = pd.Series(table["file_name"].to_numpy(), index=table["index"].to_numpy(np.int64))
        return names.reindex(index, fill_value="").to_numpy()
    except (ValueError, KeyError) as error:
        raise RunError(f"{path}: not the table that tdctl wrote ({first_line(error)})") from None
