"""Augmentation of whole batches of uint8 images, with separate random numbers for each sample.

Shapes: B batch, C channels, H and W the image, P padding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from tdctl.config import FitConfig
from tdctl.data.dataset import DataSet
from tdctl.data.distortions import cut_out, distorted, open_policy
from tdctl.errors import ConfigError

__all__ = ["Augment", "Draw", "Normalise"]

# Images of at least this side are cropped by area, as in torchvision's ImageNet recipe.
RESIZED_CROP_FROM = 96


class Normalise:
    """Turns uint8 [B, C, H, W] into float32 with mean 0 and standard deviation 1 per channel.

    Vectors [B, d] get mean 0 and standard deviation 1 at each of their d places.
    With three means, an image of one channel becomes one of three.
    """

    def __init__(self, dataset: DataSet, device: torch.device) -> None:
        vectors = dataset.train.are_vectors
        shape, full = ((1, -1), 1) if vectors else ((1, -1, 1, 1), 255)
        mean = torch.tensor(dataset.mean, device=device).view(shape) * full
        std = torch.tensor(dataset.std, device=device).view(shape) * full
        self._scale, self._shift = 1 / std, -mean / std

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """The normalised images, float32 [B, C, H, W], channels last in memory."""
        if pixels.ndim == 2:
            return torch.addcmul(self._shift, pixels.float(), self._scale)
        values = pixels.to(torch.float32, memory_format=torch.channels_last)
        return torch.addcmul(self._shift, values, self._scale)


@dataclass(frozen=True)
class Draw:
    """The random numbers for a batch: one row for each sample.

    Attributes:
        flips: bool [B], True for images to mirror; None if no image is mirrored.
        shift: int64 [B, 2] in [0, 2P], the offset of the crop down and right; or None.
        boxes: float32 [B, 4, 10], uniform in [0, 1): the area, aspect, left and top of ten
            candidate boxes; or None.
        seeds: int64 [B], seeds for the augmentation policy; or None.
        holes: float32 [B, 2] in [0, 1), the centres of the blanked squares; or None.
    """

    flips: torch.Tensor | None
    shift: torch.Tensor | None
    boxes: torch.Tensor | None
    seeds: torch.Tensor | None = None
    holes: torch.Tensor | None = None

    def __getitem__(self, part: slice | torch.Tensor) -> Draw:
        drawn = (self.flips, self.shift, self.boxes, self.seeds, self.holes)
        return Draw(*(None if rows is None else rows[part] for rows in drawn))


class Augment:
    """Random crops, flips and the other augmentations of the settings; uint8 in, uint8 out.

    Images below 96 pixels are padded with ``crop_padding`` black pixels and cropped back to their
    size. Larger images are cropped by area (``crop_scale`` to 1) and aspect (3/4 to 4/3) and
    resized. After the crop, the policy distorts the image. Last, a square is blanked.

    Args:
        config: the settings of the training.
        dataset: the data set, for the image size, the channels and whether images may be mirrored.

    Attributes:
        mirrors: True if half of the images are mirrored.

    Raises:
        ConfigError: the square is as large as the images, or the policy does not support the
            number of channels.

    Source: ``RandomCrop(padding)``, ``RandomResizedCrop`` and ``RandomHorizontalFlip`` of
        torchvision. The distribution is equal, with one exception: the crop by area tries 10
        boxes and takes the first that fits, or else the whole image.
    """

    def __init__(self, config: FitConfig, dataset: DataSet) -> None:
        if dataset.train.are_vectors:
            self._refuse(config)
            self._resized, self._padding, self.mirrors, self._hole = False, 0, False, 0
            self._policy = None
            return
        side = min(dataset.train.shape[1:])
        self._resized = config.augment and side >= RESIZED_CROP_FROM
        self._least = config.crop_scale
        padding = side // 8 if config.crop_padding is None else config.crop_padding
        self._padding = padding if config.augment and not self._resized else 0
        if self._padding >= side:
            raise ConfigError(
                f"crop_padding: a border of {padding} pixels leaves crops of images of {side} that "
                "show nothing of them; give a smaller --crop-padding"
            )
        mirrors = dataset.mirrors if config.flip is None else config.flip
        self.mirrors = config.augment and mirrors
        channels = dataset.train.shape[0]
        if config.augment_policy != "none" and channels not in (1, 3):
            raise ConfigError(
                f"augment_policy: '{config.augment_policy}' takes images of 1 or 3 channels, and "
                f"these have {channels}; give --set train.augment_policy=none"
            )
        if config.cutout >= side:
            raise ConfigError(
                f"cutout: a square of {config.cutout} pixels blanks images of {side}; give a "
                "smaller cutout, such as --set train.cutout=4"
            )
        named = config.augment_policy
        self._policy = None if named == "none" else open_policy(named)
        self._hole = config.cutout
        # The mean colour: after normalisation it is 0.
        colour = torch.tensor(dataset.mean) * 255
        if len(colour) != channels:
            colour = colour.mean(dim=0, keepdim=True)
        self._colour = colour.round().to(torch.uint8).view(-1, 1, 1)

    @staticmethod
    def _refuse(config: FitConfig) -> None:
        if config.augment or config.flip:
            raise ConfigError(
                "augment: the data are vectors, which are not augmented; give --no-augment, or "
                "--recipe features"
            )

    def draw(self, count: int, generator: torch.Generator) -> Draw:
        """The random numbers for ``count`` samples, on the generator's device."""
        device, flips, shift, boxes = generator.device, None, None, None
        seeds, holes = None, None
        if self.mirrors:
            flips = torch.rand(count, generator=generator, device=device) < 0.5
        if self._resized:
            boxes = torch.rand(count, 4, 10, generator=generator, device=device)
        elif self._padding:
            reach = 2 * self._padding + 1
            shift = torch.randint(reach, (count, 2), generator=generator, device=device)
        if self._policy is not None:
            seeds = torch.randint(2**31, (count,), generator=generator, device=device)
        if self._hole:
            holes = torch.rand(count, 2, generator=generator, device=device)
        return Draw(flips, shift, boxes, seeds, holes)

    def __call__(self, pixels: torch.Tensor, draw: Draw) -> torch.Tensor:
        """The augmented images, uint8 [B, C, H, W].

        Args:
            pixels: uint8 [B, C, H, W].
            draw: the random numbers, one row for each image.
        """
        if pixels.ndim == 2:
            return pixels
        if draw.boxes is not None:
            pixels = _area_crop(pixels, draw.flips, draw.boxes, self._least)
        else:
            pixels = self._shifted_crop(pixels, draw.flips, draw.shift)
        if self._policy is not None and draw.seeds is not None:
            pixels = distorted(pixels, self._policy, draw.seeds)
        if draw.holes is not None:
            pixels = cut_out(pixels, draw.holes, self._hole, self._colour.to(pixels.device))
        return pixels

    def _shifted_crop(
        self, pixels: torch.Tensor, flips: torch.Tensor | None, shift: torch.Tensor | None
    ) -> torch.Tensor:
        if shift is None and flips is None:
            return pixels
        (b, _, h, w), device = pixels.shape, pixels.device
        rows_BH = torch.arange(h, device=device).expand(b, h)
        cols_BW = torch.arange(w, device=device).expand(b, w)
        if flips is not None:
            cols_BW = torch.where(flips[:, None], w - 1 - cols_BW, cols_BW)
        if shift is not None:
            pixels = functional.pad(pixels, (self._padding,) * 4)
            rows_BH, cols_BW = rows_BH + shift[:, :1], cols_BW + shift[:, 1:]
        batch = torch.arange(b, device=device)[:, None, None]
        # Indices on both sides of the channels put these last: one gather crops and flips, and
        # gives the memory layout for the network.
        cropped_BHWC = pixels[batch, :, rows_BH[:, :, None], cols_BW[:, None, :]]
        return cropped_BHWC.permute(0, 3, 1, 2)


