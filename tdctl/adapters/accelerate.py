"""Records the dynamics of a training loop that uses Hugging Face's Accelerate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from tdctl.adapters.packages import missing
from tdctl.adapters.states import load_state_of_this_process, state_of_all_processes
from tdctl.recorder.loop_folder import EpochReport
from tdctl.recorder.loop_recorder import Recorder

try:
    from accelerate import Accelerator
except ModuleNotFoundError as error:
    raise missing("accelerate", "accelerate", error) from None

__all__ = ["AcceleratedRecorder"]


class AcceleratedRecorder:
    """A ``Recorder`` that is part of Accelerate's checkpoints and knows its processes.

    To give all processes equally many batches (``even_batches``), Accelerate repeats samples of
    the beginning of the epoch at its end. Their second recording is dropped. Ids, not places in
    the last batch, say which these are, so samplers of any length are right, which
    ``gather_for_metrics`` does not promise.

    ``Accelerator.save_state`` and ``load_state`` include the place in the recording: create the
    object before both.

    Args:
        accelerator: the accelerator of the loop.
        recorder: records.
        gather: the first process gets the batches of all others and records alone. This costs
            communication in each step, and is needed only if the processes do not all see the
            folder. Ids must then be whole numbers.
    """

    def __init__(self, accelerator: Accelerator, recorder: Recorder, gather: bool = False) -> None:
        self.accelerator, self.recorder, self._gather = accelerator, recorder, gather
        accelerator.register_for_checkpointing(self)

    def record(
        self,
        ids: Any,
        logits: torch.Tensor,
        targets: torch.Tensor,
        probabilities: bool = False,
    ) -> None:
        """Records what this process sees of a batch; see ``Recorder.record``.

        Raises:
            DynamicsError, RunError: as ``Recorder.record``.
        """
        if self._gather and self.accelerator.num_processes > 1:
            # The last batches of the processes may differ in length.
            batch = ids, logits.detach(), targets
            even = self.accelerator.pad_across_processes(batch, pad_index=-1)
            ids, logits, targets = self.accelerator.gather(even)
            if not self.accelerator.is_main_process:
                return
            real = ids >= 0
            ids, logits, targets = ids[real], logits[real], targets[real]
        self.recorder.record(ids, logits, targets, probabilities)

    def end_epoch(self) -> EpochReport:
        """Ends the epoch; all processes call it. See ``Recorder.end_epoch``.

        Raises:
            DynamicsError, RunError: as ``Recorder.end_epoch``.
        """
        return self.recorder.end_epoch()

    def state_dict(self) -> dict[str, Any]:
        """The place in the recording, of all processes; ``Accelerator.save_state`` calls it."""
        return state_of_all_processes(self.recorder)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a checkpoint; ``Accelerator.load_state`` calls it.

        Raises:
            RunError, DynamicsError: as ``Recorder.load_state_dict``.
        """
        load_state_of_this_process(self.recorder, state)
