"""The hyper-parameters of a detector's training, and what it learns from."""

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
    """What the detector learns from: one run's curves and where its labels are wrong.

    Attributes:
        values: float16 or float32 [n, T, C], or [n, T] for a single channel. The type is kept
            on the device and a batch computed in float32.
        flipped: bool [n].
    """

    values: NDArray[np.floating[Any]]
    flipped: NDArray[np.bool_]

    def take(self, rows: NDArray[np.bool_]) -> Curves:
        """Some of the curves."""
        return Curves(self.values[rows], self.flipped[rows])

    def on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Values [n, T, C] and goals int64 [n] on a device."""
        values = torch.from_numpy(self.values).to(device)
        goals = torch.from_numpy(self.flipped.astype(np.int64)).to(device)
        return (values if values.ndim == 3 else values[:, :, None]), goals


def reader_of(config: DetectorConfig) -> Reader:
    """The network and its channels that the settings ask for.

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
    """The hyper-parameters after the preset has filled what was not given.

    Attributes:
        ranking: weight of the ranking loss beside cross-entropy.
        augment: whether curves are cut, bent, thinned and blurred.
        balanced: whether every run gives as many batches as the others.
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
        """The recipe of a preset for so many training curves.

        Source: ``paper`` is the published code of Jia et al. (AAAI 2023), whose rate of 0.1
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
