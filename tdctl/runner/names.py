"""What a run calls its classes and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tdctl.errors import RunError
from tdctl.files import first_line, read_json
from tdctl.run import MANIFEST_FILE

__all__ = ["class_names", "file_names"]


def class_names(run: Path, at_least: int) -> NDArray[np.object_]:
    """Class names of our runs, k strings; the numbers themselves for other code's.

    Raises:
        RunError: the manifest names fewer than ``at_least``.
    """
    manifest = run / MANIFEST_FILE
    if manifest.exists():
        data = read_json(manifest).get("dataset")
        names = data.get("class_names") if isinstance(data, dict) else None
        whole = isinstance(names, list) and all(isinstance(name, str) for name in names)
        if not isinstance(names, list) or not whole or len(names) < at_least:
            raise RunError(f"{manifest}: names no {at_least} classes; expected what tdctl wrote")
        return np.asarray(names, dtype=object)
    return np.asarray([str(label) for label in range(at_least)], dtype=object)


def file_names(run: Path, index: NDArray[np.int64]) -> Any:
    """The file name of each index, n strings; empty ones where the run names none.

    Raises:
        RunError: ``samples.csv`` is malformed.
    """
    path = run / "samples.csv"
    if not path.exists():
        return pd.Categorical.from_codes(np.zeros(len(index), np.int8), pd.Index([""]))
    try:
        table = pd.read_csv(path, dtype={"file_name": str}, keep_default_na=False)
        names = pd.Series(table["file_name"].to_numpy(), index=table["index"].to_numpy(np.int64))
        return names.reindex(index, fill_value="").to_numpy()
    except (ValueError, KeyError) as error:
        raise RunError(f"{path}: not the table that tdctl wrote ({first_line(error)})") from None
