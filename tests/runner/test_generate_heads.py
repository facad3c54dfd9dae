"""Embeddings from the file to the ranking, and what heads on them do not have."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tdctl.dynamics import read_run
from tdctl.files import read_json
from tests.conftest import refused, tdctl
from tests.vectors_made import cloud, write_table

MADE = cloud(n=240)


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    folder = tmp_path_factory.mktemp("embeddings")
    np.save(folder / "a.npy", MADE.values)
    table = write_table(folder / "labels.csv", MADE)
    return [
        "--dataset", "embeddings", "--data-dir", folder / "a.npy", "--labels", table,
        "--true-column", "true", "--device", "cpu", "--epochs", 12,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def run(flags: list[object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    done = tdctl("generate-td", *flags, "--out", out)
    assert done.exit_code == 0, done.output
    return out


def test_planted_errors_are_ranked_first_and_the_ranking_says_by_what(
    run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "ranking.csv"
    done = tdctl("detect", "--td", run, "--out", out, "--cut", "auto")
    assert done.exit_code == 0, done.output
    assert "is ranked by builtin and oof-self-confidence" in done.stderr
    facts = json.loads(out.with_suffix(".json").read_text())
    assert facts["metrics"]["ap"] > 0.99
    assert set(facts["ranked_by"].values()) == {"builtin and oof-self-confidence"}


@pytest.mark.parametrize("score", ["knn", "centre", "oof-aum", "loss-mean"])
def test_scores_of_features_and_curves_rank_too(run: Path, tmp_path: Path, score: str) -> None:
    out = tmp_path / "ranking.csv"
    assert tdctl("detect", "--td", run, "--score", score, "--out", out).exit_code == 0
    assert json.loads(out.with_suffix(".json").read_text())["metrics"]["ap"] > 0.95


def test_every_sample_is_judged_by_a_head_that_has_not_seen_its_label(run: Path) -> None:
    dynamics, labels, _ = read_run(run)
    assert dynamics.heldout is not None and dynamics.on_features
    assert dynamics.td.shape == dynamics.heldout.td.shape == (240, 12, 4)
    assert np.array_equal(labels.assigned, MADE.given)
    log = (run / "train_log.csv").read_text().splitlines()
    assert log[0].endswith("heldout_error,heldout_loss") and len(log) == 13


def test_the_other_commands_read_it(run: Path, tmp_path: Path) -> None:
    page = tdctl("report", "--td", run, "--out", tmp_path / "page.html")
    assert page.exit_code == 0 and "cards have no pictures" in page.output
    assert tdctl("show", run).exit_code == 0
    table = tmp_path / "clean.csv"
    asked = ("clean", "--td", run, "--remove-ratio", 0.05, "--action", "drop", "--out", table)
    assert tdctl(*asked).exit_code == 0
    out = tmp_path / "denoised"
    asked = ("denoise", "--td", run, "--remove-ratio", 0.05, "--epochs", 2, "--out", out)
    done = tdctl(*asked)
    assert done.exit_code == 0, done.output


def test_a_store_of_few_classes_ranks_alike(flags: list[object], tmp_path: Path) -> None:
    out, ranking = tmp_path / "run", tmp_path / "ranking.csv"
    done = tdctl("generate-td", *flags, "--store", "few:1", "--out", out)
    assert done.exit_code == 0, done.output
    assert read_run(out)[0].td.shape == (240, 12, 1)
    done = tdctl("detect", "--td", out, "--out", ranking, "--cut", "auto")
    assert done.exit_code == 0, done.output
    assert json.loads(ranking.with_suffix(".json").read_text())["metrics"]["ap"] > 0.99


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--folds", 0), "--folds"),
        (("--capture", "eval-pass"), "--capture in-loop"),
        (("--loss", "sce"), "--loss ce and gce"),
        (("--num-valid", 10), "--num-valid"),
        (("--augment",), "--no-augment"),
        (("--threshold-samples", "--folds", 0), "--folds"),
        (("--net-type", "resnet50"), "leave out --net-type"),
        (("--no-flip",), "train.flip: vectors are not mirrored; leave out --flip and --no-flip"),
        (("--set", "train.cutout=4"), "cutout: goes with --augment"),
        (("--set", "train.crop_padding=4"), "crop"),
        (("--recipe", "finetune"), "'finetune' trains a network on images"),
        (("--image-size", 32), "--image-size"),
        (("--test-share", 0.1), "--test-share"),
        (("--store", "topk:9"), "full"),
    ],
)
def test_settings_without_effect_are_refused(
    flags: list[object], tmp_path: Path, more: tuple[object, ...], says: str
) -> None:
    done = tdctl("generate-td", *flags, *more, "--out", tmp_path / "run")
    refused(done, says)
    assert not (tmp_path / "run").exists()


def test_instance_noise_is_of_images(flags: list[object], tmp_path: Path) -> None:
    at = flags.index("--true-column")
    without = flags[:at] + flags[at + 2 :]
    noise = ("--noise-type", "instance", "--noise-ratio", 0.1)
    refused(
        tdctl("generate-td", *without, *noise, "--out", tmp_path / "run"), "another --noise-type"
    )


def test_a_damaged_file_of_feature_scores_is_refused(run: Path, tmp_path: Path) -> None:
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(run, broken)
    (broken / "feature_scores.npz").write_bytes(b"no archive")
    refused(tdctl("detect", "--td", broken, "--out", tmp_path / "r.csv"), "feature_scores.npz")


def test_vectors_of_which_all_heads_are_sure_are_ranked_all_the_same(tmp_path: Path) -> None:
    given = np.arange(90) % 3
    noise = np.random.default_rng(0).normal(0, 0.1, (90, 8))
    np.save(tmp_path / "a.npy", (np.eye(8)[given] + noise).astype(np.float32))
    rows = "".join(f"{row},c{label}\n" for row, label in enumerate(given))
    (tmp_path / "l.csv").write_text("index,label\n" + rows)
    flags = ["--dataset", "embeddings", "--data-dir", tmp_path / "a.npy"]
    flags += ["--labels", tmp_path / "l.csv", "--device", "cpu", "--out", tmp_path / "run"]
    assert tdctl("generate-td", *flags).exit_code == 0
    dynamics, _, _ = read_run(tmp_path / "run")
    assert dynamics.heldout is not None
    assert np.ptp(dynamics.heldout.td[:, -1, 0]) == 0, "the score alone has nothing to rank by"
    done = tdctl("detect", "--td", tmp_path / "run", "--out", tmp_path / "r.csv", "--cut", "auto")
    assert done.exit_code == 0, done.output


def test_a_complete_run_notices_that_vectors_or_labels_have_changed(
    flags: list[object], run: Path, tmp_path: Path
) -> None:
    again = ("generate-td", *flags, "--out", run, "--resume")
    assert "already complete" in tdctl(*again).output
    place = flags.index("--data-dir") + 1
    file = Path(str(flags[place]))
    table = file.with_name("labels.csv")
    values, text = file.read_bytes(), table.read_text()
    try:
        np.save(file, MADE.values[::-1])
        refused(tdctl(*again), "not the data that", "vectors differ")
        file.unlink()
        gone = tdctl(*again)
        assert gone.exit_code == 0 and "is no longer there, so it is not compared" in gone.output
        file.write_bytes(values)
        table.write_text(text.replace("\n0,c1,", "\n0,c2,"))
        refused(tdctl(*again), "given labels")
    finally:
        file.write_bytes(values)
        table.write_text(text)


def test_heads_predict_what_the_data_set_holds_out(tmp_path: Path) -> None:
    """A test set, and images that are held out for validation, are predicted and not ranked."""
    from torchvision import models

    from tests.conftest import make_image_folder

    torch.manual_seed(0)
    net = "shufflenet_v2_x0_5"
    torch.save(getattr(models, net)(num_classes=7).state_dict(), tmp_path / "net.pth")
    root = make_image_folder(tmp_path / "photos", per_class=20)
    flags = [
        "--data-dir", root, "--recipe", "features", "--net-type", net, "--epochs", 6,
        "--pretrained", tmp_path / "net.pth", "--image-size", 32, "--device", "cpu",
        "--cache-dir", tmp_path / "cache", "--quiet",
    ]  # fmt: skip
    out = tmp_path / "run"
    done = tdctl("generate-td", *flags, "--out", out)
    assert done.exit_code == 0 and "test error" in done.stdout, done.output
    manifest = read_json(out / "manifest.json")
    log = pd.read_csv(out / "train_log.csv")
    results = pd.read_csv(out / "results_valid.csv")
    wrong = (results["Prediction"] != results["Label"]).mean()
    assert manifest["test_error_last"] == pytest.approx(wrong)
    assert log["test_error"].iloc[-1] == pytest.approx(wrong) and log["test_error"].notna().all()
    assert log["valid_loss"].iloc[-1] == pytest.approx(results["Loss"].mean(), rel=1e-4)
    state = torch.load(out / "model.pth", weights_only=True)
    assert state["weight"].shape == (5, 2, 1024)
    # Again with some training images in val/: no rank, and their error is the validation error.
    for name in ("dark", "light"):
        (root / "val" / name).mkdir(parents=True)
        for path in sorted((root / "train" / name).iterdir())[:4]:
            path.rename(root / "val" / name / path.name)
    done = tdctl("generate-td", *flags, "--out", tmp_path / "two")
    assert done.exit_code == 0, done.output
    assert len(read_run(tmp_path / "two")[0]) == 32
    assert len(pd.read_csv(tmp_path / "two" / "results_valid.csv")) == 8
    manifest = read_json(tmp_path / "two" / "manifest.json")
    assert manifest["dataset"]["valid"] == 8 and manifest["test_error_last"] is not None
    log = pd.read_csv(tmp_path / "two" / "train_log.csv")
    assert log["valid_error"].notna().all() and log["test_error"].notna().sum() == 1


def test_the_heads_together_have_their_mean_softmax() -> None:
    from tdctl.features.heads import MeanHead
    from tdctl.features.transform import Transform

    torch.manual_seed(0)
    weight, bias, x = torch.randn(3, 8), torch.randn(8), torch.randn(5, 3)
    head = MeanHead(Transform(torch.zeros(3), torch.eye(3), 1.0), weight, bias, 2)
    unit = x / x.norm(dim=1, keepdim=True)
    each = (unit @ weight + bias).view(5, 2, 4).softmax(dim=2)
    assert torch.allclose(head(x).exp(), each.mean(dim=1), atol=1e-6)
