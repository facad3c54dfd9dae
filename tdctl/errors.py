"""The errors that tdctl raises on purpose, caused by the user's input or by the machine.

::

    TdctlError              one line for stderr; the command ends with exit code 1
    ├── ConfigError         a setting is unknown, of the wrong type, or out of its range
    ├── DataError           a data set, image, or table of labels or noise is missing or malformed
    ├── RunError            a run folder is missing, occupied, or belongs to other settings
    ├── DynamicsError       training dynamics or their metadata do not fit together
    ├── DetectorError       a detector cannot be read, or its output carries no information
    ├── TrainingError       a training diverged
    └── MissingPackageError a package that an adapter needs is not installed (an ImportError too)

Every message is one line. It says what is wrong, where, what was expected and what to do next.
"""

from __future__ import annotations

__all__ = [
    "ConfigError",
    "DataError",
    "DetectorError",
    "DynamicsError",
    "MissingPackageError",
    "RunError",
    "TdctlError",
    "TrainingError",
]


class TdctlError(Exception):
    """The base class of all errors that tdctl raises on purpose.

    Attributes:
        told_elsewhere: True if another process of the same run already reports the error.

    Example::

        >>> try:
        ...     tdctl.read_run("runs/none")
        ... except tdctl.TdctlError as error:
        ...     print(error)
        runs/none: no such run folder; expected a folder that tdctl generate-td wrote
    """

    told_elsewhere = False


class ConfigError(TdctlError):
    """A setting is unknown, of the wrong type, or out of its range."""


class DataError(TdctlError):
    """A data set, an image or a label table is missing or malformed."""


class RunError(TdctlError):
    """A run folder is missing, occupied, or belongs to other settings."""


class DynamicsError(TdctlError):
    """Training dynamics or their metadata are malformed or do not fit together."""


class DetectorError(TdctlError):
    """A detector file cannot be read, or the detector's output carries no information."""


class TrainingError(TdctlError):
    """A training diverged; the message names the epoch and the batch."""


class MissingPackageError(TdctlError, ImportError):
    """A package that an adapter needs is not installed."""
