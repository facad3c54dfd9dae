"""Where the process ends: errors, signals, exit codes, and which of several processes speaks."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import typer

from tdctl.errors import ConfigError, TdctlError

if TYPE_CHECKING:
    from tdctl.training import World

__all__ = ["guarded", "joined", "print_json", "say", "stop_on_sigterm", "untouched_by_torchrun"]

Result = TypeVar("Result")
GOES_ON = "an unfinished run goes on with --resume"


class Terminated(KeyboardInterrupt):
    """The system, a scheduler or torchrun asks this process to end."""


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
                typer.echo(f"tdctl: error: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(1) from None
        except BrokenPipeError:
            raise  # whoever read our output has seen enough; click ends quietly
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            typer.echo(f"tdctl: error: {where}{error.strerror or error}", err=True)
            raise typer.Exit(1) from None
        except MemoryError as error:
            why = str(error) or "none is left"
            typer.echo(f"tdctl: error: not enough memory ({why})", err=True)
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
        if os.environ.get("RANK", "0") != "0":
            time.sleep(3)
    except KeyboardInterrupt:
        return False
    return True


def stop_on_sigterm() -> None:
    """Lets a termination signal end the run as Ctrl-C does: what is whole is kept."""

    def stop(number: int, frame: object) -> NoReturn:
        raise Terminated

    signal.signal(signal.SIGTERM, stop)


@contextmanager
def joined(device: str) -> Iterator[World]:
    """The processes of the run, with what suits a process that does nothing but train."""
    from tdctl.training import World, tune_process

    tune_process()
    with World.joined(device) as world:
        yield world


def untouched_by_torchrun(command: str) -> None:
    """Refuses to run a step several times at once.

    Raises:
        ConfigError: torchrun started more than one process.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(f"{command}: works in one process; call it without torchrun")


def say(message: str) -> None:
    """A message on stderr, from the first of several processes."""
    if os.environ.get("RANK", "0") == "0":
        typer.echo(message, err=True)


def print_json(content: Any) -> None:
    """A result on stdout."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False))
