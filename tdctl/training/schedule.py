"""The learning rate of each step."""

from __future__ import annotations

import math

from tdctl.config import FitConfig

__all__ = ["drop_epoch", "rate"]


def rate(config: FitConfig, epoch: int, step: int, steps: int) -> float:
    """The learning rate of a step: of ``config.lr``, what the schedule leaves.

    It depends on the step's place in the run alone, so that a resumed run goes on with it.

    Args:
        epoch: from 0, of ``config.epochs``.
        step: from 0, within the epoch.
        steps: of an epoch.

    ``one-cycle`` and ``cosine`` change it with every step and end near 0; ``one-cycle`` peaks
    after the share ``config.warmup`` of the run. ``step`` and ``constant`` hold it within an
    epoch.

    Source: one-cycle: Smith and Topin (arXiv:1708.07120), in straight lines from 0 and back to 0
        as D. Page's cifar10-fast has it. cosine: Loshchilov and Hutter (ICLR 2017), without
        restarts. constant: the recipe of AUM (Pleiss et al., NeurIPS 2020), whose dynamics are
        recorded before the rate drops.
    """
    if config.schedule == "step":
        drops = sum(epoch >= drop_epoch(share, config.epochs) for share in config.lr_drops)
        return config.lr * 0.1**drops
    if config.schedule == "constant":
        return config.lr
    # The middle of the step: neither the first nor the last has a rate of 0.
    at = (epoch * steps + step + 0.5) / (config.epochs * steps)
    if config.schedule == "cosine":
        return config.lr * 0.5 * (1 + math.cos(math.pi * at))
    return config.lr * min(at / config.warmup, (1 - at) / (1 - config.warmup))


def drop_epoch(share: float, epochs: int) -> int:
    """The first epoch at the lower rate: never the very first; 0.29 of 200 is 58, not 57."""
    return max(1, int(share * epochs + 1e-9))
