"""A second round: trained without the worst of a ranking, whose curves are predictions."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TINY_FLAGS as TINY
from conftest import Stop, make_image_folder, pixels_of, refused, tdctl, tiny_config
from PIL import Image
from processes import in_world
from small_training import Plain

from tdctl import runner
from tdctl.config import DataConfig, TrainConfig
from tdctl.data import open_dataset
from tdctl.dynamics import read_run
from tdctl.errors import ConfigError, DataError, RunError
from tdctl.files import read_json
from tdctl.inputs.left_out import find_left_out, read_ranking
from tdctl.labels import Labels
from tdctl.nets import build_net
from tdctl.recorder import EpochRows, RunRecorder, logit_margin
from tdctl.scores import find_score
from tdctl.training import Pipeline, Progress, SecondRound, World, fit
from tdctl.training.modes.unseen import Unseen

CPU = torch.device("cpu")
NAMES = [f"class {label}" for label in range(10)]


def write_ranking(
    path: Path, index: Any, suspicion: Any, seed: int | None = None, names: Any = ""
) -> Path:
    """The CSV of detect, with what it may have besides; its rows shuffled where asked for."""
    table = pd.DataFrame({"file_name": names, "index": index, "suspicion": suspicion})
    table["rank"] = table["suspicion"].rank(ascending=False).astype(int)
    order = np.arange(len(table))
    if seed is not None:
        order = np.random.default_rng(seed).permutation(order)
    table.iloc[order].to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def ranking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the 150 digits, in shuffled order, with a suspicion that is drawn."""
    index = runner.prepare(tiny_config()).labels.index
    suspicion = np.random.default_rng(0).random(len(index))
    return write_ranking(tmp_path_factory.mktemp("first") / "ranking.csv", index, suspicion, seed=1)


def second_round(folder: Path, ranking: Path, **settings: Any) -> Path:
    config = tiny_config(train__leave_out=str(ranking), **settings)
    return runner.generate_td(config, folder).folder


def same_files(one: Path, other: Path, *names: str) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def test_the_worst_are_left_out_by_index_and_all_are_recorded(
    tmp_path: Path, ranking: Path
) -> None:
    run = second_round(tmp_path / "r", ranking, train__leave_out_ratio=0.2)
    dynamics, _, _ = read_run(run)
    assert len(dynamics) == 150 and dynamics.epochs == 2
    table = pd.read_csv(ranking)
    assert not table["index"].is_monotonic_increasing
    left = pd.read_csv(run / "left_out.csv")["index"]
    assert sorted(left) == sorted(table.nlargest(30, "suspicion")["index"])
    manifest = read_json(run / "manifest.json")
    assert manifest["left_out"]["count"] == 30 and len(manifest["left_out"]["ranking"]) == 64
    assert manifest["dataset"]["train"] == 150
    ordered = table.sort_values("index")
    other = write_ranking(tmp_path / "ordered.csv", ordered["index"], ordered["suspicion"])
    again = second_round(tmp_path / "s", other, train__leave_out_ratio=0.2)
    assert same_files(run, again, "training_dynamics.npz", "left_out.csv", "model.pth.last")


