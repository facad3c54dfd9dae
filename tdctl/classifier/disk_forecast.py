"""How much disk space a run will need."""

from __future__ import annotations

from tdctl.classifier.plan import Plan
from tdctl.config import Config
from tdctl.inputs.prepare import Prepared
from tdctl.recorder import Forecast, forecast
from tdctl.training import Plain

__all__ = ["forecast_disk"]

# The best and the last weights.
MODELS = 2
# The checkpoint contains the weights, their momentum and the best weights (and the running
# average, if there is one). While it is written, the checkpoint that it replaces still exists.
CHECKPOINT_PARTS = 3
# Bytes of the margin of each image in the predictions of the finished network.
FINAL = 4


def forecast_disk(
    config: Config, prepared: Prepared, plan: Plan, mode: Plain, recordings: int | None = None
) -> Forecast:
    """The disk space, in bytes, for the arrays of a recording and the files of its networks.

    ``recordings`` is how many arrays are recorded; by default as many as ``mode`` has.

    Raises:
        ConfigError: as in ``tdctl.recorder.forecast``.
    """
    train = config.train
    arrays = forecast(
        len(prepared.train),
        prepared.dataset.num_classes,
        train.epochs,
        train.store,
        recordings=(2 if mode.heldout else 1) if recordings is None else recordings,
    )
    models, final = MODELS * plan.model_bytes, FINAL * len(prepared.train)
    parts = CHECKPOINT_PARTS + (train.average != "none")
    checkpoint = parts * plan.model_bytes
    if train.loss == "elr":  # this loss keeps a running mean of each image's softmax, in float32
        checkpoint += 4 * mode.softmax_values(len(prepared.train), prepared.dataset.num_classes)
    return Forecast(
        arrays.capture_bytes + checkpoint,
        arrays.file_bytes + final + models,
        arrays.td_bytes,
        max(
            arrays.needed_bytes + final + checkpoint + models,
            arrays.capture_bytes + 2 * checkpoint,
        ),
    )
