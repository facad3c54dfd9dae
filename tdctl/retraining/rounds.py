"""The table of the rounds of a denoising; each round records without the flagged samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tdctl.errors import RunError
from tdctl.files import read_json, write_json
from tdctl.rankers.ranked import DetectResult, Flagged
from tdctl.retraining.label_sets import pruned

__all__ = ["ROUNDS_FILE", "Round", "begun_rounds", "check_round", "round_of", "write_rounds"]

ROUNDS_FILE = "rounds.json"


@dataclass(frozen=True)
class Round:
    """One round: a recording, its ranking, and what the ranking flags.

    Attributes:
        round: its number, from 1; round 1 is the run that the user gave.
        run: the run folder.
        trained_on: the number of samples that its network was trained on.
        auc, ap: of the ranking of all samples; None if the truth is unknown.
        remove_ratio: as requested or estimated.
        flagged: the number of samples that the ranking flags.
        noise_before: the share of wrong labels among all samples; None if the truth is unknown.
        noise_after: the share among the samples that are not flagged.
        fingerprints: hex digests of the dynamics and of the detector.
    """

    round: int
    run: str
    trained_on: int
    auc: float | None
    ap: float | None
    remove_ratio: float
    flagged: int
    noise_before: float | None
    noise_after: float | None
    fingerprints: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """All values, JSON-ready."""
        return asdict(self)


def round_of(number: int, detection: DetectResult, found: Flagged, trained_on: int) -> Round:
    """The row of a round.

    Args:
        number: of the round, from 1.
        detection: the ranking of its recording.
        found: the samples that it flags.
        trained_on: the number of samples that its network was trained on.
    """
    facts = pruned(detection.labels, found.rows).facts(detection.labels)
    return Round(
        number,
        str(detection.runs[0]),
        trained_on,
        detection.metrics.auc,
        detection.metrics.ap,
        found.ratio,
        int(found.rows.sum()),
        facts["noise_before"],
        facts["noise_after"],
        detection.fingerprints,
    )


def begun_rounds(folder: Path, resume: bool, overwrite: bool) -> dict[int, dict[str, Any]]:
    """The rows of the rounds that exist in a folder, by number; empty if they start again.

    Raises:
        RunError: rounds exist, and neither ``resume`` nor ``overwrite`` is given; or tdctl did not
            write the table.
    """
    path = folder / ROUNDS_FILE
    if overwrite or not path.exists():
        return {}
    if not resume:
        raise RunError(f"{path}: exists already; give another --out, or --resume or --overwrite")
    try:
        rows = {int(row["round"]): dict(row) for row in read_json(path)["rounds"]}
        if all(isinstance(row["fingerprints"], dict) for row in rows.values()):
            return rows
    except (RunError, KeyError, TypeError, ValueError):
        pass
    raise RunError(f"{path}: is not the table that tdctl wrote; start again with --overwrite")


def check_round(folder: Path, begun: Mapping[int, dict[str, Any]], now: Round) -> None:
    """Refuses to continue rounds that began with another recording, detector or share.

    Raises:
        RunError: the ranking of this round was another one.
    """
    was = begun.get(now.round)
    if was is None or (was["fingerprints"], was.get("flagged")) == (now.fingerprints, now.flagged):
        return
    raise RunError(
        f"{folder / ROUNDS_FILE}: round {now.round} had another recording or detector, or flagged "
        "another number of samples; give another --out, or start again with --overwrite"
    )


def write_rounds(
    folder: Path, rounds: Sequence[Round], begun: Mapping[int, dict[str, Any]]
) -> None:
    """Writes the table: the rounds so far, and those of an earlier call that come after them."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = dict(begun) | {one.round: one.to_dict() for one in rounds}
    write_json(folder / ROUNDS_FILE, {"rounds": [rows[number] for number in sorted(rows)]})
