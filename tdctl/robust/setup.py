"""The parts of a robust training, and the methods that an algorithm must have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tdctl.config import RobustConfig
from tdctl.data import DataSet, Images
from tdctl.labels import Labels
from tdctl.streams import SECOND_NETWORK
from tdctl.training import Pipeline, Plain
from tdctl.training.modes.plain import BuildNetwork
from tdctl.training.progress import LogRow, Teller

__all__ = ["Algorithm", "Networks", "RobustSetup", "Together", "Truth"]


class Together(nn.Module):
    """Several networks as one: its logits [B, k] are the mean of theirs.

    Source: Li et al. (ICLR 2020), published code, which adds the outputs of the networks.
    """

    def __init__(self, networks: list[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits float [B, k] of images [B, C, H, W]."""
        return torch.stack([network(x) for network in self.networks]).mean(dim=0)


class Networks(Plain):
    """The networks of a robust training: one, or two that start from different weights."""

    def __init__(self, count: int) -> None:
        self.trained_at_once = count

    def build(self, build: BuildNetwork, seed: int) -> nn.Module:
        """One network, or two as ``Together``."""
        first = build(seed)
        if self.trained_at_once == 1:
            return first
        return Together([first, build(SECOND_NETWORK.seeds(1, seed)[0])])


@dataclass(frozen=True)
class Truth:
    """The true labels, as far as they are known. Only the log uses them; the training does not.

    Attributes:
        labels: given and true labels of the n samples.
    """

    labels: Labels

    @property
    def known(self) -> bool:
        """Whether at least one label is known to be wrong."""
        return bool(self.labels.flipped.any())

    def auc(self, clean: NDArray[np.floating]) -> float | None:
        """ROC-AUC of scores [n] that are high for right given labels; None if undefined."""
        from sklearn.metrics import roc_auc_score

        if not self.known or self.labels.flipped.all():
            return None
        return float(roc_auc_score(~self.labels.flipped, clean))

    def right(self, labels: NDArray[np.int64], rows: NDArray[np.bool_]) -> float | None:
        """The share of labels that are right, among the rows whose true label is known."""
        rows = rows & (self.labels.true >= 0)
        if not self.known or not rows.any():
            return None
        return float((labels == self.labels.true)[rows].mean())


class RobustSetup(NamedTuple):
    """The parts of a robust training.

    Attributes:
        net: the network, or two as ``Together``.
        images: the n training images; ``targets`` are the given labels.
        truth: their true labels, for the log.
        dataset: the data set of the images.
        config: the settings of the section ``robust``.
        pipeline: augmentation, normalisation and precision.
        seed: seed of the training.
        first_split: bool [n], which labels a ranking takes as right; None without a ranking.
        compiled: whether the network is compiled; only with ``ce``.
    """

    net: nn.Module
    images: Images
    truth: Truth
    dataset: DataSet
    config: RobustConfig
    pipeline: Pipeline
    seed: int
    first_split: NDArray[np.bool_] | None
    compiled: bool


class Algorithm(Protocol):
    """One way to train on labels that are partly wrong.

    Attributes:
        columns: its additional columns in ``train_log.csv``.
        steps: the largest number of steps in an epoch.
        events: what the user should know, one line each.
    """

    columns: tuple[str, ...]
    steps: int
    events: list[str]

    @property
    def judged(self) -> nn.Module:
        """The network that is evaluated and saved."""
        ...

    def epoch(self, epoch: int, tell: Teller) -> LogRow:
        """Trains for one epoch; gives the row of the log, without the evaluation."""
        ...

    def logits(self) -> list[torch.Tensor]:
        """Each network's logits of all training images after the epoch, float32 [n, k]."""
        ...

    def facts(self) -> dict[str, Any]:
        """The settings that the algorithm chose itself, for the manifest."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The state after a complete epoch, from which the training can be resumed."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Loads a state; raises the errors of torch, and KeyError."""
        ...
