"""Runs pieces of a test in processes of their own: forked, so that torch is imported once."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tdctl.errors import TdctlError

LIMIT_SECONDS = 60


def forked(act: Callable[[], Any], environment: dict[str, str] | None = None) -> tuple[int, int]:
    """Starts ``act`` in a child; gives its pid and the pipe that its pickled result comes from."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    code, value = 1, None
    try:
        signal.alarm(LIMIT_SECONDS)  # a test that hangs ends
        os.close(reading)
        torch.set_num_threads(1)
        os.environ.update(environment or {})
        try:
            value = act()
            code = 0
        finally:
            error = sys.exc_info()[1]
            if error is not None and not isinstance(error, TdctlError):
                traceback.print_exc()
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(value if error is None else error, pipe)
    finally:
        os._exit(code)


def result_of(child: tuple[int, int]) -> Any:
    """What a child gave, or the error that ended it; None where it was killed."""
    pid, reading = child
    with os.fdopen(reading, "rb") as pipe:
        content = pipe.read()
    os.waitpid(pid, 0)
    try:
        return pickle.loads(content)
    except (EOFError, pickle.UnpicklingError):
        return None


def killed(child: tuple[int, int]) -> None:
    """Ends a child at once."""
    os.kill(child[0], signal.SIGKILL)
    result_of(child)


def waits_for(mark: Path) -> None:
    """Until a child has made a file."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not mark.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert mark.exists()


def variables(rank: int, size: int, port: int) -> dict[str, str]:
    """The variables that torchrun sets for a process."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
    }


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def in_world(size: int, act: Callable[[], Any]) -> list[Any]:
    """Runs ``act`` in ``size`` processes with the variables that torchrun sets; results by rank."""
    port = free_port()
    children = [forked(act, variables(rank, size, port)) for rank in range(size)]
    return [result_of(child) for child in children]
