"""What ``tdctl find`` chooses by the pictures, the number of images and the classes' names."""

from __future__ import annotations

from typing import Any

import pytest

from tdctl.finding.choices import (
    OF_PICTURES,
    Chosen,
    Seen,
    choose,
    epochs_for,
    epochs_up_to,
    epochs_within,
    folds_for,
    mirrors_by_names,
    size_for,
)

NAMES = ("cat", "dog")


def seen(**changed: Any) -> Seen:
    return Seen(**{"images": 2000, "class_names": NAMES, "short": 480, "long": 640,
                   "alike": False} | changed)  # fmt: skip


@pytest.mark.parametrize(
    "short, long, alike, size",
    [
        (480, 640, False, 64),
        (100, 100, True, 64),
        (64, 64, True, None),
        (32, 32, True, None),
        (8, 8, True, None),
        (32, 40, False, 32),
        (50, 60, False, 48),
        (12, 20, False, 32),
        (40, 200, True, 32),
    ],
)
def test_images_come_to_at_most_64_pixels_or_stay(
    short: int, long: int, alike: bool, size: int | None
) -> None:
    assert size_for(seen(short=short, long=long, alike=alike)) == size


@pytest.mark.parametrize(
    "images, classes, epochs",
    [(100, 2, 20), (600, 10, 20), (1200, 10, 30), (2062, 10, 40), (10_000, 10, 28),
     (50_000, 10, 16), (50_000, 100, 29), (1_281_167, 1000, 17), (10_000_000, 10, 10)],
)  # fmt: skip
def test_few_images_and_many_need_fewer_epochs_and_many_classes_more(
    images: int, classes: int, epochs: int
) -> None:
    assert epochs_for(images, classes) == epochs


@pytest.mark.parametrize(
    "images, folds", [(10, 0), (20, 10), (400, 10), (401, 5), (1000, 5), (1001, 0), (10**6, 0)]
)
def test_few_images_are_trained_on_in_folds(images: int, folds: int) -> None:
    choice = choose(seen(images=images))
    assert folds_for(images) == choice.settings.get("train.folds", 0) == folds
    assert any(reason.startswith(f"folds {folds}: ") for reason in choice.reasons) is (folds > 0)


def test_it_is_never_the_long_training_of_a_deep_network() -> None:
    for images in (1, 100, 2000, 10**6):
        for side in (16, 64, 224, 4000):
            settings = choose(seen(images=images, short=side, long=side)).settings
            assert settings["recipe"] == "detect" and settings["train.epochs"] <= 60
            assert settings.get("data.image_size", 64) <= 64


@pytest.mark.parametrize(
    "names, off",
    [
        ([str(n) for n in range(10)], True),
        (["a", "B", "ç"], True),
        (["digit_1", "digit_2"], True),
        (["01", "02", "10"], True),
        (["turn left", "turn right", "stop"], True),
        (["Left-Hand", "other"], True),
        (["cat", "dog"], False),
        (["cleft", "bright"], False),
        (["0", "cat", "dog"], False),
        (["2019", "2020"], False),
    ],
)
def test_digits_letters_and_sides_are_not_mirrored(names: list[str], off: bool) -> None:
    why = mirrors_by_names(names)
    assert (why is not None) is off
    assert ("train.flip" in choose(seen(class_names=tuple(names))).settings) is off


def test_what_the_user_sets_stays() -> None:
    choice = choose(seen(short=100, long=300))
    assert choice.free(set()) == choice
    assert set(choice.settings) - set(choice.free({"train.epochs"}).settings) == {"train.epochs"}
    left = choice.free({"data.image_size"}).settings
    assert not {"data.image_size", "data.fit"} & set(left), "with the size goes the fit"
    assert choice.only(OF_PICTURES).settings == {"data.image_size": 64, "data.fit": "pad"}
    other = choice.replaced(Chosen("train.epochs", 7, "epochs 7: few"))
    assert other.settings["train.epochs"] == 7 and other.reasons[-1] == "epochs 7: few"
    assert len(other.parts) == len(choice.parts)


def test_long_pictures_are_not_cut() -> None:
    assert choose(seen(short=100, long=300)).settings["data.fit"] == "pad"
    assert "data.fit" not in choose(seen(short=1080, long=1920)).settings


def test_each_choice_says_why() -> None:
    choice = choose(seen(class_names=("1", "2"), short=100, long=300))
    assert [reason.split(" ")[0] for reason in choice.reasons] == ["image", "fit", "epochs", "no"]


def test_epochs_fit_into_a_time() -> None:
    assert epochs_within(600, 30, 10, 60) == 57
    assert epochs_within(6000, 30, 10, 40) == 40
    assert epochs_within(10, 30, 10, 40) == 0


def test_a_time_gives_many_images_more_epochs() -> None:
    assert epochs_up_to(50_000, 16) == 40 and epochs_up_to(50_000, 50) == 50
    assert epochs_up_to(10_000, 28) == 28


@pytest.mark.parametrize(
    "images, side, whole",
    [(20_000, 32, True), (19_999, 32, False), (50_000, 64, False)],
)
def test_many_small_images_are_seen_at_their_whole_resolution(
    images: int, side: int, whole: bool
) -> None:
    choice = choose(seen(images=images, short=side, long=side, alike=True))
    assert choice.settings.get("net.stride") == (1 if whole else None)
    assert any(reason.startswith("the whole resolution") for reason in choice.reasons) == whole
