"""Reads torchrun's environment variables: is this process alone or one of several?

This module uses only the standard library.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite

from tdctl.errors import ConfigError

__all__ = ["START_SECONDS", "Place", "place", "rank", "sharing", "start_seconds", "way_out"]

START_SECONDS = "TDCTL_START_SECONDS"
# The number of seconds that the processes of a run wait for each other at the start.
DEFAULT_START_SECONDS = 600.0
NEEDED = ("RANK", "MASTER_ADDR", "MASTER_PORT")
NAMES = ("WORLD_SIZE", *NEEDED, "LOCAL_RANK")


@dataclass(frozen=True)
class Place:
    """The place of this process among those that train together.

    Attributes:
        rank: the number of this process, from 0.
        size: the number of processes.
        local_rank: the number of this process on its machine, from 0.
        address: host and port of the first process, ``MASTER_ADDR`` and ``MASTER_PORT``. A process
            that is alone does not use it.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    address: tuple[str, int] = ("", 0)

    @property
    def is_first(self) -> bool:
        """Whether this is the first process, which writes files and messages."""
        return self.rank == 0


def place() -> Place:
    """The place of this process. Without ``WORLD_SIZE``, or if it is 1, the process is alone.

    Raises:
        ConfigError: variables are missing, empty, not numbers, or out of range. A cluster may
            leave such variables in the environment.
    """
    variables = os.environ
    if "WORLD_SIZE" not in variables:
        return Place()
    size = _number(variables, "WORLD_SIZE", 1)
    if size == 1:
        return Place()
    missing = [name for name in NEEDED if not variables.get(name)]
    if missing:
        raise _left_over(f"{_listed(missing)} {'is' if len(missing) == 1 else 'are'} not set")
    rank = _number(variables, "RANK", 0, size - 1)
    local = _number(variables, "LOCAL_RANK", 0) if "LOCAL_RANK" in variables else 0
    port = _number(variables, "MASTER_PORT", 1, 65535)
    return Place(rank, size, local, (variables["MASTER_ADDR"], port))


def rank() -> int:
    """The number of this process; 0 if it is alone or the variables are not valid."""
    try:
        return place().rank
    except ConfigError:
        return 0


def sharing() -> int:
    """The number of processes of the run on this machine, at least 1."""
    try:
        alone = place().size == 1
    except ConfigError:
        alone = True
    value = os.environ.get("LOCAL_WORLD_SIZE", "")
    return 1 if alone or not value.isascii() or not value.isdigit() else max(1, int(value))


def start_seconds() -> float:
    """The seconds to wait for the other processes: ``TDCTL_START_SECONDS``, or else 600.

    Raises:
        ConfigError: ``TDCTL_START_SECONDS`` is not a number above 0.
    """
    given = os.environ.get(START_SECONDS)
    if given is None:
        return DEFAULT_START_SECONDS
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not (isfinite(seconds) and seconds > 0):
        raise ConfigError(f"{START_SECONDS}={given}: expected a number of seconds above 0")
    return seconds


def way_out() -> str:
    """Advice for a user whose environment has these variables by mistake."""
    there = [name for name in NAMES if name in os.environ]
    return (
        f"to work with one process, unset {' '.join(there)}; to work with several, start with "
        "torchrun"
    )


def _number(variables: Mapping[str, str], name: str, least: int, most: int | None = None) -> int:
    text = variables[name].strip()
    value = int(text) if text.isascii() and text.removeprefix("-").isdigit() else None
    if value is None or value < least or (most is not None and value > most):
        expected = f"at least {least}" if most is None else f"{least} to {most}"
        raise _left_over(f"{name} is '{text}', expected a whole number, {expected}")
    return value


def _left_over(problem: str) -> ConfigError:
    told = ", ".join(f"{name}={os.environ[name]}" for name in NAMES if os.environ.get(name))
    told = f"the environment says that this is one of several processes ({told}), but {problem}"
    if not os.environ.get("WORLD_SIZE"):
        told = f"the environment: {problem}"
    return ConfigError(f"{told}; {way_out()}")


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
