from __future__ import annotations

import errno
import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_image_folder, make_run, refused, tdctl, tiny_config
from processes import forked, result_of

from tdctl import runner
from tdctl.classifier.disk_forecast import forecast_disk
from tdctl.config import NetConfig
from tdctl.data import open_dataset
from tdctl.data.dataset import digest_of
from tdctl.dynamics import read_run
from tdctl.errors import ConfigError, DataError, DynamicsError, RunError, TrainingError
from tdctl.files import read_json
from tdctl.settings import load_config
from tdctl.training import Folds, Plain, Progress, ThresholdSamples

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "run_folder.json").read_text())


def test_a_run_folder_holds_what_the_design_says(digits_run: Path) -> None:
    names = {path.name for path in digits_run.iterdir()}
    assert names == {
        "config.yaml", "confusion.csv", "manifest.json", "metadata.pth", "model.pth",
        "model.pth.last", "results_valid.csv", "train_log.csv", "training_dynamics.npz",
    }  # fmt: skip
    results, log = (pd.read_csv(digits_run / f"{n}.csv") for n in ("results_valid", "train_log"))
    assert list(results.columns) == GOLDEN["results_valid.csv"]
    assert list(log.columns) == [*GOLDEN["train_log.csv"], "test_error"]
    assert len(log) == 2
    manifest = read_json(digits_run / "manifest.json")
    assert manifest["status"] == "complete"
    assert manifest["seed"] == 0 and manifest["capture"] == "in-loop"
    assert manifest["dataset"]["train"] == 120 and manifest["dataset"]["valid"] == 30
    flipped = read_run(digits_run)[1].flipped
    assert manifest["flipped"] == flipped.sum() > 0
    assert manifest["realised_rate"] == flipped.mean()
    config = load_config(digits_run / "config.yaml")
    assert config.train.epochs == 2 and config.data.num_valid == 30


def test_a_plan_says_what_the_folder_will_take(tmp_path: Path) -> None:
    wide = {"net": NetConfig(net_type="wide")}
    config = tiny_config(data__num_valid=30).model_copy(update=wide)
    (line,) = [one for one in runner.plan_generate(config, tmp_path / "r") if "write about" in one]
    planned, more = (float(one.split(" MB")[0].split()[-1]) for one in line.split("; "))
    runner.generate_td(config, tmp_path / "r")
    taken = sum(path.stat().st_size for path in (tmp_path / "r").rglob("*")) / 1e6
    assert taken == pytest.approx(planned, rel=0.05) and planned > 13, "two files of weights"
    assert more > 19, "weights, momentum and the best weights"


def test_less_weight_decay_for_many_images_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lines(**more: Any) -> str:
        config = load_config(None, {"recipe": "detect", **more})
        return "\n".join(runner.plan_generate(config, tmp_path / "run"))

    assert "weight decay" not in lines()
    monkeypatch.setattr("tdctl.config.train.FULL_UP_TO", 359)
    assert "note: weight decay 0.0006, not 0.002: a network trains on 1,198 images" in lines()
    assert "note: weight decay 0.0012, not 0.002: a network trains on 599 images" in lines(
        **{"train.folds": 2}
    )
    assert "weight decay" not in lines(**{"train.weight_decay": 0.01})


@pytest.mark.parametrize(
    ("more", "values"),
    [
        ({}, 1000 * 7),
        ({"threshold_samples": True}, 2 * 1000 * 8),
        ({"folds": 5}, 4 * 1000 * 7),
    ],
)
def test_what_elr_remembers_counts_in_what_a_run_takes(more: dict[str, Any], values: int) -> None:
    prepared: Any = SimpleNamespace(train=range(1000), dataset=SimpleNamespace(num_classes=7))
    plan: Any = SimpleNamespace(model_bytes=10)

    mode = Plain()
    if "folds" in more:
        mode = Folds(np.arange(1000) % more["folds"], more["folds"])
    elif more:
        mode = ThresholdSamples(7)

    def capture(loss: str) -> int:
        settings = {f"train.{key}": value for key, value in more.items()}
        smooth = {"train.loss": loss, "train.label_smoothing": 0.0}
        return forecast_disk(
            load_config(None, settings | smooth), prepared, plan, mode
        ).capture_bytes

    # float32; each network's memory of the images that it trains on, a pair's of a class more.
    assert capture("elr") - capture("ce") == 4 * values


def test_models_load_strictly_and_give_the_logged_error(digits_run: Path) -> None:
    from tdctl.nets import build_net
    from tdctl.training import Pipeline, evaluate

    config = tiny_config(data__num_valid=30)
    data = open_dataset(config.data)
    net = build_net(config.net, 10, (1, 8, 8), seed=99)
    net.load_state_dict(torch.load(digits_run / "model.pth.last", weights_only=True))
    assert data.test is not None
    pipeline = Pipeline.of(config.train, data, torch.device("cpu"))
    assert (
        evaluate(net, data.test, pipeline).error
        == (read_json(digits_run / "manifest.json")["test_error_last"])
    )


