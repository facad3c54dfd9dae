"""Augmentation beyond crops and flips: blanked squares and torchvision's random policies.

Shapes: B batch, C channels, H and W the image.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from tdctl.streams import POLICY

__all__ = ["cut_out", "distorted", "open_policy"]

Policy = Callable[[torch.Tensor], torch.Tensor]


def open_policy(name: str) -> Policy:
    """The augmentation policy with this name. It maps uint8 [C, H, W] to uint8 [C, H, W].

    ``trivial`` is torchvision's ``v2.TrivialAugmentWide``: one of 14 operations at a random
    strength. ``rand`` is ``v2.RandAugment``: two operations at strength 9 of 30. Both have
    torchvision's defaults. Empty areas become black. Images have 1 or 3 channels.

    Source: Müller and Hutter, "TrivialAugment", ICCV 2021 (arXiv 2103.10158); Cubuk et al.,
        "RandAugment", NeurIPS 2020 (arXiv 1909.13719).
    """
    from torchvision.transforms import v2

    policy: Policy = v2.TrivialAugmentWide() if name == "trivial" else v2.RandAugment()
    return policy


def distorted(pixels: torch.Tensor, policy: Policy, seeds: torch.Tensor) -> torch.Tensor:
    """The images after the policy, uint8 [B, C, H, W]. Each image has its own seed.

    torchvision's policies draw from the process's generator, one image at a time. The generator
    is seeded for each image and restored at the end, so other draws do not change the result. On
    one CPU core an image of 32 pixels takes 0.16 ms (trivial) or 0.28 ms (rand), and one of 224
    pixels 1.5 ms. On a GPU, each operation is a separate launch.

    Args:
        pixels: uint8 [B, C, H, W].
        policy: the policy, from ``open_policy``.
        seeds: int64 [B], the seed of each image.
    """
    with torch.random.fork_rng(devices=[]):
        images = []
        for image, seed in zip(pixels, seeds.tolist(), strict=True):
            # Seed only the CPU's generator: torch.manual_seed would seed the GPUs' as well.
            torch.default_generator.manual_seed(POLICY.number(seed))
            images.append(policy(image))
    return torch.stack(images)


def cut_out(
    pixels: torch.Tensor, centres: torch.Tensor, side: int, colour: torch.Tensor
) -> torch.Tensor:
    """The images with a square of each blanked, uint8 [B, C, H, W].

    A square may reach over the border of the image. Then only its part inside is blanked.

    Args:
        pixels: uint8 [B, C, H, W].
        centres: float32 [B, 2] in [0, 1), the centres of the squares, down and right.
        side: the side of the squares in pixels.
        colour: uint8 [C, 1, 1], the colour of the squares.

    Source: DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with
        Cutout" (arXiv 1708.04552): the centre is any pixel, and the colour is the mean.
    """
    inside = []
    for axis, length in enumerate(pixels.shape[2:]):
        first = (centres[:, axis] * length).long() - side // 2
        at = torch.arange(length, device=pixels.device) - first[:, None]
        inside.append((at >= 0) & (at < side))
    hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return torch.where(hole, colour, pixels)
