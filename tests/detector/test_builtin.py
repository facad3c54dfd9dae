from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import (
    hand_made_detector,
    make_published_run,
    make_run,
    planted_labels,
    random_detector,
    refused,
    tdctl,
)

from tdctl import runner
from tdctl.detector import (
    Detector,
    load_detector,
    save_detector,
    shipped_detectors,
)
from tdctl.detector import builtin as place
from tdctl.detector.channels import SETS
from tdctl.dynamics import read_run, write_td
from tdctl.errors import ConfigError, DetectorError, DynamicsError, RunError
from tdctl.files import write_json
from tdctl.labels import Labels
from tdctl.metadata import write_metadata
from tdctl.settings import load_config


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of what ships, empty."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setattr(place, "WEIGHTS", folder)
    return folder


def trained_on(*folders: Path, out: Path, about: str = "", **settings: Any) -> None:
    fast = {"detector.epochs": 3, "detector.restarts": 1, "detector.batch_size": 64}
    chosen = {f"detector.{key}": value for key, value in settings.items()}
    runner.train_detector(load_config(None, fast | chosen), list(folders), out, about=about)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two detectors, and the run that they were trained on."""
    root = tmp_path_factory.mktemp("trained")
    run = make_run(root / "seen", n=300)
    trained_on(run, out=root / "weights" / "builtin", detector_net="tcn")
    trained_on(run, out=root / "weights" / "paper", about="one run of plants")
    return root


@pytest.fixture
def filled(trained: Path, tmp_path: Path, weights: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path, dirs_exist_ok=True) / "weights")


def test_what_lies_in_the_package_is_whole_small_and_can_be_loaded() -> None:
    every = shipped_detectors()
    assert {shipped.name for shipped in every} >= {"builtin", "builtin:paper"}
    for shipped in every:
        detector = load_detector(Path(shipped.name))
        assert shipped.size < 1_000_000 and detector.card is not None
        assert detector.card.trained_on and detector.card.held_out["samples"] >= 300


def test_without_weights_the_default_says_so(tmp_path: Path, weights: Path) -> None:
    run = make_run(tmp_path / "r")
    says = "detector builtin: this installation of tdctl holds no detectors; train one"
    refused(tdctl("detect", "--td", run), says)
    refused(tdctl("denoise", "--td", run, "--remove-ratio", 0.1, "--dataset", "digits"), says)
    assert "holds no detectors" in tdctl("detectors").stdout
    assert json.loads(tdctl("detectors", "--json").stdout) == []


def test_the_shipped_detector_ranks_any_run(tmp_path: Path, filled: Path) -> None:
    run, out = make_run(tmp_path / "r", n=200, epochs=40, seed=5), tmp_path / "ranking.csv"
    result = tdctl("detect", "--td", run, "--detector", "builtin", "--out", out, "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["detector"] == "builtin" and content["in_sample"] is False
    assert content["metrics"]["ap"] > 0.9
    table = pd.read_csv(out).set_index("index").sort_index()
    expected = load_detector(Path("builtin")).score(read_run(run)[0])
    assert table["suspicion"].to_numpy() == pytest.approx(expected, abs=1e-9)
    chosen = json.loads(tdctl("detect", "--td", run, "--json").stdout)
    assert chosen["detector"] == "auto" and chosen["in_sample"] is False
    assert chosen["metrics"]["ap"] > 0.9
    papers = tdctl("detect", "--td", run, "--detector", "builtin:paper", "--json")
    assert json.loads(papers.stdout)["detector"] == "builtin:paper"
    seen = tdctl("detect", "--td", tmp_path / "seen", "--json")
    assert json.loads(seen.stdout)["in_sample"] is True


def test_a_published_run_needs_no_logits(tmp_path: Path, filled: Path) -> None:
    run = make_published_run(tmp_path / "r", planted_labels(150, 5, seed=3), seed=3)
    content = json.loads(tdctl("detect", "--td", run, "--json").stdout)
    assert content["metrics"]["ap"] > 0.9


def test_unknown_truth_gives_a_ranking_and_null_metrics(tmp_path: Path, filled: Path) -> None:
    run = make_run(tmp_path / "r", n=60)
    _, labels, valid = read_run(run)
    unknown = Labels(labels.index, labels.assigned, labels.assigned)
    write_metadata(run / "metadata.pth", unknown, valid)
    content = json.loads(tdctl("detect", "--td", run, "--json", "--top", 60).stdout)
    assert set(content["metrics"].values()) == {None} and len(content["worst"]) == 60


def test_denoise_by_the_default(digits_run: Path, tmp_path: Path, filled: Path) -> None:
    for name, folder in (
        ("auto", "detector_auto"),
        ("builtin", "detector_builtin"),
        ("builtin:paper", "detector_builtin_paper"),
    ):
        result = tdctl(
            "denoise", "--td", digits_run, "--remove-ratio", 0.1, "--dry-run", "--json",
            "--out", tmp_path, *(["--detector", name] if name != "auto" else []),
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        content = json.loads(result.stdout)
        assert content["detector"] == name
        assert content["rows"][0]["folder"] == str(tmp_path / folder / "percremove0.1")


def test_the_list_tells_what_each_was_trained_on(filled: Path) -> None:
    found = json.loads(tdctl("detectors", "--json").stdout)
    assert [one["name"] for one in found] == ["builtin", "builtin:paper"]
    assert found[0]["card"]["trained_on"][0]["samples"] == 300
    assert found[0]["card"]["reader"]["net"] == "tcn"
    shown = tdctl("detectors").stdout
    assert (
        "builtin:paper" in shown
        and "lstm" in shown
        and "1 run, 300 curves" in shown
        and "of its rows" in shown
    )
    assert "builtin:paper: one run of plants" in shown and "builtin: " not in shown
    assert "Example: tdctl detectors" in tdctl("detectors", "--help").stdout


def test_an_unknown_name_lists_what_there_is(tmp_path: Path, filled: Path) -> None:
    run = make_run(tmp_path / "r")
    result = tdctl("detect", "--td", run, "--detector", "builtin:nonsense")
    refused(result, "builtin:nonsense: there is none; use builtin, builtin:paper, or a file")


@pytest.mark.parametrize("damage", ["{", "[]", "{}"])
def test_a_damaged_card_is_an_error(filled: Path, damage: str) -> None:
    (filled / "builtin.json").write_text(damage)
    refused(tdctl("detectors"), "builtin.json: missing or damaged")
    (filled / "builtin.json").unlink()
    with pytest.raises(DetectorError, match="install tdctl again"):
        load_detector(Path("builtin"))


def test_fine_tuning_starts_from_what_ships(tmp_path: Path, filled: Path) -> None:
    run = make_run(tmp_path / "r", seed=4)
    command = ("train-detector", "--td", run, "--init-from", "builtin", "--epochs", 1, "--quiet")
    out = tmp_path / "tuned"
    same = "the same with --detector-net tcn --channels most --steps 30"
    refused(tdctl(*command, "--out", out), "builtin is another network", same)
    result = tdctl(*command, "--out", out, "--detector-net", "tcn", "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert [run["samples"] for run in content["trained_on"]] == [300, 120]
    assert content["settings"]["init_from"] == "builtin"


def test_a_detector_of_many_channels_by_the_command_line(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "a", epochs=9), make_run(tmp_path / "b", epochs=15, seed=1)]
    command = ["train-detector", "--td", runs[0], "--td", runs[1], "--detector-net", "gru"]
    command += ["--channels", "ranks", "--epochs", 1, "--restarts", 1, "--width", 20, "--quiet"]
    refused(tdctl(*command, "--out", tmp_path / "d.pth.tar"), "published layout", "d.safetensors")
    plan = tdctl(*command, "--out", tmp_path / "d", "--dry-run")
    assert plan.exit_code == 0 and not (tmp_path / "d.json").exists()
    result = tdctl(*command, "--out", tmp_path / "d")
    assert result.exit_code == 0, result.output
    assert "d.safetensors" in result.stdout and not (tmp_path / "d.pth.tar").exists()
    card = json.loads((tmp_path / "d.json").read_text())
    reader = {"net": "gru", "channels": list(SETS["ranks"]), "steps": 30, "width": 20}
    assert card["reader"] == reader and load_detector(tmp_path / "d.safetensors").reader.width == 20
    assert [run["epochs"] for run in card["trained_on"]] == [9, 15]
    assert card["held_out"]["by"] == "run" and card["held_out"]["samples"] == 120
    refused(tdctl(*command, "--out", tmp_path / "d"), "--overwrite")
    refused(tdctl(*command, "--out", tmp_path / "e", "--channels", "smell"), "'smell' is unknown")


def flat_run(folder: Path, epochs: int, one_class: bool) -> Path:
    folder.mkdir()
    labels = planted_labels(30, 3)
    if one_class:
        labels = Labels(labels.index, labels.true * 0, labels.true)
    dynamics = read_run(make_run(folder / "whole", n=30, classes=3, epochs=12))[0]
    probs = dynamics.td[:].transpose(1, 0, 2)[:epochs]
    write_td(folder / "training_dynamics.npz", probs, dynamics.margin[:].T[:epochs], labels)
    write_metadata(folder / "metadata.pth", labels, read_run(folder / "whole")[2])
    return folder


@pytest.mark.parametrize(
    ("which", "epochs", "one_class", "says"),
    [
        ("many", 1, False, "the run has one epoch"),
        ("many", 5, True, "all given labels are the same"),
        ("paper", 5, True, "all given labels are the same"),
    ],
)
def test_runs_that_no_detector_can_read(
    tmp_path: Path, which: str, epochs: int, one_class: bool, says: str
) -> None:
    run = flat_run(tmp_path / "r", epochs, one_class)
    if which == "many":
        file = random_detector(tmp_path / "d", "most")
    else:
        file = save_detector(tmp_path / "d", Detector(hand_made_detector()))[0]
    refused(tdctl("detect", "--td", run, "--detector", file), str(run), says)
    net = ["--detector-net", "gru"] if which == "many" else []
    command = tdctl("train-detector", "--td", run, "--out", tmp_path / "x", "--quiet", *net)
    refused(command, str(run), says)


def test_the_papers_network_ranks_a_single_epoch(tmp_path: Path) -> None:
    run = flat_run(tmp_path / "r", 1, one_class=False)
    file = save_detector(tmp_path / "d", Detector(hand_made_detector()))[0]
    suspicion = runner.detect(run, file).ranking.suspicion
    given = read_run(run)[0].given_curve()[:, 0]
    assert (np.argsort(suspicion) == np.argsort(-given)).all()


def test_a_store_that_lacks_a_channel_is_said_to(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    dynamics, labels, valid = read_run(run)
    whole = dynamics.td[:].transpose(1, 0, 2)
    given_only = whole[:, :, :1]
    folder = tmp_path / "bare"
    folder.mkdir()
    np.savez(
        folder / "training_dynamics.npz",
        td=given_only.transpose(1, 0, 2),
        labels=labels.assigned[:, None],
        other=dynamics.td[:, :, 1:2],
        other_class=np.broadcast_to(dynamics.labels[:, None, 1:2], (120, 12, 1)),
        mean=dynamics.td[:].mean(axis=1)[:, :2],
        mean_class=dynamics.labels[:, :2],
    )
    write_metadata(folder / "metadata.pth", labels, valid)
    assert runner.detect(folder, random_detector(tmp_path / "m", "most")).metrics.auc is not None
    with pytest.raises(DynamicsError, match="bare: the detector's channel suggests-other needs"):
        runner.detect(folder, random_detector(tmp_path / "a", "all"))


def test_a_run_of_one_sample_is_ranked(tmp_path: Path, filled: Path) -> None:
    result = tdctl("detect", "--td", make_run(tmp_path / "one", n=1, classes=2), "--json")
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)["worst"]) == 1


def test_a_detector_is_not_judged_by_what_its_start_has_seen(tmp_path: Path) -> None:
    seen, other = make_run(tmp_path / "seen"), make_run(tmp_path / "other", seed=1)
    trained_on(seen, out=tmp_path / "start")
    fast = load_config(None, {"detector.epochs": 1})
    start = tmp_path / "start.safetensors"
    for runs in ([other, seen], [seen]):
        with pytest.raises(ConfigError, match=r"was trained on .*seen, which would judge it"):
            runner.train_detector(fast, runs, tmp_path / "d", init_from=start)
        with pytest.raises(ConfigError, match="which would judge it"):
            runner.plan_detector(fast, runs, tmp_path / "d", init_from=start)
    card = runner.train_detector(fast, [seen, other], tmp_path / "d", init_from=start).card
    assert [run["run"].split("/")[-1] for run in card.trained_on] == ["seen", "other"]


def test_the_card_names_all_that_show_the_images_it_was_judged_on(tmp_path: Path) -> None:
    runs = {name: make_run(tmp_path / name, seed=seed) for seed, name in enumerate("abcd")}
    for name, images in {"a": "one", "b": "two", "c": "one"}.items():
        write_json(runs[name] / "manifest.json", {"data_fingerprint": images})
    fast = load_config(None, {"detector.epochs": 1})

    def held_out(*names: str, start: str | None = None) -> dict[str, Any]:
        out = tmp_path / f"of_{''.join(names)}"
        init_from = None if start is None else tmp_path / f"of_{start}.safetensors"
        folders = [runs[name] for name in names]
        found = runner.train_detector(fast, folders, out, init_from=init_from).card.held_out
        return {
            key: [Path(run).name for run in value] if isinstance(value, list) else value
            for key, value in found.items()
            if key in {"by", "same_images_as", "maybe_same_images_as"}
        }

    assert held_out("a") == {"by": "row"}
    assert held_out("a", "b", "c") == {"by": "run", "same_images_as": ["a"]}
    assert held_out("b", "c", start="a") == {"by": "run", "same_images_as": ["a"]}
    unsaid = {"same_images_as": [], "maybe_same_images_as": ["a"]}
    assert held_out("d", start="a") == {"by": "row", **unsaid}


def test_a_name_stands_for_one_detector(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r")
    trained_on(run, out=tmp_path / "d")
    for left in ("d.pth.tar", "d.json"):
        with pytest.raises(RunError, match="exists already"):
            trained_on(run, out=tmp_path / "d", detector_net="gru")
        (tmp_path / left).rename(tmp_path / f"kept_{left}")
    (tmp_path / "kept_d.pth.tar").rename(tmp_path / "d.pth.tar")
    gru = load_config(None, {"detector.epochs": 1, "detector.detector_net": "gru"})
    runner.train_detector(gru, [run], tmp_path / "d", overwrite=True)
    assert not (tmp_path / "d.pth.tar").exists()


def test_the_card_of_another_detector_of_the_papers_is_refused(tmp_path: Path) -> None:
    one, other = make_run(tmp_path / "a"), make_run(tmp_path / "b", seed=1)
    trained_on(one, out=tmp_path / "one")
    trained_on(other, out=tmp_path / "other")
    (tmp_path / "other.json").replace(tmp_path / "one.json")
    with pytest.raises(DetectorError, match="are not those that its card describes"):
        load_detector(tmp_path / "one.safetensors")


def test_curves_of_a_loss_that_it_has_not_seen_are_said_to_be_strange(tmp_path: Path) -> None:
    for loss, strange in (("gce", True), ("ce", False)):
        run = make_run(tmp_path / loss)
        settings = {"train.loss": loss, "train.label_smoothing": 0.0}
        (run / "config.yaml").write_text(load_config(None, settings).to_yaml())
        told = tdctl("detect", "--td", run, "--detector", "builtin", "--top", 0).stderr
        assert (f"{loss} was recorded with --loss {loss}, on whose curves" in told) is strange
        assert "note" not in tdctl("detect", "--td", run, "--score", "aum", "--top", 0).stderr
    (run / "config.yaml").write_text("damaged: [")
    assert tdctl("detect", "--td", run, "--top", 0).exit_code == 0
