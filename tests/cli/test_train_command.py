"""tdctl train as a user calls it: run folders, resuming, what is refused, what is logged."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import make_image_folder, refused, tdctl

from tdctl import runner
from tdctl.dynamics import read_run
from tdctl.errors import ConfigError, DataError, RunError, TrainingError
from tdctl.files import load_tensors, read_json
from tdctl.retraining.label_sets import clean_subset
from tdctl.robust.dividemix import DivideMix
from tdctl.robust.learner import Learner
from tdctl.run import read_config
from tdctl.settings import load_config

TINY: dict[str, Any] = {
    "recipe": "paper",
    "net.depth": 8,
    "robust.epochs": 3,
    "robust.batch_size": 16,
    "robust.amp": False,
    "robust.compile": False,
    "data.limit": 120,
    "noise.noise_ratio": 0.3,
}
EVERY = ("ce", "ssr", "dividemix", "augdesc")


def tiny(algorithm: str, **overrides: Any) -> Any:
    changed = {key.replace("__", "."): value for key, value in overrides.items()}
    settings = {"robust.algorithm": algorithm, **TINY, **changed}
    return load_config(None, {k: v for k, v in settings.items() if v is not None})


def log_of(run: Path) -> list[dict[str, str]]:
    with (run / "train_log.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A training by each algorithm, for tests that only read."""
    root = tmp_path_factory.mktemp("trained")
    for algorithm in EVERY:
        runner.train(tiny(algorithm, robust__warmup_epochs=None), root / algorithm)
    return {algorithm: root / algorithm for algorithm in EVERY}


@pytest.mark.parametrize("algorithm", EVERY)
def test_a_training_leaves_a_run_folder(trained: dict[str, Path], algorithm: str) -> None:
    run = trained[algorithm]
    manifest = read_json(run / "manifest.json")
    assert manifest["command"] == "train" and manifest["status"] == "complete"
    assert manifest["algorithm"] == algorithm
    log = log_of(run)
    assert [int(row["epoch"]) for row in log] == [0, 1, 2]
    errors = [float(row["test_error"]) for row in log]
    assert manifest["test_error_last"] == pytest.approx(errors[-1])
    assert manifest["test_error_mean_of_last_10"] == pytest.approx(np.mean(errors))
    assert manifest["test_error_best"] is None  # nothing is selected on the test set
    dynamics, metadata = read_run(run)[:2]
    assert len(dynamics) == 120 and dynamics.td.shape[0] in (3, 120)
    assert not (run / "checkpoint.pth").exists() and not (run / "capture").exists()
    assert metadata is not None
    networks = 2 if algorithm in ("dividemix", "augdesc") else 1
    assert manifest["networks"] == networks
    states = load_tensors(run / "model.pth")
    assert any(key.startswith("networks.1.") for key in states) == (networks == 2)
    assert (run / "results_valid.csv").exists() and (run / "confusion.csv").exists()


@pytest.mark.parametrize("algorithm", ["ssr", "dividemix"])
def test_the_log_says_what_became_of_the_labels(trained: dict[str, Path], algorithm: str) -> None:
    row = log_of(trained[algorithm])[-1]
    for column in ("kept", "relabelled", "labels_right", "clean_auc"):
        assert 0 <= float(row[column]) <= 1, column
    if algorithm == "dividemix":
        assert row["unlabelled_weight"] and row["divisions_kept_before"] in {"0", "1", "2"}
        assert log_of(trained[algorithm])[0]["kept"] == ""  # the warm-up


