"""The disk that a run will take."""

from __future__ import annotations

from tdctl.config import Config
from tdctl.recorder import Forecast, forecast
from tdctl.runner.classifier import Plan
from tdctl.runner.prepare import Prepared

__all__ = ["room_for"]

# The last weights and the best ones.
MODELS = 2
# The checkpoint holds the weights, their momentum, perhaps their running average, and the best
# ones; it stands beside the one that it replaces.
CHECKPOINT_PARTS = 3


def room_for(config: Config, prepared: Prepared, plan: Plan) -> Forecast:
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
        train.neighbours,
        2 if train.folds else 1,
    )
    models = MODELS * plan.model_bytes
    parts = CHECKPOINT_PARTS + (train.average != "none")
    checkpoint = parts * plan.model_bytes + _memory_of_loss(config, prepared)
    return Forecast(
        arrays.capture_bytes + checkpoint,
        arrays.file_bytes + models,
        arrays.td_bytes,
        max(arrays.needed_bytes + checkpoint + models, arrays.capture_bytes + 2 * checkpoint),
    )


def _memory_of_loss(config: Config, prepared: Prepared) -> int:
    """Bytes of the running mean of each image's softmax, float32, that elr keeps."""
    train = config.train
    if train.loss != "elr":
        return 0
    # Of K folds each network trains on K - 1.
    networks = 2 if train.threshold_samples else max(train.folds - 1, 1)
    classes = prepared.dataset.num_classes + train.threshold_samples
    return 4 * len(prepared.train) * classes * networks
