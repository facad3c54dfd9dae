"""The table of a sweep: one row per training, and means over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tdctl.claims import in_turn
from tdctl.csv_files import write_csv
from tdctl.errors import RunError
from tdctl.files import read_json, write_json
from tdctl.sweeping.rows import Row
from tdctl.versions import software_versions

__all__ = [
    "LEFT_OUT",
    "ROW_FILE",
    "SweepTable",
    "read_row",
    "read_rows",
    "records",
    "write_sweep_table",
]

# The result of a row, in its folder. It exists only if the row is complete or has failed.
ROW_FILE = "row.json"
# The columns that identify a row, except the seed.
KEY = [field.name for field in fields(Row) if field.name not in ("seed", "control")]
# Columns with means over the seeds.
FIGURES = [
    "test_error_last",
    "test_error_mean_of_last_10",
    "test_error_best",
    "noise_before",
    "noise_after",
    "removed",
    "relabelled",
    "kept",
    "epochs",
    "seconds",
    "cpu_seconds",
    "cpu_seconds_in_all",
]
SPREAD = "test_error_last"
# In the file of a control that needs the true labels, which are unknown.
LEFT_OUT = "left_out"
# What the file of a row contains of them; the others are made from these.
OF_ROW = [name for name in FIGURES if name != "cpu_seconds_in_all"] + ["recording_cpu_seconds"]
COUNTS = ("removed", "relabelled", "kept")


@dataclass(frozen=True)
class SweepTable:
    """The results of a sweep so far.

    Attributes:
        rows: one row per finished training.
        summary: means over the seeds; columns: the key, ``seeds``, a mean of each figure, ``sd``,
            ``low`` and ``high`` of the last epoch's test error, and ``gap_closed``.
        failed: rows that could not be trained: their name and the reason.
        left_out: names of the controls that need the true labels, which are unknown.
        missing: number of rows without a result.
    """

    rows: pd.DataFrame
    summary: pd.DataFrame
    failed: dict[str, str]
    left_out: list[str]
    missing: int

    def to_dict(self) -> dict[str, Any]:
        """All values, JSON-ready."""
        return {
            "rows": records(self.rows),
            "summary": records(self.summary),
            "failed": self.failed,
            "left_out": self.left_out,
            "missing": self.missing,
        }


def read_rows(folder: Path, rows: Iterable[Row]) -> SweepTable:
    """The results in the folder of a sweep's rows.

    Raises:
        RunError: a result is malformed.
    """
    found: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    left_out: list[str] = []
    missing = 0
    for row in rows:
        file = folder / row.name / ROW_FILE
        if not file.exists():
            missing += 1
            continue
        content = read_row(file, row)
        if "failed" in content:
            failed[row.name] = str(content["failed"])
            continue
        if LEFT_OUT in content:
            left_out.append(row.name)
            continue
        found.append(content)
    table = pd.DataFrame(found, columns=None if found else [*KEY, "seed", *FIGURES])
    table = table.assign(cpu_seconds_in_all=_in_all(table)) if found else table
    table = table.reindex(columns=[*KEY, "seed", *(c for c in table if c not in (*KEY, "seed"))])
    return SweepTable(table, _summary(table), failed, left_out, missing)


def read_row(file: Path, row: Row) -> dict[str, Any]:
    """The result of a row; if it has failed or is left out, ``failed`` or ``left_out`` says why.

    Raises:
        RunError: the file is damaged, or is the result of another row.
    """
    try:
        content = read_json(file)
    except RunError as error:
        raise RunError(f"{error}; remove it, and the row is made again") from None
    key = {**row.key(), "seed": row.seed}
    figures = [content.get(name, "missing") for name in OF_ROW]
    numbers = all(one is None or type(one) in (int, float) for one in figures)
    counts = all(type(content.get(name)) is int for name in COUNTS)
    whole = "failed" in content or LEFT_OUT in content or (numbers and counts)
    if not whole or {name: content.get(name, "missing") for name in key} != key:
        raise RunError(
            f"{file}: is not the result of {row.name}; remove it, and the row is made again"
        )
    return content


def write_sweep_table(folder: Path, table: SweepTable) -> list[Path]:
    """Writes ``sweep.csv``, ``summary.csv`` and ``sweep.json``; gives their paths."""
    files = [folder / name for name in ("sweep.csv", "summary.csv", "sweep.json")]
    with in_turn(folder):  # several processes may work on one sweep
        write_csv(files[0], table.rows)
        write_csv(files[1], table.summary)
        write_json(files[2], {**table.to_dict(), "versions": software_versions()})
    return files


def _summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over the seeds, in the order in which the rows were planned."""
    parts: list[dict[str, Any]] = []
    seeds: list[frozenset[int]] = []
    for key, group in rows.groupby(KEY, sort=False, dropna=False) if len(rows) else ():
        errors = group[SPREAD].to_numpy(dtype=np.float64)
        spread = float(np.std(errors, ddof=1)) if len(errors) > 1 else None
        means = {name: _mean(group[name]) for name in FIGURES}
        seeds.append(frozenset(group["seed"]))
        parts.append(
            {
                **dict(zip(KEY, key, strict=True)),
                "seeds": len(group),
                **means,
                "sd": spread,
                "low": float(errors.min()),
                "high": float(errors.max()),
            }
        )
    table = pd.DataFrame(
        parts, columns=[*KEY, "seeds", *FIGURES, "sd", "low", "high"] if not parts else None
    )
    table = table.astype({name: object for name in KEY})
    table = table.where(table.notna(), None)
    return table.assign(gap_closed=pd.Series(_gaps(table, seeds), dtype=object))


def _in_all(rows: pd.DataFrame) -> pd.Series:
    """CPU seconds of each training, and of its recording if it needed a ranking."""
    recording = rows["recording_cpu_seconds"].astype(float)
    return rows["cpu_seconds"].astype(float) + recording.where(rows["detector"].notna(), 0.0)


def _mean(values: pd.Series) -> float | None:
    """The mean over all seeds; None if a seed has no value, so that all means are of the same."""
    return None if values.isna().any() else float(values.mean())


def _gaps(summary: pd.DataFrame, seeds: Sequence[frozenset[int]]) -> list[float | None]:
    """The part of the gap between all given labels and the clean subset that each row closes.

    1: the test error of the clean subset; 0: that of all given labels; below 0: a higher one. None
    if these two rows do not exist with the same noise, algorithm and seeds, or if there is no gap.

    Args:
        summary: the means.
        seeds: for each of its rows, which seeds it has.
    """
    rows = [{**row, "seeds": of} for row, of in zip(records(summary), seeds, strict=True)]
    ends = {
        (row["labels"], row["noise"], row["algorithm"]): (row["test_error_last"], row["seeds"])
        for row in rows
        if row["labels"] in ("all", "clean") and row["equal"] == "epochs"
    }
    gaps: list[float | None] = []
    for row in rows:
        given, clean = (
            ends.get((labels, row["noise"], row["algorithm"])) for labels in ("all", "clean")
        )
        if given is None or clean is None or not given[1] == clean[1] == row["seeds"]:
            gaps.append(None)
            continue
        if None in (given[0], clean[0], row["test_error_last"]):  # there is no test set
            gaps.append(None)
            continue
        gap = given[0] - clean[0]
        gaps.append((given[0] - row["test_error_last"]) / gap if gap > 0 else None)
    return gaps


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as JSON-ready values; missing values are None."""
    plain = table.astype(object).where(table.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]