def test_training_and_held_out_indices_are_disjoint_and_complete(digits_run: Path) -> None:
    _, labels, valid = read_run(digits_run)
    data = open_dataset(tiny_config().data)
    assert not set(labels.index) & set(valid)
    assert set(labels.index) | set(valid) == set(data.train.index)
    true = dict(zip(data.train.index, data.train.targets, strict=True))
    assert [true[i] for i in labels.index] == labels.true.tolist()


def test_noise_depends_on_its_own_seed(tmp_path: Path) -> None:
    first = runner.prepare(tiny_config(noise__noise_seed=7)).labels
    second = runner.prepare(tiny_config(noise__noise_seed=7, seed=3)).labels
    third = runner.prepare(tiny_config(noise__noise_seed=8)).labels
    assert (first.assigned == second.assigned).all()
    assert (first.assigned != third.assigned).any()
    full = runner.prepare(tiny_config(noise__noise_seed=7, data__limit=1000)).labels
    assert (full.assigned[: len(first)] == first.assigned).all()


def test_a_users_labels_are_never_corrupted_unasked() -> None:
    prepared = runner.prepare(load_config(None, {"data.limit": 100}))
    assert not prepared.labels.flipped.any()


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    config = tiny_config(train__epochs=6)
    whole = runner.generate_td(config, tmp_path / "whole").folder
    folder = tmp_path / "killed"

    def kill(progress: Progress) -> None:
        if progress.epoch == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    assert result_of(forked(lambda: runner.generate_td(config, folder, report=kill))) is None
    assert (folder / "checkpoint.pth").exists()
    assert read_json(folder / "manifest.json")["status"] == "running"
    with pytest.raises(DynamicsError, match="--resume"):
        read_run(folder)
    with pytest.raises(RunError, match=r"train\.epochs: 6, now 7"):
        runner.generate_td(tiny_config(train__epochs=7), folder, resume=True)
    assert runner.generate_td(config, folder, resume=True).resumed
    names = ("metadata.pth", "model.pth", "model.pth.last", "results_valid.csv", "train_log.csv")
    for name in (*names, "training_dynamics.npz"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name


def test_ctrl_c_leaves_a_run_that_can_be_resumed(tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.generate_td(tiny_config(), tmp_path / "r", report=stop)
    assert read_json(tmp_path / "r" / "manifest.json")["status"] == "interrupted"
    result = runner.generate_td(tiny_config(), tmp_path / "r", resume=True)
    assert result.resumed and result.manifest["status"] == "complete"
    again = runner.generate_td(tiny_config(), tmp_path / "r", resume=True)
    assert again.notes == ("already complete",)


@pytest.mark.parametrize("capture", ["in-loop", "eval-pass"])
@pytest.mark.parametrize("batch_size", [64, 256])
def test_a_diverged_run_says_so_and_leaves_nothing(
    tmp_path: Path, capture: str, batch_size: int
) -> None:
    config = tiny_config(
        train__lr=1e30, train__capture=capture, train__batch_size=batch_size, train__epochs=1
    )
    with pytest.raises((TrainingError, DynamicsError), match=r"epoch 0.* not finite"):
        runner.generate_td(config, tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_labels_that_change_between_start_and_resumption_are_refused(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path / "images")
    names = [f"train/{f.parent.name}/{f.name}" for f in sorted(root.glob("train/*/*"))]
    table = tmp_path / "labels.csv"

    def write(first: str) -> None:
        rows = [f"{n},{first if i == 0 else n.split('/')[1]}" for i, n in enumerate(names)]
        table.write_text("\n".join(["file_name,label", *rows]))

    def stop(progress: Progress) -> None:
        if progress.epoch == 1:
            raise KeyboardInterrupt

    config = tiny_config(
        data__dataset="folder", data__data_dir=str(root), data__limit=None,
        data__labels=str(table), noise__noise_ratio=0.0,
    )  # fmt: skip
    write("dark")
    with pytest.raises(KeyboardInterrupt):
        runner.generate_td(config, tmp_path / "r", report=stop)
    write("light")
    with pytest.raises(DataError, match="given labels, true labels differ"):
        runner.generate_td(config, tmp_path / "r", resume=True)
    write("dark")
    assert runner.generate_td(config, tmp_path / "r", resume=True).resumed


def test_bad_data_leaves_no_folder(tmp_path: Path) -> None:
    config = tiny_config(data__dataset="mnist", data__data_dir=str(tmp_path))
    with pytest.raises(DataError):
        runner.generate_td(config, tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_folder_of_images_is_ranked_by_file_name(tmp_path: Path, detector_file: Path) -> None:
    root = make_image_folder(tmp_path / "images", per_class=20)
    config = tiny_config(
        data__dataset="folder", data__data_dir=str(root), data__limit=None, train__epochs=3
    )
    run = runner.generate_td(config, tmp_path / "run").folder
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    table = runner.detect(run, detector_file).table
    assert sorted(table["rank"]) == list(range(1, 41))
    files = {f"train/{f.parent.name}/{f.name}": f.parent.name for f in root.glob("train/*/*")}
    assert set(table["file_name"]) == set(files)
    for row in table.itertuples():
        assert row.true_label == files[row.file_name]
        assert row.label_flipped == (row.given_label != row.true_label)
    result = runner.denoise(config, run, detector_file, [0.25], out=tmp_path / "out")
    assert result.rows[0].removed == 10
    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert after == before, "the user's images are only read"


def test_planted_errors_rank_worst(tmp_path: Path, detector_file: Path) -> None:
    result = runner.detect(make_run(tmp_path / "r"), detector_file)
    assert result.metrics.auc is not None and result.metrics.auc > 0.99
    assert list(result.table.columns) == [
        "index", "file_name", "given_label", "suggested_label", "suspicion", "rank",
        "true_label", "label_flipped",
    ]  # fmt: skip
    assert result.table["suspicion"].is_monotonic_decreasing
    flips = int(result.labels.flipped.sum())
    assert result.table["label_flipped"][:flips].mean() > 0.9
    suggested = result.table[result.table["label_flipped"]]
    assert (suggested["suggested_label"] == suggested["true_label"]).mean() > 0.9


def test_another_order_of_rows_gives_the_same_suspicion_by_index(
    tmp_path: Path, detector_file: Path
) -> None:
    run = make_run(tmp_path / "r")
    first = runner.detect(run, detector_file).table
    with np.load(run / "training_dynamics.npz") as archive:
        arrays = dict(archive)
    metadata = torch.load(run / "metadata.pth", weights_only=True)
    order = np.random.default_rng(0).permutation(len(arrays["index"]))
    np.savez(run / "training_dynamics.npz", **{k: v[order] for k, v in arrays.items()})
    for key in metadata:
        if key != "valid_indices":
            metadata[key] = metadata[key][torch.from_numpy(order)]
    torch.save(metadata, run / "metadata.pth")
    pd.testing.assert_frame_equal(runner.detect(run, detector_file).table, first)


def test_unknown_truth_still_ranks_and_metrics_are_null(
    tmp_path: Path, detector_file: Path
) -> None:
    run = runner.generate_td(tiny_config(noise__noise_ratio=0.0), tmp_path / "r").folder
    result = runner.detect(run, detector_file)
    assert set(result.metrics.to_dict().values()) == {None}
    assert "true_label" not in result.table and len(result.table) == 150


def test_a_detector_knows_the_runs_it_saw(tmp_path: Path) -> None:
    seen, other = make_run(tmp_path / "a", n=200), make_run(tmp_path / "b", n=200, seed=1)
    config = load_config(None, {"detector.epochs": 3, "detector.restarts": 1})
    files = runner.train_detector(config, [seen], tmp_path / "d").files
    for file in files[:2]:
        assert runner.detect(seen, file).in_sample is True
        assert runner.detect(other, file).in_sample is False
    with pytest.raises(RunError, match="--overwrite"):
        runner.train_detector(config, [seen], tmp_path / "d")
    tuned = runner.train_detector(config, [other], tmp_path / "e", init_from=files[0])
    assert runner.detect(seen, tuned.files[0]).in_sample is True, "the start counts too"


def test_default_folders_are_the_papers() -> None:
    config = load_config(None, {"recipe": "paper", "noise.noise_ratio": 0.2, "seed": 1})
    assert str(runner.default_folder(config, Path("replication"))) == (
        "replication/digits_resnet32_percmislabeled0.2_uniform/computation4td_seed1"
    )


def test_a_kill_between_dynamics_and_manifest_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "r"
    with monkeypatch.context() as patch:
        patch.setattr("tdctl.recorder.finishing.write_metadata", killed)
        with pytest.raises(KeyboardInterrupt):
            runner.generate_td(tiny_config(), folder)
    assert (folder / "training_dynamics.npz").exists()
    assert runner.generate_td(tiny_config(), folder, resume=True).manifest["status"] == "complete"
    assert not (folder / "capture").exists() and not (folder / "checkpoint.pth").exists()
    assert len(read_run(folder)[0]) == 150


def test_a_run_given_twice_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    with pytest.raises(ConfigError, match="given twice"):
        runner.train_detector(tiny_config(), [run, run], tmp_path / "d")


@pytest.mark.parametrize("store", ["given", "topk:3"])
def test_a_run_that_keeps_less_ranks_and_suggests_the_same(
    tmp_path: Path, digits_run: Path, detector_file: Path, store: str
) -> None:
    config = tiny_config(data__num_valid=30, train__store=store)
    run = runner.generate_td(config, tmp_path / "r")
    assert run.manifest["store"] == store
    kept, full = runner.detect(run.folder, detector_file), runner.detect(digits_run, detector_file)
    pd.testing.assert_frame_equal(kept.table, full.table)
    assert kept.fingerprints == full.fingerprints


def test_a_store_that_does_not_fit_the_data_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="topk:10 of 10 classes"):
        runner.generate_td(tiny_config(train__store="topk:10"), tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_disk_that_is_full_at_the_start_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tdctl.slabs.os.posix_fallocate", full)
    with pytest.raises(RunError, match="--store given"):
        runner.generate_td(tiny_config(), tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_two_classes_of_one_name_are_ranked(tmp_path: Path, detector_file: Path) -> None:
    run = make_run(tmp_path / "r")
    names = ["crane", "maillot", "crane", "a", "b"]
    manifest = {"dataset": {"class_names": names}}
    (run / "manifest.json").write_text(json.dumps(manifest))
    table = runner.detect(run, detector_file).table
    _, labels, _ = read_run(run)
    given = dict(zip(labels.index, labels.assigned, strict=True))
    assert table["given_label"].tolist() == [names[given[index]] for index in table["index"]]


def test_the_table_is_the_same_in_a_file(tmp_path: Path, detector_file: Path) -> None:
    run = make_run(tmp_path / "r")
    (run / "samples.csv").write_text(
        "index,file_name\n" + "".join(f"{i},f{i}.png\n" for i in reversed(range(400)))
    )
    result = runner.detect(run, detector_file, out=tmp_path / "t.csv")
    assert (result.table["file_name"] == [f"f{i}.png" for i in result.table["index"]]).all()
    read = pd.read_csv(tmp_path / "t.csv", dtype={"given_label": str, "suggested_label": str})
    assert read["given_label"].tolist() == result.table["given_label"].tolist()
    assert read["file_name"].tolist() == result.table["file_name"].tolist()


def test_names_of_another_run_are_not_shown(tmp_path: Path, detector_file: Path) -> None:
    """Files copied from one run folder into another: no image is shown under a wrong name."""
    run = make_run(tmp_path / "r")
    index = sorted(read_run(run)[1].index.tolist())
    names = [f"f{i}.png" for i in index]
    facts = {
        "dataset": {"class_names": list("abcde")},
        "data_identity": {"file names": digest_of(names)},
    }
    (run / "manifest.json").write_text(json.dumps(facts))

    def written(names: list[str]) -> None:
        table = pd.DataFrame({"index": index[: len(names)], "file_name": names})
        table.to_csv(run / "samples.csv", index=False)

    with pytest.raises(RunError, match=r"samples.csv: no such file, .* put it back"):
        runner.detect(run, detector_file)
    written(names[:-1])
    with pytest.raises(RunError, match=rf"no row of index {index[-1]} \(1 of {len(index)} are not"):
        runner.detect(run, detector_file)
    written(["g.png", *names[1:]])
    with pytest.raises(RunError, match=r"samples.csv: names other files than .*manifest\.json"):
        runner.detect(run, detector_file)
    written(names)
    table = runner.detect(run, detector_file).table
    assert table["file_name"].tolist() == [f"f{i}.png" for i in table["index"]]


def test_a_complete_run_notices_changed_labels(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path / "photos", per_class=8, test=False)
    names = sorted(path.relative_to(root).as_posix() for path in root.glob("*/*"))
    labels = [name.split("/")[0] for name in names]

    def asked() -> Any:
        return tdctl("generate-td", "--data-dir", root, "--labels", tmp_path / "labels.csv",
                     "--epochs", 2, "--out", tmp_path / "run", "--resume")  # fmt: skip

    pd.DataFrame({"file_name": names, "label": labels}).to_csv(tmp_path / "labels.csv", index=False)
    assert tdctl("generate-td", "--data-dir", root, "--labels", tmp_path / "labels.csv",
                 "--epochs", 2, "--out", tmp_path / "run").exit_code == 0  # fmt: skip
    assert "already complete" in asked().stderr
    table = pd.DataFrame({"file_name": names, "label": labels[::-1]})
    table.to_csv(tmp_path / "labels.csv", index=False)
    refused(asked(), "the given labels have changed")
