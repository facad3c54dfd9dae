"""How the processes of a run connect, with a time limit, and without blocking signals.

torch's own functions for this wait inside C++, where Ctrl-C and SIGTERM have no effect.
"""

from __future__ import annotations

import os
import socket
import time
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from tdctl.errors import RunError
from tdctl.files import first_line
from tdctl.torchrun import START_SECONDS, Place, start_seconds, way_out

__all__ = ["meet"]

# One process may decode or write for hours while the others wait. A process that has died is
# noticed by its closed connection, not by this time.
WITHIN_A_RUN = timedelta(days=7)
# How long torch may wait in one call, and how long this process waits between two calls.
ONE_CALL, PAUSE = timedelta(seconds=5), 0.1
# The type stubs of torch do not contain its stores.
_stores: Any = distributed


def meet(here: Place, device: torch.device) -> None:
    """Joins the process group of the run.

    Args:
        here: the place of this process in the run.
        device: the device that it computes on.

    Raises:
        RunError: another process did not connect in time, or the address of the first process
            cannot be used.
        ConfigError: the time limit is not a number.
    """
    seconds = start_seconds()
    deadline = time.monotonic() + seconds
    store = _store(here, seconds, deadline)
    _wait_for_all(store, here, seconds, deadline)
    left = timedelta(seconds=max(30.0, deadline - time.monotonic()))
    store.set_timeout(left)
    # The processes exchange files' content and errors through gloo.
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        store=store,
        rank=here.rank,
        world_size=here.size,
        timeout=left,
    )
    distributed.set_timeout(WITHIN_A_RUN)
    store.set_timeout(WITHIN_A_RUN)


def _store(here: Place, seconds: float, deadline: float) -> Any:
    """The key-value store of the processes: torchrun's, or one in the first process."""
    of_torchrun = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    serves = here.is_first and not of_torchrun
    if not serves:
        _wait_for_address(here, seconds, deadline)
    try:
        store = _stores.TCPStore(
            *here.address,
            world_size=here.size,
            is_master=serves,
            timeout=ONE_CALL,
            wait_for_workers=False,
            multi_tenant=True,
        )
    except RuntimeError as error:
        raise RunError(
            f"{_address(here)}: the processes cannot meet there ({first_line(error)}); give the "
            f"first one's MASTER_ADDR and a free MASTER_PORT; {way_out()}"
        ) from None
    # If torchrun restarts the run, it must not find the entries of the attempt before.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return _stores.PrefixStore(f"tdctl/{attempt}", store)


def _wait_for_address(here: Place, seconds: float, deadline: float) -> None:
    """Waits until the address accepts connections; torch would print many warnings meanwhile."""
    while True:
        try:
            socket.create_connection(here.address, timeout=ONE_CALL.total_seconds()).close()
        except OSError as error:
            if time.monotonic() > deadline:
                raise RunError(
                    f"{_address(here)}: process 0 of {here.size} could not be reached within "
                    f"{seconds:g} s ({error.strerror or error}); start it, or give more time with "
                    f"{START_SECONDS}; {way_out()}"
                ) from None
        else:
            return
        time.sleep(PAUSE)


def _wait_for_all(store: Any, here: Place, seconds: float, deadline: float) -> None:
    """Waits until each process has written its entry, by asking repeatedly."""
    store.set(f"there/{here.rank}", "")
    missing = list(range(here.size))
    while True:
        missing = [rank for rank in missing if not store.check([f"there/{rank}"])]
        if not missing:
            return
        if time.monotonic() > deadline:
            names = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
            raise RunError(
                f"{_address(here)}: of {here.size} processes, {len(missing)} did not come within "
                f"{seconds:g} s (rank {names}); start all, or give more time with "
                f"{START_SECONDS}; {way_out()}"
            )
        time.sleep(PAUSE)


def _address(here: Place) -> str:
    return ":".join(map(str, here.address))
