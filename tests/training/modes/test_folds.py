"""Networks that each leave out a fold: what they see, what they record, how it resumes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import content, make_run, tiny_config
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import in_world
from sklearn.metrics import average_precision_score, roc_auc_score
from typer.testing import CliRunner

from tdctl import runner
from tdctl.cli.commands import app
from tdctl.config import DataConfig, TrainConfig
from tdctl.data import open_dataset
from tdctl.dynamics import TrainingDynamics, read_run
from tdctl.errors import ConfigError, DynamicsError, RunError
from tdctl.files import read_json
from tdctl.labels import Labels, stratified_folds
from tdctl.nets import build_net
from tdctl.recorder import EpochRows, RunRecorder, forecast
from tdctl.recorder.capture import LABELS
from tdctl.scores import SCORES, pred_probs, score, scores_of
from tdctl.settings import load_config
from tdctl.training import FoldEnsemble, Folds, Pipeline, World, evaluate, fit, fold_seeds
from tdctl.training.modes.folds import FoldTrainer
from tdctl.training.trainer import Trainer

CPU = torch.device("cpu")
OOF = [name for name, found in SCORES.items() if found.heldout]
FILES = ("training_dynamics.npz", "heldout_dynamics.npz")


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=80), st.integers(2, 9), st.integers(0, 2**31)
)
@settings(max_examples=60, deadline=None)
def test_folds_are_even_in_all_and_in_each_class(values: Any, folds: int, seed: int) -> None:
    labels = np.array(values)
    fold = stratified_folds(labels, folds, seed)
    assert fold.shape == labels.shape and 0 <= fold.min() <= fold.max() < folds
    for part in (np.ones(len(labels), bool), *(labels == c for c in np.unique(labels))):
        assert np.ptp(np.bincount(fold[part], minlength=folds)) <= 1
    assert (stratified_folds(labels, folds, seed) == fold).all()


def test_folds_depend_on_the_seed() -> None:
    labels = np.arange(200) % 10
    first, second = (stratified_folds(labels, 2, seed) for seed in (0, 1))
    assert (first != second).any()


def small_config(**overrides: Any) -> Any:
    """The tiny settings on fewer images, with a look at the test set at the end alone."""
    small = {"data__limit": 60, "train__folds": 2, "train__eval_every": 9}
    return tiny_config(**(small | overrides))


class Told(torch.nn.Module):
    """A network that keeps which images it was trained on: their first pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Sequential(
            torch.nn.Linear(64, 64), torch.nn.Tanh(), torch.nn.Linear(64, 10)
        )
        self.seen: list[set[float]] = []

    def forward(self, pixels: torch.Tensor) -> Any:
        if self.training:
            self.seen.append({round(float(value), 3) for value in pixels[:, 0, 0, 0]})
        return self.layer(pixels.flatten(1))


def fitted(
    folder: Path,
    count: int,
    n: int = 60,
    targets: Any = None,
    world: World | None = None,
    **train: Any,
) -> tuple[FoldEnsemble, np.ndarray[Any, Any], TrainingDynamics | None]:
    """Networks trained on digits whose first pixel is their index, and what they recorded."""
    torch.manual_seed(0)
    data = open_dataset(DataConfig(limit=n))
    pixels = next(data.train.batches([np.arange(n)])).clone()
    pixels[:, 0, 0, 0] = torch.arange(n)
    targets = data.train.targets if targets is None else targets
    images = type(data.train).held(pixels, data.train.index, targets)
    data = replace(data, train=images, mean=(0.5,), std=(0.5,))
    settings = {"epochs": 2, "batch_size": 16, "amp": False, "augment": False, "lr": 0.01}
    config = TrainConfig.model_validate(settings | train)
    labels = Labels(images.index, images.targets, images.targets)
    recorders: list[RunRecorder | EpochRows] = [
        RunRecorder.create(folder, labels, 10, config.epochs, heldout=held)
        if world is None or world.is_first
        else EpochRows(labels, 10, CPU)
        for held in (False, True)
    ]
    of = stratified_folds(images.targets, count, 0)
    nets = FoldEnsemble([Told() for _ in range(count)])
    fit(
        nets,
        images,
        config,
        Pipeline.of(config, data, CPU),
        0,
        world=world,
        mode=Folds(of, count, recorders[1]),
        recorder=recorders[0],
        capture=config.capture,
    )
    for recorder in recorders:
        if isinstance(recorder, RunRecorder):
            recorder.write()
    return nets, of, read_run(folder)[0] if world is None else None


