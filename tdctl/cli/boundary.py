"""The end of a command: errors, signals, exit codes, and which process prints them."""

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
GOES_ON = "continue an unfinished run with --resume"


def guarded(command: Callable[..., Result]) -> Callable[..., Result]:
    """Turns an error of the user into one line on stderr and exit code 1; Ctrl-C gives 130.

    A termination signal gives 143, which is what shells use for it.
    """

    # A command without --resume leaves nothing unfinished, or continues when it is called again.
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
            raise  # the reader of our output has closed it; click then ends quietly
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
    """Whether this process must print its error.

    If all processes have the same error, the first one prints it, and torchrun then ends the
    others. So the others wait a little first.
    """
    try:
        if rank() != 0:
            time.sleep(3)
    except KeyboardInterrupt:
        return False
    return True


@contextmanager
def joined(device: str) -> Iterator[World]:
    """The processes of a run, after this process was set up for training."""
    from tdctl.training import World, tune_process

    tune_process()
    with signals_end_waiting(place().size > 1), World.joined(device) as world:
        yield world


def untouched_by_torchrun(command: str) -> None:
    """Refuses to run a step several times at once.

    Raises:
        ConfigError: torchrun started more than one process, or its variables are still set.
    """
    if place().size > 1:
        raise ConfigError(
            f"{command}: works in one process; call it without torchrun ({way_out()})"
        )


def say(message: str) -> None:
    """Prints a message on stderr, in the first process only."""
    if rank() == 0:
        echo(message, err=True)
