"""A detector in memory: its network, how it reads a run, and what is known about it."""

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
    """What a detector was trained on and how well it did on what was held out.

    Attributes:
        trained_on: for each run its folder's name, samples, epochs and fingerprint, and of runs
            of ours recipe, data set, noise and the fingerprint of the images. The last is the one
            held out, or whose rows are; those of the weights that it started from go first.
        held_out: how rows were held out, how many, and AUC and AP on them; of which others the
            images are the same, or may be, as they do not say. The best epoch was chosen on the
            same rows, so the figures lean to the good side.
        settings: net, channels, preset, rate, epochs, restarts, seed.
        version: of tdctl.
        about: what the runs are of, in words; empty where nobody said.
    """

    trained_on: list[dict[str, Any]]
    held_out: dict[str, Any]
    settings: dict[str, Any]
    version: str
    about: str = ""


@dataclass
class Detector:
    """A detector network and what is known about it.

    Attributes:
        net: the network; gives logits [B, 2] of curves [B, T, C].
        card: None for files of other code.
        epoch, best_prec, optimizer: the further entries of the published layout.
        reader: what of a run the network is shown; by default as the paper's.
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
        """P(mislabeled) in [0, 1], float64 [n], of a run's samples, or of some of its rows.

        Args:
            report: told of samples scored where it takes more than a moment, as ``stage``.

        Raises:
            DynamicsError: the run is too short, has a single class, or lacks what the detector
                needs.
        """
        return score_run(dynamics, self.net, start, stop, self.reader, report, stage)

    def has_seen(self, fingerprint: str) -> bool | None:
        """Whether the run was trained on; None where the file does not say."""
        if self.card is None:
            return None
        seen = {run.get("fingerprint") for run in self.card.trained_on}
        if fingerprint in seen:
            return True
        # Fine-tuned from a file that does not say: it may have seen anything.
        return None if None in seen else False

    def fingerprint(self) -> str:
        """Hex digest of the weights."""
        digest = hashlib.sha256()
        for key, value in sorted(self.net.state_dict().items()):
            digest.update(key.encode() + value.cpu().numpy().tobytes())
        return digest.hexdigest()
