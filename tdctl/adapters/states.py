"""The place in a recording of several processes, for a checkpoint that one of them writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tdctl.recorder.loop_recorder import Recorder
from tdctl.recorder.processes import count, gather, rank

__all__ = ["load_state_of_this_process", "state_of_all_processes"]


def state_of_all_processes(recorder: Recorder) -> dict[str, Any]:
    """The state of each process's recorder; all processes call it."""
    return {"processes": gather(recorder.state_dict())}


def load_state_of_this_process(recorder: Recorder, state: Mapping[str, Any]) -> None:
    """Goes on from a state of ``state_of_all_processes``.

    With another number of processes, only whole epochs are taken up: which process had recorded
    which samples of a begun epoch has no meaning then.

    Raises:
        RunError, DynamicsError: as ``Recorder.load_state_dict``.
    """
    states = state["processes"]
    if len(states) == count():
        recorder.load_state_dict(states[rank()])
        return
    whole = {name: value for name, value in states[0].items() if name not in {"seen", "total"}}
    recorder.load_state_dict(whole)
