"""How a detector reads a run: which channels, how many steps, and which network.

Shape suffixes: n samples, E epochs, T steps, C channels, s rows of a slab.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.detector.channels import CHANNELS, Channel, Slab, check_channels
from tdctl.detector.class_pairs import pair_numbers
from tdctl.detector.ranks import mid_ranks
from tdctl.detector.resample import resampling
from tdctl.dynamics import TrainingDynamics
from tdctl.errors import DynamicsError
from tdctl.scores.curve_values import rows_at_once
from tdctl.slabs import slabs_of

__all__ = ["PAPERS", "Reader", "RunFeatures", "check_readable"]

Floats32 = NDArray[np.float32]


@dataclass(frozen=True)
class Reader:
    """Which network a detector has, and which features of a run it sees.

    Attributes:
        net: ``lstm``, ``gru`` or ``tcn``.
        channels: names, in the order in which the network sees them.
        steps: T, the length to which curves are resampled; 0 keeps the length of each run.
        width: features per step within the network; 0 uses the network's default.
    """

    net: str = "lstm"
    channels: tuple[str, ...] = ("given",)
    steps: int = 0
    width: int = 0

    @property
    def is_papers(self) -> bool:
        """Whether it is the network of the paper, whose files the published code reads."""
        return self == PAPERS

    def values(self, epochs: int) -> int:
        """How many numbers the network sees for each sample."""
        return (self.steps or epochs) * len(self.channels)

    def open(self, dynamics: TrainingDynamics) -> RunFeatures:
        """The features of a run, as the detector sees them.

        Raises:
            DynamicsError: the run is too short, or lacks what a channel needs.
        """
        return RunFeatures(self, dynamics)


PAPERS = Reader()


class RunFeatures:
    """The features of a run as a detector sees them, slab by slab.

    Ranks need all samples of an epoch. They are computed once, when the object is created. They
    take 4 n T bytes for each channel with ranks, and 4 n E bytes for the values that are ranked.
    """

    def __init__(self, reader: Reader, dynamics: TrainingDynamics) -> None:
        check_readable(dynamics, reader)
        check_channels(reader.channels, dynamics)
        self._channels = [CHANNELS[name] for name in reader.channels]
        self._dynamics = dynamics
        self._weights = resampling(dynamics.epochs, reader.steps or dynamics.epochs)
        self._ranks = self._ranked()
        pairs = any(channel.of_pairs for channel in self._channels)
        self._pairs = pair_numbers(dynamics) if pairs else {}

    def rows(self, start: int = 0, stop: int | None = None) -> Floats32:
        """Float32 [s, T, C]: the channels of some rows, or of all."""
        first, last, _ = slice(start, stop).indices(len(self._dynamics))
        seen = np.empty((last - first, len(self._weights), len(self._channels)), np.float32)
        for a, b in slabs_of(last, rows_at_once(self._dynamics), first):
            slabs: dict[bool, Slab] = {}
            for c, channel in enumerate(self._channels):
                if channel.of_pairs:
                    seen[a - first : b - first, :, c] = self._pairs[channel.name][a:b, None]
                elif channel.of_rows is None:
                    seen[a - first : b - first, :, c] = self._ranks[channel.name][:, a:b].T
                else:
                    if channel.heldout not in slabs:
                        slabs[channel.heldout] = Slab(channel.read(self._dynamics), a, b)
                    values = channel.of_rows(slabs[channel.heldout]).astype(np.float32)
                    seen[a - first : b - first, :, c] = values @ self._weights.T
        return seen

    def _ranked(self) -> dict[str, Floats32]:
        """The ranks at each step, float32 [T, n], for each channel with ranks."""
        ranked: dict[tuple[bool, str], list[Channel]] = {}
        for channel in self._channels:
            if channel.rank_of is not None:
                ranked.setdefault((channel.heldout, channel.rank_of), []).append(channel)
        shape = len(self._weights), len(self._dynamics)
        found = {c.name: np.zeros(shape, np.float32) for some in ranked.values() for c in some}
        given = np.asarray(self._dynamics.labels[:, 0])
        columns: dict[tuple[bool, str], Floats32] = {}
        for (heldout, kind), channels in ranked.items():
            source = heldout, "margin" if kind == "mean margin" else kind
            if source not in columns:
                columns = {source: _columns(channels[0].read(self._dynamics), source[1])}
            for epoch, values in enumerate(_by_epoch(columns[source], kind == "mean margin")):
                steps = np.flatnonzero(self._weights[:, epoch])
                for channel in channels:
                    ranks = mid_ranks(values, given if channel.by_class else None)
                    for step in steps:
                        found[channel.name][step] += self._weights[step, epoch] * ranks
        return found


def _columns(dynamics: TrainingDynamics, source: str) -> Floats32:
    """Float32 [E, n]: the value that is ranked, epoch by epoch."""
    columns = np.empty((dynamics.epochs, len(dynamics)), np.float32)
    for a, b in slabs_of(len(dynamics), rows_at_once(dynamics)):
        columns[:, a:b] = getattr(Slab(dynamics, a, b), source).T
    return columns


def _by_epoch(columns: Floats32, running: bool) -> Iterator[NDArray[np.floating[Any]]]:
    """The values of each epoch, or their sums so far, which have the same ranks as their means."""
    if not running:
        yield from columns
        return
    total = np.zeros(columns.shape[1])
    for values in columns:
        total += values
        yield total


def check_readable(dynamics: TrainingDynamics, reader: Reader) -> None:
    """Refuses a run from which a detector cannot tell anything.

    The paper's network accepts even a single epoch; it then ranks by that one probability.

    Raises:
        DynamicsError: the run has one epoch, or only one given class.
    """
    if dynamics.epochs < 2 and not reader.is_papers:
        raise DynamicsError(
            "the run has one epoch, which is no curve; this detector needs two or more, or use a "
            "--score"
        )
    given = np.asarray(dynamics.labels[:, 0])
    if len(given) > 1 and bool((given == given[0]).all()):
        raise DynamicsError("all given labels are the same; a detector needs two classes or more")
