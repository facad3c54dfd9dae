"""A run in short: what was recorded, how far it is, and what looks wrong in it."""

from __future__ import annotations

import csv
import json
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tdctl.errors import DetectorError, DynamicsError, RunError
from tdctl.files import MANIFEST_FILE, RECORDER, read_json
from tdctl.rankers import (
    DetectResult,
    LooksWrong,
    RecordedRuns,
    Source,
    looks_wrong,
    open_ranker,
    rank_recorded,
)
from tdctl.rankers.ranking_files import ranking_facts
from tdctl.recorder import goes_on
from tdctl.run import LOG_FILE
from tdctl.training import Report, World, pick_device

__all__ = ["RunSummary", "summarise"]

BINS = 16


@dataclass(frozen=True)
class RunSummary:
    """What a run folder holds.

    Attributes:
        run: the folder.
        manifest: what it says of itself; empty where other code wrote it.
        epochs: how many are over, as its log says; None where it has none.
        ranked: its ranking, of the epochs so far; None where there can be none yet.
        flagged: how many labels look wrong; None where that cannot be estimated.
        edges, counts: of the histogram of suspicion, BINS + 1 and BINS numbers.
        notes: what the user should know, a line each.
        next: commands that go on from here, each with what it is for.
    """

    run: Path
    manifest: dict[str, Any]
    epochs: int | None
    ranked: DetectResult | None
    flagged: int | None
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    notes: tuple[str, ...]
    next: tuple[tuple[str, str], ...]

    @property
    def status(self) -> str:
        """``complete``, ``running``, ``interrupted`` or ``failed``."""
        goes_on = self.ranked is not None and self.ranked.recorded.planned is not None
        return str(self.manifest.get("status", "running" if goes_on else "complete"))

    def report(self, top: int) -> dict[str, Any]:
        """The summary as JSON-ready values."""
        ranking = None
        if self.ranked is not None:
            ranking = {
                **ranking_facts(self.ranked),
                "flagged": self.flagged,
                "histogram": {"edges": list(self.edges), "counts": list(self.counts)},
                "worst": json.loads(self.ranked.table.head(top).to_json(orient="records")),
            }
        return {
            "run": str(self.run),
            "status": self.status,
            "epochs_over": self.epochs,
            "manifest": self.manifest or None,
            "ranking": ranking,
            "notes": list(self.notes),
            "next": [command for command, _ in self.next],
        }


def summarise(
    run: Path, source: Source, *, device: str = "auto", report: Report | None = None
) -> RunSummary:
    """Reads a run folder; a run that is not finished is told as far as it is.

    Raises:
        RunError: there is no such folder, or it is a retraining.
        DynamicsError, DetectorError: as ``detect``, of a run that is finished.
    """
    if not run.is_dir():
        what = "is a file" if run.exists() else "no such run folder"
        raise RunError(f"{run}: {what}; expected a folder that tdctl generate-td wrote")
    manifest = read_json(run / MANIFEST_FILE) if (run / MANIFEST_FILE).exists() else {}
    if manifest.get("command") == "denoise":
        raise RunError(
            f"{run}: is a retraining of tdctl denoise, which ranks nothing; show the run that it "
            "was made of, or read denoise.csv above it"
        )
    own_loop = manifest.get("command") == RECORDER
    epochs = len(manifest.get("recorded", ())) if own_loop else _epochs(run / LOG_FILE)
    whole = shlex.quote(str(run))
    if manifest.get("status", "complete") != "complete" or goes_on(run):
        command = f"tdctl generate-td --resume --out {whole}"
        going_on = (command, "go on with it")
        if own_loop or not manifest:
            going_on = ("", "go on with it in your own training loop")
        looking = (f"tdctl report --td {whole} --out report.html", "look at the pictures so far")
        found = RunSummary(run, manifest, epochs, None, None, (), (), (), (going_on,))
        if not goes_on(run):
            return found
        try:
            ranked = _ranked(run, source, device, report)
        except (DynamicsError, DetectorError) as error:
            return replace(found, notes=(f"its labels are not ranked yet: {error}",))
        return _with_ranking(replace(found, next=(going_on, looking)), ranked)
    # Quoted, so that what is shown can be typed.
    then: tuple[tuple[str, str], ...] = (
        (f"tdctl report --td {whole} --out report.html", "look at the pictures, decide"),
        (f"tdctl detect --td {whole} --cut auto --out ranking.csv", "the ranking of all"),
        (f"tdctl denoise --td {whole} --remove-ratio auto --baselines", "train without the worst"),
    )
    if own_loop:
        then = then[:2]  # tdctl cannot train the network of another loop
    found = RunSummary(run, manifest, epochs, None, None, (), (), (), then)
    return _with_ranking(found, _ranked(run, source, device, report))


def _ranked(run: Path, source: Source, device: str, report: Report | None) -> LooksWrong:
    """The ranking, of the epochs so far, with an estimate of how many labels are wrong."""
    world = World(device=pick_device(device))
    ranker = open_ranker(source, world)
    result = rank_recorded(RecordedRuns.so_far(run), ranker, world, (), report)
    return looks_wrong(result, world)


def _with_ranking(found: RunSummary, wrong: LooksWrong) -> RunSummary:
    counts, edges = np.histogram(wrong.result.ranking.suspicion, BINS)
    return replace(
        found,
        epochs=wrong.result.recorded.dynamics[0].epochs if found.epochs is None else found.epochs,
        ranked=wrong.result,
        flagged=None if wrong.flagged is None else int(wrong.flagged.rows.sum()),
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        notes=(*wrong.result.notes, *wrong.notes),
    )


def _epochs(log: Path) -> int | None:
    if not log.exists():
        return None
    with log.open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.DictReader(file))