def _area_crop(
    pixels: torch.Tensor, flips: torch.Tensor | None, boxes: torch.Tensor, least: float
) -> torch.Tensor:
    (b, _, h, w), device, u = pixels.shape, pixels.device, boxes.unbind(dim=1)
    area = (least + (1 - least) * u[0]) * (h * w)
    aspect = torch.exp((2 * u[1] - 1) * math.log(4 / 3))
    box_w, box_h = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (box_w <= w) & (box_h <= h) & (box_w > 0) & (box_h > 0)
    first = fits.to(torch.int8).argmax(dim=1, keepdim=True)
    any_fits = fits.any(dim=1)

    def pick(values: torch.Tensor, otherwise: float) -> torch.Tensor:
        return torch.where(any_fits, values.gather(1, first)[:, 0], otherwise)

    box_w, box_h = pick(box_w, float(w)), pick(box_h, float(h))
    left = torch.floor(pick(u[2], 0.0) * (w - box_w + 1))
    top = torch.floor(pick(u[3], 0.0) * (h - box_h + 1))
    theta = torch.zeros(b, 2, 3, device=device)
    theta[:, 0, 0], theta[:, 1, 1] = box_w / w, box_h / h
    theta[:, 0, 2] = (2 * left + box_w) / w - 1
    theta[:, 1, 2] = (2 * top + box_h) / h - 1
    if flips is not None:
        theta[:, 0, 0] = torch.where(flips, -theta[:, 0, 0], theta[:, 0, 0])
    grid = functional.affine_grid(theta, list(pixels.shape), align_corners=False)
    warped = functional.grid_sample(
        pixels.float(), grid, padding_mode="border", align_corners=False
    )
    return warped.round().clamp(0, 255).to(torch.uint8)
