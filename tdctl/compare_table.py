"""The table of a comparison: its rows, and the folder that contains it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from tdctl.bootstrap import FIGURES, Figure
from tdctl.claims import claim, release
from tdctl.csv_files import write_csv
from tdctl.errors import RunError
from tdctl.figures import PLOT_FILES, Panel, plot_ap, plot_precision_recall
from tdctl.files import read_json, write_text
from tdctl.run import refuse_existing
from tdctl.versions import software_versions

__all__ = ["Compared", "ComparedRow", "Mean", "CompareTable"]

TABLE_FILE, CSV_FILE = "compare.json", "compare.csv"
INTERVAL = 0.95
NUMBERS = re.compile(r"\[\s+[-0-9.e,\s]+\]")


@dataclass(frozen=True)
class ComparedRow:
    """One score or detector on one run.

    Attributes:
        run: the run folder.
        name: the score, or the detector's file, as the user named it.
        kind: ``score`` or ``detector``.
        samples, epochs: of the run.
        realised_rate: share of wrong labels; None if the truth is unknown.
        in_sample: whether the detector was trained on the run; None if it does not say.
        left_out: what the score or detector needs and the run lacks; None if it was computed.
        seconds: time to compute the suspicion of all samples, including reading; None if left out.
        figures: metrics by name (``tdctl.bootstrap.FIGURES``); None if undefined.
        curve: precision at evenly spaced recalls from 0 to 1; None if undefined.
        fingerprints: digests of the run's given curves, of everything it recorded, of the true
            labels and of the detector's weights (or the score's name), and the version of tdctl.
    """

    run: str
    name: str
    kind: str
    samples: int
    epochs: int
    realised_rate: float | None
    in_sample: bool | None
    left_out: str | None
    seconds: float | None
    figures: dict[str, Figure] | None
    curve: list[float] | None
    fingerprints: dict[str, str]

    def described(self) -> str:
        """The result in a few words."""
        if self.left_out is not None:
            return "left out"
        told = "ranked" if self.figures is None else f"AP {self.figures['ap'].value:.4f}"
        return f"{told}, {self.seconds:.2f} s"


_ROWS = TypeAdapter(list[ComparedRow])


@dataclass(frozen=True)
class Mean:
    """The mean of one metric over the runs on which it is defined and not in-sample.

    Attributes:
        name: the score or detector.
        figure: name of the metric.
        runs: number of runs.
        mean: the mean, in [0, 1].
        half_range: half of the difference between the largest and the smallest value.
    """

    name: str
    figure: str
    runs: int
    mean: float
    half_range: float


@dataclass(frozen=True)
class Compared:
    """The result of a comparison.

    Attributes:
        rows: the rows that were asked for.
        means: their means over the runs.
        bootstrap: number of resamples.
        seed: seed of the resamples.
        files: the files that were written.
    """

    rows: list[ComparedRow]
    means: list[Mean]
    bootstrap: int
    seed: int
    files: list[Path]

    def to_dict(self) -> dict[str, Any]:
        """Settings, rows and means as JSON-ready values."""
        return {**_settings(self.bootstrap, self.seed), **_content(self.rows)}


class CompareTable:
    """The table in ``compare.json`` of a folder, or in memory if there is no folder.

    No other process can write the folder until ``close``.
    """

    def __init__(self, folder: Path | None, bootstrap: int, seed: int) -> None:
        self._folder, self._bootstrap, self._seed = folder, bootstrap, seed
        self._claimed = False
        self._rows: dict[tuple[str, str], ComparedRow] = {}
        self._put: set[tuple[str, str]] = set()

    @classmethod
    def open(cls, folder: Path | None, bootstrap: int, seed: int, overwrite: bool) -> CompareTable:
        """Opens the table of a folder, with the rows that it contains.

        Raises:
            RunError: the folder contains something else, or a table with another number of
                resamples or another seed, or another process is writing it.
        """
        table = cls(folder, bootstrap, seed)
        if folder is None:
            return table
        if folder.exists() and not folder.is_dir():
            raise RunError(f"{folder}: is a file; give a folder with --out")
        # Files that cannot be written are refused before anything is computed.
        names = (TABLE_FILE, CSV_FILE, *PLOT_FILES)
        refuse_existing([folder / name for name in names], overwrite=True)
        if not folder.exists():
            return table
        table._claim(folder)
        try:
            table._read(folder / TABLE_FILE, overwrite)
        except RunError:
            table.close()
            raise
        return table

    def close(self) -> None:
        """Lets other processes write the folder."""
        if self._claimed and self._folder is not None:
            release(self._folder)
            self._claimed = False

    def _claim(self, folder: Path) -> None:
        claim(folder)
        self._claimed = True

    def _read(self, path: Path, overwrite: bool) -> None:
        folder = path.parent
        if not path.exists():
            if any(folder.iterdir()):
                raise RunError(f"{folder}: holds files but no {TABLE_FILE}; give another --out")
            return
        try:
            content = read_json(path)
        except RunError as error:
            if overwrite:
                return
            raise RunError(f"{error}; --overwrite it, or give another --out") from None
        if content.get("command") != "compare":
            raise RunError(f"{path}: was not written by compare; give another --out")
        if overwrite:
            return
        for key, value in _settings(self._bootstrap, self._seed).items():
            if content.get(key) != value:
                raise RunError(
                    f"{path}: was made with {key} {content.get(key)!r}, now {value!r}; give the "
                    "same, or --overwrite"
                )
        try:
            rows = _ROWS.validate_python(content["rows"])
        except (ValidationError, KeyError):
            raise RunError(f"{path}: its rows are not what tdctl wrote; --overwrite it") from None
        self._rows = {(row.run, row.name): row for row in rows}

    def find(self, fingerprints: dict[str, str], run: Path, name: str) -> ComparedRow | None:
        """The row with the same fingerprints, under the names that are asked for now, or None.

        A row that was left out is computed again, because a missing package may be there now.
        """
        for row in self._rows.values():
            if row.fingerprints == fingerprints and row.left_out is None:
                return replace(row, run=str(run), name=name)
        return None

    def put(self, row: ComparedRow) -> None:
        """Adds a row; it replaces a row of the same run and name, or with equal fingerprints."""
        place = row.run, row.name
        self._put.add(place)
        if self._rows.get(place) == row:
            return
        for key, old in list(self._rows.items()):
            # If copies of the same files are asked for in one call, both rows stay.
            if old.fingerprints == row.fingerprints and key not in self._put:
                del self._rows[key]
        self._rows[place] = row
        self._write("running")

    def finish(self, rows: list[ComparedRow], plots: bool) -> Compared:
        """Writes the table and the plots of all rows; returns the rows that were asked for."""
        files = []
        if self._folder is not None:
            files = [self._write("complete"), self._write_csv()]
            if plots:
                files += self._plot()
        return Compared(rows, means(rows), self._bootstrap, self._seed, files)

    def _write(self, status: str) -> Path:
        path = (self._folder or Path()) / TABLE_FILE
        if self._folder is not None:
            if not self._claimed:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._claim(self._folder)
                if path.exists():
                    raise RunError(f"{path}: another process wrote it meanwhile; call again")
            content = {
                **_settings(self._bootstrap, self._seed),
                "status": status,
                "versions": software_versions(),
                **_content(list(self._rows.values())),
            }
            text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
            # Each curve on one line, not each of its points.
            write_text(path, NUMBERS.sub(lambda found: " ".join(found[0].split()), text) + "\n")
        return path

    def _write_csv(self) -> Path:
        path = (self._folder or Path()) / CSV_FILE
        write_csv(path, pd.DataFrame([_flat(row) for row in self._rows.values()]))
        return path

    def _plot(self) -> list[Path]:
        panels = _panels(list(self._rows.values()))
        folder = self._folder or Path()
        if not panels:
            return []
        return [*plot_precision_recall(panels, folder), *plot_ap(panels, folder)]


def means(rows: Sequence[ComparedRow]) -> list[Mean]:
    """Mean and half range over the runs, for each metric of each score and detector.

    Rows that are undefined or in-sample do not count.
    """
    found = []
    for name in dict.fromkeys(row.name for row in rows):
        for figure in FIGURES:
            values = [
                row.figures[figure].value
                for row in rows
                if row.name == name and row.figures is not None and row.in_sample is not True
            ]
            if values:
                middle = sum(values) / len(values)
                half = (max(values) - min(values)) / 2
                found.append(Mean(name, figure, len(values), middle, half))
    return found


def _settings(bootstrap: int, seed: int) -> dict[str, Any]:
    return {"command": "compare", "bootstrap": bootstrap, "seed": seed, "interval": INTERVAL}


def _content(rows: list[ComparedRow]) -> dict[str, Any]:
    return {
        "rows": [asdict(row) for row in rows],
        "means": [asdict(mean) for mean in means(rows)],
    }


def _flat(row: ComparedRow) -> dict[str, Any]:
    """One line of the CSV: each metric and the ends of its interval in three columns."""
    line = {
        key: getattr(row, key)
        for key in ("run", "name", "kind", "samples", "epochs", "realised_rate", "in_sample")
    }
    for figure in FIGURES:
        found = None if row.figures is None else row.figures[figure]
        line[figure] = None if found is None else found.value
        line[f"{figure}_low"] = None if found is None else found.low
        line[f"{figure}_high"] = None if found is None else found.high
    return {**line, "seconds": row.seconds, "left_out": row.left_out}


def _panels(rows: list[ComparedRow]) -> list[Panel]:
    panels = []
    for run in dict.fromkeys(row.run for row in rows):
        known = [row for row in rows if row.run == run and row.figures is not None]
        if known:
            panels.append(
                Panel(
                    title="/".join(Path(run).parts[-2:]),
                    ap={row.name: row.figures["ap"] for row in known if row.figures},
                    curve={row.name: row.curve for row in known if row.curve},
                    rate=known[0].realised_rate or 0.0,
                    marked=frozenset(row.name for row in known if row.in_sample),
                )
            )
    return panels
