"""The program: runs the sections asked for, stores what they find, prints the table."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from scripts.experiments.speed import (
    bare,
    busy,
    large,
    memory,
    photographs,
    pipeline,
    processes,
    recording,
)
from scripts.experiments.speed.measure import ROOT, BenchError, Section, machine, say, table
from scripts.experiments.speed.settings import QUICK, Settings, add_options
from tdctl.errors import TdctlError
from tdctl.files import write_json

SECTIONS: dict[str, Callable[[Settings], Section]] = {
    "pipeline": pipeline.measure,
    "bare": bare.measure,
    "memory": memory.measure,
    "recorder": recording.measure,
    "processes": processes.measure,
    "large": large.measure,
    "photographs": photographs.measure,
    "busy": busy.measure,
}
USAGE = """Measures how fast tdctl is, as ratios of things timed in alternation in one call.

sections (all by default, or by number):
  1 pipeline   generate-td against a plain PIL and DataLoader pipeline; AUC and test error
  2 bare       an epoch of generate-td over as many steps of the bare network
  3 memory     peak memory of generate-td over epochs, of detect over curves; scoring
  4 recorder   tdctl.Recorder against aum.AUMCalculator.update, its parts, and a step of the network
  5 processes  one process against two, one thread each
  6 large      a folder of very many images and classes: index, memory, an epoch
  7 photographs  ResNet-18 on large JPEG files: from the decode cache against from the files
  8 busy       three networks beside no, one and two busy programs, in four ways of computing

Each section run replaces its part of the results file and leaves the others'."""


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of a call; sections by name."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=USAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = list(SECTIONS)
    parser.add_argument("sections", nargs="*", metavar="section", help=", ".join(names))
    parser.add_argument("--out", type=Path, help="results (default: replication/results/...)")
    parser.add_argument("--work", type=Path, help="folder for what is written on the way")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: that it runs, no figures")
    add_options(parser)
    options = parser.parse_args(arguments)
    if options.quick:
        # What is given by hand stays.
        parser.set_defaults(**QUICK)
        options = parser.parse_args(arguments)
    numbered = {str(number): name for number, name in enumerate(names, 1)}
    options.sections = [numbered.get(word, word) for word in options.sections] or names
    unknown = sorted(set(options.sections) - set(names))
    if unknown:
        parser.error(f"section '{unknown[0]}' is unknown; expected {', '.join(names)}, or 1 to 8")
    if options.out is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        # What is no figure does not go where the figures are kept.
        place = "." if options.quick else "results"
        options.out = ROOT / "replication" / place / f"bench_{device}.json"
    return options


def store(path: Path, name: str, section: Section, options: argparse.Namespace) -> None:
    """Puts one section into the results file, beside what other calls have put there."""
    content: dict[str, Any] = {"sections": {}}
    if path.exists():
        content = json.loads(path.read_text(encoding="utf-8"))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = {key: value for key, value in vars(options).items() if not _is_place(key, value)}
    content["sections"][name] = {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": options.quick,
        "settings": settings,
        "machine": machine(device),
        "rows": [row.to_dict() for row in section.rows],
        "details": section.details,
    }
    content["sections"] = {key: content["sections"][key] for key in sorted(content["sections"])}
    write_json(path, content)


def _is_place(key: str, value: Any) -> bool:
    """Whether an option is a place on this machine, or is stated elsewhere."""
    return isinstance(value, Path) or key in {"sections", "quick"}


def run(options: argparse.Namespace, work: Path) -> int:
    """Measures, stores and prints the sections; returns how many failed."""
    found: dict[str, Section] = {}
    failed = 0
    for name in options.sections:
        say(f"section {name}")
        try:
            found[name] = SECTIONS[name](Settings(options, work))
        except (BenchError, TdctlError) as error:
            say(f"error: section {name}: {error}")
            failed += 1
            continue
        store(options.out, name, found[name], options)
    if found:
        print(table(found))
        say(f"stored in {options.out}")
    return failed


def main() -> None:
    """Runs the program."""
    options = parse(sys.argv[1:])
    options.out = options.out.absolute()
    if options.work is not None:
        options.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tdctl-bench-", dir=options.work) as work:
        failed = run(options, Path(work))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
