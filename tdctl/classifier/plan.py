"""How a classifier will be trained on this machine, given the settings, the data and the mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from tdctl.classifier.build_networks import build_networks
from tdctl.config import Config, FitConfig
from tdctl.data import DataSet, Images
from tdctl.data.augment import Augment
from tdctl.nets import count_flops, other_size
from tdctl.pretrained import Weights
from tdctl.training import Plain, Precision, Threads, World, compile_pays, pick_precision

__all__ = ["Plan", "plan_training"]


@dataclass(frozen=True)
class Plan:
    """How a classifier will be trained.

    Attributes:
        precision: number format of the network's computation.
        compiled: whether the network is compiled.
        why_compiled: the reason, in words.
        threads: the threads that compute it.
        weights: the pretrained weights that the networks start from; None for random ones.
        model_bytes: size of a file with the weights of all networks.
        weight_decay: of each network.
        other_size: the sizes of the images and of those that the weights expect, in words, if they
            differ; else None.
        less_decay: the weight decay in words, if it is lower because there are many images; else
            None.
        changed: what differs from the start of a resumed run, in words.
        net: the networks, as one module. Every process builds its own.
    """

    precision: Precision
    compiled: bool
    why_compiled: str
    threads: Threads
    weights: Weights | None
    model_bytes: int
    weight_decay: float
    other_size: str | None = None
    less_decay: str | None = None
    changed: tuple[str, ...] = ()
    net: nn.Module = field(default_factory=nn.Identity, repr=False, compare=False)

    def facts(self, world: World) -> dict[str, Any]:
        """The facts about the computation for the manifest."""
        return {
            "device": str(world.device),
            "precision": self.precision,
            "weight_decay": self.weight_decay,
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
        """What is unusual about this plan, one line each."""
        notes: tuple[str, ...] = (self.choice,) if self.compiled else ()
        notes += () if self.weights is None else (self.weights.note,)
        notes += tuple(filter(None, (self.other_size, self.less_decay)))
        if self.changed:
            notes += (
                f"the run began with {'; '.join(self.changed)}: results may differ in their last "
                "bits from a run without interruption",
            )
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
    """Builds the networks and plans their training; the plan of the first process is used by all.

    Args:
        config: all settings.
        training: the settings of this training (``config.train`` or ``config.retrain``).
        dataset: the data set.
        images: the images to train on.
        mode: how the training is recorded.
        world: the processes that train together.
        began: for a resumed run, what ``RunFolder.began_with`` returns. Its precision and threads
            are used again if the machine allows it; differences are noted.
        networks: untrained networks that exist already, with the weights that they start from;
            None builds them here.

    Raises:
        ConfigError: there are too few images for the processes, or the augmentation does not suit
            the images, or the weights do not fit the network.
    """

    def build() -> tuple[nn.Module, Weights | None]:
        mode.check(len(images), training.batch_size, world.size)
        Augment(training, dataset)  # raises if the augmentation does not suit the images
        if networks is not None:
            return networks
        k, blocks = dataset.num_classes, training.checkpoint_blocks
        return build_networks(config, k, images.shape, mode, blocks)

    def plan() -> Plan:
        flops = count_flops(config.net, dataset.num_classes, images.shape) * mode.trained_at_once
        of_each = mode.images_of_each(len(images))
        compiled, why = compile_pays(training, flops, of_each, world.device)
        precision = pick_precision(training, world.device, net)
        if began:
            precision = began.get("precision", precision)
            if began.get("compiled", compiled) != compiled:
                compiled, why = not compiled, "as the run began"
        # The number of threads is the user's, or the run's, or follows from the work for this
        # process's part of a batch. Forward and backward pass cost three times the forward pass.
        of_step = 3 * flops * min(training.batch_size, len(images)) / world.size
        threads = Threads.planned(of_step, world.device, began)
        model_bytes = sum(tensor.nbytes for tensor in net.state_dict().values())
        size, less = other_size(config.net, images.shape), training.less_decay(of_each)
        decay = training.decay_of(of_each)
        plan = Plan(precision, compiled, why, threads, weights, model_bytes, decay, size, less)
        now, was = plan.facts(world), dict(began or {})
        changed = [f"{key} {was[key]}, now {now[key]}" for key in was if was[key] != now[key]]
        return replace(plan, changed=tuple(changed))

    net, weights = world.together(build)
    if weights is not None:
        world.check_same("net.pretrained", weights.sha256)
    return replace(world.told(plan), net=net)
