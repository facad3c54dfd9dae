"""How a classifier will be trained on this machine: what follows from settings, data and mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from tdctl.classifier.build_networks import build_networks
from tdctl.config import Config, FitConfig
from tdctl.data import DataSet, Images
from tdctl.data.augment import Augment
from tdctl.nets import count_flops
from tdctl.pretrained import Weights
from tdctl.training import Plain, Precision, Threads, World, compile_pays, pick_precision

__all__ = ["Plan", "plan_training"]


@dataclass(frozen=True)
class Plan:
    """How a classifier will be trained.

    Attributes:
        precision: of the network's computations.
        compiled: whether the network is compiled.
        why_compiled: in words.
        threads: that compute it.
        weights: that the networks start from; None where they start from random ones.
        model_bytes: of a file of all the networks' weights.
        changed: what is not as it was when the resumed run began, in words.
        net: the networks, as one module. Every process builds its own.
    """

    precision: Precision
    compiled: bool
    why_compiled: str
    threads: Threads
    weights: Weights | None
    model_bytes: int
    changed: tuple[str, ...] = ()
    net: nn.Module = field(default_factory=nn.Identity, repr=False, compare=False)

    def facts(self, world: World) -> dict[str, Any]:
        """What the manifest says of the computation."""
        return {
            "device": str(world.device),
            "precision": self.precision,
            "compiled": self.compiled,
            **self.threads.facts(),
            "processes": world.size,
            "pretrained": None if self.weights is None else self.weights.facts(),
        }

    @property
    def choice(self) -> str:
        """Whether the network is compiled and why, in words."""
        return f"{'compiled' if self.compiled else 'not compiled'}: {self.why_compiled}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What is out of the ordinary, a line each."""
        notes: tuple[str, ...] = (self.choice,) if self.compiled else ()
        notes += () if self.weights is None else (self.weights.note,)
        if self.changed:
            notes += (f"began otherwise ({'; '.join(self.changed)}): not the bits of one go",)
        return notes


def plan_training(
    config: Config,
    training: FitConfig,
    dataset: DataSet,
    images: Images,
    mode: Plain,
    world: World,
    began: Mapping[str, Any] | None = None,
    networks: tuple[nn.Module, Weights | None] | None = None,
) -> Plan:
    """Builds the networks and plans their training; the first process plans for all.

    Args:
        training: how they are trained.
        images: what they are trained on.
        mode: how the training is recorded.
        began: what ``RunFolder.began_with`` gives of a run that is resumed. Its precision and
            threads stay where they can; what has changed is noted.
        networks: that were built already and not trained yet, with the weights that they start
            from; None builds them here.

    Raises:
        ConfigError: too few images for the processes, the augmentation does not suit the images,
            or weights do not fit the network.
    """

    def build() -> tuple[nn.Module, Weights | None]:
        mode.check(len(images), training.batch_size, world.size)
        Augment(training, dataset)  # refuses what does not suit the images
        if networks is not None:
            return networks
        return build_networks(config, dataset.num_classes, images.shape, mode)

    def plan() -> Plan:
        flops = count_flops(config.net, dataset.num_classes, images.shape) * mode.trained_at_once
        of_each = mode.images_of_each(len(images))
        compiled, why = compile_pays(training, flops, of_each, world.device)
        precision = pick_precision(training, world.device)
        if began:
            precision = began.get("precision", precision)
            if began.get("compiled", compiled) != compiled:
                compiled, why = not compiled, "as the run began"
        # The user's number of threads, the run's, or by the work of this process's part of a
        # batch. Forward and backward pass are three times the forward pass.
        of_step = 3 * flops * min(training.batch_size, len(images)) / world.size
        threads = Threads.planned(of_step, world.device, began)
        model_bytes = sum(tensor.nbytes for tensor in net.state_dict().values())
        plan = Plan(precision, compiled, why, threads, weights, model_bytes)
        now, was = plan.facts(world), dict(began or {})
        changed = [f"{key} {was[key]}, now {now[key]}" for key in was if was[key] != now[key]]
        return replace(plan, changed=tuple(changed))

    net, weights = world.together(build)
    if weights is not None:
        world.check_same("net.pretrained", weights.sha256)
    return replace(world.told(plan), net=net)
