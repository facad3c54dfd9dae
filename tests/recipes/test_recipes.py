from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import tiny_config
from typer.testing import CliRunner

from tdctl import runner
from tdctl.cli.commands import app
from tdctl.config import Config
from tdctl.dynamics import read_run
from tdctl.errors import ConfigError, RunError
from tdctl.recipes import find_recipe, recipe_names
from tdctl.settings import load_config
from tdctl.training.schedule import rate

NAMES = recipe_names()


# Features need a pretrained network: tests/features has them.
ALONE = [name for name in NAMES if name != "features"]


@pytest.mark.parametrize("name", ALONE)
def test_a_recipe_is_valid_and_named_in_the_settings(name: str) -> None:
    config = load_config(None, {"recipe": name})
    assert config.recipe == name
    for section, settings in find_recipe(name).settings.items():
        for key, value in settings.items():
            assert config.model_dump(mode="json")[section][key] == value


@pytest.mark.parametrize("name", ALONE)
def test_a_recipe_trains_and_records(name: str, tmp_path: Path) -> None:
    config = load_config(
        None, {"recipe": name, "data.limit": 60, "train.epochs": 1, "train.amp": False}
    )
    manifest = runner.generate_td(config, tmp_path / "run").manifest
    dynamics, labels, _ = read_run(tmp_path / "run")
    assert (
        manifest["recipe"] == name and len(dynamics) == len(labels) == manifest["dataset"]["train"]
    )
    assert (tmp_path / "run" / "threshold.npz").exists() == (name == "threshold")


def test_a_recipe_that_changes_another_differs_in_the_recording_alone() -> None:
    of_detect = [find_recipe(name) for name in NAMES if find_recipe(name).changes == "detect"]
    assert len(of_detect) > 5
    for recipe in of_detect:
        assert set(recipe.settings) == {"train"}
        assert 1 <= len(recipe.settings["train"]) <= 2, recipe.name


def test_aums_recipe_never_drops_the_rate() -> None:
    config = load_config(None, {"recipe": "aum"})
    assert config.net.label == "resnet32" and config.train.epochs == 150
    assert {rate(config.train, epoch, 0, 10) for epoch in range(150)} == {0.1}
    assert (config.retrain.epochs, config.retrain.batch_size) == (300, 256)


def test_the_recipes_are_listed_with_what_they_change() -> None:
    listed = json.loads(CliRunner().invoke(app, ["recipes", "--json"]).stdout)
    assert [one["name"] for one in listed] == list(NAMES)
    assert listed[1] == {
        "name": "paper",
        "about": find_recipe("paper").about,
        "settings": {},
        "changes": None,
    }
    shown = CliRunner().invoke(app, ["recipes"]).stdout
    assert all(name in shown for name in NAMES) and "lr_drops=0.5,0.75" in shown
    (line,) = (line for line in shown.splitlines() if line.split()[:1] == ["gce"])
    assert "detect with: Generalised cross-entropy" in line
    assert line.rstrip().endswith("train: label_smoothing=0.0 loss=gce")


def test_the_papers_recipe_is_what_the_settings_are_without_any() -> None:
    assert load_config(None, {"recipe": "paper"}) == Config(recipe="paper")
    bare = Config(recipe=None)
    assert load_config(None, base=bare.model_dump(mode="json")) == bare


@pytest.mark.parametrize(
    ("settings", "recipe", "net"),
    [
        ({}, "detect", "wide"),
        ({"data.dataset": "cifar10", "data.data_dir": "x"}, "detect", "wide"),
        ({"data.dataset": "tiny_imagenet", "data.data_dir": "x"}, "detect", "wide"),
        ({"data.dataset": "cub_200_2011", "data.data_dir": "x"}, "paper", "resnet34"),
        ({"data.image_size": 65}, "paper", "resnet"),
        (
            {"data.dataset": "cub_200_2011", "data.data_dir": "x", "data.image_size": 64},
            "detect",
            "wide",
        ),
        ({"net.net_type": "resnet", "net.depth": 20}, "detect", "resnet"),
    ],
)
def test_detect_is_the_default_for_small_images(
    settings: dict[str, Any], recipe: str, net: str
) -> None:
    config = load_config(None, settings)
    assert (config.recipe, config.net.net_type) == (recipe, net)
    assert load_config(None, settings | {"recipe": recipe}) == config


