"""The names of a run's classes and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tdctl.csv_files import read_csv
from tdctl.data.dataset import digest_of
from tdctl.errors import RunError
from tdctl.files import first_line, read_json
from tdctl.recorder import CLASSES_FILE, SAMPLES_FILE
from tdctl.run.folder import MANIFEST_FILE

__all__ = ["class_names", "file_names", "names_something"]


def names_something(run: Path) -> bool:
    """Whether the run folder contains names of classes or files."""
    return any((run / file).exists() for file in (MANIFEST_FILE, CLASSES_FILE, SAMPLES_FILE))


def class_names(run: Path, at_least: int) -> NDArray[np.object_]:
    """The class names of a run; the class numbers as text if the run has no names.

    The names are in the manifest. A run that your own training loop recorded has them in a table
    next to the recording.

    Args:
        run: the run folder.
        at_least: how many classes must have a name.

    Returns:
        Strings, object array [k].

    Raises:
        RunError: fewer than ``at_least`` classes have names, or the file is malformed.
    """
    manifest = run / MANIFEST_FILE
    if manifest.exists():
        data = read_json(manifest).get("dataset")
        names = data.get("class_names") if isinstance(data, dict) else None
        whole = isinstance(names, list) and all(isinstance(name, str) for name in names)
        if not isinstance(names, list) or not whole or len(names) < at_least:
            raise RunError(f"{manifest}: does not name {at_least} classes, as tdctl writes it")
        return np.asarray(names, dtype=object)
    if (run / CLASSES_FILE).exists():
        return _recorded_class_names(run / CLASSES_FILE, at_least)
    return np.asarray([str(label) for label in range(at_least)], dtype=object)


def _recorded_class_names(path: Path, at_least: int) -> NDArray[np.object_]:
    wrong = f"{path}: not the table that a recorder wrote"
    try:
        table = read_csv(path, ["class_name"])
        numbers, names = table["class"].to_numpy(np.int64), table["class_name"]
    except (ValueError, KeyError) as error:
        raise RunError(f"{wrong} ({first_line(error)})") from None
    if not np.array_equal(numbers, np.arange(len(numbers))) or len(names) < at_least:
        raise RunError(f"{wrong} (it names {len(names)} classes; expected 0 to {at_least - 1})")
    return names.to_numpy(dtype=object)


def file_names(run: Path, index: NDArray[np.int64]) -> Any:
    """The file name of each sample, n strings; all of them are empty if the run has no names.

    Args:
        run: the run folder.
        index: int64 [n], the samples.

    Raises:
        RunError: ``samples.csv`` is malformed, of another run, or no longer there.
    """
    path, known = run / SAMPLES_FILE, _digest_of_names(run)
    if not path.exists():
        if known not in {None, digest_of(None)}:
            raise RunError(f"{path}: no such file, and the run names its images in it; put it back")
        return pd.Categorical.from_codes(np.zeros(len(index), np.int8), pd.Index([""]))
    try:
        table = read_csv(path, ["file_name"])
        names = pd.Series(table["file_name"].to_numpy(), index=table["index"].to_numpy(np.int64))
        found = names.reindex(index)
    except (ValueError, KeyError) as error:
        raise RunError(
            f"{path}: not the table that tdctl wrote ({first_line(error)}); put that back"
        ) from None
    lacking = int(found.isna().sum())
    if lacking:
        first = found.index[found.isna()][0]
        raise RunError(
            f"{path}: has no row of index {first} ({lacking} of {len(index)} are not there); it is "
            "of another run: put back the one that was written with the dynamics"
        )
    if known is not None and digest_of(names.tolist()) != known:
        raise RunError(
            f"{path}: names other files than {run / MANIFEST_FILE} was written with; one of the "
            "two is of another run: put the right one back"
        )
    return found.to_numpy()


def _digest_of_names(run: Path) -> str | None:
    """What the manifest says of the file names; None where it says nothing."""
    manifest = run / MANIFEST_FILE
    identity = read_json(manifest).get("data_identity") if manifest.exists() else None
    return identity.get("file names") if isinstance(identity, dict) else None
