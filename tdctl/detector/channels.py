"""The channels: what a detector can see of each sample at each epoch; and sets of channels.

Every channel, except those of class pairs, uses only its epoch and the epochs before. So the
beginning of a curve is the same as the curve of a shorter recording. A change of what a channel
computes is a new version of the input features: see ``tdctl.detector.features``.

Shape suffixes: n samples, E epochs, k classes, s rows of a slab.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from tdctl.detector.ranks import running_mean
from tdctl.dynamics import TrainingDynamics
from tdctl.dynamics.store import EVERY_CLASS
from tdctl.errors import ConfigError, DynamicsError
from tdctl.scores.curve_values import Floats, Rows

__all__ = ["CHANNELS", "SETS", "Channel", "Slab", "check_channels", "find_channels"]

Need = Literal["two classes", "every class"]
Ranked = Literal["given", "margin", "mean margin"]
# The smallest float16 above 0. A stored probability of 0 may have been any value up to it.
LEAST = 2.0**-24


class Slab(Rows):
    """Some rows of the dynamics, with the values from which channels are computed."""

    @cached_property
    def margin(self) -> Floats:
        """Float64 [s, E]: the given label's logit minus the largest other logit.

        Files of other programs have no margin. Then it is computed from the probabilities as
        ln p - ln q. This is the same number, except for float16 rounding, and lies within +-16.6.
        """
        if self._dynamics.margin is not None:
            return self._read(self._dynamics.margin, "margin")
        return _log(self.given) - _log(self.other)

    @cached_property
    def loss(self) -> Floats:
        """Float64 [s, E]: cross-entropy of the given label in nats; see ``margin``."""
        if self._dynamics.loss is not None:
            return self._read(self._dynamics.loss, "loss")
        return -_log(self.given)


@dataclass(frozen=True)
class Channel:
    """One number for each sample and epoch.

    Attributes:
        name: the name for ``--channels``.
        description: one line; p is the given label's probability, q the largest other.
        of_rows: computes it for a slab, float [s, E]; None for ranks and for class pairs.
        rank_of: the value that is ranked among all samples of the epoch; None if it is no rank.
        by_class: whether the rank is among the samples with the same given label.
        of_pairs: whether it is one of ``pair_numbers``, which are the same in every epoch.
        needs: what the dynamics must have.
        heldout: whether it is computed from the held-out curves.
    """

    name: str
    description: str
    of_rows: Callable[[Slab], Floats] | None = None
    rank_of: Ranked | None = None
    by_class: bool = False
    of_pairs: bool = False
    needs: tuple[Need, ...] = ("two classes",)
    heldout: bool = False

    def read(self, dynamics: TrainingDynamics) -> TrainingDynamics:
        """The curves that the channel is computed from.

        Raises:
            DynamicsError: the run has no held-out curves.
        """
        if not self.heldout:
            return dynamics
        if dynamics.heldout is None:
            raise DynamicsError(
                f"the detector's channel {self.name} needs held-out curves; record the run with "
                "tdctl generate-td --folds K"
            )
        return dynamics.heldout


def _log(probs: Floats) -> Floats:
    logs: Floats = np.log(np.maximum(probs, LEAST))
    return logs


def _squashed(margin: Floats) -> Floats:
    # Linear around 0, logarithmic for large values. tanh would round large values to equal ones.
    squashed: Floats = np.arcsinh(margin) / 3
    return squashed


def _entropy(rows: Slab) -> Floats:
    probs = rows.probs
    logs = np.log(probs, out=np.zeros_like(probs), where=probs > 0)
    entropy: Floats = -(probs * logs).sum(axis=2) / np.log(probs.shape[2])
    return entropy


def _suggests_other(rows: Slab) -> Floats:
    sums = np.cumsum(rows.probs, axis=1)
    other: Floats = (sums[:, :, 1:].max(axis=2) > sums[:, :, 0]).astype(np.float64)
    return other


_ALL = (
    Channel("given", "p, in [0, 1]", lambda rows: rows.given, needs=()),
    Channel("margin", "asinh(logit margin) / 3", lambda rows: _squashed(rows.margin)),
    Channel("other", "q, in [0, 1]", lambda rows: rows.other),
    Channel("agrees", "1 if p >= q, else 0", lambda rows: rows.right.astype(np.float64)),
    Channel("loss", "ln(1 + loss) / 3", lambda rows: np.log1p(rows.loss) / 3, needs=()),
    Channel(
        "mean-given",
        "mean of p so far, in [0, 1]",
        lambda rows: running_mean(rows.given, axis=1),
        needs=(),
    ),
    Channel(
        "mean-margin",
        "asinh(mean logit margin so far) / 3",
        lambda rows: _squashed(running_mean(rows.margin, axis=1)),
    ),
    Channel("given-rank", "rank of p, in (0, 1)", rank_of="given", needs=()),
    Channel("rank", "rank of the logit margin, in (0, 1)", rank_of="margin"),
    Channel("class-rank", "rank within the given class", rank_of="margin", by_class=True),
    Channel("mean-rank", "rank of the mean logit margin so far", rank_of="mean margin"),
    Channel(
        "mean-class-rank", "its rank within the given class", rank_of="mean margin", by_class=True
    ),
    Channel(
        "pair",
        "how many samples of the given class are confidently taken for the likeliest other",
        of_pairs=True,
    ),
    Channel(
        "pair-back", "how many samples of that other are taken for the given one", of_pairs=True
    ),
    Channel("worst-pair", "pair, among the samples with the lowest margins", of_pairs=True),
    Channel("worst-pair-back", "pair-back, among these samples", of_pairs=True),
    Channel(
        "evenness",
        "how evenly the pairs of the fifth with the lowest margins are spread, in (0, 1]",
        of_pairs=True,
    ),
    Channel(
        "suggests-other",
        "1 if another class has the largest mean probability so far, else 0",
        _suggests_other,
        needs=("two classes", "every class"),
    ),
    Channel(
        "entropy",
        "entropy of the softmax over ln k, in [0, 1]",
        _entropy,
        needs=("two classes", "every class"),
    ),
    Channel(
        "held-given",
        "p by a network that has not seen the sample",
        lambda rows: rows.given,
        needs=(),
        heldout=True,
    ),
    Channel(
        "held-margin",
        "asinh(logit margin) / 3 by that network",
        lambda rows: _squashed(rows.margin),
        heldout=True,
    ),
    Channel("held-rank", "rank of that margin", rank_of="margin", heldout=True),
    Channel(
        "held-class-rank",
        "rank of that margin within the given class",
        rank_of="margin",
        by_class=True,
        heldout=True,
    ),
    Channel(
        "held-mean-rank",
        "rank of the mean of that margin so far",
        rank_of="mean margin",
        heldout=True,
    ),
)

CHANNELS: dict[str, Channel] = {channel.name: channel for channel in _ALL}
_RANKS = ("rank", "class-rank", "mean-rank", "mean-class-rank", "given-rank")
_PAIRS = tuple(channel.name for channel in _ALL if channel.of_pairs)
_VALUES = ("given", "margin", "other", "agrees", "loss", "mean-given", "mean-margin")
_HELD = tuple(channel.name for channel in _ALL if channel.heldout)
# `most` needs only what all our stores and the published files have; `all` needs the store `full`.
SETS: dict[str, tuple[str, ...]] = {
    "given": ("given",),
    "margin": ("margin",),
    "ranks": _RANKS,
    "values": _VALUES,
    "most": _VALUES + _RANKS,
    "context": _VALUES + _RANKS + _PAIRS,
    "all": tuple(name for name in CHANNELS if name not in _HELD),
    "cross": _VALUES + _RANKS + _HELD,
}

_LACKS: dict[Need, tuple[Callable[[TrainingDynamics], bool], str]] = {
    "two classes": (
        lambda dynamics: dynamics.td.shape[2] > 1 or dynamics.other is not None,
        "the probability of another class, but td holds a single one; record the run with tdctl "
        "generate-td",
    ),
    "every class": (
        lambda dynamics: dynamics.has_every_class,
        f"{EVERY_CLASS}; use a detector of fewer channels, or record the run with --store full",
    ),
}


def find_channels(names: str) -> tuple[str, ...]:
    """The channels that a text names: a set, a channel, or several, separated by commas.

    Raises:
        ConfigError: a name is unknown.
    """
    found: dict[str, None] = {}
    for name in (part.strip() for part in names.split(",")):
        if name not in SETS and name not in CHANNELS:
            known = ", ".join((*SETS, *(c for c in CHANNELS if c not in SETS)))
            raise ConfigError(f"detector.channels: '{name}' is unknown; use {known}")
        found |= dict.fromkeys(SETS.get(name, (name,)))
    return tuple(found)


def check_channels(names: tuple[str, ...], dynamics: TrainingDynamics) -> None:
    """Refuses dynamics that lack what a channel needs.

    Raises:
        DynamicsError: the message says which channel needs what.
    """
    for name in names:
        channel = CHANNELS[name]
        read = channel.read(dynamics)
        for need in channel.needs:
            met, says = _LACKS[need]
            if not met(read):
                raise DynamicsError(f"the detector's channel {name} needs {says}")
