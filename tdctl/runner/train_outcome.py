"""The parts of a robust training, and the files and facts that it writes in its run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tdctl.classifier import Plan, results_of
from tdctl.config import Config
from tdctl.csv_files import write_csv
from tdctl.files import save_tensors
from tdctl.inputs import LeftOut, Prepared
from tdctl.labels import Labels
from tdctl.recorder import RunRecorder
from tdctl.retraining import LabelSet
from tdctl.robust import Networks, RobustResult, RobustSetup
from tdctl.run import SECOND
from tdctl.runner.run_tables import write_confusion
from tdctl.training import evaluate

__all__ = ["RECORDED", "Cleaned", "Training", "facts_of", "write_training"]


# The number of networks that are recorded, for each value of ``robust.record``.
RECORDED = {"none": 0, "first": 1, "both": 2}
CAPTURES = {
    "none": None,
    "first": "eval-pass of the first network, without augmentation",
    "both": f"eval-pass of each network, without augmentation; the second is in {SECOND}",
}


@dataclass(frozen=True)
class Cleaned:
    """The labels of a run after a cleaning.

    Attributes:
        labels: given and true labels of the n recorded samples.
        label_set: the labels after the cleaning, in the order of ``labels``.
    """

    labels: Labels
    label_set: LabelSet

    def of(self, prepared: Prepared) -> Prepared:
        """The prepared data with the cleaned labels."""
        labels, made = self.labels, self.label_set
        images = prepared.train.take(prepared.train.rows_of(labels.index))
        after = Labels(labels.index, made.assigned, labels.true).take(made.keep)
        return replace(prepared, labels=after, train=made.of(images))

    def facts(self) -> dict[str, Any]:
        """The facts for the manifest."""
        made = self.label_set
        return {
            "kind": made.kind,
            **made.facts(self.labels),
            "fingerprint": made.fingerprint(self.labels),
        }


@dataclass(frozen=True)
class Training:
    """The parts of a training, before it starts.

    Attributes:
        prepared: the data with the labels that are trained on.
        split: the samples that ``split_from`` takes as wrong.
        mode: the networks.
        plan: how the training is computed.
        cleaned: the cleaned labels; None without a cleaning.
    """

    prepared: Prepared
    split: LeftOut
    mode: Networks
    plan: Plan
    cleaned: Cleaned | None = None


def facts_of(config: Config, whole: Training, td: Path | None) -> dict[str, Any]:
    """The facts for the manifest about the training, except how it is computed."""
    prepared, robust = whole.prepared, config.robust
    watched = f"held-out images with {config.data.valid_labels} labels"
    if prepared.valid is None:
        watched = "test set (nothing is selected on it)"
    return {
        **prepared.facts(),
        "seed": config.seed,
        "recipe": config.recipe,
        "algorithm": robust.algorithm,
        "preset": robust.preset,
        "trained_on_labels_of": None if td is None else str(td.resolve()),
        "normalise": config.data.normalise,
        "net": config.net.label,
        "networks": whole.mode.trained_at_once,
        "capture": CAPTURES[robust.record],
        "cleaned": None if whole.cleaned is None else whole.cleaned.facts(),
        "store": robust.store,
        "watched": watched,
        "first_split": whole.split.facts(),
    }


def write_training(
    folder: Path,
    whole: Training,
    setup: RobustSetup,
    result: RobustResult,
    recorders: Sequence[RunRecorder],
) -> dict[str, Any]:
    """Writes models, dynamics and tables; gives the facts for the manifest about the outcome."""
    prepared, judged = whole.prepared, result.algorithm.judged
    last = {key: value.detach().cpu() for key, value in judged.state_dict().items()}
    for name, state in (("model.pth", result.best), ("model.pth.last", last)):
        save_tensors(folder / name, state)
    for recorder in recorders:
        recorder.write(prepared.valid_indices)
    write_confusion(folder / "confusion.csv", prepared)
    row, valid, test = result.log[-1], prepared.valid, prepared.dataset.test
    judged.load_state_dict(result.best)
    watched = test if valid is None else valid
    if watched is not None:
        outcome = evaluate(judged, watched, setup.pipeline)
        write_csv(folder / "results_valid.csv", results_of(outcome, watched.index))
    best = None
    if valid is not None and test is not None:
        best = evaluate(judged, test, setup.pipeline).error
    return {
        "epochs": setup.config.epochs,
        "weights": "last step" if setup.config.average == "none" else "running average",
        "test_error_last": row["test_error"],
        "test_error_mean_of_last_10": result.mean_of_last(),
        "test_error_best": best,
        "best_epoch": None if valid is None else result.best_epoch,
        "train_error_last": row["train_error"],
        "kept_last": row.get("kept"),
        "relabelled_last": row.get("relabelled"),
        "labels_right_last": row.get("labels_right"),
        "clean_auc_last": row.get("clean_auc"),
        "chosen": result.algorithm.facts(),
        "events": result.algorithm.events,
    }
