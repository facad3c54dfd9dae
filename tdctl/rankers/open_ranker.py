"""Opens the ranker that the user names: a detector, a score, or the automatic choice."""

from __future__ import annotations

from pathlib import Path

from tdctl.detector import load_detector
from tdctl.detector.builtin import BUILTIN
from tdctl.rankers.automatic import AUTOMATIC, Automatic
from tdctl.rankers.ranker import ByDetector, ByScore
from tdctl.scores import Score
from tdctl.training import World

__all__ = ["Ranker", "Source", "open_ranker", "shipped"]

# What the user names: a detector file, a shipped detector, ``auto``, or a score.
Source = Path | Score
Ranker = ByDetector | ByScore | Automatic


def open_ranker(source: Source, world: World) -> Ranker:
    """The ranker of a detector file or a score; ``auto`` gives one that chooses for each run.

    Raises:
        DetectorError: the file cannot be read.
    """
    if isinstance(source, Score):
        return ByScore(source)
    if str(source) == AUTOMATIC:
        return Automatic(shipped(world))
    return ByDetector(source, load_detector(source, world.device))


def shipped(world: World) -> ByDetector:
    """The detector that ships with tdctl.

    Raises:
        DetectorError: this installation has none.
    """
    return ByDetector(Path(BUILTIN), load_detector(Path(BUILTIN), world.device))
