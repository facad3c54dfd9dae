"""The networks that a training starts from: one, a pair, or one for each fold."""

from __future__ import annotations

from torch import nn

from tdctl.config import Config, FitConfig, TrainConfig
from tdctl.cuts import count_threshold_samples
from tdctl.data import DataSet, Images
from tdctl.errors import ConfigError
from tdctl.nets import Pair, build_net, build_pair
from tdctl.pretrained import Weights, load_weights, weights_file
from tdctl.training import FoldEnsemble, fold_seeds

__all__ = ["alone", "planned_start", "start"]


def start(
    config: Config, training: FitConfig, dataset: DataSet, images: Images, seed: int
) -> tuple[nn.Module, Weights | None]:
    """The network that a training starts from, or the two, and the weights they were given.

    Raises:
        ConfigError: the weights do not fit it, or there are too few images for a pair.
    """
    paired = isinstance(training, TrainConfig) and training.threshold_samples
    if paired:
        count_threshold_samples(len(images), dataset.num_classes)
    build = build_pair if paired else build_net
    net = build(config.net, dataset.num_classes, images.shape, seed)
    file = weights_file(config)
    loaded = [None if file is None else load_weights(one, file) for one in alone(net)]
    return net, loaded[0]


def alone(net: nn.Module) -> list[nn.Module]:
    """The networks that a training trains at once, one or two."""
    return list(net.networks) if isinstance(net, Pair) else [net]


def planned_start(
    config: Config,
    training: FitConfig,
    dataset: DataSet,
    images: Images,
    weights: Weights | None,
    folds: int,
) -> nn.Module:
    """What a whole training starts from: with folds, the networks of all.

    Raises:
        ConfigError: the weights are not those that it was planned with.
    """
    seeds = fold_seeds(config.seed, folds) if folds else [config.seed]
    starts = [start(config, training, dataset, images, seed) for seed in seeds]
    if any(loaded != weights for _, loaded in starts):
        raise ConfigError(
            f"net.pretrained: {config.net.pretrained}: is not the file that the training was "
            "planned with; give every machine the same, and leave it alone meanwhile"
        )
    return FoldEnsemble([net for net, _ in starts]) if folds else starts[0][0]
