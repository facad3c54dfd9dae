"""Rankers: a detector, a score, or an automatic choice between them, and what they rank."""

from __future__ import annotations

from tdctl.rankers.automatic import AUTOMATIC, Automatic
from tdctl.rankers.looks_wrong import LooksWrong, looks_wrong
from tdctl.rankers.open_ranker import Ranker, Source, open_ranker, shipped
from tdctl.rankers.ranked import DetectResult, Flagged, rank_recorded, rank_runs
from tdctl.rankers.ranker import ByDetector, ByScore, all_alike
from tdctl.rankers.recorded_runs import RecordedRuns, fingerprint_of, seen_by

__all__ = [
    "AUTOMATIC",
    "Automatic",
    "ByDetector",
    "ByScore",
    "DetectResult",
    "Flagged",
    "LooksWrong",
    "Ranker",
    "RecordedRuns",
    "Source",
    "all_alike",
    "fingerprint_of",
    "looks_wrong",
    "open_ranker",
    "rank_recorded",
    "rank_runs",
    "seen_by",
    "shipped",
]
