"""DivideMix: two networks that divide the samples into labelled and unlabelled for each other.

Shapes: n samples, k classes, N networks (2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from tdctl.robust.batches import beta_shares, paired_batches
from tdctl.robust.division_state import read_state, written_state
from tdctl.robust.learner import Learner, Look
from tdctl.robust.mix_step import (
    RAMP_EPOCHS,
    MixStep,
    auto_weight,
    mixmatch_loss,
    warmup_epochs,
)
from tdctl.robust.mixmatch import confidence_penalty, ramp
from tdctl.robust.mixture import Division, divide, with_floor
from tdctl.robust.setup import RobustSetup, Together
from tdctl.robust.views import Views
from tdctl.streams import ROBUST_MIXTURE, ROBUST_ORDER, ROBUST_VIEWS
from tdctl.training.batches import batch_bounds
from tdctl.training.feed import Feed
from tdctl.training.progress import LogRow, Teller

__all__ = ["DivideMix"]


class DivideMix:
    """Divides by each network's losses, refines and guesses labels, and trains on mixtures.

    With ``algorithm: augdesc``, the networks are trained on strong views, and the labels come from
    weak views.

    Attributes:
        columns, steps, events: see ``Algorithm``.

    Source: Li et al., "DivideMix", ICLR 2020 (arXiv 2002.07394); AugDesc-WS: Nishi et al., CVPR
        2021 (arXiv 2103.02130). Four things are ours: guesses in eval mode, the use of the division
        before if a new one is unusable, the floor for each label, and the automatic weight.
    """

    columns: tuple[str, ...] = (
        "kept", "relabelled", "labels_right", "clean_auc", "divisions_kept_before",
        "labelled_loss", "unlabelled_loss", "penalty", "unlabelled_weight",
    )  # fmt: skip

    def __init__(self, setup: RobustSetup) -> None:
        if not isinstance(setup.net, Together):
            raise TypeError("dividemix trains two networks, as Together")
        config = self._config = setup.config
        self._seed, self._truth, self._split = setup.seed, setup.truth, setup.first_split
        self._net, self._device = setup.net, setup.pipeline.device
        self._n, self._k = len(setup.images), setup.dataset.num_classes
        self._learners = [
            Learner(net, config, setup.pipeline, f"network {number}", setup.seed, number, self._n)
            for number, net in enumerate(setup.net.networks, 1)
        ]
        self._views = Views(config, setup.dataset, setup.pipeline)
        self._feed = Feed(setup.images, self._device)
        self._given = torch.from_numpy(setup.images.targets).to(self._device)
        self._one_hot = functional.one_hot(self._given, self._k).float()
        self._warmup = warmup_epochs(config.warmup_epochs, config.epochs, self._k)
        self._ramp = min(RAMP_EPOCHS, max(1, config.epochs - self._warmup))
        self.steps, self.events = 2 * -(-self._n // config.batch_size), list[str]()
        self._looks: list[Look] | None = None
        self._divisions: list[Division | None] = [None, None]
        # Each network's losses of all images, for the last epochs: float32 [N, n] each.
        self._losses: list[torch.Tensor] = []
        self._estimates: list[float] = []

    @property
    def judged(self) -> nn.Module:
        """Both networks."""
        return self._net

    def epoch(self, epoch: int, tell: Teller) -> LogRow:
        """One epoch of both networks; in the warm-up, plain training."""
        if epoch < self._warmup:
            loss = float(np.mean([self._warm_up(i, epoch, tell) for i in (0, 1)]))
            row: LogRow = dict.fromkeys(self.columns)
        else:
            divisions = self._divide(epoch)
            row = self._judged_divisions(divisions)
            weight = self._weight()
            # Each network learns with the division of the other one.
            means = [self._mix(i, divisions[1 - i], weight, epoch, tell) for i in (0, 1)]
            loss, *parts = (float(value) for value in np.mean(means, axis=0))
            names = ("labelled_loss", "unlabelled_loss", "penalty")
            row |= dict(zip(names, parts, strict=True))
            row["unlabelled_weight"] = weight * ramp(epoch + 1 - self._warmup, self._ramp)
        self._looks = None
        looks = self._look()
        losses = [functional.cross_entropy(s.logits, self._given, reduction="none") for s in looks]
        self._losses = [*self._losses, torch.stack(losses)][-self._config.loss_epochs :]
        logits = (looks[0].logits + looks[1].logits) / 2
        return {
            "epoch": epoch,
            "train_error": float((logits.argmax(dim=1) != self._given).float().mean()),
            "train_loss": loss,
            "valid_error": None,
            "valid_top5_error": None,
            "valid_loss": None,
            "test_error": None,
            **row,
        }

    def _warm_up(self, place: int, epoch: int, tell: Teller) -> float:
        """Plain training of a network on all given labels; gives the mean loss."""
        learner, at = self._learners[place], (self._seed, epoch, place)
        stream = ROBUST_VIEWS.torch_generator(*at, device=self._device)
        order = torch.randperm(self._n, generator=ROBUST_ORDER.torch_generator(*at))
        bounds = batch_bounds(self._n, self._config.batch_size, 2)
        parts, losses = [order[start:stop] for start, stop in bounds], []
        for step, pixels in enumerate(self._feed.batches(parts)):
            values = self._views.weak(pixels.to(self._device), stream)
            learner.set_rate(epoch, step, len(parts))
            learner.net.train()
            logits = learner.logits(values)
            loss = functional.cross_entropy(logits, self._given[parts[step].to(self._device)])
            if self._config.confidence_penalty:
                loss = loss + confidence_penalty(logits)
            learner.descend(loss)
            losses.append(loss.detach())
            if tell.step_done(len(pixels)) and step + 1 < len(parts):
                tell.within(epoch, float(torch.stack(losses).mean()), None)
        return learner.check(torch.stack(losses), epoch)

    def _divide(self, epoch: int) -> list[Division]:
        """Each network's division. The first division comes from a ranking if one is given."""
        found = []
        losses = torch.stack(self._losses).mean(dim=0).cpu().numpy()
        for place, before in enumerate(self._divisions):
            if epoch == self._warmup and self._split is not None:
                division = Division(self._split.astype(np.float64), self._split)
            else:
                division = divide(losses[place], self._config.clean_above, before)
            if division.kept_before is not None:
                name, why = self._learners[place].name, division.kept_before
                then = "the previous division is used again" if before else "all labels are used"
                self.events.append(f"epoch {epoch}, {name}: {why}; {then}")
            else:
                self._estimates.append(1 - float(division.labelled.mean()))
            given, share = self._given.cpu().numpy(), self._config.class_floor
            labelled = with_floor(division.labelled, division.clean, given, share)
            found.append(Division(division.clean, labelled, division.kept_before))
        self._divisions = list(found)
        return found

    def _weight(self) -> float:
        """The weight of the unlabelled loss: as requested, else by the median estimate so far."""
        if self._config.unlabelled_weight != "auto":
            return float(self._config.unlabelled_weight)
        wrong = float(np.median(self._estimates)) if self._estimates else 0.0
        return auto_weight(wrong, self._k)

    def _judged_divisions(self, divisions: Sequence[Division]) -> LogRow:
        """The columns of the log about the divisions and about the labels that they give."""
        looks = self._look()
        mean = torch.stack([look.logits.softmax(dim=1) for look in looks]).mean(dim=0)
        guesses, right, changed = mean.argmax(dim=1).cpu().numpy(), [], []
        given = self._given.cpu().numpy()
        for look, division in zip(looks, reversed(divisions), strict=True):
            w = torch.from_numpy(division.clean).to(self._device).float()[:, None]
            own = (w * self._one_hot + (1 - w) * look.logits.softmax(dim=1)).argmax(dim=1)
            labels = np.where(division.labelled, own.cpu().numpy(), guesses)
            changed.append(float((labels != given).mean()))
            right.append(self._truth.right(labels, np.ones(self._n, dtype=np.bool_)))
        known = [share for share in right if share is not None]
        clean = np.mean([division.clean for division in divisions], axis=0)
        return {
            "kept": float(np.mean([division.labelled.mean() for division in divisions])),
            "relabelled": float(np.mean(changed)),
            "labels_right": float(np.mean(known)) if known else None,
            "clean_auc": self._truth.auc(clean),
            "divisions_kept_before": sum(d.kept_before is not None for d in divisions),
        }

    def _mix(
        self, place: int, division: Division, weight: float, epoch: int, tell: Teller
    ) -> NDArray[np.float64]:
        """One epoch of a network; gives the means of its loss and of the parts of the loss."""
        config, device, at = self._config, self._device, (self._seed, epoch, place)
        learner, other = self._learners[place], self._learners[1 - place]
        stream = ROBUST_VIEWS.torch_generator(*at, device=device)
        mixing = ROBUST_ORDER.torch_generator(*at)
        batches = paired_batches(division.labelled, config.batch_size, mixing)
        shares = beta_shares(ROBUST_MIXTURE.numpy_generator(*at), config.mixup, len(batches))
        clean = torch.from_numpy(division.clean).float()
        losses: list[torch.Tensor] = []
        pixels_of = self._feed.batches([torch.cat(pair) for pair in batches])
        for number, ((rows, _), pixels) in enumerate(zip(batches, pixels_of, strict=True)):
            on_device = pixels.to(device)
            weak = [self._views.weak(on_device, stream) for _ in range(2)]
            inputs = weak
            if config.algorithm == "augdesc":
                inputs = [self._views.strong(on_device, stream) for _ in range(2)]
            step = MixStep(
                weak,
                inputs,
                self._one_hot[rows.to(device)],
                clean[rows].to(device),
                torch.randperm(2 * len(pixels), generator=mixing).to(device),
                float(shares[number]),
            )
            done = epoch - self._warmup + number / len(batches)
            now = weight * ramp(done, self._ramp)
            learner.set_rate(epoch, number, len(batches))
            found = mixmatch_loss(
                learner, other, step, config.sharpening, now, config.prior_penalty
            )
            learner.descend(found.total)
            losses.append(torch.stack(found).detach())
            if tell.step_done(len(pixels)) and number + 1 < len(batches):
                tell.within(epoch, float(torch.stack(losses)[:, 0].mean()), None)
        whole = torch.stack(losses)
        learner.check(whole[:, 0], epoch)
        return whole.double().mean(dim=0).cpu().numpy()

    def _look(self) -> list[Look]:
        """The current output of both networks; computed once per epoch."""
        if self._looks is None:
            self._looks = [learner.look(self._feed, self._n) for learner in self._learners]
        return self._looks

    def logits(self) -> list[torch.Tensor]:
        """Each network's logits of all training images, float32 [n, k]."""
        return [look.logits for look in self._look()]

    def facts(self) -> dict[str, Any]:
        """Warm-up, weight of the unlabelled loss, and the estimated share of wrong labels."""
        wrong = float(np.median(self._estimates)) if self._estimates else None
        weight = self._weight()
        return {
            "warmup_epochs": self._warmup,
            "unlabelled_weight": weight,
            "wrong_estimated": wrong,
        }

    def state_dict(self) -> dict[str, Any]:
        """Both networks, their divisions, and the losses that the next divisions need."""
        return {
            "networks": [learner.state_dict() for learner in self._learners],
            **written_state(self._divisions, self._losses, self._estimates, self.events),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Loads a state; raises the errors of torch, and KeyError."""
        for learner, own in zip(self._learners, state["networks"], strict=True):
            learner.load_state_dict(own)
        found = read_state(state, self._device)
        self._divisions, self._losses, self._estimates, self.events = found
        self._looks = None
