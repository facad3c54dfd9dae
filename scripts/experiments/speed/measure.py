"""Ratios with their spread, and processes watched from outside: time, memory, epochs."""

from __future__ import annotations

import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from tdctl.config import TrainConfig
from tdctl.processors import own_processors
from tdctl.training import pick_precision

ROOT = Path(__file__).resolve().parents[3]


class BenchError(Exception):
    """A section cannot be measured; its message is one line for the user."""


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of some repetitions."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """The spread of at least one value.

        Raises:
            BenchError: there is none.
        """
        found = sorted(values)
        if not found:
            raise BenchError("nothing was measured; give more repetitions or epochs")
        return cls(statistics.median(found), found[0], found[-1], len(found))


def ratios(upper: Sequence[float], lower: Sequence[float]) -> Spread:
    """Spread of the ratios of pairs that were measured one right after the other.

    Raises:
        BenchError: the two differ in number, or there is no pair.
    """
    if len(upper) != len(lower):
        raise BenchError(f"{len(upper)} measurements against {len(lower)}; expected pairs")
    return Spread.of(a / b for a, b in zip(upper, lower, strict=True))


@dataclass(frozen=True)
class Row:
    """A line of the table: what was measured, its spread, and what it should be."""

    what: str
    value: Spread
    unit: str = "x"
    target: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The line as JSON-ready values."""
        return asdict(self)


@dataclass
class Section:
    """What one section found: the table's lines, and the measurements behind them."""

    rows: list[Row] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def add(self, what: str, values: Iterable[float], unit: str, target: str = "") -> None:
        """Adds a line with the spread of some values."""
        self.rows.append(Row(what, Spread.of(values), unit, target))

    def add_ratio(
        self, what: str, upper: Sequence[float], lower: Sequence[float], target: str = ""
    ) -> None:
        """Adds a line with the ratios of measured pairs."""
        self.rows.append(Row(what, ratios(upper, lower), "x", target))


@dataclass
class Watched:
    """A process that has ended, as seen from outside.

    Attributes:
        seconds: from its start to its end.
        epochs: seconds between the commits of whole epochs, so without the first epoch.
        peak_rss: largest resident memory in bytes, mapped files included.
        peak_anonymous: largest resident memory in bytes that no file stands behind; sampled.
            Both are 0 where the system has no /proc.
    """

    seconds: float
    epochs: list[float]
    peak_rss: int
    peak_anonymous: int


def watch(
    command: Sequence[str | Path],
    *,
    commits: Path | None = None,
    threads: int | None = None,
    interval: float = 0.005,
) -> Watched:
    """Runs a command to its end and measures it.

    Args:
        command: the program and its arguments; it runs in the project's root.
        commits: a file that the program replaces after each whole epoch.
        threads: what OMP_NUM_THREADS becomes; the user's own value where None.
        interval: seconds between two looks at it.

    Raises:
        BenchError: the command failed; with the end of what it said.
    """
    words = [str(word) for word in command]
    say(f"$ {shlex.join(words)}")
    environment = dict(os.environ)
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    # A file, not a pipe: a full pipe would stop the program that is measured.
    with tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        process = subprocess.Popen(
            words, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=said
        )
        look = _Look(process.pid, commits)
        try:
            while process.poll() is None:
                look()
                time.sleep(interval)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        seconds = time.perf_counter() - start
        if process.returncode:
            said.seek(0)
            cause = _cause(said.read().decode(errors="replace"))
            code = process.returncode
            raise BenchError(f"{shlex.join(words)}: ended with {code}; {cause}")
    gaps = [b - a for a, b in pairwise(look.stamps)]
    return Watched(seconds, gaps, look.peaks["VmHWM"], look.peaks["RssAnon"])


class _Look:
    """What repeated looks at a process have seen: commits of epochs, and peaks of memory."""

    def __init__(self, pid: int, commits: Path | None) -> None:
        self._status, self._commits = Path(f"/proc/{pid}/status"), commits
        self._seen: tuple[int, int] | None = None
        self._looks = 0
        self.stamps: list[float] = []
        # The process's own record, not that of getrusage: there, what the process was forked
        # from counts too.
        self.peaks = {"VmHWM": 0, "RssAnon": 0}

    def __call__(self) -> None:
        if self._commits is not None and (now := _identity(self._commits)) != self._seen:
            self._seen = now
            if now is not None:
                self.stamps.append(time.perf_counter())
        if self._looks % 4 == 0:
            self._memory()
        self._looks += 1

    def _memory(self) -> None:
        try:
            lines = self._status.read_text().splitlines()
        except OSError:
            # The process has just ended, or the system does not tell.
            return
        for name, _, value in (line.partition(":") for line in lines):
            if name in self.peaks:
                self.peaks[name] = max(self.peaks[name], int(value.split()[0]) * 1024)


def _cause(said: str) -> str:
    """The first line that speaks of an error; what follows are consequences."""
    lines = said.strip().splitlines() or ["it said nothing"]
    return next((line for line in lines if "error" in line.lower()), lines[-1]).strip()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def tdctl(*arguments: object) -> list[str]:
    """The command line of tdctl in this interpreter."""
    return [sys.executable, "-m", "tdctl", *map(str, arguments)]


def say(message: str) -> None:
    """A message for the user, beside the table."""
    print(message, file=sys.stderr, flush=True)


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures depend on: processor, threads, versions, precision."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "cores_usable": own_processors(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "threads": torch.get_num_threads(),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "load_average": list(os.getloadavg()),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "precision": pick_precision(TrainConfig(), device),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )


def table(sections: Mapping[str, Section]) -> str:
    """The lines of all sections as text."""
    head = ("section", "measured", "median", "min .. max", "n", "unit", "target")
    lines = [head]
    for name, section in sections.items():
        for row in section.rows:
            value = row.value
            spread = f"{value.low:.4g} .. {value.high:.4g}"
            cells = (f"{value.median:.4g}", spread, str(value.count), row.unit, row.target)
            lines.append((name, row.what, *cells))
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
