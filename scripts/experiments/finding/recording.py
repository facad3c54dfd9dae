"""Runs the trainings of the benchmark, each in a process of its own with one thread.

Standard library only.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from scripts.experiments.finding.cells import (
    FULL,
    KINDS,
    OWN_LENGTH,
    ROWS,
    Cell,
    Settings,
    data_of,
    kind_of,
)  # fmt: skip

__all__ = ["calibrate", "going_on", "record", "render", "tdctl", "write"]

# Epochs of the two runs whose difference is the time of an epoch without the start.
SHORT, LONG = 1, 4


def tdctl(*arguments: str) -> tuple[str, float]:
    """Standard output of a command and the CPU seconds that it took, with one thread."""
    command = [sys.executable, "-m", "tdctl", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    out, errors = process.stdout, process.stderr
    with ThreadPoolExecutor(2) as readers:
        texts = [readers.submit(stream.read) for stream in (out, errors) if stream is not None]
        _, status, usage = os.wait4(process.pid, 0)
        told, complaint = (text.result() for text in texts)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"finding: error: {' '.join(arguments)}: {complaint.strip()[-500:]}")
    return told, usage.ru_utime + usage.ru_stime


def calibrate(settings: Settings, cells: Sequence[Cell]) -> dict[str, dict[str, float]]:
    """CPU seconds of an epoch, by family: of ours, and of each kind that gets the time of ours."""
    cells = [cell for cell in cells if cell.kind not in OWN_LENGTH]
    path = settings.work / f"calibration_{settings.images}.json"
    found: dict[str, dict[str, float]] = json.loads(path.read_text()) if path.exists() else {}
    wanted = {"ours"} | {cell.kind for cell in cells}
    _render(settings, cells)
    for family in dict.fromkeys(cell.family for cell in cells):
        own = found.setdefault(family, {})
        seed = min(cell.seed for cell in cells if cell.family == family)
        for kind in [kind for kind in KINDS if kind in wanted and kind not in own]:
            taken = {}
            for epochs in (SHORT, LONG):
                out = settings.work / f"calibration_{settings.images}_{family}_{kind}_{epochs}"
                _, taken[epochs] = tdctl(
                    "generate-td", *data_of(settings, family, seed), "--noise-ratio", "0.2",
                    *kind_of(kind, epochs), "--out", str(out), "--overwrite", "--quiet",
                )  # fmt: skip
            own[kind] = (taken[LONG] - taken[SHORT]) / (LONG - SHORT)
            write(path, found)
    return found


def record(
    settings: Settings,
    cells: Sequence[Cell],
    seconds: dict[str, dict[str, float]],
    parallel: int,
) -> None:
    """Records every cell that is not there yet."""

    def one(cell: Cell) -> None:
        out = settings.work / cell.name
        done = out.with_suffix(f"{out.suffix}.seconds.json")
        if done.exists():
            return
        epochs = equal_epochs(cell, seconds.get(cell.family, {}))
        went_on = out.exists()
        _, taken = tdctl(
            "generate-td", *data_of(settings, cell.family, cell.seed), *ROWS[cell.row],
            *kind_of(cell.kind, epochs), "--seed", str(cell.seed), "--out", str(out),
            *going_on(out), "--quiet",
        )  # fmt: skip
        # A run that went on has taken more than is known.
        write(done, {"epochs": epochs, "cpu_seconds": None if went_on else taken})
        print(f"{cell.name}: {epochs} epochs, {taken:.0f} s", file=sys.stderr, flush=True)

    _render(settings, cells)
    with ThreadPoolExecutor(parallel) as runners:
        list(runners.map(one, cells))


def going_on(out: Path) -> list[str]:
    """``--resume`` where a run has begun in a folder, nothing where it is to begin."""
    return ["--resume"] if (out / "manifest.json").exists() else []


def equal_epochs(cell: Cell, seconds: dict[str, float]) -> int:
    """Epochs that take the time of ours, rounded in favour of the others; at least 2.

    Some kinds have a length of their own.
    """
    if cell.kind in OWN_LENGTH:
        return FULL if cell.kind == "full" else cell.length
    return max(2, math.ceil(cell.length * seconds["ours"] / seconds[cell.kind]))


def _render(settings: Settings, cells: Sequence[Cell]) -> None:
    for seed in sorted({cell.seed for cell in cells if cell.family == "letters"}):
        render(settings, seed)


def render(settings: Settings, seed: int) -> None:
    folder = settings.work / f"letters{seed}"
    if not folder.exists():
        script = Path(__file__).parents[1] / "glyphs.py"
        arguments = [str(folder), "--seed", str(seed)]
        subprocess.run([sys.executable, str(script), *arguments], check=True, stdout=sys.stderr)


def write(path: Path, content: Any) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content, indent=1))
    part.rename(path)
