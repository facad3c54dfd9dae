"""The hyper-parameters of a detector's training, and the curves that it learns from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.config import DetectorConfig
from tdctl.detector.channels import find_channels
from tdctl.detector.nets import OWN_WIDTHS
from tdctl.detector.reader import PAPERS, Reader

__all__ = ["Curves", "DetectorPreset", "reader_of"]

MIN_STEPS = 600
STEPS = 30


@dataclass(frozen=True)
class Curves:
    """What the detector learns from: the curves of one run, and which labels are wrong.

    Attributes:
        values: float16 or float32 [n, T, C], or [n, T] for one channel. The device keeps this
            type; each batch is computed in float32.
        flipped: bool [n], True if the given label is wrong.
    """

    values: NDArray[np.floating[Any]]
    flipped: NDArray[np.bool_]

    def take(self, rows: NDArray[np.bool_]) -> Curves:
        """Some of the curves.

        Args:
            rows: bool [n].
        """
        return Curves(self.values[rows], self.flipped[rows])

    def on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """The values, [n, T, C], and the targets, int64 [n], on a device."""
        values = torch.from_numpy(self.values).to(device)
        goals = torch.from_numpy(self.flipped.astype(np.int64)).to(device)
        return (values if values.ndim == 3 else values[:, :, None]), goals


def reader_of(config: DetectorConfig) -> Reader:
    """The reader that the settings ask for: the network and its channels.

    Raises:
        ConfigError: a channel is unknown.
    """
    papers = config.detector_net == PAPERS.net
    channels = find_channels(config.channels or ("given" if papers else "most"))
    own = config.width in (None, OWN_WIDTHS[config.detector_net])
    native = papers and own and channels == PAPERS.channels
    steps = config.steps if config.steps is not None else (0 if native else STEPS)
    return Reader(config.detector_net, channels, steps, 0 if own else config.width or 0)


@dataclass(frozen=True)
class DetectorPreset:
    """The hyper-parameters, after the preset has set those that the user did not give.

    Attributes:
        epochs: number of epochs.
        batch_size: curves per batch.
        lr: learning rate of AdamW.
        restarts: number of starts with new weights; the best one is kept.
        clip: whether the norm of the gradient is limited.
        average: whether a running average of the weights is used.
        ranking: weight of the ranking loss, which is added to cross-entropy.
        augment: whether curves are cut, bent, shortened and made noisy.
        balanced: whether every run gives the same number of batches.
    """

    epochs: int
    batch_size: int
    lr: float
    restarts: int
    clip: bool
    average: bool
    ranking: float = 0.0
    augment: bool = False
    balanced: bool = False

    @classmethod
    def of(cls, config: DetectorConfig, samples: int) -> DetectorPreset:
        """The hyper-parameters of a preset, for this number of training curves.

        Source: ``paper`` is the published code of Jia et al. (AAAI 2023). Its learning rate of 0.1
            without clipping makes many trainings collapse to a constant.
        """
        paper, ours = config.preset == "paper", not reader_of(config).is_papers
        batch_size = config.batch_size or (256 if ours else 64)
        steps = math.ceil(samples / batch_size)
        epochs = 10 if paper else max(10, math.ceil(MIN_STEPS / steps))
        ranking = config.ranking if config.ranking is not None else (1.0 if ours else 0.0)
        return cls(
            epochs=config.epochs or epochs,
            batch_size=batch_size,
            lr=config.lr or (0.1 if paper else 3e-3),
            restarts=config.restarts or (1 if paper else 3),
            clip=not paper,
            average=not paper,
            ranking=ranking,
            augment=ours if config.augment is None else config.augment,
            balanced=ours,
        )
