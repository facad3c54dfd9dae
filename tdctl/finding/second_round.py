"""The second of two rounds of ``find``: a network that is not trained on the worst labels."""

from __future__ import annotations

from pathlib import Path

from tdctl.config import Config
from tdctl.errors import ConfigError

__all__ = ["check_rounds", "second_round"]

# The share that is left out where none can be estimated, and its bounds.
SHARE, LEAST, MOST = 0.1, 0.01, 0.5


def second_round(config: Config, ranking: Path, share: float | None, samples: int) -> Config:
    """The settings of the second round.

    One network, without folds, starts from other weights and is not trained on the labels that the
    first round ranks worst. It sees the images at their whole resolution, unless the stride is
    set. Data, noise and splits stay.

    Args:
        config: the settings of the first round.
        ranking: its ranking.
        share: of the samples that look wrong, in [0, 1]; None if it cannot be estimated.
        samples: how many there are; at least one is left out.

    Source: samples are removed round by round in Chen et al., "Understanding and Utilizing Deep
        Neural Networks Trained with Noisy Labels", ICML 2019, there with cross-validation. Here
        the rankings of both rounds count. Measured in replication/full_size.md.
    """
    tree = config.model_dump()
    left_out = SHARE if share is None else min(max(share, LEAST), MOST)
    left_out = max(left_out, 1 / samples)
    tree["train"] |= {
        "leave_out": ranking.absolute(), "leave_out_ratio": left_out, "folds": 0,
    }  # fmt: skip
    if config.net.net_type == "wide" and config.net.stride is None:
        tree["net"] |= {"stride": 1}
    tree["data"] |= {"split_seed": config.split_seed}
    tree["noise"] |= {"noise_seed": config.noise_seed}
    return Config.model_validate(tree | {"seed": config.seed + 1})


def check_rounds(config: Config) -> None:
    """Refuses settings that do not go with two rounds.

    Raises:
        ConfigError: the message says which and why.
    """
    if config.reads_vectors:
        raise ConfigError(
            "rounds: heads on features are trained twice already, and doubted labels count less "
            "the second time; leave out --rounds"
        )
    for name, asked in (
        ("leave_out", config.train.leave_out is not None),
        ("threshold_samples", config.train.threshold_samples),
    ):
        if asked:
            raise ConfigError(
                f"rounds: the second round leaves out the worst labels by itself; leave out "
                f"--{name.replace('_', '-')} or --rounds"
            )
