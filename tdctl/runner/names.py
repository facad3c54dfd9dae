"""What a run calls its classes and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tdctl.errors import RunError
from tdctl.files import first_line, read_json
from tdctl.recorder import CLASSES_FILE, SAMPLES_FILE
from tdctl.run import MANIFEST_FILE
from tdctl.runner.csv_files import read_csv

__all__ = ["class_names", "file_names", "names_something"]


def names_something(run: Path) -> bool:
    """Whether the folder names classes or files."""
    return any((run / file).exists() for file in (MANIFEST_FILE, CLASSES_FILE, SAMPLES_FILE))


def class_names(run: Path, at_least: int) -> NDArray[np.object_]:
    """Class names of a run, k strings; the numbers themselves where other code names none.

    They stand in the manifest, or, of a training loop of one's own, in a table beside its
    recording.

    Raises:
        RunError: these name fewer than ``at_least``, or are malformed.
    """
    manifest = run / MANIFEST_FILE
    if manifest.exists():
        data = read_json(manifest).get("dataset")
        names = data.get("class_names") if isinstance(data, dict) else None
        whole = isinstance(names, list) and all(isinstance(name, str) for name in names)
        if not isinstance(names, list) or not whole or len(names) < at_least:
            raise RunError(f"{manifest}: names no {at_least} classes; expected what tdctl wrote")
        return np.asarray(names, dtype=object)
    if (run / CLASSES_FILE).exists():
        return _recorded_class_names(run / CLASSES_FILE, at_least)
    return np.asarray([str(label) for label in range(at_least)], dtype=object)


def _recorded_class_names(path: Path, at_least: int) -> NDArray[np.object_]:
    wrong = f"{path}: not the table that Recorder.create wrote"
    try:
        table = read_csv(path, ["class_name"])
        numbers, names = table["class"].to_numpy(np.int64), table["class_name"]
    except (ValueError, KeyError) as error:
        raise RunError(f"{wrong} ({first_line(error)})") from None
    if not np.array_equal(numbers, np.arange(len(numbers))) or len(names) < at_least:
        raise RunError(f"{wrong} (it names {len(names)} classes; expected 0 to {at_least - 1})")
    return names.to_numpy(dtype=object)


def file_names(run: Path, index: NDArray[np.int64]) -> Any:
    """The file name of each index, n strings; empty ones where the run names none.

    Raises:
        RunError: ``samples.csv`` is malformed.
    """
    path = run / SAMPLES_FILE
    if not path.exists():
        return pd.Categorical.from_codes(np.zeros(len(index), np.int8), pd.Index([""]))
    try:
        table = read_csv(path, ["file_name"])
        names = pd.Series(table["file_name"].to_numpy(), index=table["index"].to_numpy(np.int64))
        return names.reindex(index, fill_value="").to_numpy()
    except (ValueError, KeyError) as error:
        raise RunError(f"{path}: not the table that tdctl wrote ({first_line(error)})") from None
