"""What ``find`` will do: what it chooses for the data, and how long that takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tdctl.classifier import check_heads
from tdctl.config import Config
from tdctl.data.check import check_classes
from tdctl.errors import ConfigError, DataError
from tdctl.finding.choices import (
    FEWEST_EPOCHS,
    OF_PICTURES,
    SMALLER,
    SMALLER_OF_TRAINED,
    Choice,
    Chosen,
    Seen,
    SeenVectors,
    choose,
    epochs_up_to,
    epochs_within,
)
from tdctl.finding.forecast import Forecast, forecast_training
from tdctl.finding.forecast_heads import forecast_heads
from tdctl.finding.second_round import check_rounds, second_round
from tdctl.finding.suited import in_words, see, see_vectors
from tdctl.inputs.given_labels import list_training_data
from tdctl.inputs.prepare import settled, with_whole_paths
from tdctl.nets import own_input
from tdctl.sources import Listing
from tdctl.training import World, pick_device

__all__ = ["FIRST", "PAGE", "RANKING", "RUN", "SECOND_RUN", "FindPlan", "plan_find"]

RUN, RANKING, PAGE = "run", "ranking.csv", "report.html"
# The ranking of the first of two rounds, and the run of the second one.
FIRST, SECOND_RUN = "first_round.csv", "run2"
# The settings of a training whose epochs were chosen for the network of this recipe.
OWN_RECIPE = "detect"
# Data that are told by where they lie.
NAMED_BY_PATH = {"folder", "table", "embeddings"}
Resolve = Callable[[Mapping[str, Any]], Config]


@dataclass(frozen=True)
class FindPlan:
    """What will be done, and how long it takes.

    Attributes:
        config: all settings.
        seen: of the data set.
        name: of the data set.
        reasons: why what was chosen was chosen, a line each.
        forecast: of the recording.
        held_out: samples that get no rank: those that the user's own splits hold out.
        notes: what the user should know of the data, a line each.
        rounds: 1 or 2.
    """

    config: Config
    seen: Seen | SeenVectors
    name: str
    reasons: tuple[str, ...]
    forecast: Forecast
    held_out: int
    notes: tuple[str, ...]
    rounds: int = 1

    @property
    def seconds(self) -> float:
        """Of the recording, from the start to the end."""
        return self.forecast.whole(self.config.train.epochs)

    def lines(self, out: Path) -> list[str]:
        """The plan in words."""
        held = f"; {self.held_out:,} are held out and get no rank" if self.held_out else ""
        plan, features = self.forecast, self.config.reads_vectors and self.seen.kind == "image"
        first = f"{in_words(plan.decoding)} for the features, " if features else ""
        second = f"{FIRST}, {SECOND_RUN}/, " if self.rounds > 1 else ""
        return [
            f"data       {self.name}: {self.seen.words}{held}",
            f"will do    {self._task}, rank every {self.seen.kind}",
            *(f"because    {reason}" for reason in self.reasons),
            f"time       {in_words(self.seconds)} on this machine ({plan.device}, {plan.threads} "
            f"thread{'s' * (plan.threads > 1)}), {first}{in_words(plan.epoch)} an epoch",
            f"writes     {out}: {RUN}/, {second}{RANKING}, ranking.json, {PAGE}",
        ]

    @property
    def _task(self) -> str:
        """What is trained, on what, for how long."""
        config, size = self.config, self.config.data.image_size
        at = "as they are" if size is None else f"at {size} by {size} pixels"
        if not config.reads_vectors:
            again = "" if self.rounds == 1 else ", a second one without the worst labels"
            return f"train {self._networks} for {config.train.epochs} epochs on them {at}{again}"
        rounds = config.heads.rounds
        times = {1: "once", 2: "twice"}.get(rounds, f"{rounds} times")
        heads = f"train {config.train.folds} linear heads {times} for {config.train.epochs} epochs"
        if self.seen.kind == "vector":
            return f"{heads} on them"
        net = config.net.net_type
        return f"compute the features of each ({net}, {at}), {heads} on these"

    @property
    def _networks(self) -> str:
        folds, label = self.config.train.folds, self.config.net.label
        if not folds:
            return f"a network ({label})"
        return f"{folds} networks ({label}), each without one of {folds} parts,"

    def report(self, out: Path) -> dict[str, Any]:
        """The plan as JSON-ready values."""
        return {
            "dry_run": True,
            "out": str(out),
            "data": {"name": self.name, **asdict(self.seen)},
            "reasons": list(self.reasons),
            "epochs": self.config.train.epochs,
            "folds": self.config.train.folds,
            "rounds": self.rounds,
            "image_size": self.config.data.image_size,
            "seconds": self.seconds,
            "forecast": asdict(self.forecast),
            "notes": list(self.notes),
        }


def plan_find(
    resolve: Resolve,
    named: frozenset[str],
    seconds: float | None,
    device: str,
    rounds: int = 1,
) -> FindPlan:
    """Looks at the data and chooses what the user has not; decodes a few pictures, writes nothing.

    Args:
        resolve: the settings of the user above some chosen ones, by dotted key.
        named: the dotted keys that the user set.
        seconds: that the recording may take; None for no limit.
        device: that computes.
        rounds: how many recordings; the time is that of all of them.

    Raises:
        DataError: the data set is missing or malformed.
        ConfigError: the time is too short for five epochs, or a setting does not fit.
    """
    first, world = resolve({}), World(device=pick_device(device))
    if rounds > 1:
        check_rounds(first)
    if first.reads_vectors:
        check_heads(first, world)
    listing = list_training_data(with_whole_paths(first))
    check_classes(listing.labels.assigned, listing.class_names, listing.name, first.data.limit)
    seen = see_vectors(listing) or see(first, listing)
    if seen is None:
        raise DataError(
            f"{listing.name}: none of the images that were looked at opens; expected pictures that "
            "Pillow reads"
        )
    if first.train.epochs < 2:
        raise ConfigError("train.epochs: one epoch is no curve to rank by; give --epochs 2 or more")
    asked = _Asked(resolve, named, first, world, rounds)
    way = asked.way(seen, listing)
    if seconds is not None:
        way = asked.within(seconds, way, seen.kind)
    config, listing = way.config, way.listing
    held = 0 if listing.held is None else int(listing.held.sum())
    return FindPlan(
        config=config,
        seen=seen,
        name=str(config.data.root) if config.data.dataset in NAMED_BY_PATH else listing.name,
        reasons=way.choice.reasons,
        forecast=way.forecast,
        held_out=held + len(listing.test_index),
        notes=listing.notes,
        rounds=rounds,
    )


@dataclass(frozen=True)
class _Way:
    """What is chosen, all settings with it, the data, and how long the recording takes."""

    choice: Choice
    config: Config
    listing: Listing
    forecast: Forecast

    @property
    def most(self) -> int:
        """The largest number of epochs that is planned if the user gives a time."""
        chosen = self.config.train.epochs
        if self.config.net.starts_trained or self.config.reads_vectors:
            return chosen
        return epochs_up_to(len(self.listing), chosen)

    def fit(self, seconds: float) -> int:
        """How many of these epochs fit into a time."""
        return epochs_within(seconds, self.forecast.fixed, self.forecast.epoch, self.most)


@dataclass(frozen=True)
class _Asked:
    """What the user asked for, as ``plan_find`` has it; ``first`` are the settings of the user."""

    resolve: Resolve
    named: frozenset[str]
    first: Config
    world: World
    rounds: int

    def way(self, seen: Seen | SeenVectors, listing: Listing) -> _Way:
        """What is chosen for the data."""
        if self.first.reads_vectors or isinstance(seen, SeenVectors):
            forecast, choice = forecast_heads(settled(self.first), listing, self.world)
            return _Way(choice, settled(self.resolve(choice.settings)), listing, forecast)
        choice = _free(choose(seen), self.named, self.first)
        config = settled(self.resolve(choice.settings))
        listing = list_training_data(with_whole_paths(config))
        return _Way(choice, config, listing, self._forecast(config, listing))

    def within(self, seconds: float, way: _Way, kind: str) -> _Way:
        """What is chosen if the recording may take so many seconds.

        Raises:
            ConfigError: five epochs do not fit, or the user has set the epochs, too.
        """
        if "train.epochs" in self.named:
            raise ConfigError(
                "time: --epochs says how long the recording is; leave out one of them"
            )
        for cheaper in self._cheaper():
            enough = min(2 * FEWEST_EPOCHS, way.most)
            if way.fit(seconds) >= enough or not _costs_more(way.config, cheaper):
                continue
            choice = way.choice.replaced(cheaper)
            tried = settled(self.resolve(choice.free(self.named).settings))
            if _costs_more(tried, cheaper):
                continue
            # Some pretrained networks do not take images of the smaller size.
            with suppress(ConfigError):
                way = _Way(choice, tried, way.listing, self._forecast(tried, way.listing))
        fit = way.fit(seconds)
        if fit < FEWEST_EPOCHS:
            needed = way.forecast.whole(FEWEST_EPOCHS)
            raise ConfigError(
                f"time: {in_words(seconds)} is too short: {FEWEST_EPOCHS} epochs, the least that "
                f"tell something, take {in_words(needed)} here; give --time {_in_minutes(needed)}, "
                f"or fewer {kind}s with --limit"
            )
        if fit == way.config.train.epochs:
            return way
        why = f"epochs {fit}: as many as fit into {in_words(seconds)}"
        if fit == way.most:
            why = f"epochs {fit}: find plans no more for {len(way.listing):,} images"
        choice = way.choice.replaced(Chosen("train.epochs", fit, why))
        return replace(way, choice=choice, config=settled(self.resolve(choice.settings)))

    def _cheaper(self) -> tuple[Chosen, ...]:
        """What is left out, in this order, until enough epochs fit into the time."""
        if self.first.reads_vectors:
            return ()
        net = self.first.net
        if net.is_own or not net.starts_trained:
            return _CHEAPER
        own = own_input(net)
        return () if own is not None and own.fixed else _SMALLER_OF_TRAINED

    def _forecast(self, config: Config, listing: Listing) -> Forecast:
        """Of all rounds together."""
        found = forecast_training(config, listing, self.world)
        if self.rounds == 1:
            return found
        again = second_round(config, Path(FIRST), None, len(listing))
        more = forecast_training(again, listing, self.world)
        return replace(
            found,
            decoding=found.decoding + more.decoding,
            epoch=found.epoch + more.epoch,
            rest=found.rest + more.rest,
        )


def _of_size(size: int) -> Chosen:
    why = f"image size {size}: larger ones take too long for --time"
    return Chosen("data.image_size", size, why)


# What is left out, in this order, until enough epochs fit into --time.
_CHEAPER = (
    Chosen("net.stride", 2, "half of the resolution: the whole takes too long for --time"),
    Chosen("train.folds", 0, "folds 0: more networks than one take too long for --time"),
    _of_size(SMALLER),
)
_SMALLER_OF_TRAINED = tuple(_of_size(size) for size in SMALLER_OF_TRAINED)


def _costs_more(config: Config, cheaper: Chosen) -> bool:
    """Whether a setting takes more time than the cheaper one."""
    if cheaper.key == "train.folds":
        return config.train.folds > 0
    if cheaper.key == "net.stride":
        return config.net.net_type == "wide" and config.net.stride == 1
    return config.data.image_size is not None and config.data.image_size > cheaper.value


def _free(choice: Choice, named: frozenset[str], config: Config) -> Choice:
    """What was chosen and the user has not set; with another recipe its length is its own."""
    train, other = config.train, "recipe" in named and config.recipe != OWN_RECIPE
    found = choice.free(named)
    if config.net.starts_trained:
        # The recipe of pretrained networks is the default, and their weights say the size.
        found = found.without({"recipe", "train.epochs", "train.folds", *OF_PICTURES})
    if other:
        found = found.without({"train.epochs"})
    if config.net.net_type != "wide":
        found = found.without({"net.stride"})
    # These do not go with folds, or with an estimate by folds.
    alone = train.threshold_samples or train.leave_out is not None or train.store != "full"
    return found.without({"train.folds"}) if alone or other else found


def _in_minutes(seconds: float) -> str:
    """A time as ``--time`` takes it, a little more."""
    return f"{int(seconds / 60) + 1}m"
