"""One network of a robust training, with its optimiser.

Shapes: B batch, C channels, H and W the image, n training images, k classes, F features.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import nn

from tdctl.config import RobustConfig
from tdctl.errors import TrainingError
from tdctl.nets import draws_at_random
from tdctl.streams import ROBUST_DROPOUT
from tdctl.training import Pipeline
from tdctl.training.device import DTYPES
from tdctl.training.feature_hook import FeatureHook
from tdctl.training.feed import Feed
from tdctl.training.optimizer import Optimizer
from tdctl.training.schedule import rate
from tdctl.training.trainer import REMEDY

__all__ = ["Learner", "Look", "look"]

LOOK_BATCH = 512


class Look(NamedTuple):
    """A network's output for all training images, in eval mode and without augmentation.

    Attributes:
        logits: float32 [n, k].
        features: float32 [n, F], the input of its last layer; empty [n, 0] if not requested.
    """

    logits: torch.Tensor
    features: torch.Tensor


@torch.no_grad()
def look(
    net: nn.Module,
    pipeline: Pipeline,
    feed: Feed,
    n: int,
    name: str,
    with_features: bool = False,
) -> Look:
    """A network's output for the n images of a feed; leaves the network in eval mode.

    Raises:
        TrainingError: a logit is not finite; the message has the name of the network.
    """
    net.eval()
    hook = FeatureHook(net) if with_features else None
    logits, features = [], []
    try:
        for pixels in feed.batches(torch.split(torch.arange(n), LOOK_BATCH)):
            logits.append(pipeline.logits(net, pixels))
            features.append(logits[-1][:, :0] if hook is None else hook.taken().float())
    finally:
        if hook is not None:
            hook.close()
    found = Look(torch.cat(logits), torch.cat(features))
    if not bool(torch.isfinite(found.logits).all()):
        raise TrainingError(f"{name}: its outputs are not finite; {REMEDY}")
    return found


class Learner:
    """A network and its optimiser; the caller computes the losses.

    Args:
        net, config, pipeline, name: the network, how it is trained, and its name in messages.
        seed: the seed of what the network itself draws, such as dropout.
        number: the number of the network in its algorithm.
        images: how many are trained on, on which the weight decay ``auto`` depends.

    Attributes:
        net: the network, which gives logits [B, k].
        name: the name of the network in error messages.
    """

    def __init__(
        self,
        net: nn.Module,
        config: RobustConfig,
        pipeline: Pipeline,
        name: str,
        seed: int = 0,
        number: int = 0,
        images: int = 1,
    ) -> None:
        self.net, self.name = net, name
        self._config, self._pipeline = config, pipeline
        # The stubs know only the overloads of `to` without a memory format for modules.
        net.to(device=pipeline.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimizer = Optimizer(net, config, images)
        self._draws, self._seed, self._number = draws_at_random(net), seed, number
        self._at = (0, 0)
        half = pipeline.precision == "float16"
        self._scaler = torch.amp.GradScaler(pipeline.device.type, enabled=half)

    def logits(self, values: torch.Tensor) -> torch.Tensor:
        """Logits float32 [B, k] of normalised images [B, C, H, W]; the mode is not changed."""
        device, precision = self._pipeline.device.type, self._pipeline.precision
        with (
            torch.autocast(device, DTYPES[precision], enabled=precision != "float32"),
            self._drops(),
        ):
            logits: torch.Tensor = self.net(values)
        return logits.float()

    def _drops(self) -> AbstractContextManager[None]:
        """Seeds what the network itself draws in a step, such as dropout."""
        if not (self._draws and self.net.training):
            return nullcontext()
        at = (self._seed, *self._at, self._number)
        return ROBUST_DROPOUT.of_process(*at, device=self._pipeline.device)

    @torch.no_grad()
    def guess(self, values: torch.Tensor) -> torch.Tensor:
        """Probabilities [B, k] in eval mode, without a gradient.

        In train mode, images that are not trained on would change the running statistics, and a
        guess would depend on the other images of its batch.
        """
        self.net.eval()
        return self.logits(values).softmax(dim=1)

    def set_rate(self, epoch: int, step: int, steps: int) -> None:
        """Sets the learning rate of a step."""
        self._optimizer.set_rate(rate(self._config, epoch, step, steps))
        self._at = (epoch, step)

    def descend(self, loss: torch.Tensor) -> None:
        """One step of the optimiser."""
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(self._scaler.scale(loss))
        self._scaler.step(self._optimizer)
        self._scaler.update()

    def look(self, feed: Feed, n: int, with_features: bool = False) -> Look:
        """The network's output for the n images of a feed; see ``look``."""
        return look(self.net, self._pipeline, feed, n, self.name, with_features)

    def check(self, losses: torch.Tensor, epoch: int) -> float:
        """The mean of an epoch's losses [steps].

        Raises:
            TrainingError: a loss or a weight of the network is not finite.
        """
        bad = (~torch.isfinite(losses)).nonzero()
        if len(bad):
            raise TrainingError(
                f"epoch {epoch}, batch {int(bad[0])}: the loss of {self.name} is not finite; "
                f"{REMEDY}"
            )
        if not all(bool(torch.isfinite(values).all()) for values in self.net.parameters()):
            raise TrainingError(f"epoch {epoch}: weights of {self.name} are not finite; {REMEDY}")
        return float(losses.double().mean())

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimiser and loss scale; no random state is needed (see ``tdctl.streams``)."""
        return {
            "net": self.net.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Loads a state; raises the errors of torch."""
        self.net.load_state_dict(state["net"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
