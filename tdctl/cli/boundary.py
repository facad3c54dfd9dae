"""Where the process ends: errors, signals, exit codes, and which of several processes speaks."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from tdctl.cli.output import echo, print_json
from tdctl.cli.signals import Terminated, signals_end_waiting, stop_on_sigterm
from tdctl.errors import ConfigError, TdctlError
from tdctl.torchrun import place, rank, way_out

if TYPE_CHECKING:
    from tdctl.training import World

__all__ = ["guarded", "joined", "print_json", "say", "stop_on_sigterm", "untouched_by_torchrun"]

Result = TypeVar("Result")
GOES_ON = "a run with at least one whole epoch goes on with --resume"


def guarded(command: Callable[..., Result]) -> Callable[..., Result]:
    """Turns the user's errors into one line on stderr and exit code 1, Ctrl-C into 130.

    A termination signal gives 143, as the shell counts it.
    """

    # Those without --resume leave nothing unfinished, or go on when they are called again.
    then = f"; {GOES_ON}" if "resume" in signature(command).parameters else ""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Result:
        try:
            return command(*args, **kwargs)
        except TdctlError as error:
            if not error.told_elsewhere and _nobody_else_tells():
                echo(f"tdctl: error: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(1) from None
        except BrokenPipeError:
            raise  # whoever read our output has seen enough; click ends quietly
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            echo(f"tdctl: error: {where}{error.strerror or error}", err=True)
            raise typer.Exit(1) from None
        except MemoryError as error:
            why = str(error) or "none is left"
            echo(f"tdctl: error: not enough memory ({why})", err=True)
            raise typer.Exit(1) from None
        except Terminated:
            say(f"tdctl: terminated{then}")
            raise typer.Exit(128 + signal.SIGTERM) from None
        except KeyboardInterrupt:
            say(f"tdctl: interrupted{then}")
            raise typer.Exit(130) from None

    return run


def _nobody_else_tells() -> bool:
    """Whether this process's error is its own: what all find, the first one tells.

    Then torchrun ends the others, which have waited a little with theirs.
    """
    try:
        if rank() != 0:
            time.sleep(3)
    except KeyboardInterrupt:
        return False
    return True


@contextmanager
def joined(device: str) -> Iterator[World]:
    """The processes of the run, with what suits a process that does nothing but train."""
    from tdctl.training import World, tune_process

    tune_process()
    with signals_end_waiting(place().size > 1), World.joined(device) as world:
        yield world


def untouched_by_torchrun(command: str) -> None:
    """Refuses to run a step several times at once.

    Raises:
        ConfigError: torchrun started more than one process, or its variables are left over.
    """
    if place().size > 1:
        raise ConfigError(
            f"{command}: works in one process; call it without torchrun ({way_out()})"
        )


def say(message: str) -> None:
    """A message on stderr, from the first of several processes."""
    if rank() == 0:
        echo(message, err=True)