def test_detect_works_on_a_training(trained: dict[str, Path], detector_file: Path) -> None:
    result = tdctl("detect", "--td", trained["ssr"], "--score", "aum", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["metrics"]["auc"] is not None


@pytest.mark.parametrize("algorithm", EVERY)
def test_a_resumed_training_has_the_same_bits(
    trained: dict[str, Path], algorithm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tdctl.training.checkpoint import Checkpoint

    def interrupt(self: Checkpoint, path: Path) -> None:
        write(self, path)
        if self.epoch == 2:
            raise KeyboardInterrupt

    write = Checkpoint.write
    config = tiny(algorithm)
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            runner.train(config, tmp_path / "run")
    assert read_json(tmp_path / "run" / "manifest.json")["status"] == "interrupted"
    result = runner.train(config, tmp_path / "run", resume=True)
    assert result.resumed
    whole, again = (load_tensors(run / "model.pth.last") for run in
                    (trained[algorithm], tmp_path / "run"))  # fmt: skip
    for name, values in whole.items():
        assert torch.equal(values, again[name]), name
    assert (tmp_path / "run/train_log.csv").read_bytes() == (
        trained[algorithm] / "train_log.csv"
    ).read_bytes()
    td = [read_run(run)[0].td for run in (trained[algorithm], tmp_path / "run")]
    assert (np.asarray(td[0]) == np.asarray(td[1])).all()


def test_from_a_run_come_its_data_and_labels(digits_run: Path, tmp_path: Path) -> None:
    settings = runner.settings_to_train_on(digits_run)
    config = load_config(None, {"robust.epochs": 1, "robust.amp": False}, settings)
    result = runner.train(config, tmp_path / "a", td=digits_run)
    was = read_json(digits_run / "manifest.json")
    assert result.manifest["given_fingerprint"] == was["given_fingerprint"]
    assert result.manifest["trained_on_labels_of"] == str(digits_run.resolve())
    assert result.manifest["dataset"]["valid"] == 30
    assert result.manifest["test_error_best"] is not None
    # A training is a run in turn.
    again = tdctl("train", "--td", tmp_path / "a", "--epochs", 1, "--out", tmp_path / "b", "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["given_fingerprint"] == was["given_fingerprint"]


def test_other_labels_than_the_runs_are_refused(digits_run: Path, tmp_path: Path) -> None:
    settings = runner.settings_to_train_on(digits_run)
    config = load_config(None, {"robust.epochs": 1, "noise.noise_seed": 5}, settings)
    with pytest.raises(DataError, match="other labels"):
        runner.train(config, tmp_path / "a", td=digits_run)
    assert not (tmp_path / "a").exists()


def test_a_ranking_makes_the_first_split(trained: dict[str, Path], tmp_path: Path) -> None:
    ranking = tmp_path / "worst.csv"
    found = tdctl("detect", "--td", trained["ce"], "--score", "aum", "--out", ranking, "--quiet")
    assert found.exit_code == 0, found.output
    for algorithm, epoch in (("ssr", 0), ("dividemix", 1)):
        split = {"robust.split_from": ranking, "robust.split_ratio": 0.25}
        config = tiny(algorithm, **split)
        result = runner.train(config, tmp_path / algorithm)
        count = result.manifest["first_split"]["count"]
        assert 20 <= count <= 30  # of a class at most half
        kept = 1 - count / 120
        assert float(log_of(tmp_path / algorithm)[epoch]["kept"]) == pytest.approx(kept, abs=0.03)


def test_a_ranking_of_other_samples_is_refused(tmp_path: Path) -> None:
    ranking = tmp_path / "other.csv"
    ranking.write_text("index,suspicion\n1,0.5\n2,0.1\n")
    config = tiny("ssr", robust__split_from=ranking, robust__split_ratio=0.2)
    with pytest.raises(DataError, match=r"split_from: .*trains on"):
        runner.train(config, tmp_path / "a")
    with pytest.raises(ConfigError, match="split_ratio: is missing"):
        tiny("ssr", robust__split_from=ranking)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"algorithm": "ssr", "robust__warmup_epochs": 3}, "warmup_epochs: goes with"),
        ({"algorithm": "ce", "robust__relabel_above": 0.8}, "relabel_above: goes with"),
        ({"algorithm": "dividemix", "robust__loss": "gce"}, "loss: 'dividemix' has"),
        ({"algorithm": "ssr", "robust__average": "ema"}, "average: 'ssr' has"),
        ({"algorithm": "ssr", "robust__preset": "cifar10-sym50"}, "preset: goes with"),
        ({"algorithm": "dividemix", "robust__preset": "cifar10"}, "preset"),
        ({"algorithm": "dividemix", "robust__unlabelled_weight": "-1"}, "unlabelled_weight"),
        ({"algorithm": "dividemix", "robust__unlabelled_weight": "much"}, "auto or a number"),
        ({"algorithm": "coteaching"}, "algorithm"),
        ({"algorithm": "ssr", "robust__store": "half"}, "store"),
    ],
)
def test_settings_that_do_nothing_or_are_unknown_are_refused(
    settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        tiny(**settings)


def test_presets_are_the_published_ones_and_give_way_to_the_user() -> None:
    config = tiny("dividemix", robust__preset="cifar10-sym90").robust
    assert (config.unlabelled_weight, config.clean_above, config.loss_epochs) == ("50", 0.6, 5)
    assert tiny("augdesc", robust__preset="cifar10-asym40").robust.confidence_penalty
    long = tiny("dividemix", robust__preset="cifar100-sym50", robust__epochs=40).robust
    assert long.warmup_epochs == 30
    with pytest.raises(ConfigError, match="30 leaves none of the 30 epochs"):
        tiny("dividemix", robust__preset="cifar100-sym50", robust__epochs=30)
    own = tiny("dividemix", robust__preset="cifar10-sym90", robust__unlabelled_weight=7).robust
    assert own.unlabelled_weight == "7"


def test_defaults_follow_the_algorithm() -> None:
    ce = load_config(None, {"robust.algorithm": "ce"})
    assert {k: v for k, v in ce.robust.model_dump().items() if k in ce.retrain.model_dump()} == (
        ce.retrain.model_dump()
    )
    paper = load_config(None, {"recipe": "paper", "robust.algorithm": "dividemix"}).robust
    assert (paper.epochs, paper.lr, paper.batch_size, paper.lr_drops) == (300, 0.02, 64, (0.5,))
    ssr = load_config(None, {"recipe": "paper"}).robust
    assert (ssr.algorithm, ssr.schedule, ssr.batch_size) == ("ssr", "cosine", 128)


def test_a_run_of_an_earlier_version_has_no_such_section(digits_run: Path, tmp_path: Path) -> None:
    content = yaml.safe_load((digits_run / "config.yaml").read_text())
    del content["robust"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    assert read_config(tmp_path) == read_config(digits_run)
    del content["detector"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(ConfigError, match="cut off"):
        read_config(tmp_path)


def test_two_classes_and_a_handful_of_images(tmp_path: Path) -> None:
    data = make_image_folder(tmp_path / "data", per_class=20)
    for algorithm in EVERY:
        settings = {
            "data.data_dir": data,
            "data.limit": None,
            "robust.epochs": 4,
            "noise.noise_ratio": 0.2,
        }
        result = runner.train(tiny(algorithm, **settings), tmp_path / algorithm)
        assert result.manifest["dataset"]["train"] == 40
        assert 0 <= result.manifest["test_error_last"] <= 1


def test_one_class_is_refused(tmp_path: Path) -> None:
    data = make_image_folder(tmp_path / "data")
    table = tmp_path / "labels.csv"
    names = sorted(path.relative_to(data) for path in data.glob("train/*/*"))
    rows = [f"{name},dark" for name in names]
    table.write_text("\n".join(["file_name,label", *rows]) + "\n")
    settings = {
        "data.data_dir": data,
        "data.labels": table,
        "noise.noise_type": "labels",
        "noise.noise_ratio": None,
        "data.limit": None,
    }
    with pytest.raises((ConfigError, DataError), match="hold 1 class; expected at least two"):
        runner.train(tiny("ssr", **settings), tmp_path / "a")


def test_a_network_that_is_lost_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    descend = Learner.descend

    def lost(self: Learner, loss: torch.Tensor) -> None:
        descend(self, loss)
        if self.name == "network 2":
            with torch.no_grad():
                next(self.net.parameters()).fill_(torch.nan)

    monkeypatch.setattr(Learner, "descend", lost)
    with pytest.raises(TrainingError, match=r"epoch 0.*network 2"):
        runner.train(tiny("dividemix"), tmp_path / "a")
    assert not (tmp_path / "a").exists()  # no whole epoch: nothing is left


def test_a_division_that_stays_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tdctl.robust.mixture.APART", 10)
    result = runner.train(tiny("dividemix"), tmp_path / "a")
    assert len(result.manifest["events"]) == 4
    assert "all labels are used" in result.manifest["events"][0]
    assert log_of(tmp_path / "a")[-1]["divisions_kept_before"] == "2"
    assert any("network 1" in note and "4 such" in note for note in result.notes)


def test_guesses_leave_the_running_statistics_alone() -> None:
    from tdctl.training import Pipeline

    net = torch.nn.Sequential(torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 3))
    pipeline = Pipeline(None, None, torch.device("cpu"), "float32")  # type: ignore[arg-type]
    learner = Learner(net.train(), load_config(None).robust, pipeline, "toy")
    before = {name: value.clone() for name, value in net.state_dict().items()}
    p = learner.guess(torch.randn(8, 4))
    torch.testing.assert_close(p.sum(dim=1), torch.ones(8))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert DivideMix.columns[0] == "kept"


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    sets = ["recipe=paper", "net.depth=8", "robust.amp=false", "robust.compile=false"]
    words = ["train", "--dataset", "digits", "--algorithm", "ssr", "--limit", 100, "--epochs", 1]
    words += [word for one in sets for word in ("--set", one)]
    plan = tdctl(*words, "--out", run, "--dry-run")
    assert plan.exit_code == 0 and "would train resnet8 by ssr" in plan.stderr
    assert not run.exists()
    printed = tdctl(*words, "--print-config")
    assert "algorithm: ssr  # --algorithm" in printed.stdout
    done = tdctl(*words, "--out", run, "--json")
    assert done.exit_code == 0, done.output
    manifest = json.loads(done.stdout)
    assert manifest["test_error_last"] >= 0 and manifest["folder"] == str(run)
    refused(tdctl(*words, "--out", run), "the folder is occupied")
    again = tdctl("train", "--out", run, "--resume")
    assert again.exit_code == 0 and "already complete" in again.stderr
    refused(tdctl(*words, "--out", run, "--resume", "--lr", 0.5), "other settings", "robust.lr")
    assert tdctl(*words, "--out", run, "--overwrite", "--quiet").exit_code == 0
    refused(tdctl("train", "--out", tmp_path / "none", "--resume"), "nothing to go on with")
    refused(tdctl("train", "--td", tmp_path / "none"), "no such run folder")
    assert tdctl("train", "--td", run, "--dataset", "digits").exit_code == 2
    place = {"WORLD_SIZE": 2, "RANK": 0, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 2}
    for name, value in {**place, "MASTER_ADDR": "localhost", "MASTER_PORT": 29500}.items():
        monkeypatch.setenv(name, str(value))
    refused(tdctl(*words, "--out", tmp_path / "b"), "train: works in one process")


def test_a_folder_of_other_commands_is_left_alone(digits_run: Path) -> None:
    with pytest.raises(RunError, match=r"was written by generate-td"):
        runner.train(tiny("ssr"), digits_run, resume=True)


@pytest.mark.parametrize(
    ("algorithm", "noise", "more"),
    [
        ("ssr", 0.4, {"robust.epochs": 6, "data.limit": 500}),
        (
            "dividemix",
            0.2,
            TINY
            | {"robust.epochs": 10, "robust.batch_size": 32, "data.limit": 400}
            | {"robust.lr": 0.05, "robust.warmup_epochs": 3},
        ),
    ],
    ids=["ssr", "dividemix"],
)
def test_labels_that_are_trained_on_are_right_on_digits(
    algorithm: str, noise: float, more: dict[str, Any], tmp_path: Path
) -> None:
    """Uniform noise; without the algorithm 40 % and 20 % of the labels would be wrong."""
    settings = {**more, "robust.algorithm": algorithm, "noise.noise_ratio": noise}
    manifest = runner.train(load_config(None, settings), tmp_path / "run").manifest
    assert manifest["labels_right_last"] >= 0.9
    assert manifest["clean_auc_last"] >= 0.95
    assert manifest["test_error_last"] < 0.25


def test_both_networks_are_recorded_and_resumed(trained: dict[str, Path], tmp_path: Path) -> None:
    both, stopped = tmp_path / "both", tmp_path / "stopped"
    config = tiny("dividemix", robust__record="both")
    runner.train(config, both)
    for one, other in ((both, trained["dividemix"]), (both / "network2", None)):
        dynamics, _, _ = read_run(one)
        assert dynamics.td.shape[:2] == (120, 3)
        if other is not None:
            assert np.array_equal(dynamics.td, read_run(other)[0].td)
    first, second = (read_run(place)[0].td for place in (both, both / "network2"))
    assert not np.array_equal(first, second)

    def stop(progress: Any) -> None:
        if progress.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.train(config, stopped, report=stop)
    runner.train(config, stopped, resume=True)
    assert np.array_equal(read_run(stopped / "network2")[0].td, second)


def test_nothing_is_recorded_where_nothing_is_asked(tmp_path: Path) -> None:
    out = tmp_path / "bare"
    found = runner.train(tiny("ce", robust__record="none"), out).manifest
    assert not (out / "training_dynamics.npz").exists()
    assert found["capture"] is None
    assert found["test_error_last"] is not None


def test_one_network_is_not_both() -> None:
    with pytest.raises(ConfigError, match="record: 'ssr' trains one network"):
        tiny("ssr", robust__record="both")


def test_cleaned_labels_are_trained_on(digits_run: Path, tmp_path: Path) -> None:
    _, labels, _ = read_run(digits_run)
    made = clean_subset(labels)
    settings = runner.settings_to_train_on(digits_run)
    config = load_config(None, {"robust.algorithm": "ce", "robust.epochs": 1}, settings)
    ways: dict[str, Any] = {"td": digits_run, "cleaned": runner.Cleaned(labels, made)}
    found = runner.train(config, tmp_path / "a", **ways).manifest
    assert found["dataset"]["train"] == int((~labels.flipped).sum())
    assert found["flipped"] == 0
    assert found["cleaned"]["kind"] == "clean"
    assert found["cleaned"]["noise_before"] > found["cleaned"]["noise_after"] == 0
