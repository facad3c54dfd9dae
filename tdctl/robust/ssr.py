"""SSR: one network that relabels and selects samples, and trains on the selected ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from tdctl.errors import ConfigError
from tdctl.robust.batches import beta_shares
from tdctl.robust.learner import Learner, Look
from tdctl.robust.mixmatch import mixed, soft_cross_entropy
from tdctl.robust.mixture import with_floor
from tdctl.robust.selection import (
    balanced_order,
    consistency,
    default_neighbours,
    relabelled,
    votes,
)
from tdctl.robust.setup import RobustSetup
from tdctl.robust.views import Views
from tdctl.streams import ROBUST_MIXTURE, ROBUST_ORDER, ROBUST_VIEWS
from tdctl.training.batches import batch_bounds
from tdctl.training.feed import Feed
from tdctl.training.neighbours import REFERENCES
from tdctl.training.progress import LogRow, Teller

__all__ = ["Ssr", "ssr_loss"]


def ssr_loss(
    learner: Learner,
    views: tuple[torch.Tensor, torch.Tensor],
    targets: torch.Tensor,
    order: torch.Tensor,
    share: float,
) -> torch.Tensor:
    """Cross-entropy in train mode, for a batch whose two views are mixed at random.

    Args:
        learner: the network.
        views: float [B, C, H, W] each, of the same B images.
        targets: float [B, k], one-hot rows.
        order: int64 [2B], the view with which each of the 2B views is mixed.
        share: the share of the view itself in its mixture, at least 0.5.
    """
    values, both = torch.cat(views), torch.cat([targets, targets])
    learner.net.train()
    logits = learner.logits(mixed(values, order, share))
    return soft_cross_entropy(logits, mixed(both, order, share))


class Ssr:
    """Relabels, and keeps the samples whose label gets the most votes of their neighbours.

    Each epoch starts again from the given labels. There is no warm-up. All labels have the same
    number of images in an epoch. Each image has two strong views, and the views of a batch are
    mixed at random.

    Attributes:
        columns, steps, events: see ``Algorithm``.

    Source: Feng et al., "SSR", BMVC 2022 (arXiv 2111.11288), without the feature consistency of
        SSR+. The floor for each label is ours.
    """

    columns: tuple[str, ...] = ("kept", "relabelled", "labels_right", "clean_auc")

    def __init__(self, setup: RobustSetup) -> None:
        self._config, self._seed, self._truth = setup.config, setup.seed, setup.truth
        self._pipeline, self._split = setup.pipeline, setup.first_split
        self._n, self._k = len(setup.images), setup.dataset.num_classes
        asked = setup.config.neighbours
        if asked is not None and asked >= min(self._n, REFERENCES):
            raise ConfigError(
                f"neighbours: {asked} is too many; expected fewer than {min(self._n, REFERENCES)} "
                f"for {self._n} images; give --set robust.neighbours=N"
            )
        self._neighbours = asked or default_neighbours(self._n, self._k)
        images = len(setup.images)
        self._learner = Learner(
            setup.net, setup.config, setup.pipeline, "the network", setup.seed, images=images
        )
        self._views = Views(setup.config, setup.dataset, setup.pipeline)
        self._feed = Feed(setup.images, setup.pipeline.device)
        self._given = torch.from_numpy(setup.images.targets).to(setup.pipeline.device)
        self._bounds = batch_bounds(self._n, setup.config.batch_size, 1)
        self.steps, self.events = len(self._bounds), list[str]()
        self._seen: Look | None = None

    @property
    def judged(self) -> nn.Module:
        """The network."""
        return self._learner.net

    def epoch(self, epoch: int, tell: Teller) -> LogRow:
        """Relabels, selects, and trains for as many steps as a pass over all images has."""
        labels, kept, row = self._select(epoch)
        loss = self._train(epoch, labels, kept, tell)
        self._seen = None
        wrong = self._look().logits.argmax(dim=1) != self._given
        return {
            "epoch": epoch,
            "train_error": float(wrong.float().mean()),
            "train_loss": loss,
            "valid_error": None,
            "valid_top5_error": None,
            "valid_loss": None,
            "test_error": None,
            **row,
        }

    def _select(self, epoch: int) -> tuple[torch.Tensor, NDArray[np.bool_], LogRow]:
        """The labels int64 [n], which of them are kept, and their columns of the log."""
        seen = self._look()
        labels = relabelled(seen.logits.softmax(dim=1), self._given, self._config.relabel_above)
        found = votes(seen.features, labels, self._neighbours, self._k, seed=epoch)
        sure = consistency(found, labels).cpu().numpy()
        clean = consistency(found, self._given).cpu().numpy()
        kept = sure >= 1
        if epoch == 0 and self._split is not None:
            labels, kept, clean = self._given, self._split, self._split.astype(np.float32)
        names = labels.cpu().numpy()
        with_all = with_floor(kept, sure, names, self._config.class_floor)
        if not with_all.any():
            with_all = np.ones(self._n, dtype=np.bool_)
            self.events.append(f"epoch {epoch}: no label was kept, so all labels are used")
        row: LogRow = {
            "kept": float(with_all.mean()),
            "relabelled": float((labels != self._given).float().mean()),
            "labels_right": self._truth.right(names, with_all),
            "clean_auc": self._truth.auc(clean),
        }
        return labels, with_all, row

    def _train(
        self, epoch: int, labels: torch.Tensor, kept: NDArray[np.bool_], tell: Teller
    ) -> float:
        """Trains for the steps of an epoch; gives the mean loss."""
        device, at = self._pipeline.device, (self._seed, epoch, 0)
        rng, mixing = ROBUST_ORDER.numpy_generator(*at), ROBUST_ORDER.torch_generator(*at)
        stream = ROBUST_VIEWS.torch_generator(*at, device=device)
        shares = beta_shares(ROBUST_MIXTURE.numpy_generator(*at), self._config.mixup, self.steps)
        rows = np.flatnonzero(kept)
        order = torch.from_numpy(balanced_order(labels.cpu().numpy(), rows, self._n, rng))
        parts = [order[start:stop] for start, stop in self._bounds]
        targets = functional.one_hot(labels, self._k).float()
        losses = torch.zeros(self.steps, device=device)
        for step, pixels in enumerate(self._feed.batches(parts)):
            seen = pixels.to(device)
            views = (self._views.strong(seen, stream), self._views.strong(seen, stream))
            partners = torch.randperm(2 * len(pixels), generator=mixing).to(device)
            self._learner.set_rate(epoch, step, self.steps)
            own = targets[parts[step].to(device)]
            loss = ssr_loss(self._learner, views, own, partners, float(shares[step]))
            self._learner.descend(loss)
            losses[step] = loss.detach()
            if tell.step_done(len(pixels)) and step + 1 < self.steps:
                tell.within(epoch, float(losses[: step + 1].mean()), None)
        return self._learner.check(losses, epoch)

    def _look(self) -> Look:
        """The current output of the network; computed once per epoch."""
        if self._seen is None:
            self._seen = self._learner.look(self._feed, self._n, with_features=True)
        return self._seen

    def logits(self) -> list[torch.Tensor]:
        """The network's logits of all training images, float32 [n, k]."""
        return [self._look().logits]

    def facts(self) -> dict[str, Any]:
        """The number of neighbours."""
        return {"neighbours": self._neighbours}

    def state_dict(self) -> dict[str, Any]:
        """The network; labels and selection are computed from it."""
        return {"network": self._learner.state_dict(), "events": "\n".join(self.events)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Loads a state; raises the errors of torch."""
        self._learner.load_state_dict(state["network"])
        self.events, self._seen = state["events"].splitlines(), None
