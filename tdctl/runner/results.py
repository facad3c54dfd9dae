"""The table of a denoising: a row for each retraining, in ``denoise.json`` and ``denoise.csv``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from tdctl.claims import in_turn
from tdctl.config import Config
from tdctl.errors import RunError
from tdctl.files import atomic_path, read_json, write_json
from tdctl.run import software_versions
from tdctl.runner.jobs import Retraining
from tdctl.runner.rank import DetectResult

__all__ = ["RESULT_FILE", "check_results", "write_results"]

RESULT_FILE = "denoise.json"


def _facts(detection: DetectResult, config: Config) -> dict[str, Any]:
    """What all rows of a table share."""
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


def check_results(path: Path, detection: DetectResult, config: Config, overwrite: bool) -> None:
    """Refuses to put other rows in the place of what a table holds.

    Raises:
        RunError: it is of another run, detector or settings; names the first difference.
    """
    if overwrite or not path.exists():
        return
    old, facts = read_json(path), _facts(detection, config)
    differs = next((key for key, value in facts.items() if old.get(key) != value), None)
    if differs is not None:
        other = "recording or detector" if differs in {"fingerprints", "detection"} else differs
        of = "" if isinstance(facts[differs], dict) else f" ({old.get(differs)})"
        raise RunError(
            f"{path}: holds results of another {other}{of}; give another --out, or --overwrite"
        )


def write_results(
    path: Path,
    rows: Sequence[Retraining],
    detection: DetectResult,
    config: Config,
    overwrite: bool,
) -> None:
    """Adds rows to the table, as JSON and CSV; one of the same folder takes its place.

    Raises:
        RunError: as ``check_results``.
    """
    same = _facts(detection, config)
    table = {_place(asdict(row)): asdict(row) for row in rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    # A sweep calls once a ratio, perhaps at the same time: rows of the same run, detector and
    # settings stay in the table.
    with in_turn(path.parent):
        check_results(path, detection, config, overwrite)
        if path.exists():
            old = read_json(path)
            if all(old.get(key) == value for key, value in same.items()):
                table = {_place(row): row for row in old.get("rows", [])} | table
        ordered = [table[key] for key in sorted(table)]
        content = {
            **same,
            "detector_in_sample": detection.in_sample,
            "estimates": {name: found.to_dict() for name, found in detection.estimates.items()},
            "versions": software_versions(),
            "rows": ordered,
        }
        write_json(path, content)
        with atomic_path(path.with_suffix(".csv")) as part:
            pd.DataFrame(ordered).to_csv(part, index=False)


def _place(row: dict[str, Any]) -> tuple[float, str, str]:
    """Where a row stands in the table; one of the same folder takes its place."""
    return row["remove_ratio"] or 0.0, row["kind"], Path(row["folder"]).name
