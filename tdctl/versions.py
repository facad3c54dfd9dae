"""The versions of what a result depends on."""

from __future__ import annotations

import sys
from importlib.metadata import version

import numpy as np

__all__ = ["changed_versions", "software_versions"]


def software_versions() -> dict[str, str]:
    """The versions that a result depends on."""
    names = ("tdctl", "torch", "torchvision", "scikit-learn")
    return {
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        **{name: version(name) for name in names},
    }


def changed_versions(was: object) -> tuple[str, str] | None:
    """Those of ``software_versions`` that bits depend on and that are others now, then and now.

    Args:
        was: what a manifest says; None and the like where it says nothing.
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
