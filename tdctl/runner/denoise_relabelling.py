"""New labels from a network that was trained on the samples that are not flagged.

Source: section 4.3 of Jia et al., "Learning from Training Dynamics: Identifying Mislabeled Data
Beyond Manually Designed Features" (AAAI 2023): train on what is kept, predict what is dropped.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from tdctl.classifier import Plan, results_of
from tdctl.config import Config
from tdctl.csv_files import read_csv, write_csv
from tdctl.errors import RunError
from tdctl.files import first_line, load_tensors
from tdctl.labels import Labels
from tdctl.retraining import Cleaning, LabelSet
from tdctl.retraining.label_sets import relabelled
from tdctl.run import DROPPED_FILE
from tdctl.runner.denoise_data import RunImages
from tdctl.training import Evaluation, Pipeline, World, evaluate

__all__ = ["relabel_by_network"]

MODEL = "model.pth.last"


def relabel_by_network(
    folder: Path,
    config: Config,
    data: RunImages,
    labels: Labels,
    flagged: NDArray[np.bool_],
    cleaning: Cleaning,
    plan: Plan,
    net: nn.Module,
    world: World,
) -> LabelSet:
    """The flagged samples get the labels that a finished retraining predicts for them.

    The predictions are those of the last epoch. They are written to ``results_dropped.csv`` in the
    folder of the retraining, and read from there if they exist, so that a resumed denoising has the
    same labels.

    Args:
        folder: of the retraining, which was trained on the other samples.
        config: all settings.
        data: the images of the run.
        labels: the labels of the n samples.
        flagged: bool [n].
        cleaning: the confidence floor, and what happens below it.
        plan: the plan of the retrainings, for the precision.
        net: a network to load the weights into.
        world: the processes.

    Raises:
        RunError: the weights or the predictions cannot be read, or are of other samples.
    """
    file = folder / DROPPED_FILE
    if not world.told(file.exists):
        outcome = _predicted(folder / MODEL, config, data, flagged, plan, net, world)
        world.first(lambda: write_csv(file, results_of(outcome, labels.index[flagged])))
    table = world.told(lambda: _read(file, labels.index[flagged]))
    suggested, confidence = labels.assigned.copy(), np.zeros(len(labels))
    suggested[flagged] = table["Prediction"].to_numpy(np.int64)
    confidence[flagged] = table["Confidence"].to_numpy(np.float64)
    floor, below = cleaning.confidence_floor or 0.0, cleaning.below or "drop"
    return relabelled(labels, flagged, suggested, confidence, floor, below)


def _predicted(
    file: Path,
    config: Config,
    data: RunImages,
    flagged: NDArray[np.bool_],
    plan: Plan,
    net: nn.Module,
    world: World,
) -> Evaluation:
    def load() -> None:
        try:
            net.load_state_dict(load_tensors(file))
        except (OSError, ValueError, RuntimeError) as error:
            raise RunError(
                f"{file}: cannot be read ({first_line(error)}); train it again with --overwrite"
            ) from None

    world.together(load)
    pipeline = Pipeline.of(config.retrain, data.dataset, world.device, plan.precision)
    with plan.threads.used():
        return evaluate(net.to(world.device), data.images.take(flagged), pipeline, world=world)


def _read(file: Path, index: NDArray[np.int64]) -> pd.DataFrame:
    """The predictions of the samples with these indices, in their order."""
    try:
        table = read_csv(file, [])
        there = table["index"].to_numpy(np.int64)
        table[["Prediction", "Confidence"]].astype(np.float64)
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise RunError(
            f"{file}: is not the table that tdctl wrote ({first_line(error)}); remove it"
        ) from None
    if not np.array_equal(there, index):
        raise RunError(f"{file}: has other samples than those that are flagged now; remove it")
    return table
