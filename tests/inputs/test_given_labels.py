"""Which labels training, validation and test see under every kind of noise."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import make_image_folder, tiny_config
from PIL import Image

from tdctl import runner
from tdctl.data import DataSet
from tdctl.dynamics import read_run
from tdctl.errors import ConfigError, DataError, RunError
from tdctl.files import read_json
from tdctl.inputs.given_labels import TrainingRows, given_labels, open_training_data
from tdctl.settings import load_config

DIGITS = [str(digit) for digit in range(10)]
MATRIX = 0.8 * np.eye(10) + 0.2 * np.roll(np.eye(10), 3, axis=1)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """Settings of every kind of noise on digits, with the files they need."""
    np.savetxt(tmp_path / "matrix.csv", MATRIX, delimiter=",")
    (tmp_path / "pairs.csv").write_text("from,to\n3,8\n8,3\n1,7\n")
    rows = TrainingRows.of(open_training_data(tiny_config(data__limit=None)))
    own = rows.labels
    table = pd.DataFrame({"index": own.index, "right": own.true, "human": own.true})
    table.loc[::4, "human"] = (table["human"][::4] + 1) % 10
    table.sample(frac=1, random_state=0).to_csv(tmp_path / "labels.csv", index=False)
    ratio = {"noise__noise_ratio": 0.3}
    found = {
        kind: {"noise__noise_type": kind, **ratio}
        for kind in ("uniform", "uniform-inclusive", "flip", "instance")
    }
    found["pair"] = {"noise__noise_type": "pair", "noise__pairs": tmp_path / "pairs.csv", **ratio}
    found["matrix"] = {"noise__noise_type": "matrix", "noise__matrix": tmp_path / "matrix.csv"}
    found["labels"] = {
        "noise__noise_type": "labels",
        "data__labels": tmp_path / "labels.csv",
        "data__label_column": "human",
        "data__true_column": "right",
    }
    for settings in found.values():
        settings.setdefault("noise__noise_ratio", 0.0)
        settings["data__limit"] = None
    return found


KINDS = pytest.mark.parametrize(
    "kind", ["uniform", "uniform-inclusive", "flip", "pair", "matrix", "instance", "labels"]
)


@KINDS
def test_noise_touches_training_labels_alone(files: dict[str, dict[str, Any]], kind: str) -> None:
    prepared = runner.prepare(tiny_config(**files[kind]))
    clean = runner.prepare(tiny_config(data__limit=None, noise__noise_ratio=0.0))
    assert prepared.labels.flipped.any() and not clean.labels.flipped.any()
    assert (prepared.labels.true == clean.labels.true).all()
    assert (prepared.train.targets == prepared.labels.assigned).all()
    assert prepared.dataset.test is not None and clean.dataset.test is not None
    assert (prepared.dataset.test.targets == clean.dataset.test.targets).all()
    assert prepared.dataset.fingerprint() == clean.dataset.fingerprint()
    assert prepared.facts()["given_fingerprint"] != clean.facts()["given_fingerprint"]


@KINDS
def test_held_out_images_have_given_labels_or_true_ones_as_asked(
    files: dict[str, dict[str, Any]], kind: str
) -> None:
    whole = runner.prepare(tiny_config(**files[kind])).labels
    given, true = (
        runner.prepare(tiny_config(**files[kind], data__num_valid=400, data__valid_labels=which))
        for which in ("given", "true")
    )
    assert given.valid is not None and true.valid is not None
    held = np.searchsorted(whole.index, given.valid.index)
    assert (given.valid.index == true.valid.index).all()
    assert (given.valid.targets == whole.assigned[held]).all()
    assert (true.valid.targets == whole.true[held]).all()
    assert (given.valid.targets != true.valid.targets).any()
    assert (given.labels.assigned == true.labels.assigned).all()
    assert given.facts()["noise"] == true.facts()["noise"]


@KINDS
def test_the_oracle_trains_on_right_labels_alone(
    files: dict[str, dict[str, Any]], kind: str
) -> None:
    whole = runner.prepare(tiny_config(**files[kind], data__num_valid=100))
    oracle = runner.prepare(tiny_config(**files[kind], data__num_valid=100, noise__oracle=True))
    right = ~whole.labels.flipped
    assert 0 < right.sum() < len(right)
    assert (oracle.labels.index == whole.labels.index[right]).all()
    assert (oracle.train.targets == oracle.labels.true).all()
    assert (oracle.valid_indices == whole.valid_indices).all()
    assert oracle.facts()["realised_rate"] == 0.0
    assert oracle.facts()["noise"] == whole.facts()["noise"] | {"oracle": True}


@pytest.mark.parametrize("kind", ["uniform", "instance"])
def test_images_that_the_source_holds_out_are_the_validation_set_and_keep_their_labels(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    noise = {"noise__noise_type": kind, "noise__noise_ratio": 0.9}

    def opened(config: Any, dry: bool = False, report: Any = None) -> DataSet:
        dataset = open_training_data(config, dry=dry)
        return replace(dataset, held=np.arange(len(dataset.train)) % 3 == 0)

    everything = runner.prepare(tiny_config(**noise))
    monkeypatch.setattr(import_module("tdctl.inputs.prepare"), "open_training_data", opened)
    prepared = runner.prepare(tiny_config(**noise))
    assert prepared.valid is not None
    assert (prepared.valid.index == everything.train.index[::3]).all()
    assert (prepared.valid.targets == everything.labels.true[::3]).all()
    assert set(prepared.train.index) == set(everything.train.index) - set(prepared.valid.index)
    # The others' labels are what they would be anyway, and the rates are of them alone.
    others = np.arange(150) % 3 > 0
    assert (prepared.labels.assigned == everything.labels.assigned[others]).all()
    facts = prepared.facts()
    assert facts["noise"]["realised_rate"] == facts["realised_rate"]
    assert abs(facts["noise"]["expected_rate"] - 0.9) < (0.1 if kind == "instance" else 1e-12)
    with pytest.raises(ConfigError, match=r"holds out 50 training images .* leave out --num-valid"):
        runner.prepare(tiny_config(data__num_valid=10))


def test_where_every_label_is_wrong_an_oracle_has_nothing_to_train_on(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.roll(np.eye(10), 1, axis=1))
    wrong = {"noise__noise_type": "matrix", "noise__matrix": tmp_path / "m.npy"}
    config = tiny_config(noise__noise_ratio=0.0, noise__oracle=True, **wrong)
    with pytest.raises(ConfigError, match="leave out --oracle"):
        runner.prepare(config)


@KINDS
def test_the_facts_state_expected_and_realised_rate(
    files: dict[str, dict[str, Any]], kind: str
) -> None:
    facts = runner.prepare(tiny_config(**files[kind])).facts()
    noise, n = facts["noise"], 1198
    assert noise["type"] == kind and noise["seed"] == 0 and noise["oracle"] is False
    assert noise["realised_rate"] == facts["realised_rate"] == facts["flipped"] / n
    expected = {"uniform": 0.3, "flip": 0.3, "uniform-inclusive": 0.27, "matrix": 0.2}
    if kind in expected:
        assert abs(noise["expected_rate"] - expected[kind]) < 1e-9
    assert abs(noise["expected_rate"] - noise["realised_rate"]) < 4 * np.sqrt(0.25 / n)
    assert noise.get(kind + "s", noise.get(kind, {})).keys() <= {"file", "sha256", "column"}
    json.dumps(facts)


def test_a_run_states_its_confusion(tmp_path: Path, files: dict[str, dict[str, Any]]) -> None:
    files["matrix"] |= {"data__limit": 150, "data__num_valid": 50}
    run = runner.generate_td(tiny_config(**files["matrix"], train__epochs=1), tmp_path / "run")
    table = pd.read_csv(tmp_path / "run" / "confusion.csv", dtype={"true_label": str})
    assert table["count"].sum() == 150  # those held out are among them
    off = table["true_label"] != table["given_label"].astype(str)
    assert table["count"][off].sum() / 150 == run.manifest["noise"]["realised_rate"]
    assert abs(table["expected"][off].sum() / 150 - 0.2) < 1e-6
    assert len(table) == 20 and set(table["true_label"]) == set(DIGITS)


def test_labels_of_a_table_that_contradicts_the_data_set_are_refused(
    files: dict[str, dict[str, Any]],
) -> None:
    path = files["labels"]["data__labels"]
    table = pd.read_csv(path)
    table.loc[5, "right"] = (table["right"][5] + 1) % 10
    table.to_csv(path, index=False)
    with pytest.raises(DataError, match="right"):
        runner.prepare(tiny_config(**files["labels"]))
    del files["labels"]["data__true_column"]
    assert runner.prepare(tiny_config(**files["labels"])).labels.flipped.mean() > 0.2


@pytest.mark.parametrize("which", ["given", "true"])
def test_denoise_judges_by_the_labels_the_run_held_out(
    tmp_path: Path, detector_file: Path, files: dict[str, dict[str, Any]], which: str
) -> None:
    held = {"data__limit": 150, "data__num_valid": 60, "data__valid_labels": which}
    config = tiny_config(**files["matrix"] | held, train__epochs=1, seed=3)
    run = runner.generate_td(config, tmp_path / "run").folder
    prepared = runner.prepare(config)
    assert prepared.valid is not None
    again = load_config(None, {"retrain.epochs": 1, "seed": 8}, runner.settings_of_run(run))
    result = runner.denoise(again, run, detector_file, [0.1], out=tmp_path / "o")
    seen = pd.read_csv(Path(result.rows[0].folder) / "results_valid.csv").set_index("index")
    assert (seen["Label"][prepared.valid_indices].to_numpy() == prepared.valid.targets).all()
    # The matrix has changed since: the labels held out would be others.
    np.savetxt(files["matrix"]["noise__matrix"], np.roll(MATRIX, 1, axis=1), delimiter=",")
    with pytest.raises(DataError, match="give other labels now"):
        runner.denoise(again, run, detector_file, [0.2], out=tmp_path / "o")


def test_a_run_does_not_go_on_with_other_labels(
    tmp_path: Path, files: dict[str, dict[str, Any]]
) -> None:
    settings = files["pair"] | {"data__limit": 150}
    config = tiny_config(**settings, train__epochs=3)

    def stop(progress: Any) -> None:
        if progress.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.generate_td(config, tmp_path / "run", report=stop)
    assert read_json(tmp_path / "run" / "manifest.json")["status"] == "interrupted"
    pairs = settings["noise__pairs"]
    before = pairs.read_text()
    pairs.write_text("from,to\n3,5\n")
    with pytest.raises(RunError, match="given_fingerprint differs"):
        runner.generate_td(config, tmp_path / "run", resume=True)
    pairs.write_text(before)
    assert runner.generate_td(config, tmp_path / "run", resume=True).resumed


@pytest.mark.parametrize("kind", ["pair", "matrix"])
def test_a_run_finds_its_noise_from_any_folder(
    tmp_path: Path, files: dict[str, dict[str, Any]], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = {"pair": "noise__pairs", "matrix": "noise__matrix"}[kind]
    monkeypatch.chdir(tmp_path)
    files[kind] |= {setting: files[kind][setting].name, "data__limit": 150, "train__epochs": 1}
    run = runner.generate_td(tiny_config(**files[kind]), tmp_path / "run").folder
    monkeypatch.chdir("/")
    assert runner.prepare(load_config(run / "config.yaml")).labels.flipped.any()


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"noise.noise_ratio": 0.2}, "percmislabeled0.2_uniform"),
        ({"noise.noise_type": "asym", "noise.noise_ratio": 0.4}, "percmislabeled0.4_flip"),
        ({"noise.noise_ratio": 0.2, "noise.oracle": True}, "percmislabeled0.2_uniform_oracle"),
        ({"noise.noise_type": "instance", "noise.noise_ratio": 0.3}, "percmislabeled0.3_instance"),
        (
            {"noise.noise_type": "pair", "noise.noise_ratio": 0.3, "noise.pairs": "a/p.csv"},
            "percmislabeled0.3_pair-p",
        ),
        ({"noise.noise_type": "matrix", "noise.matrix": "a/m.csv"}, "matrix-m"),
        (
            {
                "noise.noise_type": "labels", "data.labels": "n.csv",
                "data.label_column": "random1",
            },
            "labels-n-random1",
        ),
    ],
)  # fmt: skip
def test_default_folders_name_the_noise(settings: dict[str, Any], name: str) -> None:
    folder = runner.default_folder(load_config(None, settings), Path("r"))
    assert folder == Path("r") / f"digits_wide_{name}" / "computation4td_seed0"


def test_a_run_with_labels_of_a_table_goes_through(
    tmp_path: Path, detector_file: Path, files: dict[str, dict[str, Any]]
) -> None:
    root = make_image_folder(tmp_path / "images", per_class=30)
    names = sorted(p.relative_to(root).as_posix() for p in (root / "train").rglob("*.*"))
    right = [name.split("/")[1] for name in names]
    human = [
        {"dark": "light", "light": "dark"}[c] if i % 5 == 0 else c for i, c in enumerate(right)
    ]
    pd.DataFrame({"file_name": names, "human": human, "right": right}).to_csv(
        tmp_path / "t.csv", index=False
    )
    settings: dict[str, Any] = files["labels"] | {
        "data__dataset": "folder", "data__data_dir": root, "data__labels": tmp_path / "t.csv",
        "data__num_valid": 10, "train__epochs": 1, "retrain__epochs": 1,
    }  # fmt: skip
    # The folders are the truth, whether the table has a column of them or not.
    unnamed = runner.prepare(tiny_config(**settings | {"data__true_column": None}))
    assert unnamed.facts()["noise"]["realised_rate"] == 0.2
    run = runner.generate_td(tiny_config(**settings), tmp_path / "run").folder
    flipped = read_run(run)[1].flipped
    facts = read_json(run / "manifest.json")["noise"]
    assert facts["labels"]["column"] == "human" and facts["realised_rate"] == 0.2
    assert 0 < flipped.sum() <= 12
    assert yaml.safe_load((run / "config.yaml").read_text())["noise"]["noise_type"] == "labels"
    config = load_config(None, {}, runner.settings_of_run(run))
    assert runner.denoise(config, run, detector_file, [0.2], out=tmp_path / "o").rows


def test_the_column_of_a_table_is_no_field_of_shards(tmp_path: Path) -> None:
    for number in range(20):
        members = [
            (f"{number:02}.cls", str(number % 2).encode()),
            (f"{number:02}.png", png(number)),
        ]
        with tarfile.open(tmp_path / "train.tar", "a") as tar:
            for name, content in members:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    human = [(number + (number % 5 == 0)) % 2 for number in range(20)]
    pd.DataFrame({"index": range(20), "human": human}).to_csv(tmp_path / "l.csv", index=False)
    prepared = runner.prepare(
        tiny_config(
            data__dataset="webdataset", data__data_dir=tmp_path, data__test_share=0.0,
            data__labels=tmp_path / "l.csv", data__label_column="human", data__limit=None,
            noise__noise_type="labels", noise__noise_ratio=0.0,
        )
    )  # fmt: skip
    assert prepared.labels.assigned.tolist() == human
    assert prepared.labels.true.tolist() == [number % 2 for number in range(20)]


def png(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (number, 7, 9)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_limit_that_leaves_images_held_out_alone_is_named(tmp_path: Path) -> None:
    rows = []
    for number in range(8):
        (tmp_path / f"{number}.png").write_bytes(png(number))
        rows.append((f"{number}.png", "ab"[number % 2], "val" if number < 4 else "train"))
    rows.append(("8.png", "a", "test"))
    (tmp_path / "8.png").write_bytes(png(8))
    pd.DataFrame(rows, columns=["file_name", "label", "split"]).to_csv(
        tmp_path / "t.csv", index=False
    )
    settings: dict[str, Any] = {"data__dataset": "table", "data__labels": tmp_path / "t.csv"}
    with pytest.raises(ConfigError, match=r"all 3 images .* give a larger --limit"):
        runner.prepare(tiny_config(**settings, data__limit=3))
    assert len(runner.prepare(tiny_config(**settings, data__limit=5)).train) == 1


def test_without_noise_labels_are_taken_as_they_are() -> None:
    config = tiny_config(noise__noise_ratio=0.0, noise__noise_type="instance")
    given = given_labels(config, TrainingRows.of(open_training_data(config)))
    assert given.noise["type"] is None and not given.labels.flipped.any()
    assert given.confusion.expected_rate == 0.0
