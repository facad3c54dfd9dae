from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from conftest import pixels_of
from torchvision.transforms import v2

from tdctl.config import DataConfig, RetrainConfig, TrainConfig
from tdctl.data import DataSet, open_dataset
from tdctl.data.augment import Augment, Normalise
from tdctl.data.dataset import Images, channel_statistics
from tdctl.data.distortions import cut_out, distorted, open_policy
from tdctl.errors import ConfigError


def of_size(side: int, n: int = 4, mirrors: bool = True) -> DataSet:
    digits = open_dataset(DataConfig(limit=n))
    pixels = torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8)
    train = Images.held(pixels, digits.train.index, digits.train.targets)
    mean, std = channel_statistics(pixels)
    return dataclasses.replace(digits, train=train, mean=mean, std=std, mirrors=mirrors)


def augmented(augment: Augment, pixels: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return augment(pixels, augment.draw(len(pixels), torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("more", [{}, {"augment_policy": "rand", "cutout": 5}])
def test_a_part_of_a_batch_is_augmented_as_in_the_whole(more: dict[str, Any]) -> None:
    for side in (16, 96):
        data = of_size(side, n=6)
        augment = Augment(TrainConfig(**more), data)
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


def test_a_milder_crop_keeps_more_of_the_area() -> None:
    data = of_size(96)
    ramp = torch.arange(96, dtype=torch.uint8).expand(400, 3, 96, 96).contiguous()
    widths = []
    for least in (0.08, 0.5, 1.0):
        out = augmented(Augment(TrainConfig(flip=False, crop_scale=least), data), ramp).float()
        widths.append(out[:, 0, 48, -1] - out[:, 0, 48, 0])
    assert widths[0].min() < 40 and widths[1].min() > 95 * (0.5 * 3 / 4) ** 0.5 - 3
    assert (widths[2] == 95).all()


def test_grey_images_become_colour_where_three_means_are_given() -> None:
    data = of_size(16)
    one = dataclasses.replace(data, train=data.train, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.1))
    grey = pixels_of(data.train)[:, :1]
    values = Normalise(one, torch.device("cpu"))(grey)
    assert values.shape[1] == 3
    assert torch.allclose(values[:, 2], (grey[:, 0].float() / 255 - 0.3) / 0.1, atol=1e-5)


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


@pytest.mark.parametrize("name", ["trivial", "rand"])
def test_a_policy_is_torchvisions_with_a_seed_for_each_image(name: str) -> None:
    pixels, seeds = pixels_of(of_size(16, n=8).train), torch.arange(8) * 7
    theirs = {"trivial": v2.TrivialAugmentWide, "rand": v2.RandAugment}[name]()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    ours = distorted(pixels, open_policy(name), seeds)
    assert (torch.get_rng_state() == before).all()
    for image, seed, found in zip(pixels, seeds.tolist(), ours, strict=True):
        torch.manual_seed(seed)
        assert (theirs(image) == found).all()
    assert ours.dtype == torch.uint8 and (ours != pixels).flatten(1).any(dim=1).sum() >= 4


def test_what_is_drawn_elsewhere_does_not_change_a_policy() -> None:
    data = of_size(16, n=8)
    augment = Augment(TrainConfig(augment_policy="trivial"), data)
    first = augmented(augment, pixels_of(data.train))
    torch.manual_seed(99)
    assert (augmented(augment, pixels_of(data.train)) == first).all()
    assert (augmented(augment, pixels_of(data.train), seed=1) != first).any()


def test_a_policy_takes_images_of_one_channel_and_refuses_those_of_two() -> None:
    digits = open_dataset(DataConfig(limit=6))
    out = augmented(Augment(TrainConfig(augment_policy="rand"), digits), pixels_of(digits.train))
    assert out.shape == (6, 1, 8, 8)
    pixels = torch.zeros(6, 2, 8, 8, dtype=torch.uint8)
    two = Images.held(pixels, digits.train.index, digits.train.targets)
    data = dataclasses.replace(digits, train=two, mean=(0.0, 0.0), std=(1.0, 1.0))
    Augment(TrainConfig(), data)
    with pytest.raises(ConfigError, match="these have 2"):
        Augment(TrainConfig(augment_policy="rand"), data)


@pytest.mark.parametrize(("side", "at"), [(4, 0.5), (3, 0.5), (4, 0.0), (4, 0.99)])
def test_a_square_is_blanked_in_the_mean_colour_and_cut_at_the_border(side: int, at: float) -> None:
    pixels = torch.full((1, 2, 8, 8), 255, dtype=torch.uint8)
    colour = torch.tensor([10, 20], dtype=torch.uint8).view(2, 1, 1)
    out = cut_out(pixels, torch.full((1, 2), at), side, colour)
    first = int(at * 8) - side // 2
    rows = range(max(0, first), min(8, first + side))
    expected = pixels.clone()
    expected[:, :, rows.start : rows.stop, rows.start : rows.stop] = colour
    assert (out == expected).all() and out.dtype == torch.uint8


def test_each_image_is_blanked_somewhere_else_and_nothing_beside_the_square_changes() -> None:
    data = of_size(16, n=64)
    pixels = pixels_of(data.train)
    config = TrainConfig(cutout=6, crop_padding=0, flip=False)
    out = augmented(Augment(config, data), pixels)
    changed = (out != pixels).any(dim=1)
    assert changed.sum(dim=(1, 2)).min() >= 9 and changed.sum(dim=(1, 2)).max() <= 36
    mean = (torch.tensor(data.mean) * 255).round().to(torch.uint8)
    assert (out.permute(0, 2, 3, 1)[changed] == mean).all()
    assert len({tuple(image.flatten().tolist()) for image in changed}) > 30


def test_blanking_the_whole_image_is_refused() -> None:
    with pytest.raises(ConfigError, match="cutout: a square of 8 pixels blanks images of 8"):
        Augment(TrainConfig(cutout=8), of_size(8))


def test_a_border_that_leaves_nothing_of_the_image_is_refused() -> None:
    with pytest.raises(ConfigError, match="crop_padding: a border of 8 pixels leaves crops"):
        Augment(TrainConfig(crop_padding=8), of_size(8))
    Augment(TrainConfig(crop_padding=7), of_size(8))


@pytest.mark.parametrize("setting", [{"cutout": 4}, {"augment_policy": "rand"}])
@pytest.mark.parametrize("kind", [TrainConfig, RetrainConfig])
def test_stronger_augmentation_is_refused_where_there_is_none(kind: Any, setting: Any) -> None:
    with pytest.raises(ValueError, match="goes with --augment"):
        kind(augment=False, **setting)
