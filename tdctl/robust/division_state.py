"""The state of the divisions, as the tensors and plain values of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from tdctl.robust.mixture import Division

__all__ = ["read_state", "written_state"]


def written_state(
    divisions: Sequence[Division | None],
    losses: Sequence[torch.Tensor],
    estimates: Sequence[float],
    events: Sequence[str],
) -> dict[str, Any]:
    """The state as tensors and plain values.

    Args:
        divisions: of the current epoch.
        losses: of the last epochs.
        estimates: of the share of wrong labels, one for each division.
        events: one line each.
    """
    return {
        "divisions": [
            {}
            if division is None
            else {
                "clean": torch.from_numpy(division.clean),
                "labelled": torch.from_numpy(division.labelled),
            }
            for division in divisions
        ],
        "losses": list(losses),
        "estimates": list(estimates),
        "events": "\n".join(events),
    }


def read_state(
    state: Mapping[str, Any], device: torch.device
) -> tuple[list[Division | None], list[torch.Tensor], list[float], list[str]]:
    """The arguments that ``written_state`` got; raises KeyError if one is missing."""
    divisions = [
        Division(found["clean"].numpy(), found["labelled"].numpy()) if found else None
        for found in state["divisions"]
    ]
    losses = [values.to(device) for values in state["losses"]]
    return divisions, losses, list(state["estimates"]), state["events"].splitlines()
