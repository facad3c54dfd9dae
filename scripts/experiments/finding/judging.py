"""Judges scores and detectors on what the benchmark recorded.

Standard library only.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from scripts.experiments.finding.cells import Cell, Settings
from scripts.experiments.finding.recording import tdctl
from scripts.experiments.finding.reporting import AUTO, NAMED

__all__ = ["judge"]

# What a sibling's detector is: as the one that ships, but narrower. The paper's LSTM is the default
# of train-detector.
SIBLING = ("--detector-net", "gru", "--channels", "context", "--restarts", "1")
OUT_OF_FOLD = ("oof-self-confidence", "oof-margin", "oof-joint", "oof-aum")
FIGURES = ("auc", "ap", "f1", "top1", "top5", "top10")


def judge(
    settings: Settings,
    cells: Sequence[Cell],
    detectors: dict[str, str],
    out: Path,
    parallel: int,
    siblings: bool,
) -> None:
    """Writes a list of figures, one for each cell and what ranked it."""
    there = [cell for cell in cells if _seconds(settings, cell) is not None]
    shipped = json.loads(tdctl("detectors", "--json")[0])
    named = {one["name"]: one["name"] for one in shipped}
    named |= {f"{name} {NAMED}": file for name, file in detectors.items()}

    def one(cell: Cell) -> list[dict[str, Any]]:
        return _judged(settings, cell, there if siblings else [], named)

    with ThreadPoolExecutor(parallel) as workers:
        rows = [row for found in workers.map(one, there) for row in found]
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    lines = ",\n".join(json.dumps(row) for row in rows)
    part.write_text(f"[\n{lines}\n]\n")
    part.rename(out)


def _judged(
    settings: Settings, cell: Cell, there: Sequence[Cell], named: dict[str, str]
) -> list[dict[str, Any]]:
    names: dict[str, str] = {}
    asked = ["--score", "all"]
    if cell.kind == "folds":
        asked = [argument for name in OUT_OF_FOLD for argument in ("--score", name)]
    else:
        names |= {file: name for name, file in named.items()} | {AUTO: AUTO}
    if cell.kind in ("ours", "paper"):
        lstm = _trained(settings, cell, there, "lstm", ())
        names |= {} if lstm is None else {str(lstm): "paper's LSTM (sibling)"}
    if cell.kind == "ours":
        sibling = _trained(settings, cell, there, "sibling", SIBLING)
        names |= {} if sibling is None else {str(sibling): "detector (sibling)"}
    for file in names:
        asked += ["--detector", file]
    run = settings.work / cell.name
    told, _ = tdctl(
        "compare", "--td", str(run), *asked, "--bootstrap", "0", "--no-plots", "--json", "--quiet"
    )
    facts = _seconds(settings, cell) or {}
    own = {AUTO: _own_cut(run)} if AUTO in names else {}
    print(f"{cell.name}: judged", file=sys.stderr, flush=True)
    return [
        {
            "row": cell.row,
            "seed": cell.seed,
            "length": cell.length,
            "kind": cell.kind,
            "by": names.get(row["name"], row["name"]),
            **{name: round(row["figures"][name]["value"], 4) for name in FIGURES},
            "samples": row["samples"],
            "rate": round(row["realised_rate"], 4),
            **facts,
            **own.get(row["name"], {}),
        }
        for row in json.loads(told)["rows"]
        if row["figures"] is not None
    ]


def _own_cut(run: Path) -> dict[str, Any]:
    """The share that ``--cut auto`` estimates, with its interval, and how good that cut is."""
    found = json.loads(tdctl("detect", "--td", str(run), "--cut", "auto", "--json", "--quiet")[0])
    share, cut = found["estimates"]["combined"], found["cut"]["cut"]
    return {
        "share": {name: round(share[name], 4) for name in ("rate", "low", "high")},
        "cut": {name: round(cut[name], 4) for name in ("precision", "recall", "f1")},
    }


def _trained(
    settings: Settings, cell: Cell, there: Sequence[Cell], name: str, settings_of: tuple[str, ...]
) -> Path | None:
    """A detector of the same row, length and kind of the other seeds; None without any."""
    others = [
        other
        for other in there
        if (other.row, other.length, other.kind) == (cell.row, cell.length, cell.kind)
        and other.seed != cell.seed
    ]
    if not others:
        return None
    stem = settings.work / f"{name}_{cell.name}"
    file = stem.with_name(stem.name + (".safetensors" if settings_of else ".pth.tar"))
    if not file.exists():
        runs = [argument for o in others for argument in ("--td", str(settings.work / o.name))]
        arguments = [*settings_of, "--out", str(stem), "--overwrite", "--quiet"]
        tdctl("train-detector", *runs, *arguments)
    return file


def _seconds(settings: Settings, cell: Cell) -> dict[str, Any] | None:
    path = settings.work / f"{cell.name}.seconds.json"
    found: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return found
