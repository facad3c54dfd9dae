"""The versions of the software that a result depends on."""

from __future__ import annotations

import sys
from importlib.metadata import version

import numpy as np

__all__ = ["changed_versions", "software_versions"]


def software_versions() -> dict[str, str]:
    """The versions of Python and of the packages that a result depends on."""
    names = ("tdctl", "torch", "torchvision", "scikit-learn")
    return {
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        **{name: version(name) for name in names},
    }


def changed_versions(was: object) -> tuple[str, str] | None:
    """The versions that have changed since a run, among those that may change its exact numbers.

    Args:
        was: the versions in the run's manifest. Anything but a dict means that it has none.

    Returns:
        The versions then and the versions now, in words; None if none of them has changed.
    """
    if not isinstance(was, dict):
        return None
    now = software_versions()
    names = ("tdctl", "torch", "torchvision", "numpy")
    differ = [name for name in names if was.get(name, now[name]) != now[name]]
    if not differ:
        return None
    then, today = (", ".join(f"{name} {of[name]}" for name in differ) for of in (was, now))
    return then, today
