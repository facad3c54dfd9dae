"""Signals that end a command, while it works and while it waits for other processes."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from tdctl.torchrun import rank

__all__ = ["Terminated", "signals_end_waiting", "stop_on_sigterm"]

# How long a signal may wait for Python to see it.
GRACE_SECONDS = 3.0
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Terminated(KeyboardInterrupt):
    """The system, a scheduler or torchrun asks this process to end."""


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


def stop_on_sigterm() -> None:
    """Lets a termination signal end the run as Ctrl-C does: what is whole is kept."""
    signal.signal(signal.SIGTERM, _terminate)


@contextmanager
def signals_end_waiting(several: bool) -> Iterator[None]:
    """Lets Ctrl-C and SIGTERM end a process that waits for others inside of C++.

    There Python sees no signal. A thread then ends the process itself, which leaves the run as a
    kill would: all whole epochs are kept. A process that works sees the signal within moments
    and ends in the usual way.

    Args:
        several: whether there are other processes; without them nothing is changed.
    """
    if not several or sys.platform == "win32":
        yield
        return
    seen = threading.Event()
    kept = {number: signal.getsignal(number) for number in WORDS}

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        seen.set()
        if number == signal.SIGTERM:
            raise Terminated
        raise KeyboardInterrupt

    reading, writing = socket.socketpair()
    writing.setblocking(False)
    # One that is ignored, as Ctrl-C is by what a shell starts in the background, stays so.
    for number in WORDS:
        if kept[number] not in {signal.SIG_IGN, None}:
            signal.signal(number, stop)
    before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=_end_what_waits, args=(reading, seen), daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in kept.items():
            if handler is not None:
                signal.signal(number, handler)
        writing.close()  # which ends the thread; none may run as the interpreter ends
        thread.join(GRACE_SECONDS)


def _end_what_waits(reading: socket.socket, seen: threading.Event) -> None:
    with reading:
        while received := reading.recv(1):
            number = received[0]
            if number not in WORDS:
                continue
            if seen.wait(GRACE_SECONDS):
                return
            if rank() == 0:
                os.write(2, f"tdctl: {WORDS[signal.Signals(number)]}\n".encode())
            os._exit(128 + number)