def test_what_is_left_out_has_no_part_in_the_training(tmp_path: Path) -> None:
    """Other pixels and other labels of it change no bit of the weights or of others' curves."""
    root = make_image_folder(tmp_path / "images", per_class=20)
    files = sorted(path.relative_to(root).as_posix() for path in root.glob("train/*/*"))
    table = pd.DataFrame({"file_name": files, "label": [name.split("/")[1] for name in files]})
    left = np.array([3, 4, 25, 26])
    ranking = write_ranking(
        tmp_path / "ranking.csv", range(40), np.isin(range(40), left) * 1.0, 3, files
    )
    runs = []
    for name in ("as it is", "changed"):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
        run = second_round(
            tmp_path / name,
            ranking,
            data__dataset="folder",
            data__data_dir=str(root),
            data__labels=str(tmp_path / f"{name}.csv"),
            data__normalise="imagenet",  # the data set's own mean is of all its images
            data__limit=None,
            noise__noise_ratio=0.0,
        )
        assert pd.read_csv(run / "left_out.csv")["index"].tolist() == left.tolist()
        runs.append(run)
        table.loc[left, "label"] = table["label"][left].to_numpy()[::-1]
        for row in left:
            Image.new("RGB", (12, 12), (255, 0, 90)).save(root / files[row])
    assert same_files(*runs, "model.pth.last", "train_log.csv")
    curves = [np.array(read_run(run)[0].given_curve()) for run in runs]
    trained = ~np.isin(range(40), left)
    assert (curves[0][trained] == curves[1][trained]).all()
    assert (curves[0][left] != curves[1][left]).any(axis=1).all()


@pytest.mark.parametrize("flip", [True, False])
def test_a_left_out_curve_is_the_networks_answer_in_eval_mode(
    tmp_path: Path, ranking: Path, flip: bool
) -> None:
    run = second_round(tmp_path / "r", ranking, train__flip=flip)
    prepared = runner.prepare(tiny_config())
    left = np.isin(prepared.labels.index, pd.read_csv(run / "left_out.csv")["index"])
    pixels = pixels_of(prepared.train)
    net = build_net(tiny_config().net, 10, (1, 8, 8), seed=9)
    net.load_state_dict(torch.load(run / "model.pth.last", weights_only=True))
    net.eval()
    pipeline = Pipeline.of(tiny_config(train__flip=flip).train, prepared.dataset, CPU)
    with torch.no_grad():
        logits = pipeline.logits(net, pixels)
        if flip:
            logits = (logits + pipeline.logits(net, pixels.flip(3))) / 2
    given = torch.from_numpy(prepared.labels.assigned)
    expected = logits.softmax(dim=1).gather(1, given[:, None])[:, 0].numpy()[left]
    dynamics, _, _ = read_run(run)
    assert np.allclose(dynamics.given_curve()[left, -1], expected, atol=1e-3)
    assert expected.std() > 0.01
    # The predictions after the last epoch are so for all samples.
    assert dynamics.final_margin is not None
    assert np.allclose(dynamics.final_margin, logit_margin(logits, given), atol=1e-3)


def test_images_are_mirrored_only_where_the_training_mirrors_them() -> None:
    data = open_dataset(DataConfig(limit=8))
    for settings, mirrors in (
        ({}, False),
        ({"flip": True}, True),
        ({"flip": True, "augment": False}, False),
    ):
        pipeline = Pipeline.of(TrainConfig(**settings), data, CPU)  # type: ignore[arg-type]
        assert pipeline.augment.mirrors is mirrors


