"""Runs of pretrained networks: their size and colours, their resumption, their retraining."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_image_folder, tdctl
from processes import in_world

from tdctl import runner
from tdctl.config import NetConfig
from tdctl.dynamics import read_run
from tdctl.errors import ConfigError
from tdctl.nets import build_net
from tdctl.scores import find_score
from tdctl.settings import load_config, resolve
from tdctl.training import Progress, World

TINY = "timm:test_resnet.r160_in1k"  # its weights are of images of 160 pixels


def weights(path: Path, net_type: str) -> Path:
    net = build_net(NetConfig(net_type=net_type), 9, (3, 32, 32), seed=7)
    torch.save(net.state_dict(), path)
    return path


def settings(tmp_path: Path, net_type: str, **more: Any) -> dict[str, Any]:
    data = tmp_path / "images"
    if not data.exists():
        make_image_folder(data, per_class=8)
    file = tmp_path / f"{net_type[:4]}.pth"
    return {
        "data.dataset": "folder",
        "data.data_dir": str(data),
        "data.test_share": 0.0,
        "net.net_type": net_type,
        "net.pretrained": str(file if file.exists() else weights(file, net_type)),
        "train.epochs": 3,
        "train.batch_size": 8,
        "retrain.epochs": 1,
        "device": "cpu",
        **{key.replace("__", "."): value for key, value in more.items()},
    }


def test_pretrained_weights_bring_their_recipe_size_and_colours(tmp_path: Path) -> None:
    values = settings(tmp_path, TINY, train__epochs=1, data__limit=16)
    resolved = resolve(None, values)
    assert resolved.config.recipe == "finetune" and resolved.config.data.normalise == "network"
    assert resolved.origins["data.normalise"] == "pretrained weights"
    result = runner.generate_td(resolved.config, tmp_path / "run")
    facts = result.manifest
    assert facts["dataset"]["image"] == [3, 160, 160] and facts["recipe"] == "finetune"
    assert facts["channels"] == {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    assert facts["pretrained"]["file"] == "timm.pth"
    assert "image_size: 160" in (tmp_path / "run" / "config.yaml").read_text()
    # A retraining of the run reads its images and colours in the same way.
    runner.denoise(resolved.config, tmp_path / "run", find_score("aum"), [0.2], out=tmp_path / "d")
    (folder,) = (tmp_path / "d").glob("*/percremove0.2")
    assert json.loads((folder / "manifest.json").read_text())["pretrained"] == facts["pretrained"]


@pytest.mark.parametrize(
    ("more", "size", "normalise", "recipe"),
    [
        ({"data.image_size": 48}, 48, "network", "finetune"),
        ({"data.normalise": "data"}, None, "data", "finetune"),
        ({"recipe": "detect"}, None, "network", "detect"),
        ({"net.pretrained": "none"}, None, "data", "detect"),
        ({"net.net_type": "wide"}, None, "data", "finetune"),
    ],
)
def test_the_users_own_word_goes_first(
    more: dict[str, Any], size: int | None, normalise: str, recipe: str
) -> None:
    given = {"net.net_type": "squeezenet1_1", "net.pretrained": "w.pth"} | more
    config = load_config(None, given)
    assert (config.data.image_size, config.data.normalise) == (size, normalise)
    assert config.recipe == recipe


def test_another_size_than_that_of_the_weights_is_said(tmp_path: Path) -> None:
    config = load_config(None, settings(tmp_path, TINY, data__image_size=32))
    lines = runner.plan_generate(config, tmp_path / "run")
    said = "images of 32 x 32 pixels; the published weights of timm:test_resnet.r160_in1k expect"
    assert any(said in line and "160" in line for line in lines)


def test_the_name_is_checked_before_any_image_is_read(tmp_path: Path) -> None:
    config = load_config(None, {"net.net_type": "resnet50x", "data.data_dir": str(tmp_path),
                                "data.dataset": "folder"})  # fmt: skip
    with pytest.raises(ConfigError, match="the nearest are resnet50"):
        runner.generate_td(config, tmp_path / "run")


class Stopped(KeyboardInterrupt):
    pass


def stopping(progress: Progress) -> None:
    if progress.epoch == 2:
        raise Stopped


@pytest.mark.parametrize(
    ("net_type", "more"),
    [
        ("mobilenet_v3_small", {}),
        ("squeezenet1_1", {"train__checkpoint_blocks": True}),
        ("squeezenet1_1", {"train__folds": 2}),
    ],
)
def test_a_network_with_dropout_goes_on_to_the_same_bits(
    tmp_path: Path, net_type: str, more: dict[str, Any]
) -> None:
    config = load_config(None, settings(tmp_path, net_type, data__image_size=32, **more))
    runner.generate_td(config, tmp_path / "whole")
    with pytest.raises(Stopped):
        runner.generate_td(config, tmp_path / "run", report=stopping)
    torch.rand(5)  # what the process draws elsewhere does not matter
    runner.generate_td(config, tmp_path / "run", resume=True)
    for name in ("training_dynamics.npz", "train_log.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_two_processes_go_on_to_the_same_bits(tmp_path: Path) -> None:
    config = load_config(None, settings(tmp_path, "squeezenet1_1", data__image_size=32))

    def run(folder: Path, report: Any = None, resume: bool = False) -> Any:
        def act() -> Any:
            with World.joined("cpu") as world:
                told = report if world.is_first else None
                runner.generate_td(config, folder, world=world, report=told, resume=resume)

        return act

    in_world(2, run(tmp_path / "whole"))
    in_world(2, run(tmp_path / "run", stopping))
    assert (tmp_path / "run" / "checkpoint.pth").exists()
    in_world(2, run(tmp_path / "run", resume=True))
    whole, again = (read_run(tmp_path / name)[0] for name in ("whole", "run"))
    assert np.array_equal(whole.margin, again.margin)


def test_grey_pictures_are_taken(tmp_path: Path) -> None:
    values = settings(tmp_path, TINY) | {"data.dataset": "digits", "data.limit": 20}
    values |= {"data.data_dir": None, "data.image_size": 32, "train.epochs": 1}
    del values["data.test_share"]
    result = runner.generate_td(load_config(None, values), tmp_path / "run")
    assert result.manifest["dataset"]["image"] == [1, 32, 32]
    assert result.manifest["channels"]["mean"] == (0.5,) * 3


def test_a_robust_training_of_a_network_with_dropout_goes_on(tmp_path: Path) -> None:
    values = settings(tmp_path, "squeezenet1_1", data__image_size=32)
    more = {"robust.algorithm": "ssr", "robust.epochs": 3, "robust.batch_size": 8}
    config = load_config(None, values | more)
    runner.train(config, tmp_path / "whole")
    with pytest.raises(Stopped):
        runner.train(config, tmp_path / "run", report=stopping)
    torch.rand(5)
    runner.train(config, tmp_path / "run", resume=True)
    log = "train_log.csv"
    assert (tmp_path / "run" / log).read_bytes() == (tmp_path / "whole" / log).read_bytes()


def test_the_command_says_an_unknown_name_in_one_line(tmp_path: Path) -> None:
    result = tdctl("generate-td", "--net-type", "timm:resnet10x", "--out", tmp_path / "r")
    assert result.exit_code == 1 and "the nearest are timm:resnet10t" in result.stderr
    result = tdctl("generate-td", "--net-type", "res net", "--out", tmp_path / "r")
    assert result.exit_code in (1, 2) and "no name of a network" in result.stderr
