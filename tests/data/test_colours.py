from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_image_folder, pixels_of, tiny_config
from torchvision.transforms import v2

from tdctl import runner
from tdctl.config import DataConfig
from tdctl.data import open_dataset
from tdctl.data.augment import Normalise
from tdctl.errors import ConfigError

OF_IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def photographs(root: Path, **more: Any) -> Any:
    return tiny_config(
        data__dataset="folder",
        data__data_dir=make_image_folder(root),
        train__epochs=1,
        retrain__epochs=1,
        **more,
    )


def channels_of(run: Path) -> Any:
    return json.loads((run / "manifest.json").read_text())["channels"]


def test_imagenets_are_what_torchvision_normalises_by(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path)
    data = open_dataset(DataConfig(dataset="folder", data_dir=root, normalise="imagenet"))
    pixels = pixels_of(data.train)
    assert pixels is not None
    ours = Normalise(data, torch.device("cpu"))(pixels)
    theirs = v2.functional.normalize(pixels.float() / 255, **OF_IMAGENET)
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_the_datas_own_make_mean_0_and_deviation_1(tmp_path: Path) -> None:
    data = open_dataset(DataConfig(dataset="folder", data_dir=make_image_folder(tmp_path)))
    pixels = pixels_of(data.train)
    assert pixels is not None
    ours = Normalise(data, torch.device("cpu"))(pixels)
    assert ours.mean(dim=(0, 2, 3)).abs().max() < 1e-4
    assert (ours.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-2


def test_grey_images_have_no_imagenet_statistics() -> None:
    with pytest.raises(ConfigError, match=r"3 channels, the images of digits have 1; give --set"):
        open_dataset(DataConfig(normalise="imagenet"))


def test_a_run_says_what_it_was_normalised_by_and_a_retraining_chooses_anew(
    tmp_path: Path, detector_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = photographs(tmp_path / "photos", data__normalise="imagenet", noise__noise_ratio=0.3)
    run = runner.generate_td(config, tmp_path / "run").folder
    assert channels_of(run) == OF_IMAGENET
    seen: list[tuple[float, ...]] = []
    module = import_module("tdctl.runner.denoise")
    train = module.train_classifier

    def watched(*arguments: Any, **more: Any) -> Any:
        seen.append(arguments[3].mean)
        return train(*arguments, **more)

    monkeypatch.setattr(module, "train_classifier", watched)
    own = photographs(tmp_path / "photos", noise__noise_ratio=0.3)
    for name, settings in (("same", config), ("own", own)):
        runner.denoise(settings, run, detector_file, [0.2], out=tmp_path / name)
    assert list(seen[0]) == OF_IMAGENET["mean"]
    assert seen[1] == open_dataset(own.data).mean, "not those of the run"
