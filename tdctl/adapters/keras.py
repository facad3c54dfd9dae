"""Records the dynamics of a training by Keras 3 (with torch as its backend).

Shape suffixes: n samples, B batch, k classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.adapters.epochs import go_on_at
from tdctl.adapters.packages import missing
from tdctl.errors import ConfigError, DataError, MissingPackageError
from tdctl.recorder.loop_recorder import Recorder

try:
    from keras.callbacks import Callback
    from keras.losses import Loss
except ModuleNotFoundError as error:
    if error.name in {"tensorflow", "jax", "jaxlib"}:
        raise MissingPackageError(
            f"tdctl.adapters.keras: Keras looks for its backend {error.name}, which is not "
            "installed; set the environment variable KERAS_BACKEND=torch before keras is imported"
        ) from None
    raise missing("keras", "keras", error) from None

__all__ = ["RecorderCallback"]

TWO_AXES = 2


class RecorderCallback(Callback):
    """Records a prediction of all training samples at the end of each epoch.

    Keras gives callbacks no outputs of training batches. So the model predicts all samples once
    more, in their order: one forward pass without gradients, in which dropout is off.

    Keras's checkpoints contain no state of callbacks. With ``resume=True`` and a new ``Recorder``
    of the same folder, the recording goes on at the epoch that the training begins with
    (``BackupAndRestore``, or ``fit(initial_epoch=...)``). Finishing the recording is left to you
    (``with Recorder(...)``).

    Args:
        recorder: records.
        x: the training samples, as for ``fit``: an array [n, ...], or a list or dict of arrays.
            Leave out what ``validation_split`` keeps out of the training: the last samples.
        y: the given labels: int [n], or one-hot [n, k].
        batch_size: samples that are predicted together.
        probabilities: whether the model returns probabilities. By default the loss says it
            (``from_logits``).
        resume: go on with the recording in the folder if the training goes on.

    Raises:
        DataError: x and y differ in length, or y is neither class numbers nor one-hot.
    """

    def __init__(
        self,
        recorder: Recorder,
        x: Any,
        y: Any,
        batch_size: int = 256,
        probabilities: bool | None = None,
        resume: bool = False,
    ) -> None:
        super().__init__()
        self.recorder, self._probabilities, self._resume = recorder, probabilities, resume
        self._x, self._batch_size = x, batch_size
        self._y = _class_numbers(y)
        for part in _parts(x):
            if len(part) != len(self._y):
                raise DataError(
                    f"recorder: x has {len(part)} samples and y {len(self._y)}; expected the same"
                )

    def on_train_begin(self, logs: Any = None) -> None:
        """Finds out what the model returns.

        Raises:
            ConfigError: whether it returns probabilities is not known.
        """
        if self._probabilities is None:
            self._probabilities = _gives_probabilities(self.model.loss)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Goes on with a recording."""
        if self._resume:
            go_on_at(self.recorder, epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Predicts and records all samples, and ends the epoch of the recording.

        Raises:
            DynamicsError: as in ``Recorder.record``.
        """
        for ids_B, samples in self._batches():
            outputs_BK = self.model.predict_on_batch(samples)
            self.recorder.record(ids_B, outputs_BK, self._y[ids_B], bool(self._probabilities))
        self.recorder.end_epoch()

    def _batches(self) -> Iterator[tuple[NDArray[np.int64], Any]]:
        for start in range(0, len(self._y), self._batch_size):
            rows = slice(start, start + self._batch_size)
            if isinstance(self._x, dict):
                samples: Any = {name: part[rows] for name, part in self._x.items()}
            elif isinstance(self._x, list | tuple):
                samples = [part[rows] for part in self._x]
            else:
                samples = self._x[rows]
            yield np.arange(len(self._y))[rows], samples


def _parts(x: Any) -> list[Any]:
    if isinstance(x, dict):
        return list(x.values())
    return list(x) if isinstance(x, list | tuple) else [x]


def _class_numbers(y: Any) -> NDArray[np.int64]:
    """Int64 [n]: the given labels."""
    labels = np.asarray(y)
    if labels.ndim == TWO_AXES and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == TWO_AXES:
        found: NDArray[np.int64] = labels.argmax(axis=1)
        if not (labels == np.eye(labels.shape[1])[found]).all():
            raise DataError(
                "recorder: y is neither class numbers nor one-hot; mixed or smoothed labels have "
                "no given class, so give the labels before that (the loss can smooth them)"
            )
        return found
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(
            f"recorder: y is {labels.dtype} {list(labels.shape)}; expected class numbers [n], or "
            "one-hot [n, classes]"
        )
    return labels.astype(np.int64)


def _gives_probabilities(loss: Any) -> bool:
    if isinstance(loss, str) and loss.endswith("categorical_crossentropy"):
        return True
    said = loss.get_config().get("from_logits") if isinstance(loss, Loss) else None
    if said is None:
        raise ConfigError(
            f"recorder: whether the model returns probabilities does not follow from its loss "
            f"{loss!r}; give probabilities=True or False"
        )
    return not said
