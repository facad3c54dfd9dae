"""Checks a data set before a training: the notes that the training would begin with."""

from __future__ import annotations

from tdctl.config import Config
from tdctl.data import open_dataset
from tdctl.finding.suited import suit

__all__ = ["look"]


def look(config: Config) -> tuple[str, ...]:
    """What the user should know about a data set before a training, one line each.

    A sample of the images is decoded, at the size that a training would choose.

    Raises:
        DataError: a training could not use the data set as it is.
    """
    found = suit(config, ())
    if found is None:
        return open_dataset(config.data, dry=True).notes
    fitted = found.applied(config)
    return (found.line(fitted), *open_dataset(fitted.data, dry=True).notes)
