"""Records the dynamics of a training by the Trainer of Hugging Face's transformers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tdctl.adapters.packages import missing
from tdctl.adapters.parts import logits_in
from tdctl.errors import DynamicsError, RunError
from tdctl.recorder.loop_recorder import Recorder

try:
    from transformers import TrainerCallback
except ModuleNotFoundError as error:
    raise missing("transformers", "huggingface", error) from None

if TYPE_CHECKING:
    from transformers import Trainer as _Trainer
else:
    _Trainer = object

__all__ = ["RecorderMixin"]


class RecorderMixin(_Trainer):
    """Lets a ``Trainer`` record each training batch: ``class T(RecorderMixin, Trainer): ...``.

    No event of the Trainer carries inputs or outputs. Therefore the mixin records in
    ``compute_loss``, while the model trains. The id column is taken out before the model sees the
    batch, and is not dropped as an unused column.

    Ids are whole numbers: collators drop or refuse strings. Add them with
    ``dataset.add_column("index", list(range(len(dataset))))``. Names of samples are given to the
    ``Recorder``.

    The place in the recording is saved in each checkpoint, one small file for each process.
    ``train(resume_from_checkpoint=...)`` with a new ``Recorder`` of the same folder goes on.
    With several processes, samples that the data loader repeats are recorded once.

    Args:
        *args: of the Trainer.
        recorder: records.
        id_column: the column of the data set that contains the ids.
        **kwargs: of the Trainer.
    """

    def __init__(
        self, *args: Any, recorder: Recorder, id_column: str = "index", **kwargs: Any
    ) -> None:
        self.recorder, self.id_column = recorder, id_column
        super().__init__(*args, **kwargs)
        self._epoch_end = _EpochEnd(recorder)
        self.add_callback(self._epoch_end)

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if self.id_column not in self._signature_columns:
            self._signature_columns.append(self.id_column)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: Mapping[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The loss of the Trainer; a training batch is recorded.

        Raises:
            DynamicsError: there are no ids, labels or logits, or as in ``Recorder.record``.
        """
        ids = inputs.get(self.id_column)
        others = {name: value for name, value in inputs.items() if name != self.id_column}
        if not model.training:
            return super().compute_loss(
                model, others, return_outputs, num_items_in_batch=num_items_in_batch
            )
        if ids is None:
            raise DynamicsError(
                f"recorder: the batch has no '{self.id_column}' (it has {', '.join(inputs)}); add "
                f"it: dataset.add_column('{self.id_column}', list(range(len(dataset)))), or name "
                "the column with id_column="
            )
        # Label smoothing takes the labels out.
        name = next(iter(self.label_names or ()), "labels")
        targets = others.get(name)
        loss, outputs = super().compute_loss(
            model, others, True, num_items_in_batch=num_items_in_batch
        )
        logits = _logits_of(outputs)
        if targets is None or logits is None:
            raise DynamicsError(
                f"recorder: the batch has no '{name}'"
                if targets is None
                else f"recorder: {type(model).__name__} returns no logits; expected an output with "
                "logits [batch, classes]"
            )
        self.recorder.record(ids, logits, targets)
        self._epoch_end.pending = True
        return (loss, outputs) if return_outputs else loss

    def prediction_step(
        self, model: torch.nn.Module, inputs: Mapping[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """The prediction of the Trainer, without the id column."""
        others = {name: value for name, value in inputs.items() if name != self.id_column}
        return super().prediction_step(model, others, *args, **kwargs)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, *args: Any, **kwargs: Any) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, *args, **kwargs)
        path = _state_file(Path(resume_from_checkpoint), self.args.process_index)
        if not path.exists():
            raise RunError(
                f"{path}: not found; the checkpoint was made without a recorder or with fewer "
                "processes, so record from the beginning"
            )
        state = torch.load(path, weights_only=True)
        self.recorder.load_state_dict(state)
        self._epoch_end.pending = "seen" in state


def _logits_of(outputs: Any) -> torch.Tensor | None:
    if not isinstance(outputs, tuple | list):
        return logits_in(outputs)
    # Without a dict, the loss comes first if the model computed it.
    return next((one for one in outputs if isinstance(one, torch.Tensor) and one.ndim > 0), None)


def _state_file(checkpoint: Path, process: int) -> Path:
    return checkpoint / f"tdctl_recorder_{process}.pt"


class _EpochEnd(TrainerCallback):
    """Ends the epochs of the recording, and saves its place with each checkpoint.

    A checkpoint after the last step of an epoch is written before the Trainer's event of the end
    of the epoch, and a training that goes on from it begins with the next epoch. So the epoch is
    ended after its last step.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder, self.pending = recorder, False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.epoch is not None and float(state.epoch).is_integer():
            self._end()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._end()

    def _end(self) -> None:
        if self.pending:
            self.recorder.end_epoch()
        self.pending = False

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        torch.save(self.recorder.state_dict(), _state_file(folder, args.process_index))
