"""Label tables: given (and true) labels by file name, in place of the folder's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.labels import Labels

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["labels_from_table", "read_label_table"]


def read_label_table(
    config: DataConfig, file_names: list[str], class_names: list[str], key: str = "file_name"
) -> Labels:
    """Labels in the order of ``file_names`` from the table ``config.labels``.

    The table is a CSV with a column ``file_name`` (relative to the data folder, with ``/``),
    the given label under ``config.label_column``, and the true one under
    ``config.true_column`` where that is set. Labels are class names. Each training image has
    exactly one row.

    Raises:
        DataError: the table is not readable, a column is missing, or a row names an unknown
            file or class, a file twice, or none of some file.
    """
    path = config.labels or Path()
    table = _read(path)
    wanted = [key, config.label_column]
    wanted += [config.true_column] if config.true_column is not None else []
    for column in wanted:
        if column not in table.columns:
            raise DataError(
                f"{path}: no column '{column}'; it has {', '.join(map(str, table.columns))}"
            )
    row_of = {name: row for row, name in enumerate(file_names)}
    rows = table[key].map(row_of)
    unknown = np.flatnonzero(rows.isna())
    if len(unknown):
        name = table[key].iloc[unknown[0]]
        raise DataError(
            f"{path}: line {unknown[0] + 2} names '{name}', which is not a training image under "
            f"{config.data_dir}; expected names such as '{file_names[0]}'"
        )
    twice = np.flatnonzero(table[key].duplicated())
    if len(twice):
        name = table[key].iloc[twice[0]]
        raise DataError(f"{path}: line {twice[0] + 2} names '{name}' a second time")
    if len(table) < len(file_names):
        missing = sorted(set(file_names) - set(table[key]))
        raise DataError(
            f"{path}: {len(missing)} training images have no row, first '{missing[0]}'; "
            "expected one row for each"
        )
    at = rows.to_numpy(dtype=np.int64)
    given = _classes(path, table, config.label_column, class_names)
    true = given
    if config.true_column is not None:
        true = _classes(path, table, config.true_column, class_names)
    assigned_n, true_n = np.empty_like(given), np.empty_like(true)
    assigned_n[at], true_n[at] = given, true
    return Labels(np.arange(len(file_names), dtype=np.int64), assigned_n, true_n)


def labels_from_table(
    config: DataConfig,
    names: list[str] | None,
    index: NDArray[np.int64],
    class_names: list[str],
    own: NDArray[np.int64] | None,
) -> Labels:
    """Labels in the order of ``index``, by file name, or by ``index`` where there are no names.

    With ``own``, int64 [n], these are the true labels, and the column ``config.true_column`` must
    agree with them.

    Raises:
        DataError: the table does not fit.
    """
    keys = [str(i) for i in index] if names is None else names
    found = read_label_table(config, keys, class_names, "file_name" if names else "index")
    if own is None:
        return Labels(index, found.assigned, found.true)
    if config.true_column is not None and (found.true != own).any():
        row = int(np.flatnonzero(found.true != own)[0])
        raise DataError(
            f"{config.labels}: column '{config.true_column}' calls '{keys[row]}' "
            f"'{class_names[found.true[row]]}', the data set '{class_names[own[row]]}'"
        )
    return Labels(index, found.assigned, own)


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        # No value is read as missing: "NA" and "null" are fine names for a class.
        return pd.read_csv(
            path,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            compression=None,
            index_col=False,
        )
    except FileNotFoundError:
        raise DataError(f"{path}: no such label table; give an existing CSV file") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a CSV table ({' '.join(str(error).split())})") from None


def _classes(
    path: Path, table: pd.DataFrame, column: str, class_names: list[str]
) -> NDArray[np.int64]:
    label_of = {name: label for label, name in enumerate(class_names)}
    labels = table[column].map(label_of)
    unknown = np.flatnonzero(labels.isna())
    if len(unknown):
        line, name = unknown[0] + 2, table[column].iloc[unknown[0]]
        raise DataError(
            f"{path}: line {line}, column '{column}', names the class '{name}'; expected one of "
            f"{', '.join(class_names[:12])}{', ...' if len(class_names) > 12 else ''}"
        )
    return np.asarray(labels, dtype=np.int64)