@pytest.mark.parametrize("count", [2, 3, 5])
def test_no_network_trains_on_the_fold_that_it_predicts(tmp_path: Path, count: int) -> None:
    nets, of, _ = fitted(tmp_path, count)
    for fold, net in enumerate(nets):
        pixels = {round((i / 255 - 0.5) / 0.5, 3) for i in np.flatnonzero(of != fold)}
        assert isinstance(net, Told) and set().union(*net.seen) == pixels


@pytest.mark.parametrize("capture", ["in-loop", "eval-pass"])
def test_each_curve_is_of_the_network_that_is_said(tmp_path: Path, capture: str) -> None:
    # At a rate that changes nothing, every epoch's answers are the networks' own at the end.
    nets, of, dynamics = fitted(tmp_path, 3, capture=capture, lr=1e-30, weight_decay=0)
    data = open_dataset(DataConfig(limit=60))
    assert (
        dynamics is not None
        and dynamics.heldout is not None
        and (dynamics.index == data.train.index).all()
    )
    pixels = next(data.train.batches([np.arange(60)])).clone()
    pixels[:, 0, 0, 0] = torch.arange(60)
    values = (pixels / 255 - 0.5) / 0.5
    answers = torch.stack([net.eval()(values).softmax(dim=1) for net in nets]).detach().numpy()
    rows, given = np.arange(60), data.train.targets
    for curves, net in ((dynamics, (of + 1) % 3), (dynamics.heldout, of)):
        for epoch in range(2):
            expected = answers[net, rows, given]
            assert np.allclose(curves.given_curve()[:, epoch], expected, atol=1e-3)


def test_random_labels_are_learned_where_seen_and_not_where_held_out(tmp_path: Path) -> None:
    targets = np.random.default_rng(0).integers(0, 10, 100)
    _, _, dynamics = fitted(tmp_path, 2, 100, targets, epochs=40, lr=0.1)
    assert dynamics is not None and dynamics.heldout is not None
    right = [
        float((np.asarray(curves.margin)[:, -1] > 0).mean())
        for curves in (dynamics, dynamics.heldout)
    ]
    assert right[0] > 0.95 and right[1] < 0.25


