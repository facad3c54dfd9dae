"""Records the dynamics of a training by skorch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.data import Dataset, Subset, default_collate

from tdctl.adapters.epochs import go_on_at
from tdctl.adapters.packages import missing
from tdctl.errors import ConfigError, DynamicsError
from tdctl.recorder.loop_recorder import Recorder

try:
    from skorch import NeuralNet, NeuralNetClassifier
    from skorch.callbacks import Callback
except ModuleNotFoundError as error:
    raise missing("skorch", "skorch", error) from None

__all__ = ["RecorderCallback"]


class RecorderCallback(Callback):
    """Records each training batch of a net; the ids are the rows of ``X``.

    By default skorch's ``train_split`` (``ValidSplit``) takes a fifth of the data out of the
    training. What is not trained on is not recorded; the callback warns of it. Give
    ``train_split=None`` to the net to record all samples.

    skorch's checkpoints contain no state of callbacks. With ``resume=True`` and a new ``Recorder``
    of the same folder, the recording goes on at the epoch that the net's history has reached
    (``LoadInitState``, or ``load_params(checkpoint=...)``). Finishing the recording is left to you
    (``with Recorder(...)``).

    Args:
        recorder: records.
        probabilities: whether the module returns probabilities. By default the criterion says it:
            ``NLLLoss`` of a ``NeuralNetClassifier`` (skorch's default) expects probabilities,
            ``CrossEntropyLoss`` expects logits.
        resume: go on with the recording in the folder if the net goes on.
    """

    def __init__(
        self, recorder: Recorder, probabilities: bool | None = None, resume: bool = False
    ) -> None:
        self.recorder, self.probabilities, self.resume = recorder, probabilities, resume

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Lets the training batches carry their ids.

        Raises:
            ConfigError: whether the module returns probabilities is not known.
        """
        self.probabilities_ = _gives_probabilities(net, self.probabilities)
        self.warned_ = False
        if not isinstance(net.iterator_train, _WithIds):
            net.iterator_train = _WithIds(net.iterator_train)

    def on_epoch_begin(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Goes on with a recording, and says what is not trained on."""
        if self.resume:
            go_on_at(self.recorder, len(net.history) - 1)
        if dataset_valid is not None and not self.warned_:
            hidden = len(dataset_valid)
            warnings.warn(
                f"tdctl: train_split keeps {hidden} of {hidden + len(dataset_train)} samples out "
                "of the training, so they are not recorded and not ranked; give the net "
                "train_split=None to record all",
                stacklevel=2,
            )
        self.warned_ = True

    def on_batch_end(
        self, net: NeuralNet, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Records a training batch.

        Raises:
            DynamicsError: the batch has lost its ids, or as in ``Recorder.record``.
        """
        if not training:
            return
        if not isinstance(batch, _Batch):
            raise DynamicsError(
                f"recorder: the training batch is a {type(batch).__name__} without ids; an "
                "iterator_train that rebuilds batches (AccelerateMixin) cannot be recorded, use "
                "tdctl.Recorder in a loop of your own"
            )
        outputs = kwargs["y_pred"]
        outputs = outputs[0] if isinstance(outputs, tuple) else outputs
        self.recorder.record(batch.ids, outputs, batch[1], self.probabilities_)

    def on_epoch_end(
        self, net: NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Ends the epoch of the recording."""
        self.recorder.end_epoch()

    def on_train_end(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Gives the net its own iterator back."""
        if isinstance(net.iterator_train, _WithIds):
            net.iterator_train = net.iterator_train.iterator


def _gives_probabilities(net: NeuralNet, said: bool | None) -> bool:
    if said is not None:
        return said
    if isinstance(net.criterion_, torch.nn.CrossEntropyLoss):
        return False
    if isinstance(net.criterion_, torch.nn.NLLLoss):
        # NeuralNetClassifier takes the logarithm itself; others get log-probabilities.
        return isinstance(net, NeuralNetClassifier)
    raise ConfigError(
        f"recorder: whether the module returns probabilities does not follow from the criterion "
        f"{type(net.criterion_).__name__}; give probabilities=True or False"
    )


class _Batch(list[Any]):
    """A batch, and the ids of its samples."""

    ids: torch.Tensor


class _Numbered(Dataset[tuple[int, Any]]):
    """Samples with their rows in the data before they were split."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: int) -> tuple[int, Any]:
        sample, dataset = self.dataset[row], self.dataset
        while isinstance(dataset, Subset):
            row, dataset = dataset.indices[row], dataset.dataset
        return int(row), sample


class _Collate:
    """Collates samples as before, and puts their ids to the batch."""

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self.collate = collate

    def __call__(self, samples: list[tuple[int, Any]]) -> _Batch:
        batch = _Batch(self.collate([sample for _, sample in samples]))
        batch.ids = torch.tensor([row for row, _ in samples])
        return batch


class _WithIds:
    """Makes the data loader of a net, whose batches carry ids."""

    def __init__(self, iterator: Any) -> None:
        self.iterator = iterator

    def __call__(self, dataset: Any, **kwargs: Any) -> Any:
        collate = _Collate(kwargs.pop("collate_fn", None) or default_collate)
        return self.iterator(_Numbered(dataset), collate_fn=collate, **kwargs)