class Leaves(torch.nn.Module):
    """A network that is seen to be in eval mode."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not self.training
        return x.flatten(1)[:, :10]


def test_a_network_predicts_in_eval_mode() -> None:
    data = open_dataset(DataConfig(limit=8))
    labels = Labels(data.train.index, data.train.targets, data.train.targets)
    rows = EpochRows(labels, 10, CPU)
    pipeline = Pipeline.of(TrainConfig(), data, CPU)
    Unseen(data.train, pipeline, World()).record(Leaves().train(), rows)
    assert (rows.packed()["times_seen"] == 1).all() and len(rows.packed()["rows"]) == 8


def test_half_of_each_given_class_stays_in(tmp_path: Path) -> None:
    given = np.array([0] * 10 + [1] * 5 + [2])
    labels = Labels(np.arange(16) * 3, given, given)
    worst_first = write_ranking(tmp_path / "r.csv", labels.index, np.arange(16, 0, -1))
    left = find_left_out(*of(worst_first, 0.8), labels, NAMES)
    assert left.rows.tolist() == [True] * 5 + [False] * 5 + [True] * 2 + [False] * 4
    least_first = write_ranking(tmp_path / "s.csv", labels.index, np.arange(16))
    left = find_left_out(*of(least_first, 0.2), labels, NAMES)
    assert labels.index[left.rows].tolist() == [39, 42], "the lone one of its class stays in"


def of(path: Path, ratio: float = 0.1) -> Any:
    """A ranking that was read, and the settings that name it."""
    training = TrainConfig(leave_out=path, leave_out_ratio=ratio)
    return read_ranking(training), training


@pytest.mark.parametrize("options", [{}, {"average": "ema", "capture": "eval-pass"}], ids=str)
def test_a_resumed_second_round_has_the_bits_of_one_go(
    tmp_path: Path, ranking: Path, options: dict[str, Any]
) -> None:
    settings = {f"train__{key}": value for key, value in options.items()}
    config = tiny_config(train__leave_out=str(ranking), train__epochs=3, **settings)

    def stop(progress: Progress) -> None:
        if progress.epoch == 2 and progress.step == progress.steps:
            raise Stop

    with pytest.raises(Stop):
        runner.generate_td(config, tmp_path / "a", report=stop)
    moved = tmp_path / "moved.csv"
    moved.write_bytes(ranking.read_bytes())
    there = tiny_config(train__leave_out=str(moved), train__epochs=3, **settings)
    assert runner.generate_td(there, tmp_path / "a", resume=True).resumed
    runner.generate_td(config, tmp_path / "b")
    names = ("training_dynamics.npz", "train_log.csv", "model.pth", "model.pth.last")
    assert same_files(tmp_path / "a", tmp_path / "b", *names, "left_out.csv")


def test_another_ranking_is_not_gone_on_with(tmp_path: Path, ranking: Path) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_bytes(ranking.read_bytes())
    config = tiny_config(train__leave_out=str(mine))

    def stop(progress: Progress) -> None:
        if progress.epoch == 2:
            raise Stop

    with pytest.raises(Stop):
        runner.generate_td(config, tmp_path / "r", report=stop)
    table = pd.read_csv(mine)
    table.assign(suspicion=table["suspicion"].to_numpy()[::-1]).to_csv(mine, index=False)
    with pytest.raises(RunError, match="left_out differs: the ranks in --leave-out have changed"):
        runner.generate_td(config, tmp_path / "r", resume=True)
    mine.unlink()
    with pytest.raises(DataError, match="No such file"):
        runner.generate_td(config, tmp_path / "r", resume=True)
    with pytest.raises(RunError, match=r"train\.leave_out_ratio: 0\.1, now 0\.2"):
        changed = tiny_config(train__leave_out=str(mine), train__leave_out_ratio=0.2)
        runner.generate_td(changed, tmp_path / "r", resume=True)


LABELS = Labels(np.arange(20), np.arange(20) % 2, np.arange(20) % 2)
BAD = {
    "unknown index": (
        "index,suspicion\n" + "".join(f"{i},0.5\n" for i in range(21)),
        "index 20 is",
    ),
    "missing index": (
        "index,suspicion\n" + "".join(f"{i},0.5\n" for i in range(18)),
        r"index 18 is missing, and this run trains on it \(2 such\)",
    ),
    "twice": ("index,suspicion\n3,0.5\n3,0.5\n", "index 3 stands there twice"),
    "not finite": ("index,suspicion\n3,\n", "index 3 has no finite suspicion"),
    "other columns": ("index,score\n3,0.5\n", r"not a ranking \(.*suspicion"),
    "words": ("index,suspicion\n3,high\n", "not a ranking"),
    "empty": ("", "not a ranking"),
    "binary": ("\x00\x93NUMPY", "not a ranking"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_ranking_of_these_samples_is_refused(tmp_path: Path, kind: str) -> None:
    text, says = BAD[kind]
    path = tmp_path / "ranking.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=f"leave_out: .*ranking.csv: .*{says}"):
        find_left_out(*of(path), LABELS, NAMES)


NAMED = [f"c{row % 2}/{row:02}.png" for row in range(20)]


def test_a_ranking_is_joined_by_file_name_where_the_images_have_names(tmp_path: Path) -> None:
    """A file that was added since moves the index of those that follow."""
    ranking = write_ranking(tmp_path / "r.csv", np.arange(20) + 1, np.arange(20), 1, NAMED)
    left = find_left_out(*of(ranking), LABELS, NAMES, NAMED)
    assert np.flatnonzero(left.rows).tolist() == [18, 19]
    composed = [unicodedata.normalize("NFC", f"é{name}") for name in NAMED]
    apart = [unicodedata.normalize("NFD", name) for name in composed]
    ranking = write_ranking(tmp_path / "r.csv", np.arange(20)[::-1], np.arange(20), 1, apart)
    left = find_left_out(*of(ranking), LABELS, NAMES, composed)
    assert np.flatnonzero(left.rows).tolist() == [18, 19], "in one normal form"


@pytest.mark.parametrize(
    ("ranked", "now", "says"),
    [
        (NAMED, ["c0/new.png", *NAMED[1:]], "'c0/00.png' is not among the images that this run"),
        (NAMED[:19], NAMED, "'c1/19.png' is missing, and this run trains on it; give the ranking"),
        ([*NAMED[:19], NAMED[0]], NAMED, "'c0/00.png' stands there twice"),
    ],
)
def test_a_ranking_of_other_files_is_refused_by_name(
    tmp_path: Path, ranked: list[str], now: list[str], says: str
) -> None:
    ranking = write_ranking(tmp_path / "r.csv", range(len(ranked)), range(len(ranked)), 1, ranked)
    with pytest.raises(DataError, match=f"leave_out: .*r.csv: {says}"):
        find_left_out(*of(ranking), LABELS, NAMES, now)


def test_a_ranking_that_a_spreadsheet_saved_is_read(tmp_path: Path) -> None:
    ranking = write_ranking(tmp_path / "r.csv", range(20), range(20), 1, NAMED)
    text = ranking.read_text().replace(",", ";").replace("\n", ";;\r\n")
    ranking.write_bytes(text.encode("utf-16"))
    left = find_left_out(*of(ranking), LABELS, NAMES, NAMED)
    assert np.flatnonzero(left.rows).tolist() == [18, 19]


@pytest.mark.parametrize(("ratio", "says"), [(0.01, "none of them"), (0.99, "all of them")])
def test_a_share_that_leaves_nothing_is_refused(tmp_path: Path, ratio: float, says: str) -> None:
    path = write_ranking(tmp_path / "r.csv", range(20), range(20))
    with pytest.raises(ConfigError, match=f"leave_out_ratio: {ratio} of 20 samples is {says}"):
        find_left_out(*of(path, ratio), LABELS, NAMES)


def test_where_every_class_keeps_its_all_nothing_is_left_out(tmp_path: Path) -> None:
    path = write_ranking(tmp_path / "r.csv", range(20), range(20))
    alone = Labels(np.arange(20), np.arange(20), np.arange(20))
    with pytest.raises(ConfigError, match="leaves out nothing, as half of each given class"):
        find_left_out(*of(path), alone, NAMES)


def halved(folder: Path, size: int) -> Any:
    """Curves of a training on every other digit, in some processes."""

    def run() -> None:
        with World.joined("cpu") as world:
            data = open_dataset(DataConfig(limit=151))
            labels = Labels(data.train.index, data.train.targets, data.train.targets)
            out = np.arange(151) % 2 == 0
            config = TrainConfig(epochs=2, batch_size=32, amp=False, lr=0.05, flip=True)
            fit(
                Plain(),
                data.train.take(~out),
                config,
                Pipeline.of(config, data, CPU),
                0,
                world=world,
                recorder=(
                    recorder := RunRecorder.create(folder, labels, 10, 2)
                    if world.is_first
                    else EpochRows(labels, 10, CPU)
                ),
                mode=SecondRound(data.train.take(out)),
            )
            if isinstance(recorder, RunRecorder):
                recorder.finish()

    folder.mkdir()
    if size > 1:
        in_world(size, run)
    else:
        run()
    return read_run(folder)[0].given_curve()


def test_any_number_of_processes_predicts_the_same(tmp_path: Path) -> None:
    one, two = (halved(tmp_path / str(size), size) for size in (1, 2))
    assert one.shape == (151, 2) and np.allclose(one, two, atol=2e-3)


def test_the_second_round_by_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert tdctl("generate-td", *TINY, "--out", "first").exit_code == 0
    ranked = tdctl("detect", "--td", "first", "--score", "aum", "--out", "ranking.csv")
    assert ranked.exit_code == 0, ranked.output
    second = ["generate-td", *TINY, "--leave-out", "ranking.csv"]
    result = tdctl(*second, "--out", "second", "--dry-run")
    assert "for 2 epochs on 135 images, 15 more left out, 10 classes (" in result.stderr
    result = tdctl(*second, "--out", "second")
    assert "left out   15 of the worst ranked" in result.stdout
    assert len(read_run(tmp_path / "second")[0]) == 150
    result = tdctl("detect", "--td", "second", "--score", "aum", "--json")
    assert json.loads(result.stdout)["samples"] == 150
    monkeypatch.chdir("/")
    again = ["generate-td", *TINY, "--leave-out", tmp_path / "ranking.csv"]
    result = tdctl(*again, "--out", tmp_path / "second", "--resume")
    assert result.exit_code == 0, "the run knows its ranking from any folder"


def test_wrong_use_is_told_in_one_line(tmp_path: Path, ranking: Path) -> None:
    out = ["--out", tmp_path / "r"]
    result = tdctl("generate-td", *TINY, *out, "--leave-out-ratio", 0.2)
    refused(result, "nothing is left out without a ranking", "--leave-out FILE")
    result = tdctl("generate-td", *TINY, *out, "--leave-out", ranking, "--leave-out-ratio", 1.0)
    refused(result, "train.leave_out_ratio", "less than 1")
    result = tdctl("generate-td", *TINY, *out, "--leave-out", tmp_path)
    refused(result, "Is a directory; expected the CSV of tdctl detect --out")
    result = tdctl("generate-td", *TINY, *out, "--leave-out", ranking, "--num-valid", 20)
    refused(result, "is not among the samples that this run trains on")
    assert not (tmp_path / "r").exists()


def test_a_second_round_has_a_default_folder_of_its_own(ranking: Path) -> None:
    first, second = tiny_config(), tiny_config(train__leave_out=str(ranking))
    names = [runner.default_folder(config, Path("runs")).name for config in (first, second)]
    assert names == ["computation4td_seed0", "computation4td_seed0_leaveout0.1"]


def test_a_ranking_of_other_given_labels_is_refused(tmp_path: Path, digits_run: Path) -> None:
    """As another --seed gives where the splits are the same."""
    ranking = tmp_path / "ranking.csv"
    runner.detect(digits_run, find_score("p-mean"), out=ranking)
    labels = read_run(digits_run)[1]
    names = [str(label) for label in range(10)]
    config = TrainConfig(leave_out=ranking)
    assert find_left_out(read_ranking(config), config, labels, names).rows.any()
    given = np.where(labels.index == labels.index[7], (labels.assigned + 1) % 10, labels.assigned)
    other = Labels(labels.index, given, labels.true)
    says = f"index {labels.index[7]} has another given label than in this run; give"
    with pytest.raises(DataError, match=says):
        find_left_out(read_ranking(config), config, other, names)