def test_help_says_both_recipes_defaults_where_they_differ() -> None:
    text = " ".join(
        CliRunner().invoke(app, ["generate-td", "--help"]).stdout.replace("│", "").split()
    )
    assert "(default: detect's 60, paper's 200)" in text
    assert "(default: detect's wide, paper's resnet)" in text
    assert "(default: 0.1)" in text, "the rate, which is the same"


def test_a_recipe_lies_above_the_data_set_and_below_the_user(tmp_path: Path) -> None:
    data = {"data.dataset": "tiny_imagenet", "data.data_dir": "x", "recipe": "detect"}
    config = load_config(None, data)
    assert (config.net.net_type, config.net.stride, config.data.image_size) == ("wide", 2, 64)
    file = tmp_path / "c.yaml"
    file.write_text("recipe: detect\nnet: {net_type: resnet18}\ntrain: {lr: 0.7, epochs: 5}\n")
    config = load_config(file, {"train.epochs": 6})
    assert (config.net.net_type, config.train.lr, config.train.epochs) == ("resnet18", 0.7, 6)
    assert config.train.schedule == "one-cycle"


def test_the_recipes_smoothing_gives_way_to_another_loss() -> None:
    config = load_config(None, {"train.loss": "gce"})
    assert (config.train.label_smoothing, config.retrain.label_smoothing) == (0.0, 0.1)
    assert load_config(None, {"train.loss": "ce"}).train.label_smoothing == 0.1


def test_settings_that_name_all_keys_are_not_changed_by_a_recipe() -> None:
    other = load_config(None, {"recipe": "detect", "net.net_type": "resnet", "train.lr": 0.7})
    assert load_config(base=other.model_dump(mode="json")) == other


def test_a_runs_settings_stand_whatever_recipe_is_named_later(tmp_path: Path) -> None:
    base = load_config(None, {"recipe": "detect"}).model_dump(mode="json")
    with pytest.raises(ConfigError, match="made with 'detect', and its settings stay"):
        load_config(None, {"recipe": "paper"}, base)
    file = tmp_path / "c.yaml"
    file.write_text("recipe: detect\n")
    assert load_config(file, {}, base).recipe == "detect"


@pytest.mark.parametrize("name", ["fast", "", 3, ["detect"]])
def test_an_unknown_recipe_is_refused(name: object) -> None:
    with pytest.raises(ConfigError, match=r"^recipe: "):
        load_config(None, {"recipe": name})


def test_a_run_by_recipe_ranks_and_retrains(tmp_path: Path, detector_file: Path) -> None:
    run = tmp_path / "run"
    arguments = "generate-td --recipe detect --limit 150 --noise-ratio 0.2 --epochs 2 --quiet"
    settings = ["--set", "retrain.epochs=1", "--no-amp", "--out", str(run)]
    result = CliRunner().invoke(app, [*arguments.split(), *settings])
    assert result.exit_code == 0, result.output
    base = runner.settings_of_run(run)
    assert base is not None and base["recipe"] == "detect" and base["net"]["net_type"] == "wide"
    config = load_config(None, {"retrain.amp": False}, base, runner.PINNED)
    outcome = runner.denoise(config, run, detector_file, [0.2], out=tmp_path / "out")
    assert outcome.rows[0].test_error_last is not None
    folder = runner.default_folder(config, Path("r"))
    assert folder.parts[1] == "digits_wide_percmislabeled0.2_uniform"


def test_the_flags_of_a_recipe_are_in_the_help() -> None:
    for command, flags in (
        ("generate-td", ("--recipe", "--loss", "--mixup", "--folds", "--threshold-samples")),
        ("denoise", ("--loss", "--mixup")),
    ):
        text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
        assert all(flag in text for flag in flags), command
    assert "--recipe" not in text


def test_another_recipe_is_another_run(tmp_path: Path) -> None:
    runner.generate_td(tiny_config(), tmp_path / "run")

    with pytest.raises(RunError, match="recipe: paper, now detect"):
        runner.generate_td(
            tiny_config(recipe="detect", net__net_type="resnet"), tmp_path / "run", resume=True
        )
