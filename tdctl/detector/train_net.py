"""Training of a detector on runs whose flipped labels are known."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import PARAM_LIST, AveragedModel

from tdctl.config import DetectorConfig
from tdctl.detector.distort_curves import augmented
from tdctl.detector.nets import PooledDetector, make_net
from tdctl.detector.preset import Curves, DetectorPreset, reader_of
from tdctl.detector.probe import check_informative
from tdctl.detector.ranking_loss import detection_loss
from tdctl.detector.scoring import suspicion
from tdctl.errors import DetectorError
from tdctl.labels import stratified_holdout
from tdctl.streams import DETECTOR
from tdctl.training.progress import Clock, Progress, Report

__all__ = ["Trained", "split_runs", "train_net"]

MAX_NORM = 1.0
# The averaged weights cover about the last tenth of the steps, and at most the last hundred. In a
# trial on digits (ten trainings each) averaging raised the mean AP on another run from 0.987 to
# 0.995, and the lowest AP from 0.933 to 0.982. Without it, single late steps made some detectors
# call hard but right samples wrong.
AVERAGE_DECAY = 0.99
# How many rows of each training run an epoch is judged on, with several channels.
JUDGED = 5000


@dataclass
class Trained:
    """A trained detector network, and its metrics on the held-out rows.

    Attributes:
        net: the (averaged) weights of the best epoch of the best start.
        epoch: that epoch, from 1.
        optimizer: the state of AdamW at that epoch.
        auc, ap, accuracy: on the held-out rows, in [0, 1]; the epoch was chosen on them too.
        ap_trained: AP on (some of) the rows that were trained on, so it is in-sample.
        held_out: number of held-out rows.
        recipe: the hyper-parameters.
    """

    net: nn.Module
    epoch: int
    optimizer: dict[str, Any]
    auc: float
    ap: float
    accuracy: float
    ap_trained: float
    held_out: int
    recipe: DetectorPreset

    def beats(self, other: Trained | None, digits: int) -> bool:
        """Whether its AP on the held-out rows is higher; if equal, on the rows trained on.

        With few held-out rows, many detectors rank them perfectly from the first epochs on. The
        loss on these rows does not help then: it prefers the most confident detectors, not those
        that do well on other runs.

        Args:
            other: another result; None for none.
            digits: the AP on the held-out rows is rounded to this number of digits.
        """
        key = round(self.ap, digits), self.ap_trained
        return other is None or key > (round(other.ap, digits), other.ap_trained)


def train_net(
    runs: list[Curves],
    config: DetectorConfig,
    seed: int,
    device: torch.device,
    init_from: nn.Module | None = None,
    report: Report | None = None,
) -> Trained:
    """Trains a detector; keeps the best epoch of the best start, by AP on held-out rows.

    With several runs, the last run is held out. With one run, a stratified share of its rows is.
    Runs may have different lengths, because each batch contains curves of one run.

    Args:
        runs: curves with the channels of ``reader_of(config)``.
        config: the settings of the detector.
        seed: seed of weights, batches and augmentation.
        device: the device of the network.
        init_from: weights to start from; then there is one start, with a third of the learning
            rate (unless ``config.lr`` is given).
        report: is told the progress.

    Raises:
        DetectorError: the training rows or the held-out rows lack correct or flipped labels, or
            every start collapsed to a constant.
    """
    train, held = split_runs(runs, config.held_out, seed)
    recipe = DetectorPreset.of(config, sum(len(run.flipped) for run in train))
    if init_from is not None:
        recipe = replace(recipe, lr=config.lr or recipe.lr / 3, restarts=1)
    job = _Job(train, held, recipe, device, report)
    best: Trained | None = None
    for start in range(recipe.restarts):
        with DETECTOR.of_process(seed, start):
            net = _fresh(config, train) if init_from is None else copy.deepcopy(init_from)
            found = job.one_start(net.to(device), start)
        if found.beats(best, job.digits):
            best = found
    if best is None:
        raise DetectorError("train-detector: no start was made")
    scores = np.concatenate([suspicion(best.net, run.values) for run in train])
    check_informative(scores, "train-detector")
    return best


def _fresh(config: DetectorConfig, train: list[Curves]) -> nn.Module:
    reader = reader_of(config)
    net = make_net(reader.net, len(reader.channels), reader.width)
    if isinstance(net, PooledDetector):
        flat = [run.values.reshape(-1, len(reader.channels)) for run in train]
        # Every run has the same weight, whatever its size.
        mean = np.mean([values.mean(axis=0, dtype=np.float64) for values in flat], axis=0)
        square = np.mean([((values - mean) ** 2).mean(axis=0) for values in flat], axis=0)
        net.fit_scale(torch.from_numpy(mean), torch.from_numpy(np.sqrt(square)))
    return net


def split_runs(runs: list[Curves], share: float, seed: int) -> tuple[list[Curves], Curves]:
    """The curves to train on, and the held-out curves: the last run, or rows of a single run.

    Args:
        runs: at least one.
        share: share of rows to hold out of a single run, in (0, 1).
        seed: seed of this choice.

    Raises:
        DetectorError: one of the two lacks correct or flipped labels.
    """
    if len(runs) > 1:
        train, held = runs[:-1], runs[-1]
    else:
        rows = stratified_holdout(
            runs[0].flipped.astype(np.int64), max(1, round(share * len(runs[0].flipped))), seed
        )
        train, held = [runs[0].take(~rows)], runs[0].take(rows)
    flips = np.concatenate([run.flipped for run in train])
    for side, mask in (("training", flips), ("held-out", held.flipped)):
        if mask.all() or not mask.any():
            both = runs[0].flipped.any() and not runs[0].flipped.all()
            remedy = (
                "hold out another share with --held-out"
                if len(runs) == 1 and both
                else "record a run with --noise-ratio, or give true labels"
            )
            raise DetectorError(
                f"train-detector: the {side} rows hold {int(mask.sum())} flipped of {len(mask)} "
                f"labels; the detector needs both kinds: {remedy}"
            )
    return train, held


class _Job:
    """The data and settings that all starts of one training share."""

    def __init__(
        self,
        train: list[Curves],
        held: Curves,
        recipe: DetectorPreset,
        device: torch.device,
        report: Report | None,
    ) -> None:
        self.held, self.recipe, self.device, self.report = held, recipe, device, report
        self.data = [run.on(device) for run in train]
        # With many training runs, the AP on one held-out run is rounded to 2 digits. Choosing by
        # smaller differences, which are noise, lowered the AP on other runs by up to 0.02.
        self.digits = 2 if len(train) > 2 else 4
        self.judged = [run.take(_some(run, recipe)) for run in train]
        sizes = [len(run.flipped) for run in train]
        # How many rows each run gives to an epoch.
        each = max(sum(sizes) // len(sizes), recipe.batch_size)
        self.rows = [each] * len(sizes) if recipe.balanced else sizes
        steps = sum(math.ceil(rows / recipe.batch_size) for rows in self.rows)
        self.clock = Clock(steps * recipe.epochs * recipe.restarts)

    def one_start(self, net: nn.Module, start: int) -> Trained:
        """Trains a network and returns its best epoch; draws from the stream ``DETECTOR``."""
        recipe = self.recipe
        optimizer = torch.optim.AdamW(net.parameters(), lr=recipe.lr)
        best: Trained | None = None
        average = AveragedModel(net, multi_avg_fn=_forgetful) if recipe.average else None
        for epoch in range(recipe.epochs):
            net.train()
            batches = self._batches()
            for turn in torch.randperm(len(batches)).tolist():
                run, rows = batches[turn]
                loss = self._step(net, optimizer, run, rows.to(self.device))
                if average is not None:
                    average.update_parameters(net)
                self.clock.step(len(rows))
            judged = net if average is None else average.module
            found = self._judged(judged, epoch + 1, optimizer)
            if found.beats(best, self.digits):
                best = found
            self._tell(start * recipe.epochs + epoch + 1, len(batches), loss, found)
        if best is None:
            raise DetectorError("train-detector: no epoch was trained")
        return best

    def _batches(self) -> list[tuple[int, torch.Tensor]]:
        """Run and rows of each batch of an epoch, in no particular order."""
        orders = [torch.randperm(len(goals)) for _, goals in self.data]
        orders = [
            order.repeat(math.ceil(rows / len(order)))[:rows]
            for order, rows in zip(orders, self.rows, strict=True)
        ]
        return [
            (run, rows)
            for run, order in enumerate(orders)
            for rows in torch.split(order, self.recipe.batch_size)
        ]

    def _step(
        self, net: nn.Module, optimizer: torch.optim.Optimizer, run: int, rows: torch.Tensor
    ) -> torch.Tensor:
        values, goals = self.data[run]
        curves = values[rows].float()
        if self.recipe.augment:
            curves = augmented(curves)
        loss = detection_loss(net(curves), goals[rows], self.recipe.ranking)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if self.recipe.clip:
            torch.nn.utils.clip_grad_norm_(net.parameters(), MAX_NORM)
        optimizer.step()
        return loss.detach()

    def _judged(self, net: nn.Module, epoch: int, optimizer: torch.optim.Optimizer) -> Trained:
        from sklearn.metrics import average_precision_score, roc_auc_score

        held = self.held
        scores = suspicion(net, held.values)
        if not np.isfinite(scores).all():
            raise DetectorError(
                f"train-detector, epoch {epoch}: the detector's output is NaN; lower --lr"
            )
        trained = [
            average_precision_score(run.flipped, suspicion(net, run.values))
            for run in self.judged
            if run.flipped.any()  # without flipped labels the AP is not defined
        ]
        return Trained(
            net=copy.deepcopy(net),
            epoch=epoch,
            optimizer=copy.deepcopy(optimizer.state_dict()),
            auc=float(roc_auc_score(held.flipped, scores)),
            ap=float(average_precision_score(held.flipped, scores)),
            accuracy=float(((scores >= 0.5) == held.flipped).mean()),
            ap_trained=float(np.mean(trained)),
            held_out=len(held.flipped),
            recipe=self.recipe,
        )

    def _tell(self, done: int, steps: int, loss: torch.Tensor, found: Trained) -> None:
        if self.report is None:
            return
        speed, left = self.clock.speed()
        epochs = self.recipe.epochs * self.recipe.restarts
        self.report(
            Progress(
                "train-detector",
                done,
                epochs,
                steps,
                steps,
                loss=float(loss),
                valid_error=1 - found.accuracy,
                images_per_second=speed,
                seconds_left=left,
            )
        )


def _some(run: Curves, recipe: DetectorPreset) -> Any:
    """The rows of a training run on which epochs are judged, bool [n]."""
    chosen = np.ones(len(run.flipped), dtype=np.bool_)
    if recipe.balanced and len(chosen) > JUDGED:
        for kind in (run.flipped, ~run.flipped):
            rows = np.flatnonzero(kind)
            chosen[rows] = np.arange(len(rows)) % math.ceil(len(chosen) / JUDGED) == 0
    return chosen


def _forgetful(averaged: PARAM_LIST, current: PARAM_LIST, count: torch.Tensor | int) -> None:
    """A running average over about the last tenth of the steps, at most over a hundred of them."""
    step = int(count)
    decay = min(AVERAGE_DECAY, step / (step + 10))
    for kept, new in zip(averaged, current, strict=True):
        kept.lerp_(new, 1 - decay)
