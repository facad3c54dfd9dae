"""Stronger augmentation than crops and flips: blanked squares and torchvision's random policies.

Shapes: B batch, C channels, H and W the image.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from tdctl.streams import POLICY

__all__ = ["cut_out", "distorted", "open_policy"]

Policy = Callable[[torch.Tensor], torch.Tensor]


def open_policy(name: str) -> Policy:
    """The policy of a setting, which takes uint8 [C, H, W] of 1 or 3 channels and gives alike.

    ``trivial`` is torchvision's ``v2.TrivialAugmentWide``: one of 14 operations at any strength.
    ``rand`` is its ``v2.RandAugment``: two of them at 9 of 30. Both with torchvision's defaults;
    what they leave empty is black.

    Source: Müller and Hutter, "TrivialAugment", ICCV 2021 (arXiv 2103.10158); Cubuk et al.,
        "RandAugment", NeurIPS 2020 (arXiv 1909.13719).
    """
    from torchvision.transforms import v2

    policy: Policy = v2.TrivialAugmentWide() if name == "trivial" else v2.RandAugment()
    return policy


def distorted(pixels: torch.Tensor, policy: Policy, seeds: torch.Tensor) -> torch.Tensor:
    """Uint8 [B, C, H, W] like ``pixels``, each image by the policy with a seed of its own.

    Torchvision's policies draw from the process's generator, for one image at a time. It is
    seeded for each image and restored at the end, so that an image comes out alike whatever is
    drawn elsewhere. On one CPU core that takes 0.16 (trivial) or 0.28 ms (rand) for an image of
    32 pixels, and 1.5 ms for one of 224; on a GPU each operation is a launch of its own.

    Args:
        pixels: uint8 [B, C, H, W].
        seeds: int64 [B].
    """
    with torch.random.fork_rng(devices=[]):
        images = []
        for image, seed in zip(pixels, seeds.tolist(), strict=True):
            # Only the CPU's: torch.manual_seed would change those of the GPUs as well.
            torch.default_generator.manual_seed(POLICY.number(seed))
            images.append(policy(image))
    return torch.stack(images)


def cut_out(
    pixels: torch.Tensor, centres: torch.Tensor, side: int, colour: torch.Tensor
) -> torch.Tensor:
    """Uint8 [B, C, H, W] with a square of each image blanked, less where it crosses the border.

    Args:
        pixels: uint8 [B, C, H, W].
        centres: float32 [B, 2] in [0, 1), the squares' middles, down and right.
        side: of the squares, in pixels.
        colour: uint8 [C, 1, 1], of what is blanked.

    Source: DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with
        Cutout" (arXiv 1708.04552): the middle is any pixel, and the colour the mean.
    """
    inside = []
    for axis, length in enumerate(pixels.shape[2:]):
        first = (centres[:, axis] * length).long() - side // 2
        at = torch.arange(length, device=pixels.device) - first[:, None]
        inside.append((at >= 0) & (at < side))
    hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return torch.where(hole, colour, pixels)
