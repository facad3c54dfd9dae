"""Goes on with a recording where the training that another package runs goes on."""

from __future__ import annotations

from tdctl.recorder.loop_recorder import Recorder

__all__ = ["go_on_at"]


def go_on_at(recorder: Recorder, epoch: int) -> None:
    """Takes up the recording in the folder, which has at least the epochs before this one.

    Epochs from this one on are forgotten, because the training does them again.

    Args:
        recorder: has recorded nothing yet.
        epoch: the number of the epoch that begins, from 0; 0 begins a new recording.

    Raises:
        RunError: the folder contains fewer epochs, or no unfinished recording.
    """
    if epoch and not recorder.reports:
        # An empty id stands for the recording in the folder, whichever it is.
        recorder.load_state_dict(recorder.state_dict() | {"epoch": epoch, "recording": ""})
