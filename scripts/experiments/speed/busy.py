"""Section 8: epochs of small, wide and photograph-sized networks beside busy programs."""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from scripts.experiments.speed.measure import ROOT, BenchError, Section, say, tdctl
from scripts.experiments.speed.photographs import make_photographs
from scripts.experiments.speed.settings import Settings
from tdctl.processors import ENVIRONMENT, own_processors
from tdctl.run import CHECKPOINT_FILE

# Until the process that measures is gone.
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(100_000))"
LOADS = (0, 1, 2)
# Seconds after which a load is left with what was seen of it, if that is nothing then as the time
# of an epoch.
LIMIT = 15.0
OURS = "by tdctl's rule"
ONE = "one thread"
DEFINITION = (
    "fair share = an epoch of one thread without busy programs, times (busy + 1) / processors "
    "where that is above 1"
)


def ways(processors: int) -> dict[str, dict[str, str]]:
    """What the environment holds in each way of computing; a thread for each processor but ours."""
    every = {"OMP_NUM_THREADS": str(processors), "OMP_PROC_BIND": "false"}
    return {
        OURS: {},
        ONE: {"OMP_NUM_THREADS": "1"},
        # libgomp's own number of turns, where nothing is said.
        "all threads, torch's waiting": every | {"GOMP_SPINCOUNT": "300000"},
        "all threads, passive waiting": every | {"OMP_WAIT_POLICY": "PASSIVE"},
    }


def measure(settings: Settings) -> Section:
    """Seconds an epoch of each network in each way, the ways in turns, beside 0 to 2 programs."""
    made, section = settings.options, Section()
    section.details["definition"] = DEFINITION
    section.details["processors"] = own_processors()
    lines = ["| network | busy programs | way | s an epoch | / best idle | / fair share |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for net in made.busy_nets:
        flags = NETS[net](settings)
        found: dict[str, dict[int, list[float]]] = {}
        for turn in range(made.pairs):
            for way, environment in ways(own_processors()).items():
                say(f"turn {turn + 1} of {made.pairs}, {net}, {way}")
                out = settings.fresh("busy")
                command = tdctl("generate-td", *flags, "--device", "cpu", "--out", out)
                seen = _epochs(command, out / CHECKPOINT_FILE, environment, made.busy_seconds)
                for load, seconds in seen.items():
                    found.setdefault(way, {}).setdefault(load, []).append(seconds)
        lines += _report(section, net, found)
    section.details["table"] = lines
    say("\n".join(lines))
    say(DEFINITION)
    return section


def _report(section: Section, net: str, found: dict[str, dict[int, list[float]]]) -> list[str]:
    """Adds a network's lines to the section; the same as lines of a Markdown table."""
    section.details[net] = found
    medians = {
        way: {load: statistics.median(seconds) for load, seconds in loads.items()}
        for way, loads in found.items()
    }
    best = min(loads[0] for loads in medians.values())
    lines = []
    for load in LOADS:
        share = max(1.0, (load + 1) / own_processors())
        fair = [seconds * share for seconds in found[ONE][0]]
        for way, loads in found.items():
            section.add(f"{net}, {load} busy, {way}: an epoch", loads[load], "s")
            ours = way == OURS and load > 0
            target = ("<= 1.5" if load == 1 else "<= 2") if ours else ""
            section.add_ratio(f"{net}, {load} busy, {way} / fair share", loads[load], fair, target)
            low, high = min(loads[load]), max(loads[load])
            median = medians[way][load]
            lines.append(
                f"| {net} | {load} | {way} | {median:.3f} ({low:.3f} to {high:.3f}) | "
                f"{median / best:.2f} | {median / statistics.median(fair):.2f} |"
            )
    idle = found[OURS][0]
    section.add(f"{net}, idle: tdctl's rule / the best way", [s / best for s in idle], "x", "<=1.3")
    return lines


def _epochs(
    command: list[str], commits: Path, environment: dict[str, str], seconds: float
) -> dict[int, float]:
    """Seconds an epoch beside each number of busy programs, in one run that is ended then.

    Args:
        commits: what the run replaces after each epoch.
        seconds: for which a load is looked at, if two epochs end meanwhile.
    """
    own = {key: value for key, value in os.environ.items() if key not in ENVIRONMENT}
    busy: list[subprocess.Popen[bytes]] = []
    found = {}
    with tempfile.TemporaryFile() as said:
        run = subprocess.Popen(
            command, cwd=ROOT, env=own | environment, stdout=subprocess.DEVNULL, stderr=said
        )
        try:
            # The first epochs warm up.
            _gaps(run, commits, 0.0, 300.0)
            for load in LOADS:
                while len(busy) < load:
                    busy.append(subprocess.Popen([sys.executable, "-S", "-c", BUSY]))
                gaps = _gaps(run, commits, seconds, LIMIT)
                found[load] = statistics.median(gaps) if gaps else LIMIT
            if run.poll() is not None:
                said.seek(0)
                cause = said.read().decode(errors="replace").strip().splitlines()[-1:]
                raise BenchError(f"{shlex.join(command)}: ended too early; {cause}")
        finally:
            for process in (*busy, run):
                process.kill()
                process.wait()
    return found


def _gaps(run: subprocess.Popen[bytes], commits: Path, seconds: float, limit: float) -> list[float]:
    """Seconds between the commits of epochs, of all that begin after the call."""
    start, last, gaps, before = time.perf_counter(), None, [], _mark(commits)
    while run.poll() is None:
        now = time.perf_counter()
        if now - start > limit or (now - start > seconds and len(gaps) >= 2):
            break
        if (mark := _mark(commits)) != before:
            if last is not None:
                gaps.append(now - last)
            before, last = mark, now
        time.sleep(0.004)
    return gaps


def _mark(commits: Path) -> tuple[int, int] | None:
    try:
        found = commits.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


# More epochs than are looked at: the run is ended before.
ENDLESS = ["--epochs", "2000", "--quiet", "--store", "given", "--no-compile"]


def _small(settings: Settings) -> list[object]:
    noise = ["--noise-type", "uniform", "--noise-ratio", "0.2"]
    return ["--dataset", "digits", *noise, "--net-type", "resnet", "--depth", "8", *ENDLESS]


def _wide(settings: Settings) -> list[object]:
    flags = ["--dataset", "folder", "--data-dir", settings.images(), "--recipe", "detect"]
    return [*flags, "--limit", settings.options.busy_images, *ENDLESS]


def _photograph(settings: Settings) -> list[object]:
    root = settings.work / "busy_photographs"
    if not root.exists():
        make_photographs(root, settings.options.busy_photographs, 160, 112)
    flags = ["--dataset", "folder", "--data-dir", root, "--image-size", "112", "--test-share", "0"]
    flags += ["--recipe", "paper", "--net-type", "resnet18", "--batch-size", "32"]
    return [*flags, *ENDLESS]


NETS: dict[str, Callable[[Settings], list[object]]] = {
    "small": _small,
    "wide": _wide,
    "photograph": _photograph,
}
