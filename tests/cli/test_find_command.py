"""One command from a folder to the labels to look at."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from conftest import make_image_folder, refused, tdctl
from PIL import Image

from tdctl.cli.find_command import seconds_of
from tdctl.errors import ConfigError
from tdctl.files import read_json
from tdctl.finding.forecast import Forecast
from tdctl.run import read_config
from tdctl.training.progress import Progress, Teller

# Few epochs: the tests are of the way, not of the ranking.
FAST = ("--epochs", 3, "--folds", 2, "--quiet")


@pytest.fixture(scope="module", autouse=True)
def _timed_once() -> Iterator[None]:
    """The steps of one network on images of one shape are timed once in this module."""
    forecast = importlib.import_module("tdctl.finding.forecast")
    timed, measured = forecast._seconds_an_image, dict[object, float]()

    def seconds(config: Any, dataset: Any, images: Any, *others: Any) -> float:
        key = config.net, images.shape, len(images)
        if key not in measured:
            measured[key] = timed(config, dataset, images, *others)
        return measured[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forecast, "_seconds_an_image", seconds)
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes without a test set; pictures of different sizes, two in the wrong class."""
    root = make_image_folder(tmp_path_factory.mktemp("data") / "photos", per_class=24, test=False)
    for number, path in enumerate(sorted(root.glob("*/*.png"))[:6]):
        Image.open(path).resize((20 + number, 30)).save(path)
    for path in sorted((root / "dark").iterdir())[:2]:
        path.rename(root / "light" / f"moved_{path.name}")
    return root


