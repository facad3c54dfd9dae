"""What is said where the package of an adapter is not installed."""

from __future__ import annotations

from tdctl.errors import MissingPackageError

__all__ = ["missing"]


def missing(package: str, extra: str, error: ModuleNotFoundError) -> ImportError:
    """The error to raise if the import of a package fails.

    Args:
        package: the package that an adapter needs.
        extra: the extra of tdctl that installs it.
        error: why the import failed.

    Returns:
        One line that says how to install it; or the error itself, if something else is missing.
    """
    if error.name is None or error.name.split(".")[0] != package:
        return error
    return MissingPackageError(
        f"tdctl.adapters.{extra} needs the package {package}: pip install tdctl[{extra}]"
    )
