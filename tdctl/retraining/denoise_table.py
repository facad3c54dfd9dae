"""The results of a denoising: one row per retraining, in ``denoise.json`` and ``denoise.csv``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tdctl.claims import in_turn
from tdctl.config import Config
from tdctl.csv_files import write_csv
from tdctl.errors import RunError
from tdctl.files import read_json, write_json
from tdctl.rankers.ranked import DetectResult
from tdctl.retraining.jobs import Retraining
from tdctl.retraining.rounds import Round
from tdctl.versions import software_versions

__all__ = ["RESULT_FILE", "check_results", "write_results"]

RESULT_FILE = "denoise.json"
Place = tuple[float, str, str]


def check_results(path: Path, detection: DetectResult, config: Config, overwrite: bool) -> None:
    """Refuses to replace the rows of another table. It runs before anything is trained.

    Raises:
        RunError: the file belongs to another recording, detector or settings, or is not a table.
    """
    _rows_there(path, _facts(detection, config), overwrite)


def write_results(
    path: Path,
    rows: Sequence[Retraining],
    detection: DetectResult,
    config: Config,
    overwrite: bool,
    rounds: Sequence[Round] = (),
) -> None:
    """Adds rows to the table, as JSON and CSV; a row of the same folder is replaced.

    Raises:
        RunError: as in ``check_results``.
    """
    facts = _facts(detection, config)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A sweep calls this once per ratio, and several calls may run at the same time.
    with in_turn(path.parent):
        table = _rows_there(path, facts, overwrite) | {
            _place(row): row for row in (row.to_dict() for row in rows)
        }
        ordered = [table[key] for key in sorted(table)]
        flat = pd.DataFrame(ordered).drop(columns="classes")
        content = {
            **facts,
            "detector_in_sample": detection.in_sample,
            "rounds": [one.to_dict() for one in rounds],
            "estimates": {name: found.to_dict() for name, found in detection.estimates.items()},
            "versions": software_versions(),
            "rows": ordered,
        }
        write_json(path, content)
        write_csv(path.with_suffix(".csv"), flat)


def _facts(detection: DetectResult, config: Config) -> dict[str, Any]:
    """The facts that all rows of a table share."""
    return {
        **detection.run_facts,
        **detection.ranker.facts,
        "fingerprints": detection.fingerprints,
        "detection": detection.metrics.to_dict(),
        "seed": config.seed,
        "net": config.net.label,
        "noise": config.noise.model_dump(mode="json"),
        "retrain": config.retrain.model_dump(mode="json"),
    }


def _identity(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts that must agree for two tables to be the same.

    Paths are not among them, because they may be written differently or may have moved.
    """
    names = {
        "fingerprints": "recording or detector",
        "score": "score",
        "seed": "seed",
        "net": "network",
        "noise": "noise",
        "retrain": "training",
    }
    # The metrics are not compared, because their last bits depend on the number of processes.
    # Only the true share of wrong labels is.
    truth = {"truth": facts["detection"]["realised_rate"]}
    return {name: facts[key] for key, name in names.items()} | truth


def _rows_there(path: Path, facts: dict[str, Any], overwrite: bool) -> dict[Place, dict[str, Any]]:
    """The existing rows that stay next to the new ones."""
    if not path.exists():
        return {}
    try:
        old = read_json(path)
        rows, known = {_place(row): _filled(row) for row in old["rows"]}, _identity(old)
    except (RunError, KeyError, TypeError, ValueError):
        if overwrite:
            return {}
        raise RunError(
            f"{path}: is not the table that tdctl wrote; give another --out, or --overwrite"
        ) from None
    differs = next((name for name, value in _identity(facts).items() if known[name] != value), None)
    if differs is None:
        return rows
    if overwrite:
        return {}
    of = old.get("run") or old.get("runs")
    raise RunError(
        f"{path}: holds results of another {differs} (of {of}); give another --out, or --overwrite"
    )


def _filled(row: dict[str, Any]) -> dict[str, Any]:
    """A row with the values that tables of earlier versions lack: they dropped samples only."""
    action = "prune" if row["kind"] == "pruned" else None
    missing: dict[str, Any] = {"action": action, "relabelled": 0, "classes": []}
    return row | {name: value for name, value in missing.items() if name not in row}


def _place(row: dict[str, Any]) -> Place:
    """Sort key of a row. A new row replaces an old row with the same key."""
    return float(row["remove_ratio"] or 0), str(row["kind"]), Path(row["folder"]).name