@pytest.fixture(scope="module")
def done(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    out = tmp_path_factory.mktemp("found") / "out"
    return out, tdctl("find", photos, "--out", out, *FAST)


def test_it_records_ranks_and_ends_with_three_lines(
    photos: Path, done: tuple[Path, Result]
) -> None:
    out, result = done
    assert result.exit_code == 0, result.output
    heads = [line[:10].strip() for line in result.stdout.splitlines()]
    assert heads == ["found", "look at", "next"]
    assert f"look at    {out / 'report.html'}, {out / 'ranking.csv'}" in result.stdout
    assert f"then: tdctl apply-review --td {out / 'run'} review.csv --out" in result.stdout
    assert "<!doctype html>" in (out / "report.html").read_text(encoding="utf-8")[:200].lower()
    table = pd.read_csv(out / "ranking.csv")
    assert len(table) == 48, "no image is held out"
    assert set(table["file_name"]) == {p.relative_to(photos).as_posix() for p in photos.glob("*/*")}
    content = json.loads((out / "ranking.json").read_text())
    assert content["samples"]["index"] == table["index"].tolist()
    config = read_config(out / "run")
    assert config.recipe == "detect" and config.net.net_type == "wide"
    assert config.data.test_share == 0 and config.data.image_size == 32
    assert config.train.epochs == 3 and config.train.flip is None


def test_what_it_will_do_is_said_before(done: tuple[Path, Result]) -> None:
    _, result = done
    said = {line[:10].strip(): line[11:] for line in result.stderr.splitlines()}
    assert "48 images in 2 classes" in said["data"]
    assert "for 3 epochs on them at 32 by 32 pixels, rank every image" in said["will do"]
    assert "on this machine (cpu, " in said["time"] and "an epoch" in said["time"]
    assert "epochs" not in said["because"], "these the user set"


def test_the_same_command_again_ends_at_once(photos: Path, done: tuple[Path, Result]) -> None:
    out, first = done
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    again = tdctl("find", photos, "--out", out, *FAST)
    assert again.exit_code == 0 and again.stdout == first.stdout
    assert "is finished already" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    content = json.loads(tdctl("find", photos, "--out", out, "--json", *FAST).stdout)
    assert content["again"] is True and content["samples"] == 48


def test_other_settings_of_a_finished_folder_are_refused(
    photos: Path, done: tuple[Path, Result]
) -> None:
    out, _ = done
    refused(tdctl("find", photos, "--out", out, "--epochs", 4, "--quiet"), "train.epochs: 3, now 4")
    refused(
        tdctl("find", photos, "--out", out, "--score", "p-mean", *FAST),
        "is ranked by auto, and p-mean is asked for", "give another --out",
    )  # fmt: skip


def test_what_was_stopped_goes_on(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    class Stopped:
        def __enter__(self) -> Any:
            def report(progress: Progress) -> None:
                if progress.epoch == 2:
                    raise KeyboardInterrupt

            return report

        def __exit__(self, *error: object) -> None:
            pass

    with monkeypatch.context() as patch:
        patch.setattr(
            importlib.import_module("tdctl.cli.find_command"),
            "shown_progress",
            lambda quiet: Stopped(),
        )
        stopped = tdctl("find", photos, "--out", out, *FAST)
    assert stopped.exit_code == 130 and "the same command goes on" in stopped.stderr
    assert read_json(out / "run" / "manifest.json")["status"] == "interrupted"
    assert not (out / "ranking.csv").exists()
    again = tdctl("find", photos, "--out", out, *FAST)
    assert again.exit_code == 0 and "was begun already" in again.stderr, again.output
    assert read_json(out / "run" / "manifest.json")["epochs"] == 3
    assert len(pd.read_csv(out / "ranking.csv")) == 48


def test_files_that_are_lost_are_made_again(
    photos: Path, done: tuple[Path, Result], tmp_path: Path
) -> None:
    out = Path(shutil.copytree(done[0], tmp_path / "out"))
    text = (out / "ranking.csv").read_bytes()
    (out / "ranking.csv").unlink()
    assert tdctl("find", photos, "--out", out, *FAST).exit_code == 0
    assert (out / "ranking.csv").read_bytes() == text


def test_a_dry_run_writes_nothing(photos: Path, tmp_path: Path) -> None:
    result = tdctl("find", photos, "--out", tmp_path / "out", "--dry-run", "--json")
    plan = json.loads(result.stdout)
    assert plan["epochs"] == 20 and plan["image_size"] == 32 and plan["seconds"] > 0
    assert plan["data"]["images"] == 48 and not (tmp_path / "out").exists()


def test_a_time_fits_the_epochs(photos: Path, tmp_path: Path) -> None:
    asked = ["find", photos, "--out", tmp_path / "out", "--dry-run", "--json"]
    assert json.loads(tdctl(*asked, "--time", "10m").stdout)["epochs"] == 20
    refused(tdctl(*asked, "--time", "1s"), "is too short: 5 epochs", "give --time")
    refused(tdctl(*asked, "--time", "10m", "--epochs", 3), "leave out one of them")
    refused(tdctl(*asked, "--time", "soon"), "'soon' is no time; expected such as 10m")


def test_few_images_are_judged_by_networks_that_have_not_seen_them(
    photos: Path, done: tuple[Path, Result], tmp_path: Path
) -> None:
    asked = ["find", photos, "--out", tmp_path / "out", "--dry-run"]
    result = tdctl(*asked, "--json")
    assert "10 networks (wide), each without one of 10 parts, for 20 epochs" in result.stderr
    assert "because    folds 10: a network memorises so few images" in result.stderr
    seconds = json.loads(result.stdout)["seconds"]
    for named in (("--folds", 0), ("--store", "given"), ("--threshold-samples",)):
        plain = tdctl(*asked, *named)
        assert "a network (wide) for 20 epochs" in plain.stderr and "folds" not in plain.stderr
    alone = json.loads(tdctl(*asked, "--folds", 0, "--json").stdout)
    assert alone["folds"] == 0 and alone["seconds"] < seconds, "nine times as many passes"
    out, _ = done
    estimate = json.loads((out / "ranking.json").read_text())["estimates"]["combined"]
    assert estimate["method"] == "heldout"


def test_a_short_time_leaves_out_the_folds_first(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forecast(config: Any, *_: Any) -> Forecast:
        networks = max(1, config.train.folds - 1)
        return Forecast(0.0, 1.0 * networks, 1.0, 1, "cpu")

    module = importlib.import_module("tdctl.runner.plan_find")
    monkeypatch.setattr(module, "forecast_training", forecast)
    asked = ["find", photos, "--out", tmp_path / "out", "--dry-run", "--json"]
    plans = {time: tdctl(*asked, "--time", time) for time in ("185s", "95s", "85s", "15s")}
    found = {time: json.loads(plan.stdout) for time, plan in plans.items()}
    assert [(one["folds"], one["epochs"]) for one in found.values()] == [
        (10, 20), (10, 10), (0, 20), (0, 14),
    ]  # fmt: skip
    assert "because    folds 0: more networks than one take too long" in plans["15s"].stderr
    assert "folds 10" not in plans["15s"].stderr


def test_a_time_gives_many_images_more_epochs(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.import_module("tdctl.finding.choices"), "MANY_IMAGES", 40)
    module = importlib.import_module("tdctl.runner.plan_find")
    monkeypatch.setattr(module, "forecast_training", lambda *_: Forecast(0, 1, 1, 1, "cpu"))
    asked = ["find", photos, "--out", tmp_path / "out", "--folds", 0, "--dry-run", "--json"]
    plans = [tdctl(*asked, *time) for time in ((), ("--time", "1h"), ("--time", "31s"))]
    assert [json.loads(plan.stdout)["epochs"] for plan in plans] == [20, 40, 30]
    assert "because    epochs 40: find plans no more for 48 images" in plans[1].stderr


@pytest.mark.parametrize(
    ("net", "sizes"),
    [("timm:test_resnet.r160_in1k", [160, 128, 96]), ("timm:test_vit.r160_in1k", [160, 160, 160])],
)
def test_a_short_time_makes_the_images_of_a_pretrained_network_smaller(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, net: str, sizes: list[int]
) -> None:
    def forecast(config: Any, *_: Any) -> Forecast:
        return Forecast(0.0, (config.data.image_size / 16) ** 2, 0.0, 1, "cpu")

    module = importlib.import_module("tdctl.runner.plan_find")
    monkeypatch.setattr(module, "forecast_training", forecast)
    asked = [
        "find", photos, "--net-type", net, "--pretrained", tmp_path / "net.pth",
        "--out", tmp_path / "out", "--dry-run", "--json",
    ]  # fmt: skip
    times = ("1000s", "990s", "500s")
    plans = [json.loads(tdctl(*asked, "--time", time).stdout) for time in times]
    assert [plan["image_size"] for plan in plans] == sizes


def test_a_size_that_a_pretrained_network_does_not_take_is_passed_over(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forecast(config: Any, *_: Any) -> Forecast:
        if config.data.image_size in (128, 96):
            raise ConfigError("net.net_type: it does not take images of this size")
        return Forecast(0.0, (config.data.image_size / 16) ** 2, 0.0, 1, "cpu")

    module = importlib.import_module("tdctl.runner.plan_find")
    monkeypatch.setattr(module, "forecast_training", forecast)
    asked = [
        "find", photos, "--net-type", "timm:test_resnet.r160_in1k", "--pretrained",
        tmp_path / "net.pth", "--out", tmp_path / "out", "--dry-run", "--json", "--time",
    ]  # fmt: skip
    found = json.loads(tdctl(*asked, "500s").stdout)
    assert (found["image_size"], found["epochs"]) == (64, 10)
    assert found["reasons"][-1].startswith("image size 64: larger ones")


def test_a_short_time_leaves_the_images_of_own_pretrained_networks_as_they_are(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("tdctl.runner.plan_find")

    def forecast(config: Any, *_: Any) -> Forecast:
        return Forecast(0.0, 4.0 if config.net.stride == 1 else 1.0, 0.0, 1, "cpu")

    monkeypatch.setattr(module, "forecast_training", forecast)
    monkeypatch.setattr(importlib.import_module("tdctl.finding.choices"), "MANY_IMAGES", 40)
    monkeypatch.setattr(importlib.import_module("tdctl.finding.choices"), "WHOLE_UP_TO", 400)
    asked = [
        "find", photos, "--net-type", "wide", "--pretrained", tmp_path / "net.pth", "--epochs", 10,
        "--image-size", 40, "--out", tmp_path / "out", "--dry-run", "--json",
    ]  # fmt: skip
    whole = json.loads(tdctl(*asked).stdout)
    assert whole["forecast"]["epoch"] == 4.0 and whole["image_size"] == 40
    words = [word for word in asked if word not in ("--epochs", 10)]
    half = json.loads(tdctl(*words, "--time", "20s").stdout)
    assert half["forecast"]["epoch"] == 1.0 and half["image_size"] == 40


def test_a_user_of_a_test_set_keeps_it(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path / "d", per_class=8)
    result = tdctl("find", root, "--dry-run", "--out", tmp_path / "o")
    assert "16 images in 2 classes" in result.stderr
    assert "16 are held out and get no rank" in result.stderr


def test_a_table_is_found_too(photos: Path, tmp_path: Path) -> None:
    names = sorted(p.relative_to(photos).as_posix() for p in photos.glob("*/*"))
    table = pd.DataFrame({"file_name": names, "label": [name.split("/")[0] for name in names]})
    table.to_csv(photos.parent / "labels.csv", index=False)
    loose = tmp_path / "loose"
    loose.mkdir()
    for number, name in enumerate(names):
        Image.open(photos / name).save(loose / f"{number}.png")
    own = table.assign(file_name=[f"{number}.png" for number in range(len(names))])
    own.to_csv(tmp_path / "own.csv", index=False)
    first = tdctl("find", loose, "--labels", tmp_path / "own.csv", "--out", tmp_path / "a", *FAST)
    assert first.exit_code == 0, first.output
    assert len(pd.read_csv(tmp_path / "a" / "ranking.csv")) == 48
    own.assign(file_name="loose/" + own["file_name"]).to_csv(tmp_path / "two.csv", index=False)
    plan = json.loads(tdctl("find", tmp_path / "two.csv", "--dry-run", "--json").stdout)
    assert plan["data"]["images"] == 48 and plan["out"] == "find_two"


def test_digits_are_not_mirrored_unless_the_user_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for digit in "012":
        (tmp_path / "d" / digit).mkdir(parents=True)
        for number in range(6):
            pixels = rng.integers(0, 255, (12, 12), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "d" / digit / f"{number}.png")
    asked = ["find", tmp_path / "d", "--out", tmp_path / "o", "--dry-run"]
    assert "no mirrored images: class names such as '0'" in tdctl(*asked).stderr
    assert "no mirrored" not in tdctl(*asked, "--flip").stderr
    plain = tdctl(*asked, "--recipe", "paper").stderr
    assert "for 200 epochs" in plain and "epochs 20" not in plain, "another recipe has its own"


def test_what_cannot_be_is_refused(photos: Path, tmp_path: Path, monkeypatch: Any) -> None:
    refused(tdctl("find", tmp_path / "none"), "no such folder; give the folder of your images")
    (tmp_path / "empty").mkdir()
    refused(tdctl("find", tmp_path / "empty"), "holds no data set")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    refused(
        tdctl("find", photos, "--out", tmp_path / "mine", *FAST), "nothing that tdctl find began"
    )
    refused(tdctl("find", photos, "--out", photos / "out", *FAST), "lies in")
    # Called from within the data, the default goes beside them.
    monkeypatch.chdir(photos)
    plan = json.loads(tdctl("find", ".", "--dry-run", "--json").stdout)
    assert plan["out"] == str(photos.parent / "find_photos")


@pytest.mark.parametrize(
    "text, seconds", [("10m", 600), ("90s", 90), ("1h30m", 5400), ("0.5h", 1800)]
)
def test_times_are_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "10x", "-5m", "0m", "10m!"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no time"):
        seconds_of(text)


def stop_before_the_second_round(patch: pytest.MonkeyPatch) -> None:
    find = importlib.import_module("tdctl.runner.find")
    record = find.generate_td

    def only_the_first(config: Any, out: Path, **more: Any) -> Any:
        if out.name == "run2":
            raise KeyboardInterrupt
        return record(config, out, **more)

    patch.setattr(find, "generate_td", only_the_first)


def test_two_rounds_are_recorded_and_ranked_together(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ("find", photos, "--out", out, "--epochs", 3)
    one = tdctl(*asked, "--quiet")
    assert one.exit_code == 0, one.output
    before = pd.read_csv(out / "ranking.csv")
    # A second round can be added to what was found.
    two = tdctl(*asked, "--rounds", 2)
    assert two.exit_code == 0, two.output
    assert "round 2 of 2" in two.stderr and "generate-td" not in two.stderr
    first, second = read_config(out / "run"), read_config(out / "run2")
    assert second.seed == first.seed + 1 and second.split_seed == first.split_seed
    assert second.train.leave_out == (out / "first_round.csv").absolute()
    assert second.train.folds == 0 and second.net.stride == 1
    manifest = read_json(out / "run2" / "manifest.json")
    worst = pd.read_csv(out / "first_round.csv").sort_values("rank")["index"]
    left = pd.read_csv(out / "run2" / "left_out.csv")["index"]
    assert manifest["left_out"]["count"] == len(left) >= 1
    assert set(left) <= set(worst[:24])
    table, content = pd.read_csv(out / "ranking.csv"), read_json(out / "ranking.json")
    assert len(table) == 48 and set(content["ranked_by"]) == {str(out / n) for n in ("run", "run2")}
    assert table["suspicion"].between(0, 1).all() and not table.equals(before)
    again = tdctl(*asked, "--rounds", 2)
    assert again.exit_code == 0 and "finished already" in again.stderr
    assert "finished already" in tdctl(*asked).stderr, "the folder says how many rounds it has"
    refused(tdctl(*asked, "--rounds", 1), "has 2 rounds", "--rounds 2")
    # The second network has seen the images. Those of the first round have not, and are counted.
    assert read_config(out / "run").train.folds == 10
    estimates = [read_json(out / f"{n}.json")["estimates"] for n in ("first_round", "ranking")]
    assert estimates[0] == estimates[1]
    assert estimates[0]["combined"]["method"] == "heldout"


def test_a_second_round_that_was_stopped_goes_on(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("find", photos, "--epochs", 3, "--folds", 0, "--rounds", 2, "--quiet")
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert tdctl(*asked, "--out", whole).exit_code == 0
    with monkeypatch.context() as patch:
        stop_before_the_second_round(patch)
        assert tdctl(*asked, "--out", stopped).exit_code == 130
    assert not (stopped / "ranking.csv").exists()
    assert tdctl(*asked, "--out", stopped).exit_code == 0
    for name in ("run/training_dynamics.npz", "run2/training_dynamics.npz", "ranking.csv"):
        assert (stopped / name).read_bytes() == (whole / name).read_bytes(), name


def test_the_time_of_two_rounds_is_that_of_both(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forecast(config: Any, *_: Any) -> Forecast:
        return Forecast(0.0, 3.0 if config.net.stride == 1 else 1.0, 1.0, 1, "cpu")

    module = importlib.import_module("tdctl.runner.plan_find")
    monkeypatch.setattr(module, "forecast_training", forecast)
    words = ["find", photos, "--out", tmp_path / "o", "--dry-run", "--json", "--folds", 0]
    plan = tdctl(*words, "--rounds", 2)
    found = json.loads(plan.stdout)
    assert found["rounds"] == 2 and found["seconds"] == 2 + 4 * found["epochs"]
    assert "a second one without the worst labels" in plan.stderr and "run2/" in plan.stderr
    assert json.loads(tdctl(*words, "--rounds", 2, "--time", "42s").stdout)["epochs"] == 10


def test_what_does_not_go_with_two_rounds_is_refused(photos: Path, tmp_path: Path) -> None:
    words = ["find", photos, "--out", tmp_path / "o", "--rounds", 2]
    (tmp_path / "worst.csv").write_text("index,suspicion,rank\n0,1,1\n")
    refused(tdctl(*words, "--leave-out", tmp_path / "worst.csv"), "leave out --leave-out")
    refused(tdctl(*words, "--threshold-samples"), "leave out --threshold-samples")
    assert tdctl(*words[:-1], 3).exit_code == 2


def test_what_ranks_and_the_labels_stay_as_they_were_at_the_start(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = sorted(p.relative_to(photos).as_posix() for p in photos.glob("*/*"))
    table = pd.DataFrame({"file_name": names, "label": [name.split("/")[0] for name in names]})
    labels, out = tmp_path / "labels.csv", tmp_path / "out"
    table.to_csv(labels, index=False)
    asked = ("find", photos, "--labels", labels, "--out", out, "--epochs", 3, "--folds", 0)
    refused(tdctl(*asked, "--detector", tmp_path / "none.pth", "--dry-run"), "none.pth")
    with monkeypatch.context() as patch:
        stop_before_the_second_round(patch)
        assert tdctl(*asked, "--rounds", 2, "--quiet").exit_code == 130
    before = (out / "first_round.csv").read_bytes()
    refused(tdctl(*asked, "--rounds", 2, "--score", "p-last"), "is ranked by auto")
    refused(tdctl(*asked, "--rounds", 1), "has 2 rounds", "give --rounds 2")
    table.assign(label=table["label"].to_numpy()[::-1]).to_csv(labels, index=False)
    changed = tdctl(*asked, "--rounds", 2, "--quiet")
    refused(changed, "the given labels have changed", "start again with --overwrite")
    assert (out / "first_round.csv").read_bytes() == before
    table.to_csv(labels, index=False)
    done = tdctl(*asked, "--rounds", 2, "--quiet")
    assert done.exit_code == 0, done.output
    plan = tdctl(*asked, "--rounds", 2, "--dry-run", "--json")
    assert json.loads(plan.stdout)["dry_run"] is True and "finished already" in plan.stdout
    table.assign(label=table["label"].to_numpy()[::-1]).to_csv(labels, index=False)
    refused(tdctl(*asked, "--rounds", 2), "the given labels have changed")
    table.to_csv(labels, index=False)
    shutil.rmtree(out / "run2")
    again = tdctl(*asked, "--rounds", 2, "--quiet")
    assert again.exit_code == 0 and (out / "run2" / "training_dynamics.npz").exists()
    (out / "mine.txt").write_text("stays")
    again = tdctl(*asked, "--overwrite", "--epochs", 2, "--quiet")
    assert again.exit_code == 0, again.output
    assert read_config(out / "run").train.epochs == 2
    # What two rounds wrote and one does not is gone; the user's file is not.
    left = {path.name for path in out.iterdir()}
    assert left == {"run", "ranking.csv", "ranking.json", "report.html", "find.json", "mine.txt"}


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("--score", "oof-margin", "--folds", 0), "give --folds 5"),
        (("--score", "final-margin", "--folds", 5), "give --folds 0"),
        (("--score", "knn"), "give --recipe features"),
        (("--score", "cl-joint", "--store", "given"), "give --store full"),
        (("--score", "oof-margin", "--folds", 5, "--rounds", 2), "give --rounds 1"),
        (
            ("--score", "final-margin", "--folds", 0, "--threshold-samples"),
            "leave out --threshold-samples",
        ),
    ],
)
def test_a_score_that_the_recording_would_not_allow_is_refused_before_it(
    photos: Path, tmp_path: Path, asked: tuple[object, ...], says: str
) -> None:
    out = tmp_path / "out"
    refused(tdctl("find", photos, "--out", out, *asked), f"score {asked[1]}: needs", says)
    assert not out.exists()


def interrupted(*_: object) -> bool:
    raise KeyboardInterrupt


def test_what_was_found_stays_until_what_replaces_it_has_begun(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(photos, data)
    asked = ("find", data, "--out", out, "--folds", 0, "--quiet")
    assert tdctl(*asked, "--epochs", 2).exit_code == 0
    for mine in (out / "labels.csv", out / "run" / "mine.txt"):
        mine.write_text("stays")
    (out / "prune4retrain_run_seed0").mkdir()
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def same() -> bool:
        return before == {path: path.read_bytes() for path in before if path.exists()}

    broken = min(data.glob("*/*.png"))
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    failed = tdctl(*asked, "--epochs", 3, "--overwrite")
    assert failed.exit_code == 1 and f"{broken.name}: does not decode" in failed.stderr
    assert same()
    broken.write_bytes(whole)
    # A file of the user's in the run is no reason to refuse, and stays.
    assert tdctl(*asked, "--epochs", 2, "--seed", 1, "--overwrite").exit_code == 0
    (out / "run" / "mine.txt").rename(out / "mine.txt")
    with monkeypatch.context() as patch:
        patch.setattr(Teller, "step_done", interrupted)
        stopped = tdctl(*asked[:-1], "--epochs", 3, "--overwrite")
    assert stopped.exit_code == 130 and "begins anew" in stopped.stderr
    again = tdctl(*asked, "--epochs", 3)
    assert again.exit_code == 0, again.output
    assert "prune4retrain_run_seed0: was made from the earlier run" in again.stderr
    assert read_config(out / "run").train.epochs == 3
    assert (out / "ranking.csv").read_bytes() != before[out / "ranking.csv"]
    assert {(out / name).read_text() for name in ("labels.csv", "mine.txt")} == {"stays"}
    assert "finished already" in tdctl(*asked, "--epochs", 3).stderr
    steps: list[int] = []

    def stopped_later(_: Teller, images: int) -> bool:
        steps.append(images)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return False

    with monkeypatch.context() as patch:
        patch.setattr(Teller, "step_done", stopped_later)
        stopped = tdctl(*asked[:-1], "--epochs", 4, "--overwrite")
    assert stopped.exit_code == 130
    assert "the same command without --overwrite goes on from the last whole" in stopped.stderr
    done = tdctl(*asked, "--epochs", 4)
    assert done.exit_code == 0 and read_config(out / "run").train.epochs == 4
    (out / "find.json").write_text('{"rounds": "two", "status": "complete"}')
    refused(tdctl(*asked, "--epochs", 4, "--dry-run"), "is not what tdctl find wrote")
