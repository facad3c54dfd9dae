"""What a robust training is made of, and what its loop asks of it."""

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
    """Networks that are judged by their mean logits [B, k].

    Source: Li et al. (ICLR 2020), published code: the networks' outputs are added up.
    """

    def __init__(self, networks: list[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits float [B, k] of images [B, C, H, W]."""
        return torch.stack([network(x) for network in self.networks]).mean(dim=0)


class Networks(Plain):
    """The networks of a robust training: one, or two that start from weights of their own."""

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
    """What is known of n given labels, for the log alone: nothing here is trained by it.

    Attributes:
        labels: given and true.
    """

    labels: Labels

    @property
    def known(self) -> bool:
        """Whether at least one label is known to be wrong."""
        return bool(self.labels.flipped.any())

    def auc(self, clean: NDArray[np.floating]) -> float | None:
        """ROC-AUC, in [0, 1], by which scores [n] tell right given labels; None if undefined."""
        from sklearn.metrics import roc_auc_score

        if not self.known or self.labels.flipped.all():
            return None
        return float(roc_auc_score(~self.labels.flipped, clean))

    def right(self, labels: NDArray[np.int64], rows: NDArray[np.bool_]) -> float | None:
        """The share of labels that are the true ones, among the rows whose truth is known."""
        rows = rows & (self.labels.true >= 0)
        if not self.known or not rows.any():
            return None
        return float((labels == self.labels.true)[rows].mean())


class RobustSetup(NamedTuple):
    """What a robust training is made of.

    Attributes:
        net: the network, or two as ``Together``.
        images: the n training images; ``targets`` are the given labels.
        truth: of them, for the log.
        first_split: bool [n], which labels a ranking takes for right; None without one.
        compiled: whether the network is compiled; of ``ce`` alone.
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
        columns: of its own in ``train_log.csv``.
        steps: of an epoch, at most.
        events: what was out of the ordinary, a line each.
    """

    columns: tuple[str, ...]
    steps: int
    events: list[str]

    @property
    def judged(self) -> nn.Module:
        """What is evaluated and saved."""
        ...

    def epoch(self, epoch: int, tell: Teller) -> LogRow:
        """Trains for one epoch; its row of the log, without evaluation."""
        ...

    def logits(self) -> list[torch.Tensor]:
        """Float32 [n, k] of all training images by each network, after the epoch."""
        ...

    def facts(self) -> dict[str, Any]:
        """What the manifest says of the settings that it chose."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What it goes on from after a whole epoch."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Puts a state back; raises as torch does, and KeyError."""
        ...
