"""Signals that end a command, while it computes and while it waits for other processes."""

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

# How long Python may take to handle a signal.
GRACE_SECONDS = 3.0
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Terminated(KeyboardInterrupt):
    """The system, a scheduler or torchrun has asked this process to end."""


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


def stop_on_sigterm() -> None:
    """Makes a termination signal end the run like Ctrl-C: complete epochs are kept."""
    signal.signal(signal.SIGTERM, _terminate)


@contextmanager
def signals_end_waiting(several: bool) -> Iterator[None]:
    """Makes Ctrl-C and SIGTERM end a process that waits for others inside C++.

    While it waits there, Python handles no signals. So a thread ends the process, which leaves the
    run as after a kill: all complete epochs are kept. A process that computes handles the signal
    immediately and ends in the usual way.

    Args:
        several: whether there are other processes; if not, nothing is changed.
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
    # A signal that is ignored stays ignored. A shell does this with Ctrl-C for background commands.
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
        writing.close()  # this ends the thread, which must not run when the interpreter ends
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