@pytest.fixture(scope="module")
def cross_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folds of digits, by the command line."""
    run = tmp_path_factory.mktemp("folds") / "run"
    arguments = (
        "generate-td --recipe cross-fold --net-type resnet --depth 8 --batch-size 32 --no-amp "
        "--limit 400 --noise-ratio 0.2 --epochs 6 --num-valid 40 --quiet"
    )
    result = CliRunner().invoke(app, [*arguments.split(), "--out", str(run)])
    assert result.exit_code == 0, result.output
    return run


def test_planted_errors_are_found_by_the_held_out_curves(cross_run: Path) -> None:
    dynamics, labels, valid = read_run(cross_run)
    assert len(dynamics) == 360 and len(valid) == 40
    assert dynamics.heldout is not None and (dynamics.heldout.index == dynamics.index).all()
    for name in OOF:
        suspicion = score(dynamics, name)
        assert roc_auc_score(labels.flipped, suspicion) > 0.85, name
        assert average_precision_score(labels.flipped, suspicion) > 0.6, name


def test_the_run_says_and_saves_what_its_networks_are(cross_run: Path) -> None:
    manifest = read_json(cross_run / "manifest.json")
    assert manifest["folds"] == 2 and manifest["recipe"] == "cross-fold"
    assert not list(cross_run.glob("capture*")) and not (cross_run / "checkpoint.pth").exists()
    settings = runner.settings_of_run(cross_run)
    config = load_config(None, base=settings)
    data = open_dataset(config.data)
    nets = FoldEnsemble([build_net(config.net, 10, (1, 8, 8), 9) for _ in range(2)])
    nets.load_state_dict(torch.load(cross_run / "model.pth.last", weights_only=True))
    assert data.test is not None
    pipeline = Pipeline.of(config.train, data, CPU)
    assert evaluate(nets, data.test, pipeline).error == manifest["test_error_last"]
    pixels = next(data.test.batches([np.arange(20)]))
    mean = torch.stack([pipeline.logits(net, pixels).softmax(dim=1) for net in nets]).mean(dim=0)
    assert torch.allclose(pipeline.logits(nets, pixels).exp(), mean, atol=1e-5)


def test_a_run_in_folds_ranks_compares_and_retrains(
    cross_run: Path, tmp_path: Path, detector_file: Path
) -> None:
    shown = CliRunner().invoke(app, ["detect", "--td", str(cross_run), "--score", "all", "--json"])
    rows = {row["score"]: row for row in json.loads(shown.stdout)["rows"]}
    assert all(rows[name]["metrics"]["ap"] > 0.6 for name in OOF)
    more = {"retrain.epochs": 1, "retrain.amp": False}
    config = load_config(None, more, runner.settings_of_run(cross_run), runner.PINNED)
    outcome = runner.denoise(config, cross_run, detector_file, [0.2], out=tmp_path / "out")
    assert outcome.rows[0].test_error_last is not None


def test_scores_of_held_out_curves_are_those_of_these_curves(
    cross_run: Path, tmp_path: Path
) -> None:
    dynamics, _, _ = read_run(cross_run)
    assert dynamics.heldout is not None
    alone = {"oof-aum": "aum", "oof-self-confidence": "p-last"}
    alone |= {"oof-margin": "cl-margin-last", "oof-joint": "cl-joint-last"}
    # These two are no scores of any curve: a model of held-out curves, and a part of one.
    assert {*alone, "oof-posterior", "oof-aum-late"} == set(OOF)
    found = scores_of(dynamics, [SCORES[name] for name in (*alone, *alone.values())])
    for name, of in alone.items():
        assert np.array_equal(found[name], score(dynamics.heldout, of))
        assert not np.array_equal(found[name], found[of])
    probs = pred_probs(dynamics.heldout, last=True)
    given = probs[np.arange(len(dynamics)), dynamics.labels[:, 0]]
    assert np.array_equal(found["oof-self-confidence"], -given.astype(np.float64))
    bare, _, _ = read_run(make_run(tmp_path / "r", n=30))
    for name in OOF:
        with pytest.raises(DynamicsError, match=f"score {name}: .*generate-td --folds K"):
            score(bare, name)


def test_held_out_curves_travel_with_the_rows(cross_run: Path) -> None:
    dynamics, _, _ = read_run(cross_run)
    assert dynamics.heldout is not None
    order = np.random.default_rng(0).permutation(len(dynamics))[:50]
    taken = dynamics.take(order)
    assert taken.heldout is not None and (taken.heldout.index == dynamics.index[order]).all()
    expected = dynamics.heldout.given_curve()[order]
    assert np.array_equal(taken.heldout.given_curve(), expected)
    parts = [part.heldout for part in taken.slabs(7)]
    curves = [part.given_curve() for part in parts if part is not None]
    assert len(curves) == 8 and np.array_equal(np.concatenate(curves), expected)
    assert replace(dynamics, heldout=None).fingerprint() == dynamics.fingerprint()


def other_labels(run: Path) -> None:
    make_run(run / "x", n=120, seed=1)
    (run / "x" / FILES[0]).rename(run / FILES[1])


def shorter(run: Path) -> None:
    make_run(run / "x", n=120, epochs=5)
    (run / "x" / FILES[0]).rename(run / FILES[1])


def cut(run: Path) -> None:
    (run / FILES[1]).write_bytes((run / FILES[0]).read_bytes()[:-100])


@pytest.mark.parametrize(
    ("defect", "says"),
    [
        (other_labels, "different runs"),
        (shorter, r"td is .*, 5, 5\), that of training_dynamics.npz beside it .*12, 5\)"),
        (cut, "truncated or not an npz"),
    ],
)
def test_a_held_out_file_that_does_not_belong_is_refused(
    tmp_path: Path, defect: Any, says: str
) -> None:
    run = make_run(tmp_path / "r", n=120)
    defect(run)
    with pytest.raises(DynamicsError, match=rf"heldout_dynamics\.npz: .*{says}"):
        read_run(run)


class Stop(Exception):
    """Stands for a kill."""


MOMENTS: dict[str, tuple[type, str, int]] = {
    "within the second network": (Trainer, "train_epoch", 4),
    "between the commits": (RunRecorder, "commit", 4),
    "before the checkpoint": (FoldTrainer, "state_dict", 2),
    "between the files": (RunRecorder, "write", 2),
}
FULL: dict[str, Any] = {
    "plain": {},
    "options": {
        "average": "ema",
        "store": "topk:2",
        "mixup": 0.3,
        "capture": "eval-pass",
        "folds": 3,
    },
}


@pytest.fixture(scope="module")
def whole() -> dict[str, dict[str, bytes]]:
    """What runs that were never stopped hold, by their options."""
    return {}


@pytest.mark.parametrize(
    ("moment", "options"),
    [*((moment, "plain") for moment in MOMENTS), ("between the commits", "options")],
)
def test_killed_at_any_moment_it_goes_on_to_the_same_bits(
    tmp_path: Path,
    whole: dict[str, dict[str, bytes]],
    moment: str,
    options: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    more = {f"train__{key}": value for key, value in FULL[options].items()}
    config = small_config(**more, train__epochs=3, data__num_valid=10)
    of, name, at = MOMENTS[moment]
    act, calls = getattr(of, name), []

    def counted(*arguments: Any, **named: Any) -> Any:
        calls.append(name)
        if len(calls) == at:
            raise Stop
        return act(*arguments, **named)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(of, name, counted)
        runner.generate_td(config, tmp_path / "a")
    assert runner.generate_td(config, tmp_path / "a", resume=True).resumed
    if options not in whole:
        whole[options] = content(runner.generate_td(config, tmp_path / "b").folder)
    assert content(tmp_path / "a") == whole[options]
    assert set(FILES) <= set(whole[options])


def test_a_run_that_lacks_its_held_out_file_is_not_taken_for_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = RunRecorder.write, []

    def once(recorder: RunRecorder, *arguments: Any) -> None:
        if calls:
            raise Stop
        calls.append(1)
        write(recorder, *arguments)

    monkeypatch.setattr(RunRecorder, "write", once)
    with pytest.raises(Stop):
        runner.generate_td(small_config(), tmp_path / "a")
    with pytest.raises(DynamicsError, match="not finished"):
        read_run(tmp_path / "a")


@pytest.mark.parametrize("capture", ["in-loop", "eval-pass"])
def test_any_number_of_processes_records_the_same(tmp_path: Path, capture: str) -> None:
    def run() -> bool:
        with World.joined("cpu") as world:
            fitted(tmp_path / "two", 3, 61, world=world, capture=capture)
            return True

    assert in_world(2, run) == [True, True]
    fitted(tmp_path / "one", 3, 61, capture=capture)
    for file in FILES:
        two, one = (np.load(tmp_path / name / file) for name in ("two", "one"))
        assert np.array_equal(two["index"], one["index"])
        assert np.allclose(two["margin"], one["margin"], atol=1e-3)


def test_a_whole_run_in_two_processes(tmp_path: Path) -> None:
    config = small_config(data__num_valid=10)

    def run() -> Any:
        with World.joined("cpu") as world:
            return runner.generate_td(config, tmp_path / "two", world=world).manifest["status"]

    assert in_world(2, run) == ["complete", "complete"]
    assert read_run(tmp_path / "two")[0].heldout is not None


def test_a_mirror_image_is_asked_where_flips_suit(tmp_path: Path) -> None:
    class LeftOnly(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            left, right = pixels[:, 0, 0, 0], pixels[:, 0, 0, -1]
            return torch.stack([left, 0 * right], dim=1) * self.weight

    data = open_dataset(DataConfig(limit=8))
    pixels = torch.zeros(8, 1, 8, 8, dtype=torch.uint8)
    pixels[:4, 0, 0, 0], pixels[4:, 0, 0, -1] = 255, 255
    targets = np.zeros(8, dtype=np.int64)
    images = type(data.train).held(pixels, np.arange(8), targets)
    data = replace(data, train=images, mean=(0.0,), std=(1.0,))
    margins = {}
    for flip in (True, False):
        config = TrainConfig(epochs=1, batch_size=4, amp=False, lr=1e-30, flip=flip)
        labels = Labels(images.index, targets, targets)
        heldout = RunRecorder.create(tmp_path / str(flip), labels, 2, 1, heldout=True)
        nets = FoldEnsemble([LeftOnly(), LeftOnly()])
        folds = Folds(np.arange(8) % 2, 2, heldout)
        fit(nets, images, config, Pipeline.of(config, data, CPU), 0, mode=folds)
        heldout.finish()
        margins[flip] = np.load(tmp_path / str(flip) / FILES[1])["margin"][:, 0].round(3).tolist()
    assert margins == {True: [0.5] * 8, False: [1.0] * 4 + [0.0] * 4}


def test_few_images_and_small_classes_work(tmp_path: Path) -> None:
    for capture in ("in-loop", "eval-pass"):
        more = {"train__folds": 5, "train__epochs": 1, "train__capture": capture}
        config = small_config(data__limit=5, noise__noise_ratio=0.0, **more)
        dynamics = read_run(runner.generate_td(config, tmp_path / capture).folder)[0]
        assert len(dynamics) == 5 and dynamics.heldout is not None


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"train__folds": 1}, "^train.folds: a single fold leaves nothing"),
        ({"train__folds": -2}, "^train.folds: "),
        ({"train__folds": 2, "train__mixup": 0.2}, "give --capture eval-pass"),
        ({"train__folds": 2, "data__limit": 3}, "^train.folds: without a fold of 2: 1 images are"),
    ],
)
def test_what_cannot_be_done_is_one_line(tmp_path: Path, more: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        runner.generate_td(tiny_config(noise__noise_ratio=0.0, **more), tmp_path / "r")
    assert "\n" not in str(caught.value) and not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("other", "value"), [("leave_out", "worst.csv"), ("threshold_samples", True)]
)
def test_folds_go_alone(other: str, value: object) -> None:
    flag = other.replace("_", "-")
    with pytest.raises(ConfigError, match=rf"folds: .*; leave out --folds or --{flag}") as caught:
        load_config(None, {"train.folds": 2, f"train.{other}": value})
    assert "\n" not in str(caught.value)
    load_config(None, {"train.folds": 0, f"train.{other}": value})


def test_more_folds_are_another_run(tmp_path: Path) -> None:
    runner.generate_td(small_config(), tmp_path / "r")
    with pytest.raises(RunError, match=r"train\.folds: 2, now 3"):
        runner.generate_td(small_config(train__folds=3), tmp_path / "r", resume=True)


def test_the_disk_is_asked_for_both_recordings(tmp_path: Path) -> None:
    one, two = forecast(1000, 10, 30), forecast(1000, 10, 30, recordings=2)
    # The labels are kept beside the first recording only.
    assert two.capture_bytes == 2 * one.capture_bytes - LABELS * 1000
    assert two.file_bytes == 2 * one.file_bytes
    lines = runner.plan_generate(tiny_config(train__folds=3), tmp_path / "r")
    assert "3 times resnet8" in lines[-1] and "all but one of 3 folds" in lines[-1]


def test_each_network_starts_from_weights_of_its_own_seed() -> None:
    asked: list[int] = []

    def build(seed: int, extra_classes: int = 0) -> torch.nn.Module:
        asked.append(seed)
        return torch.nn.Linear(2, 3 + extra_classes)

    nets = Folds(np.arange(6) % 3, 3).build(build, seed=5)
    assert len(list(nets.children())) == 3 and asked == fold_seeds(5, 3)


def test_the_seeds_of_the_networks_are_their_own() -> None:
    seeds = [*fold_seeds(0, 5), *fold_seeds(1, 5)]
    assert len(set(seeds)) == 10 and fold_seeds(0, 2) == seeds[:2]
