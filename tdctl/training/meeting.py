"""How the processes of a run find each other, in a time that ends and lets signals through.

What torch does for this waits inside of C++, where neither Ctrl-C nor SIGTERM is seen.
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

# One process may decode or write for hours while the others wait; that one has died is known by
# its closed connection.
WITHIN_A_RUN = timedelta(days=7)
# How long torch may wait in one call, and this process between two.
ONE_CALL, PAUSE = timedelta(seconds=5), 0.1
# The stubs of torch do not know its stores.
_stores: Any = distributed


def meet(here: Place, device: torch.device) -> None:
    """Joins the process group of the run.

    Raises:
        RunError: the others did not come in time, or the first one's address is not to be had.
        ConfigError: the time is no number.
    """
    seconds = start_seconds()
    deadline = time.monotonic() + seconds
    store = _store(here, seconds, deadline)
    _wait_for_all(store, here, seconds, deadline)
    left = timedelta(seconds=max(30.0, deadline - time.monotonic()))
    store.set_timeout(left)
    # What the processes tell each other of files and errors travels by gloo.
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
    """What the processes leave notes for each other in: the first one's, or torchrun's own."""
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
    # One that torchrun starts again must not find the notes of the attempt before.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return _stores.PrefixStore(f"tdctl/{attempt}", store)


def _wait_for_address(here: Place, seconds: float, deadline: float) -> None:
    """Waits until somebody listens at the address; torch would fill the screen meanwhile."""
    while True:
        try:
            socket.create_connection(here.address, timeout=ONE_CALL.total_seconds()).close()
        except OSError as error:
            if time.monotonic() > deadline:
                raise RunError(
                    f"{_address(here)}: process 0 of {here.size} was not to be reached within "
                    f"{seconds:g} s ({error.strerror or error}); start it, or give more time with "
                    f"{START_SECONDS}; {way_out()}"
                ) from None
        else:
            return
        time.sleep(PAUSE)


def _wait_for_all(store: Any, here: Place, seconds: float, deadline: float) -> None:
    """Waits until each process has left its note, asking again and again."""
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
