"""The disk that a run will take."""

from __future__ import annotations

from tdctl.classifier.plan import Plan
from tdctl.config import Config
from tdctl.inputs.prepare import Prepared
from tdctl.recorder import Forecast, forecast
from tdctl.training import Plain

__all__ = ["forecast_disk"]

# The last weights and the best ones.
MODELS = 2
# The checkpoint holds the weights, their momentum, perhaps their running average, and the best
# ones; it stands beside the one that it replaces.
CHECKPOINT_PARTS = 3


def forecast_disk(config: Config, prepared: Prepared, plan: Plan, mode: Plain) -> Forecast:
    """What a recording's arrays and its networks' files take of the disk, in bytes.

    Raises:
        ConfigError: as ``forecast``.
    """
    train = config.train
    arrays = forecast(
        len(prepared.train),
        prepared.dataset.num_classes,
        train.epochs,
        train.store,
        recordings=2 if mode.heldout else 1,
    )
    models = MODELS * plan.model_bytes
    parts = CHECKPOINT_PARTS + (train.average != "none")
    checkpoint = parts * plan.model_bytes
    if train.loss == "elr":  # keeps the running mean of each image's softmax, in float32
        checkpoint += 4 * mode.softmax_values(len(prepared.train), prepared.dataset.num_classes)
    return Forecast(
        arrays.capture_bytes + checkpoint,
        arrays.file_bytes + models,
        arrays.td_bytes,
        max(arrays.needed_bytes + checkpoint + models, arrays.capture_bytes + 2 * checkpoint),
    )
