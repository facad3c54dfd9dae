from __future__ import annotations

import dataclasses

import pytest
import torch
from conftest import pixels_of
from torchvision.transforms import v2

from tdctl.config import DataConfig, TrainConfig
from tdctl.data import DataSet, open_dataset
from tdctl.data.augment import Augment, Normalise
from tdctl.data.dataset import Images, channel_statistics


def of_size(side: int, n: int = 4, mirrors: bool = True) -> DataSet:
    digits = open_dataset(DataConfig(limit=n))
    pixels = torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8)
    train = Images.held(pixels, digits.train.index, digits.train.targets)
    mean, std = channel_statistics(pixels)
    return dataclasses.replace(digits, train=train, mean=mean, std=std, mirrors=mirrors)


def augmented(augment: Augment, pixels: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return augment(pixels, augment.draw(len(pixels), torch.Generator().manual_seed(seed)))


def test_a_part_of_a_batch_is_augmented_as_in_the_whole() -> None:
    for side in (16, 96):
        data = of_size(side, n=6)
        augment = Augment(TrainConfig(), data)
        draw = augment.draw(6, torch.Generator().manual_seed(0))
        whole = augment(pixels_of(data.train), draw)
        assert (augment(pixels_of(data.train)[2:5], draw[2:5]) == whole[2:5]).all()


def test_every_crop_and_flip_of_torchvision_occurs_equally_often() -> None:
    """With one bright pixel the whole distribution can be counted: shift x flip."""
    data = of_size(8)
    image = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    image[0, 0, 3, 2] = 255
    ours = augmented(Augment(TrainConfig(crop_padding=1), data), image.repeat(9000, 1, 1, 1))
    torch.manual_seed(0)
    theirs = v2.Compose([v2.RandomCrop(8, padding=1), v2.RandomHorizontalFlip()])
    other = torch.stack([theirs(image[0]) for _ in range(9000)])
    share_ours = (ours == 255).float().mean(dim=(0, 1))
    share_theirs = (other == 255).float().mean(dim=(0, 1))
    assert ((share_ours > 0) == (share_theirs > 0)).all()
    places = share_ours > 0
    assert places.sum() == 18
    assert (share_ours[places] - 1 / 18).abs().max() < 0.012  # 5 sigma
    assert (share_theirs[places] - 1 / 18).abs().max() < 0.012


def test_samples_of_a_batch_are_drawn_apart() -> None:
    data = of_size(16)
    batch = pixels_of(data.train)[:1].repeat(64, 1, 1, 1)
    out = augmented(Augment(TrainConfig(), data), batch)
    assert len({tuple(image.flatten().tolist()) for image in out}) > 20


def test_the_stream_decides() -> None:
    data = of_size(16)
    augment = Augment(TrainConfig(), data)
    pixels = pixels_of(data.train)
    assert (augmented(augment, pixels, 1) == augmented(augment, pixels, 1)).all()
    assert (augmented(augment, pixels, 1) != augmented(augment, pixels, 2)).any()


def test_data_that_must_not_be_mirrored_is_not() -> None:
    data = of_size(8, mirrors=False)
    pixels = pixels_of(data.train).repeat(50, 1, 1, 1)
    config = TrainConfig(crop_padding=0)
    assert (augmented(Augment(config, data), pixels) == pixels).all()
    flipped = augmented(Augment(TrainConfig(crop_padding=0, flip=True), data), pixels)
    assert (flipped != pixels).any()
    same_or_mirrored = (flipped == pixels).flatten(1).all(1) | (flipped == pixels.flip(3)).flatten(
        1
    ).all(1)
    assert same_or_mirrored.all()


def test_no_augmentation_is_the_identity() -> None:
    data = of_size(8)
    out = augmented(Augment(TrainConfig(augment=False), data), pixels_of(data.train))
    assert (out == pixels_of(data.train)).all()


def test_photographs_are_cropped_by_area() -> None:
    data = of_size(96)
    ramp = torch.arange(96, dtype=torch.uint8).expand(400, 3, 96, 96).contiguous()
    out = augmented(Augment(TrainConfig(flip=False), data), ramp).float()
    assert out.shape == ramp.shape
    width = out[:, 0, 48, -1] - out[:, 0, 48, 0]
    assert (width >= 0).all() and width.max() <= 95
    torch.manual_seed(0)
    boxes = [
        v2.RandomResizedCrop.make_params(v2.RandomResizedCrop(96), [ramp[0]]) for _ in range(400)
    ]
    expected = torch.tensor([float(box["width"]) for box in boxes])
    assert abs(width.mean() - expected.mean()) < 5
    assert abs(width.std() - expected.std()) < 4


def test_normalised_pixels_have_mean_0_and_deviation_1() -> None:
    data = of_size(16)
    values = Normalise(data, torch.device("cpu"))(pixels_of(data.train))
    assert values.dtype == torch.float32
    assert values.mean(dim=(0, 2, 3)).abs().max() < 1e-4
    assert (values.std(dim=(0, 2, 3), correction=0) - 1).abs().max() < 1e-4


@pytest.mark.parametrize("value", [0, 128])
def test_a_constant_channel_does_not_divide_by_zero(value: int) -> None:
    mean, std = channel_statistics(torch.full((2, 1, 4, 4), value, dtype=torch.uint8))
    assert mean == (pytest.approx(value / 255),) and std == (1.0,)
