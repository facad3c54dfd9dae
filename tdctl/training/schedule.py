"""The learning rate of each step."""

from __future__ import annotations

import math

from tdctl.config import FitConfig

__all__ = ["drop_epoch", "rate"]


def rate(config: FitConfig, epoch: int, step: int, steps: int) -> float:
    """The learning rate of a step, at most ``config.lr``.

    It depends only on the step's place in the run, so a resumed run has the same rates.

    ``one-cycle``, ``cosine`` and ``warm-cosine`` change the rate at every step and end near 0;
    ``one-cycle`` and ``warm-cosine`` have their peak after the share ``config.warmup`` of the run.
    ``step`` and ``constant`` keep the rate
    the same within an epoch.

    Args:
        config: the settings of the training.
        epoch: from 0, less than ``config.epochs``.
        step: from 0, within the epoch.
        steps: number of steps of an epoch.

    Source: one-cycle: Smith and Topin (arXiv:1708.07120), in straight lines from 0 and back to 0
        as in D. Page's cifar10-fast. cosine: Loshchilov and Hutter (ICLR 2017), without restarts.
        warm-cosine: the usual one for fine-tuning, as in Goyal et al. (arXiv:1706.02677) at first.
        constant: the recipe of AUM (Pleiss et al., NeurIPS 2020), whose dynamics are recorded
        before the rate drops.
    """
    if config.schedule == "step":
        drops = sum(epoch >= drop_epoch(share, config.epochs) for share in config.lr_drops)
        return config.lr * 0.1**drops
    if config.schedule == "constant":
        return config.lr
    # The middle of the step is used, so that neither the first nor the last rate is 0.
    at = (epoch * steps + step + 0.5) / (config.epochs * steps)
    if config.schedule == "cosine":
        return config.lr * 0.5 * (1 + math.cos(math.pi * at))
    if config.schedule == "warm-cosine":
        left = (1 - at) / (1 - config.warmup)  # of the fall; above 1 while the rate rises
        return config.lr * min(at / config.warmup, 0.5 * (1 - math.cos(math.pi * min(left, 1.0))))
    return config.lr * min(at / config.warmup, (1 - at) / (1 - config.warmup))


def drop_epoch(share: float, epochs: int) -> int:
    """The first epoch with the lower rate, at least 1. Rounding is safe: 0.29 of 200 is 58."""
    return max(1, int(share * epochs + 1e-9))
