from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tdctl.catalogue import CATALOGUE
from tdctl.config import Config
from tdctl.errors import ConfigError
from tdctl.recipes import preset_of
from tdctl.settings import load_config, parse_set

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


def test_settings_survive_their_yaml(tmp_path: Path) -> None:
    config = load_config(None, {"data.dataset": "mnist", "data.data_dir": "x", "train.lr": 0.3})
    file = tmp_path / "c.yaml"
    file.write_text(config.to_yaml())
    assert load_config(file) == config


def test_overrides_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("train: {epochs: 7, lr: 0.5}\nseed: 4\n")
    config = load_config(file, {"train.epochs": 9})
    assert (config.train.epochs, config.train.lr, config.seed) == (9, 0.5, 4)


def test_a_file_does_not_change_what_is_pinned(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("data: {dataset: mnist, data_dir: x}\nretrain: {epochs: 7}\n")
    base = Config().model_dump(mode="json")
    config = load_config(file, {}, base, pinned=("data",))
    assert (config.data.dataset, config.retrain.epochs) == ("digits", 7)


def layers(file: Path, upper: str, key: str, value: object) -> dict[str, Any]:
    """``load_config``'s arguments with a setting at one layer: its base, its file, a flag."""
    section, leaf = key.split(".")
    base = {"data": {"dataset": "webvision50", "data_dir": "x"}}
    if upper == "base":
        base[section] = base.get(section, {}) | {leaf: value}
    file.write_text(yaml.safe_dump({section: {leaf: value}} if upper == "file" else {}))
    return {"path": file, "base": base, "overrides": {key: value} if upper == "flag" else {}}


@pytest.mark.parametrize("upper", ["base", "file", "flag"])
@pytest.mark.parametrize(
    ("key", "value", "of_the_paper"),
    [
        ("net.net_type", "resnet18", "resnet50"),
        ("data.image_size", None, 224),
        ("data.normalise", "data", "imagenet"),
        ("retrain.lr_drops", [0.5], (0.33, 0.67)),
    ],
)
def test_a_setting_of_the_users_wins_over_the_papers_at_every_layer(
    tmp_path: Path, upper: str, key: str, value: object, of_the_paper: object
) -> None:
    def got(config: Config) -> object:
        section, leaf = key.split(".")
        found = getattr(getattr(config, section), leaf)
        return list(found) if isinstance(value, list) else found

    config = load_config(**layers(tmp_path / "c.yaml", upper, key, value))
    assert got(config) == value
    unset = load_config(**layers(tmp_path / "c.yaml", "none", key, value))
    assert got(unset) == (list(of_the_paper) if isinstance(value, list) else of_the_paper)
    assert unset.net.net_type == "resnet50" and unset.train.epochs == 200


def test_the_preset_is_that_of_the_data_set_named_last(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("recipe: paper\ndata: {dataset: webvision50, data_dir: x}\n")
    config = load_config(file, {"data.dataset": "tiny-imagenet"})
    assert (config.net.label, config.net.stride, config.data.image_size) == ("resnet32", 2, 64)
    assert config.retrain.lr_drops == (0.5,)
    assert load_config(file, {"data.dataset": "digits"}) == Config.model_validate(
        {"recipe": "paper", "data": {"dataset": "digits", "data_dir": "x"}}
    )


def test_settings_that_name_all_keys_are_not_changed_by_a_preset(tmp_path: Path) -> None:
    plain = Config.model_validate({"data": {"dataset": "cub_200_2011", "data_dir": "x"}})
    file = tmp_path / "c.yaml"
    file.write_text(plain.to_yaml())
    assert load_config(file) == plain
    assert load_config(base=plain.model_dump(mode="json")) == plain
    assert load_config(base={"data": plain.data.model_dump(mode="json")}) != plain


def test_a_preset_is_left_as_it_is_by_those_who_use_it() -> None:
    named = {"data.dataset": "webvision50", "data.data_dir": "x"}
    before = load_config(None, named)
    load_config(None, named | {"net.net_type": "resnet18"})
    assert load_config(None, named) == before


@pytest.mark.parametrize("name", ["imagenet", "cub", "", 7, ["digits"]])
def test_an_unknown_data_set_is_refused(name: object) -> None:
    with pytest.raises(ConfigError, match=r"^data\.dataset: "):
        load_config(None, {"data.dataset": name})
    if isinstance(name, str):
        with pytest.raises(ConfigError, match=r"use one of digits, .*, clothing100k$"):
            load_config(None, {"data.dataset": name})


def test_the_papers_alias_of_flip() -> None:
    assert load_config(None, {"noise.noise_type": "asym"}).noise.noise_type == "flip"


def test_noise_has_a_seed_of_its_own() -> None:
    assert load_config(None, {"seed": 5}).noise_seed == 5
    assert load_config(None, {"seed": 5, "noise.noise_seed": 0}).noise_seed == 0


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("train.epoch", 3, "unknown setting 'train.epoch'"),
        ("noise.noise_ratio", 1.0, "noise.noise_ratio"),
        ("noise.noise_ratio", -0.1, "noise.noise_ratio"),
        ("noise.noise_ratio", float("nan"), "noise.noise_ratio"),
        ("net", {"net_type": "resnet", "depth": 21}, "21 is not of the form 6n"),
        ("net.depth", 20, "net.depth: goes with --net-type resnet, not with 'wide'"),
        ("train.epochs", 0, "train.epochs"),
        ("train.lr", float("inf"), "train.lr"),
        ("data.dataset", "imagenet", "data.dataset"),
        ("data.dataset", "cifar10", "needs --data-dir"),
        ("data.dataset", "table", "needs --labels"),
        ("seed", -1, "seed"),
        ("train", 3, "train"),
    ],
)
def test_a_wrong_setting_is_named(key: str, value: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_config(None, {key: value})


@pytest.mark.parametrize("value", ["Auto", "", None, [1], -1, "inf", "nan", 10**400])
@pytest.mark.parametrize("section", ["train", "retrain", "robust"])
def test_what_is_no_weight_decay_is_named(section: str, value: object) -> None:
    says = f"{section}.weight_decay: .* is not a weight decay; give auto or a number of at least 0"
    with pytest.raises(ConfigError, match=says):
        load_config(None, {f"{section}.weight_decay": value})
    for fits in ("auto", "0.01", 0):
        assert load_config(None, {f"{section}.weight_decay": fits})


@pytest.mark.parametrize(("name", "value"), [("depth", 8), ("stride", 2), ("width", 2)])
def test_what_only_the_cifar_style_net_has_is_refused_for_others(name: str, value: int) -> None:
    assert load_config(None, {"net.net_type": "resnet18"}).net.label == "resnet18"
    with pytest.raises(
        ConfigError, match=f"{name}: goes with --net-type (resnet|wide|resnet or wide), not with"
    ):
        load_config(None, {"net.net_type": "resnet18", f"net.{name}": value})


def test_clutter_is_dropped_from_caltech256_alone() -> None:
    with pytest.raises(ConfigError, match="drop_clutter: goes with dataset 'caltech256'"):
        load_config(None, {"data.drop_clutter": True})


def test_noise_on_top_of_a_true_column_is_refused() -> None:
    settings = {
        "data.dataset": "folder",
        "data.data_dir": "x",
        "data.labels": "l.csv",
        "data.true_column": "t",
        "noise.noise_ratio": 0.1,
    }
    with pytest.raises(ConfigError, match="noise_ratio"):
        load_config(None, settings)


@pytest.mark.parametrize("content", ["- a\n- b\n", "just words", "train: [unclosed"])
def test_a_file_that_is_no_settings_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        load_config(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_config(tmp_path / "nowhere.yaml")


def test_set_reads_yaml_values() -> None:
    assert parse_set(["train.lr_drops=[0.3, 0.6]", "train.amp=false"]) == {
        "train.lr_drops": [0.3, 0.6],
        "train.amp": False,
    }


@pytest.mark.parametrize("assignment", ["train.epochs", "=3", "a=[1"])
def test_a_malformed_set_is_refused(assignment: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        parse_set([assignment])


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_each_shipped_config_is_valid_and_says_what_it_is_for(path: Path) -> None:
    load_config(path)
    head = path.read_text().splitlines()
    comments = " ".join(line for line in head if line.startswith("#"))
    assert all(word in comments for word in ("Claim:", "Command:", "Hours:"))


def test_configs_are_shipped() -> None:
    named = {load_config(path).data.dataset for path in CONFIGS}
    with_settings = {name for name in CATALOGUE if preset_of(name)}
    assert len(with_settings) > 5 and named >= with_settings
    assert {path.stem for path in CONFIGS} >= {"digits", "folder32", "paper_cifar10"}


@pytest.mark.parametrize("store", ["full", "given", "topk:1", "topk:25", "few:2"])
def test_a_store_is_accepted_as_it_is_written(store: str) -> None:
    assert load_config(None, {"train.store": store}).train.store == store


@pytest.mark.parametrize("store", ["topk", "topk:0", "topk:-1", "given:2", "", "FULL"])
def test_another_store_is_refused(store: str) -> None:
    with pytest.raises(ConfigError, match="use full, given, topk:K or few:K"):
        load_config(None, {"train.store": store})


TABLE = {"data.dataset": "folder", "data.data_dir": "x", "data.labels": "l.csv"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"noise.noise_type": "matrix"}, "needs --matrix FILE"),
        ({"noise.matrix": "m.csv", "noise.noise_ratio": 0.1}, "goes with --noise-type matrix"),
        ({"noise.pairs": "p.csv", "noise.noise_ratio": 0.1}, "goes with --noise-type pair"),
        (
            {"noise.noise_type": "matrix", "noise.matrix": "m", "noise.noise_ratio": 0.1},
            "noise_ratio: the matrix says",
        ),
        (
            TABLE | {"noise.noise_type": "labels", "noise.noise_ratio": 0.1},
            "noise_ratio: the label table says",
        ),
        ({"noise.noise_type": "labels"}, "name it with --labels FILE"),
        (
            {"data.dataset": "table", "data.labels": "l.csv", "noise.noise_type": "labels"},
            "name the true ones with --true-column",
        ),
        (
            TABLE
            | {"data.true_column": "t", "noise.noise_type": "matrix", "noise.matrix": "m.csv"},
            "leave out --true-column or --noise-type",
        ),
        ({"noise.oracle": True}, "no label is known to be wrong"),
        (TABLE | {"noise.oracle": True}, "no label is known to be wrong"),
    ],
)
def test_noise_that_does_not_fit_together_is_refused(
    settings: dict[str, object], says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        load_config(None, settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        TABLE | {"data.true_column": "t", "noise.noise_type": "labels"},
        TABLE | {"data.true_column": "t", "noise.oracle": True},
        {"noise.noise_type": "matrix", "noise.matrix": "m.csv", "noise.oracle": True},
        {"noise.noise_type": "pair", "noise.pairs": "p.csv", "noise.noise_ratio": 0.1},
    ],
)
def test_noise_that_fits_together_is_accepted_and_survives_its_yaml(
    settings: dict[str, object], tmp_path: Path
) -> None:
    config = load_config(None, settings)
    (tmp_path / "c.yaml").write_text(config.to_yaml())
    assert load_config(tmp_path / "c.yaml") == config


def test_a_key_that_stands_twice_is_no_later_value(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("train:\n  epochs: 3\n  epochs: 4\n")
    with pytest.raises(ConfigError, match=r"c\.yaml: not valid YAML .*'epochs' stands twice"):
        load_config(path)


@pytest.mark.parametrize("section", ["train", "data", "detector"])
def test_true_is_no_number(section: str) -> None:
    name = {"train": "epochs", "data": "limit", "detector": "epochs"}[section]
    with pytest.raises(ConfigError, match=f"{section}: {name}: true is no value of this setting"):
        load_config(None, {f"{section}.{name}": True})
    with pytest.raises(ConfigError, match="seed: true is no value"):
        load_config(None, {"seed": True})
    assert load_config(None, {"train.flip": False, "train.augment": True}).train.flip is False
