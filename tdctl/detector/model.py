"""A detector in memory: its network, how it reads a run, and its card."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from tdctl.detector.reader import PAPERS, Reader
from tdctl.detector.scoring import score_run
from tdctl.dynamics import TrainingDynamics
from tdctl.training.progress import Report

__all__ = ["Card", "Detector"]


@dataclass(frozen=True)
class Card:
    """What a detector was trained on, and its metrics on held-out rows.

    Attributes:
        trained_on: for each run: its folder's name, samples, epochs and fingerprint; for runs of
            tdctl also recipe, data set, noise and the fingerprint of the images. The last run is
            the held-out one, or the one whose rows are held out. If the training started from
            another detector, that detector's runs come first.
        held_out: how rows were held out, how many, and AUC and AP on them; also which other runs
            have the same images, or may have them. The best epoch was chosen on the same rows, so
            these metrics are slightly too good.
        settings: net, channels, preset, learning rate, epochs, restarts, seed.
        version: version of tdctl.
        about: a description of the runs, written by the user; may be empty.
    """

    trained_on: list[dict[str, Any]]
    held_out: dict[str, Any]
    settings: dict[str, Any]
    version: str
    about: str = ""


@dataclass
class Detector:
    """A detector: a network, how it reads a run, and its card.

    Attributes:
        net: the network; it returns logits [B, 2] for curves [B, T, C].
        card: what it was trained on; None for files of other programs.
        epoch, best_prec, optimizer: the other entries of the published layout.
        reader: which features of a run the network sees; by default those of the paper.

    Example::

        >>> detector = tdctl.load_detector(Path("builtin"))
        >>> dynamics, labels, _ = tdctl.read_run("runs/a")
        >>> detector.score(dynamics).shape
        (60,)
    """

    net: nn.Module
    card: Card | None = None
    epoch: int = 0
    best_prec: float = 0.0
    optimizer: dict[str, Any] = field(default_factory=dict)
    reader: Reader = PAPERS

    def score(
        self,
        dynamics: TrainingDynamics,
        start: int = 0,
        stop: int | None = None,
        *,
        report: Report | None = None,
        stage: str = "ranking",
    ) -> NDArray[np.float64]:
        """P(mislabeled) of a run's samples, or of some rows, float64 [n] in [0, 1].

        Args:
            dynamics: the dynamics of the run.
            start: first row.
            stop: row after the last one; None for the end.
            report: is told the number of scored samples if scoring takes more than a moment.
            stage: the name of the scoring in these reports.

        Raises:
            DynamicsError: the run is too short, or has only one given class, or lacks what the
                detector needs.
        """
        return score_run(dynamics, self.net, start, stop, self.reader, report, stage)

    def has_seen(self, fingerprint: str) -> bool | None:
        """Whether the detector was trained on the run; None if the file does not say.

        Args:
            fingerprint: ``TrainingDynamics.fingerprint`` of the run.
        """
        if self.card is None:
            return None
        seen = {run.get("fingerprint") for run in self.card.trained_on}
        if fingerprint in seen:
            return True
        # It was trained further from a file without a card, so it may have seen any run.
        return None if None in seen else False

    def fingerprint(self) -> str:
        """Hex digest of the weights."""
        digest = hashlib.sha256()
        for key, value in sorted(self.net.state_dict().items()):
            digest.update(key.encode() + value.cpu().numpy().tobytes())
        return digest.hexdigest()
