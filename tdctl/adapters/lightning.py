"""Records the dynamics of a training by Lightning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from tdctl.adapters.packages import missing
from tdctl.adapters.parts import Where, logits_in, part_of
from tdctl.adapters.states import load_state_of_this_process, state_of_all_processes
from tdctl.errors import DynamicsError
from tdctl.recorder.loop_recorder import Recorder

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
    from lightning.pytorch.utilities import rank_zero_info
except ModuleNotFoundError as error:
    raise missing("lightning", "lightning", error) from None

__all__ = ["RecorderCallback"]


class RecorderCallback(Callback):
    """Records each training batch, and ends the epoch of the recording with Lightning's.

    If ``training_step`` returns a dict with the logits, they are recorded. If it returns the loss
    alone, the callback takes what the network returns: a hook on its ``forward``, which does
    nothing outside training batches. Of several calls in a batch, the first counts.

    The place in the recording is part of Lightning's checkpoints. ``fit(ckpt_path=...)`` with a
    new ``Recorder`` of the same folder goes on. Finishing the recording is left to you (``with
    Recorder(...)``), because a training may go on later.

    With several processes, Lightning's sampler shows some samples twice in an epoch, so that all
    processes get equally many. The callback says so once. The second recording is dropped.

    Args:
        recorder: records.
        ids: where a batch contains the ids: a key, a position, or a function of the batch.
        targets: where it contains the given labels.
        logits: the key of the logits in what ``training_step`` returns.
        module: the name of the submodule that returns the logits, for example ``net``; by
            default the ``LightningModule`` itself, if ``training_step`` calls ``self(images)``.
    """

    def __init__(
        self,
        recorder: Recorder,
        ids: Where = 0,
        targets: Where = -1,
        logits: str = "logits",
        module: str = "",
    ) -> None:
        self.recorder = recorder
        self._ids, self._targets, self._logits, self._module = ids, targets, logits, module
        self._state: Mapping[str, Any] | None = None
        self._hook: torch.utils.hooks.RemovableHandle | None = None
        self._on = False
        self._seen: torch.Tensor | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Goes on from a checkpoint, and begins to listen to the network."""
        if self._state is not None:
            load_state_of_this_process(self.recorder, self._state)
            self._state = None
        try:
            module = pl_module.get_submodule(self._module)
        except AttributeError:
            raise DynamicsError(
                f"recorder: {type(pl_module).__name__} has no submodule '{self._module}'; name the "
                "one that returns the logits with module="
            ) from None
        self._hook = module.register_forward_hook(self._hear)
        self._say_what_repeats(trainer)

    def _say_what_repeats(self, trainer: Trainer) -> None:
        sampler = getattr(trainer.train_dataloader, "sampler", None)
        if not isinstance(sampler, torch.utils.data.DistributedSampler) or sampler.drop_last:
            return
        samples = len(sampler.dataset)  # type: ignore[arg-type]
        more = sampler.total_size - samples
        if more > 0:
            rank_zero_info(
                f"tdctl: {sampler.num_replicas} processes share {samples} samples; the sampler "
                f"shows {more} of them twice in an epoch, and their second recording is dropped"
            )

    def _hear(self, module: torch.nn.Module, inputs: Any, output: Any) -> None:
        if self._on and self._seen is None:
            found = logits_in(output, self._logits)
            self._seen = None if found is None else found.detach()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Listens to the network during the batch."""
        self._on, self._seen = True, None

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Records the batch.

        Raises:
            DynamicsError: there are no ids, labels or logits, or as in ``Recorder.record``.
        """
        given = outputs.get(self._logits) if isinstance(outputs, Mapping) else None
        logits = self._seen if given is None else given
        self._on, self._seen = False, None
        if logits is None:
            place = self._module or type(pl_module).__name__
            raise DynamicsError(
                f"recorder: training_step returns no '{self._logits}', and does not call "
                f"{place}.forward for logits; return them in a dict with the loss, or name the "
                "submodule that returns them with module="
            )
        ids = part_of(batch, self._ids, "ids")
        self.recorder.record(ids, logits, part_of(batch, self._targets, "targets"))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ends the epoch of the recording."""
        self.recorder.end_epoch()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops listening."""
        self._stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Stops listening."""
        self._stop()

    def _stop(self) -> None:
        if self._hook is not None:
            self._hook.remove()
        self._hook, self._on, self._seen = None, False, None

    def state_dict(self) -> dict[str, Any]:
        """The place in the recording, of all processes."""
        return state_of_all_processes(self.recorder)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keeps the place for the beginning of the training."""
        self._state = state_dict
