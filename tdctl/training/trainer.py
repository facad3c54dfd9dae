"""The steps of one training: order, augmentation, loss, capture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tdctl.config import FitConfig
from tdctl.data.augment import Draw
from tdctl.data.dataset import Images
from tdctl.errors import TrainingError
from tdctl.nets import draws_at_random
from tdctl.processors import unbound
from tdctl.recorder import EpochRows, RunRecorder
from tdctl.streams import AUGMENTATION, CAPTURE_AUGMENTATION, DROPOUT, MIXUP, ORDER
from tdctl.training.average import Average
from tdctl.training.batches import batch_bounds, larger_share, own_places
from tdctl.training.feed import Feed
from tdctl.training.losses import Loss, TrainingLoss
from tdctl.training.optimizer import Optimizer
from tdctl.training.pipeline import Pipeline
from tdctl.training.progress import LogRow, Teller
from tdctl.training.schedule import rate
from tdctl.training.world import World

__all__ = ["REMEDY", "Setup", "Trainer"]

# Positions int64 [B], pixels uint8 [B, C, H, W] and random draws, for a process's part of a batch.
Batch = tuple[torch.Tensor, torch.Tensor, Draw]

REMEDY = "lower the learning rate (--lr) or compute in float32 (--no-amp)"
CAPTURE_BATCH = 512


class Setup(NamedTuple):
    """The arguments of a trainer.

    Attributes:
        net: the networks.
        images: the training images; ``targets`` are the given labels.
        config: how they are trained.
        pipeline: how a batch reaches the network.
        seed: seed of the order and the augmentation.
        world: the processes that train together.
        compiled: whether the network is compiled.
    """

    net: nn.Module
    images: Images
    config: FitConfig
    pipeline: Pipeline
    seed: int
    world: World
    compiled: bool


class Trainer:
    """The network, the optimiser and the data of one training.

    Images with index -1 are trained on, but they are not part of the recording: an in-loop
    recording gets them as images of unknown index, an eval pass skips them.

    Attributes:
        steps: batches per epoch.
        loss: what is minimised.
        average: the running average of the weights, if the settings ask for one.
    """

    def __init__(
        self,
        net: nn.Module,
        images: Images,
        config: FitConfig,
        pipeline: Pipeline,
        seed: int,
        world: World,
        compiled: bool,
        feed: Feed | None = None,
    ) -> None:
        self.net, self.pipeline, self.world = net, pipeline, world
        self._config, self._seed = config, seed
        self._device = device = pipeline.device
        # The type stubs have no overload of `to` for modules with a memory format.
        net.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._parallel = world.wrap(net)
        self._compiled = _compiled(self._parallel, world) if compiled else None
        self._to_compile = compiled
        self._feed = Feed(images, device) if feed is None else feed
        self._draws = draws_at_random(net)
        self._targets = torch.from_numpy(images.targets).to(device)
        self._index = torch.from_numpy(images.index).to(device)
        self._recorded = torch.from_numpy(np.flatnonzero(images.index >= 0))
        self.optimizer = Optimizer(net, config, len(images))
        self.loss: TrainingLoss = self._make_loss(config, images, seed)
        averaged = config.average == "ema"
        self.average = Average(net, config.average_decay) if averaged else None
        half = pipeline.precision == "float16"
        self.scaler = torch.amp.GradScaler(device.type, enabled=half)
        self._bounds = batch_bounds(len(images), config.batch_size, 2 * world.size)
        self._sizes = torch.tensor([stop - start for start, stop in self._bounds])
        self.steps = len(self._bounds)

    @property
    def judged(self) -> nn.Module:
        """The network that is evaluated and saved: the averaged one if there is one."""
        return self.net if self.average is None else self.average.net

    def train_epoch(
        self, epoch: int, recorder: RunRecorder | EpochRows | None, tell: Teller
    ) -> LogRow:
        """One pass over the images; each image is seen exactly once, by one process.

        Returns the row of the log; the ``valid_*`` columns are still None.
        """
        total = int(self._sizes.sum())
        self.net.train()
        order = torch.randperm(total, generator=ORDER.torch_generator(self._seed, epoch))
        # Each process has its part of the mean loss of a batch; the sum over processes is the mean.
        losses = torch.zeros(self.steps, device=self._device)
        wrong = torch.zeros((), device=self._device)
        stream = AUGMENTATION.torch_generator(self._seed, epoch, device=self._device)
        shares = self._shares(epoch)
        batches = self._batches(order, self._bounds, stream, mixed=shares is not None)
        for step, batch in enumerate(batches):
            size = int(self._sizes[step])
            self._set_rate(epoch, step)
            share = None if shares is None else float(shares[step])
            with unbound() if self._to_compile else nullcontext(), self._drops(epoch, step):
                logits, losses[step] = self._step(batch, size, share)
            if self.average is not None:
                self.average.update(self.net, epoch * self.steps + step)
            rows = batch[0] if share is None else larger_share(batch[0], share)
            logits = self._judged(rows, logits, recorder is not None)
            wrong += (logits.argmax(dim=1) != self._targets[rows]).sum()
            if recorder is not None:
                recorder.record(self._index[rows], logits)
            # Reading a loss waits for the device, so it is read only if a report is due.
            if tell.step_done(size) and step + 1 < self.steps:
                parts = self.world.size
                mean = _checked_mean(losses[: step + 1] * parts, self._sizes, epoch)
                seen = int(self._sizes[: step + 1].sum())
                tell.within(epoch, mean, float(wrong) * parts / seen)
        self._share_state()
        mean = _checked_mean(self.world.sum(losses), self._sizes, epoch)
        return {
            "epoch": epoch,
            "train_error": float(self.world.sum(wrong)) / total,
            "train_loss": mean,
            "valid_error": None,
            "valid_top5_error": None,
            "valid_loss": None,
            "test_error": None,
        }

    @torch.no_grad()
    def capture_pass(self, epoch: int, recorder: RunRecorder | EpochRows) -> None:
        """Records each sample in eval mode, with a new augmentation.

        Source: Jia et al. (AAAI 2023), published code: an extra pass over the augmented
            training set after each epoch.
        """
        net = self.judged.eval()
        answer = self._recorded_net(net)
        stream = CAPTURE_AUGMENTATION.torch_generator(self._seed, epoch, device=self._device)
        if not len(self._recorded):
            return
        bounds = batch_bounds(len(self._recorded), CAPTURE_BATCH, 1)
        for rows, pixels, draw in self._batches(self._recorded, bounds, stream):
            if not len(rows):  # the last batch may have fewer images than there are processes
                continue
            logits = self._judged(rows, self.pipeline.logits(answer, pixels, draw), recorded=True)
            recorder.record(self._index[rows], logits)

    @torch.no_grad()
    def final_pass(self, recorder: RunRecorder | EpochRows) -> None:
        """Records each sample in eval mode, without augmentation.

        If the training mirrors images, it is the mean of the logits of the image and its mirror.
        """
        net, part = self.judged.eval(), self.world.part(0, len(self._recorded))
        if part.start == part.stop:  # there may be fewer images than processes
            return
        parts = torch.split(self._recorded[part], CAPTURE_BATCH)
        for rows, pixels in zip(parts, self._feed.batches(parts), strict=True):
            logits = self.pipeline.mirrored_logits(net, pixels)
            recorder.record(self._index[rows.to(self._device)], logits)

    def _make_loss(self, config: FitConfig, images: Images, seed: int) -> TrainingLoss:
        return Loss(config, len(images), images.weights)

    def _recorded_net(self, net: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        """The function whose logits are recorded, for a network in eval mode."""
        return net

    def _judged(self, rows: torch.Tensor, logits: torch.Tensor, recorded: bool) -> torch.Tensor:
        """The logits [B, k] from which the predictions for the images at ``rows`` are made."""
        return logits

    def state_dict(self) -> dict[str, Any]:
        """The state to resume from: weights, optimiser, loss scale and the state of the loss.

        No random state is needed, because every stream depends only on the seed and the epoch.
        """
        return {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "loss": self.loss.state_dict(),
            "average": {} if self.average is None else self.average.net.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores a state, in a training with the same settings; raises the errors of torch."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.loss.load_state_dict(state["loss"], self._device)
        if self.average is not None:
            self.average.net.load_state_dict(state["average"])

    def _batches(
        self,
        order: torch.Tensor,
        bounds: list[tuple[int, int]],
        stream: torch.Generator,
        mixed: bool = False,
    ) -> Iterator[Batch]:
        """Rows, pixels and random draws of this process's part of each batch.

        The draws are made for the whole batch, so that the augmentation of an image does not
        depend on the number of processes. If images are mixed, the part also contains the image
        before it; for the first part this is the last image of the batch.
        """
        slices = [self.world.part(*bound) for bound in bounds]
        owns = [own_places(part, bound, mixed) for part, bound in zip(slices, bounds, strict=True)]
        parts = [order[start:stop][own] for (start, stop), own in zip(bounds, owns, strict=True)]
        on_device = torch.split(torch.cat(parts).to(self._device), [len(part) for part in parts])
        pixels = self._feed.batches(parts)
        for bound, own, rows, images in zip(bounds, owns, on_device, pixels, strict=True):
            draw = self.pipeline.augment.draw(bound[1] - bound[0], stream)
            yield rows, images, draw[own]

    def _shares(self, epoch: int) -> NDArray[np.float64] | None:
        """Float64 [steps]: the share that an image keeps in a mixture, per batch; or None.

        Source: Zhang et al. (ICLR 2018). As in torchvision's v2.MixUp, there is one share per
            batch, and the partners are neighbours in the batch.
        """
        alpha = self._config.mixup
        if alpha == 0:
            return None
        return MIXUP.numpy_generator(self._seed, epoch).beta(alpha, alpha, self.steps)

    def _set_rate(self, epoch: int, step: int) -> None:
        self.optimizer.set_rate(rate(self._config, epoch, step, self.steps))

    def _drops(self, epoch: int, step: int) -> AbstractContextManager[None]:
        """Seeds what the network itself draws in a step, such as dropout."""
        if not self._draws:
            return nullcontext()
        at = (self._seed, epoch, step, self.world.rank)
        return DROPOUT.of_process(*at, device=self._device)

    def _share_state(self) -> None:
        """Makes the state equal in all processes, after an epoch."""
        self.world.average_buffers(self.net)
        self.loss.epoch_done(self.world)
        if self.average is not None:
            self.average.share(self.world)

    def _step(
        self, batch: Batch, size: int, share: float | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows, pixels, draw = batch
        # The network is compiled for one batch size. Another size would be compiled again.
        net = self._parallel
        if self._compiled is not None and size == self._config.batch_size:
            net, self._to_compile = self._compiled, False
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        logits = self.pipeline.logits(net, pixels, draw, share)
        if share is None:
            summed = self.loss(logits, self._targets[rows], rows)
        else:
            # All losses that may be mixed are linear in the target; "elr" is not and is refused.
            own, other = (self.loss(logits, self._targets[r], r) for r in (rows[1:], rows[:-1]))
            summed = share * own + (1 - share) * other
        loss = summed / size
        self.optimizer.zero_grad(set_to_none=True)
        # Gradients are averaged over the processes, but the loss is a sum over their parts.
        torch.autograd.backward(self.scaler.scale(loss * self.world.size))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return logits.detach(), loss.detach() / self.loss.networks


def _compiled(net: nn.Module, world: World) -> nn.Module:
    # As one CUDA graph, a small network's step does not wait for the launch of each kernel. torch
    # cannot record such a graph if gradients are exchanged between processes.
    graphs = world.device.type == "cuda" and world.size == 1
    mode = "reduce-overhead" if graphs else None
    return cast(nn.Module, torch.compile(net, dynamic=False, mode=mode))


def _checked_mean(losses: torch.Tensor, sizes: torch.Tensor, epoch: int) -> float:
    losses = losses.cpu().double()
    bad = (~torch.isfinite(losses)).nonzero()
    if len(bad):
        raise TrainingError(f"epoch {epoch}, batch {int(bad[0])}: the loss is not finite; {REMEDY}")
    sizes = sizes[: len(losses)]
    return float((losses * sizes).sum() / sizes.sum())
