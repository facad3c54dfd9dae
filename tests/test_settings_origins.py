"""Where each value of the settings comes from, and the recipes as files."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tdctl.cli.commands import app
from tdctl.config import Config, NetConfig, TrainConfig
from tdctl.errors import ConfigError
from tdctl.recipes import find_recipe, recipe_names
from tdctl.settings import load_config, resolve


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--print-config"])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_each_value_says_where_it_came_from(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("recipe: gce\ntrain:\n  batch_size: 32\ndata:\n  limit: 50\n")
    text = printed(
        "generate-td", "--config", str(file), "--set", "train.momentum=0.8", "--lr", "0.05"
    )
    lines = text.splitlines()
    assert f"recipe: gce  # config {file}" in lines
    assert f"  batch_size: 32  # config {file}" in lines
    assert "  momentum: 0.8  # --set" in lines
    assert "  lr: 0.05  # --lr" in lines
    assert "  loss: gce  # recipe gce" in lines
    assert "  schedule: one-cycle  # recipe detect" in lines
    assert "  warmup: 0.3  # default" in lines
    assert f"  limit: 50  # config {file}" in lines


def test_a_data_sets_own_settings_are_named_as_such() -> None:
    given = {"data.dataset": "tiny_imagenet", "data.data_dir": "x", "recipe": "paper"}
    found = resolve(None, given)
    assert found.config.net.stride == 2
    assert found.origins["net.stride"] == "preset tiny_imagenet"
    assert "  stride: 2  # preset tiny_imagenet" in found.to_yaml().splitlines()


def test_what_is_printed_reads_back(tmp_path: Path) -> None:
    data = tmp_path / "it's [a]: folder # 1"
    file = tmp_path / "again.yaml"
    given = {"data.dataset": "folder", "data.data_dir": str(data), "train.lr_drops": "0.2,0.4"}
    found = resolve(None, given)
    file.write_text(found.to_yaml(), encoding="utf-8")
    assert load_config(file) == found.config
    assert found.config.train.lr_drops == (0.2, 0.4)


def test_the_settings_of_a_run_are_named_as_the_runs() -> None:
    base = load_config(None, {"train.epochs": 3}).model_dump(mode="json")
    found = resolve(None, {"train.epochs": 5}, base, flags=["train.epochs"])
    assert found.origins["train.epochs"] == "--epochs"
    assert found.origins["train.lr"] == "the run"


def test_a_config_takes_what_the_command_takes() -> None:
    assert Config() == load_config()
    assert Config().train.epochs == 60 and Config().recipe == "detect"
    given = Config(train=TrainConfig(epochs=3), net=NetConfig(net_type="resnet", depth=8))
    asked = {"train.epochs": 3, "net.net_type": "resnet", "net.depth": 8}
    assert given == load_config(None, asked)
    assert Config(recipe=None).train == TrainConfig()


def test_a_user_may_name_a_loss_that_a_recipes_smoothing_does_not_go_with() -> None:
    config = load_config(None, {"train.loss": "elr"})
    assert (config.recipe, config.train.label_smoothing) == ("detect", 0.0)
    with pytest.raises(ConfigError, match="label_smoothing: goes with --loss ce"):
        load_config(None, {"train.loss": "elr", "train.label_smoothing": 0.1})


@pytest.mark.parametrize("name", recipe_names())
def test_a_printed_recipe_is_a_file_that_does_the_same(name: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["recipes", name])
    assert result.exit_code == 0 and result.stdout.startswith("# ")
    file = tmp_path / "mine.yaml"
    file.write_text(result.stdout)
    # Features need a pretrained network.
    more = {"net.net_type": "resnet18", "net.pretrained": "imagenet"} if name == "features" else {}
    ours, theirs = load_config(file, more), load_config(None, {"recipe": name, **more})
    assert ours.model_copy(update={"recipe": name}) == theirs
    assert find_recipe(name).about[0].isupper()


def test_an_unknown_recipe_is_one_line() -> None:
    result = CliRunner().invoke(app, ["recipes", "nonsense"])
    assert result.exit_code == 1 and "use one of detect, paper, aum" in result.stderr


@pytest.mark.parametrize(
    ("command", "flag", "key"),
    [
        ("generate-td", "--weight-decay", "train.weight_decay"),
        ("generate-td", "--no-loss-detach", "train.loss_detach"),
        ("denoise", "--schedule=cosine", "retrain.schedule"),
        ("train-detector", "--ranking", "detector.ranking"),
    ],
)
def test_a_setting_without_a_flag_says_how_it_is_set(command: str, flag: str, key: str) -> None:
    result = CliRunner().invoke(app, [command, flag, "0.1"])
    assert result.exit_code == 2
    assert f"--set {key}=VALUE" in " ".join(result.stderr.replace("│", " ").split())


def test_the_help_begins_with_what_most_people_need() -> None:
    text = CliRunner().invoke(app, ["generate-td", "--help"]).stdout
    panels = [line for line in text.splitlines() if line.startswith("╭─")]
    names = [line.strip("╭─╮ ") for line in panels]
    assert names[1:] == [
        "Most used", "Data", "Labels and noise", "Network", "Training", "Recording",
        "Output and resuming",
    ]  # fmt: skip
    assert text.index("--data-dir") < text.index("--lr") < text.index("--store")
    assert text.index("--config") > text.index("--store") and "--weight-decay" not in text
