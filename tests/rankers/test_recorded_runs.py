"""Several runs of the same samples, ranked together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import (
    make_published_run,
    planted_labels,
    refused,
    softmax_history,
    tdctl,
    tiny_config,
)

from tdctl import runner
from tdctl.detector import Card, Detector, load_detector, save_detector
from tdctl.detector.ranks import mid_ranks
from tdctl.dynamics import read_run, suggestions_of_all, write_td
from tdctl.errors import ConfigError, DynamicsError
from tdctl.files import read_json
from tdctl.labels import Labels
from tdctl.metadata import write_metadata
from tdctl.rankers.ranked import DetectResult
from tdctl.recorder import RunRecorder
from tdctl.scores import find_score
from tdctl.settings import load_config

AUM = find_score("aum")
LABELS = planted_labels(120, 5)


def run_of(folder: Path, labels: Labels = LABELS, epochs: int = 12, seed: int = 0) -> Path:
    """A run folder of ours, of given samples, without training."""
    folder.mkdir(parents=True)
    probs, margins = softmax_history(labels, 5, epochs, seed)
    write_td(folder / "training_dynamics.npz", probs, margins, labels)
    write_metadata(folder / "metadata.pth", labels, np.zeros(0, dtype=np.int64))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three runs of the same samples, of different lengths."""
    root = tmp_path_factory.mktemp("runs")
    return [run_of(root / str(seed), epochs=4 + 3 * seed, seed=seed) for seed in range(3)]


def suspicion_of(result: DetectResult) -> Any:
    return result.ranking.suspicion


@pytest.mark.parametrize("kind", ["score", "detector"])
def test_the_suspicion_is_the_mean_of_the_runs_own_ranks(
    runs: list[Path], detector_file: Path, kind: str
) -> None:
    source = AUM if kind == "score" else detector_file
    alone = [suspicion_of(runner.detect(run, source)) for run in runs]
    together = runner.detect(runs, source)
    expected = np.mean([mid_ranks(scores).astype(float) for scores in alone], axis=0)
    assert np.allclose(suspicion_of(together), expected)
    assert expected.min() > 0 and expected.max() < 1
    assert together.runs == tuple(runs)
    assert together.in_sample is False and together.metrics.at_half is None


def test_one_run_is_ranked_as_ever(runs: list[Path], detector_file: Path) -> None:
    plain, listed = (runner.detect(given, detector_file) for given in (runs[0], runs[:1]))
    pd.testing.assert_frame_equal(plain.table, listed.table)
    own = load_detector(detector_file).score(read_run(runs[0])[0])
    assert (suspicion_of(listed) == own).all() and plain.metrics.at_half is not None
    assert plain.fingerprints == listed.fingerprints
    assert plain.fingerprints["run"] == read_run(runs[0])[0].fingerprint()
    assert plain.run_facts == {"run": str(runs[0])}


def test_a_run_with_its_copy_ranks_as_it_does_alone(
    runs: list[Path], detector_file: Path, tmp_path: Path
) -> None:
    both = [runs[1], Path(shutil.copytree(runs[1], tmp_path / "copy"))]
    alone, twice = (runner.detect(given, detector_file) for given in (runs[1], both))
    columns = [name for name in alone.table if name != "suspicion"]
    pd.testing.assert_frame_equal(alone.table[columns], twice.table[columns])
    assert (suspicion_of(twice) == mid_ranks(suspicion_of(alone))).all()
    assert (alone.metrics.auc, alone.metrics.ap) == (twice.metrics.auc, twice.metrics.ap)


def test_the_order_of_runs_does_not_matter(runs: list[Path]) -> None:
    first, second = runner.detect(runs, AUM), runner.detect(runs[::-1], AUM)
    pd.testing.assert_frame_equal(first.table, second.table)
    assert first.fingerprints == second.fingerprints
    assert first.fingerprints != runner.detect(runs[:2], AUM).fingerprints


def test_rows_are_joined_by_index(tmp_path: Path) -> None:
    ours = run_of(tmp_path / "ours", seed=3)
    shuffled = make_published_run(tmp_path / "theirs", LABELS, seed=3)
    assert (np.diff(torch.load(shuffled / "metadata.pth")["train_indices"]) < 0).any()
    both, alone = (runner.detect(given, find_score("p-mean")) for given in ([ours, shuffled], ours))
    assert (suspicion_of(both) == mid_ranks(suspicion_of(alone))).all()


def test_the_suggested_label_is_that_of_the_mean_over_runs(tmp_path: Path) -> None:
    labels = Labels(np.arange(3), np.array([0, 0, 0]), np.array([0, 0, 0]))
    probs = np.array(
        [
            # By run: class 1 wins the first, 2 the second, and 1 both together; then a tie of
            # the given label with 2; then one in which both runs are as sure of the given.
            [[0.1, 0.5, 0.4], [0.4, 0.2, 0.4], [0.9, 0.1, 0.0]],
            [[0.2, 0.38, 0.42], [0.4, 0.2, 0.4], [0.9, 0.0, 0.1]],
        ]
    )
    folders = []
    for number, of_run in enumerate(probs):
        folder = tmp_path / str(number)
        folder.mkdir()
        epochs = np.repeat(of_run[None], 1 + number, axis=0).astype(np.float16)
        write_td(
            folder / "training_dynamics.npz", epochs, np.zeros((1 + number, 3), np.float32), labels
        )
        write_metadata(folder / "metadata.pth", labels, np.zeros(0, dtype=np.int64))
        folders.append(folder)
    dynamics = [read_run(folder)[0] for folder in folders]
    assert dynamics[0].suggested()[0] == 1 and dynamics[1].suggested()[0] == 2
    assert suggestions_of_all(dynamics)[0].tolist() == [1, 0, 0]
    for one in dynamics:
        assert (suggestions_of_all([one])[0] == one.suggested()).all()


@pytest.mark.parametrize("store", ["full", "given", "topk:2"])
def test_runs_of_any_store_suggest_alike(tmp_path: Path, store: str) -> None:
    logits = torch.randn(2, 6, 120, 5, generator=torch.Generator().manual_seed(0)) * 2
    folders = []
    for number, kept in enumerate(("full", store)):
        recorder = RunRecorder.create(tmp_path / str(number), LABELS, 5, 6, store=kept)
        for epoch in range(6):
            recorder.record(torch.from_numpy(LABELS.index), logits[number, epoch])
            recorder.commit(epoch)
        recorder.finish()
        folders.append(tmp_path / str(number))
    found = suggestions_of_all([read_run(folder)[0] for folder in folders])[0]
    expected = logits.softmax(dim=3).mean(dim=(0, 1)).argmax(dim=1).numpy()
    assert (found == expected).mean() > (0.99 if store == "full" else 0.8)


def changed(labels: Labels, **columns: Any) -> Labels:
    return Labels(
        **{name: columns.get(name, getattr(labels, name)) for name in ("index", "assigned", "true")}
    )


def test_runs_of_other_samples_or_labels_are_refused(tmp_path: Path, runs: list[Path]) -> None:
    index, given = LABELS.index.copy(), LABELS.assigned.copy()
    free = int(np.setdiff1d(np.arange(1000), index)[-1])
    moved = changed(LABELS, index=np.where(index == index[7], free, index))
    other = run_of(tmp_path / "index", moved)
    with pytest.raises(DynamicsError, match=f"{other}: has no index {index[7]}, which .*0 has"):
        runner.detect([runs[0], other], AUM)
    fewer = run_of(tmp_path / "fewer", LABELS.take(np.arange(100)))
    with pytest.raises(DynamicsError, match=f"fewer: has no index {index[100]}"):
        runner.detect([fewer, runs[0]], AUM)
    given[[3, 9]] = (given[[3, 9]] + 1) % 5
    wrong = run_of(tmp_path / "given", changed(LABELS, assigned=given))
    says = (
        f"the given label of index {index[3]} is {given[3]}, and {LABELS.assigned[3]} in .*2 such"
    )
    with pytest.raises(DynamicsError, match=says):
        runner.detect([runs[0], wrong], AUM)
    true = LABELS.true.copy()
    true[5] = (true[5] + 1) % 5
    truth = run_of(tmp_path / "true", changed(LABELS, true=true))
    with pytest.raises(DynamicsError, match=f"the true label of index {index[5]}"):
        runner.detect([runs[0], truth], AUM)


def test_a_run_that_knows_no_truth_takes_it_from_the_others(
    tmp_path: Path, runs: list[Path]
) -> None:
    unknown = run_of(tmp_path / "u", changed(LABELS, true=LABELS.assigned), seed=5)
    found = [runner.detect(order, AUM) for order in ([unknown, runs[0]], [runs[0], unknown])]
    assert found[0].metrics.auc == found[1].metrics.auc is not None
    pd.testing.assert_frame_equal(found[0].table, found[1].table)


def test_a_detector_that_was_trained_on_one_of_the_runs_has_seen_them(
    tmp_path: Path, runs: list[Path], detector_file: Path
) -> None:
    plain = load_detector(detector_file)
    seen = [{"run": "a", "fingerprint": read_run(runs[1])[0].fingerprint()}]
    card = Card(trained_on=seen, held_out={}, settings={}, version="0")
    file = save_detector(tmp_path / "seen.pth.tar", Detector(plain.net, card))[0]
    assert runner.detect(runs, file).in_sample is True
    assert runner.detect([runs[0], runs[2]], file).in_sample is False
    result = tdctl("detect", "--td", runs[0], "--td", runs[1], "--detector", file)
    said = " ".join(result.stdout.split())
    assert "in-sample: the detector was trained on one of these runs; the mean of the ranks" in said


def test_an_estimate_is_the_mean_of_the_runs_own(runs: list[Path], detector_file: Path) -> None:
    alone = [runner.detect(run, AUM, cut="auto").estimates["combined"].rate for run in runs]
    together = runner.detect(runs, AUM, cut="auto")
    found = together.estimates["combined"]
    assert found.rate == pytest.approx(np.mean(alone))
    assert found.error == pytest.approx(found.rate - LABELS.flipped.mean())
    assert together.flagged is not None and together.flagged.ratio == found.rate
    with pytest.raises(ConfigError, match=r"auto:sum: .* or of several runs\)"):
        runner.detect(runs, detector_file, cut="auto:sum")


def test_several_runs_by_command(tmp_path: Path, runs: list[Path], detector_file: Path) -> None:
    both = ["--td", runs[0], "--td", runs[1]]
    out = tmp_path / "ranking.csv"
    result = tdctl("detect", *both, "--score", "aum", "--out", out, "--json", "--top", 2)
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["runs"] == [str(run) for run in runs[:2]] and "run" not in content
    assert content["metrics"]["at_half"] is None and len(content["worst"]) == 2
    table = pd.read_csv(out)
    assert table["rank"].tolist() == list(range(1, 121)) and table["suspicion"].between(0, 1).all()
    assert (table["suspicion"].diff().dropna() <= 0).all()
    refused(tdctl("detect", *both, "--score", "all"), "several scores are compared on one run")
    refused(
        tdctl("detect", *both, "--detector", detector_file, "--cut", "auto:sum"),
        "or of several runs)", "one --td",
    )  # fmt: skip
    other = run_of(tmp_path / "other", planted_labels(120, 5, seed=1))
    refused(
        tdctl("detect", "--td", runs[0], "--td", other, "--score", "aum"),
        "must have the same images",
    )
    assert "mean of its ranks" in " ".join(tdctl("detect", "--help").stdout.split()).replace(
        "│ │ ", ""
    )


def test_denoise_drops_the_worst_of_several_runs(
    tmp_path: Path, digits_run: Path, detector_file: Path
) -> None:
    other = tmp_path / "computation4td_seed1"
    runner.generate_td(
        tiny_config(data__num_valid=30, seed=1, noise__noise_seed=0, data__split_seed=0), other
    )
    config = load_config(None, {}, runner.settings_of_run(digits_run))
    pair = [digits_run, other]
    result = runner.denoise(config, pair, detector_file, [0.2], out=tmp_path / "out")
    row, file = result.rows[0], tmp_path / "out" / "detector_hand_of2runs" / "denoise.json"
    assert result.file == file and row.removed == 24 and row.test_error_last is not None
    assert read_json(file)["runs"] == [str(run) for run in pair]
    worst = runner.detect(pair, detector_file).table.head(24)
    assert row.flipped_left == result.detection.labels.flipped.sum() - worst["label_flipped"].sum()
    alone = runner.denoise(
        config, digits_run, detector_file, [0.2], out=tmp_path / "out", dry_run=True
    )
    assert alone.rows[0].folder != row.folder, "the ranking of one run is another"


def test_a_second_round_is_ranked_with_the_first(tmp_path: Path, digits_run: Path) -> None:
    runner.detect(digits_run, AUM, out=tmp_path / "worst.csv")
    config = tiny_config(data__num_valid=30, train__leave_out=str(tmp_path / "worst.csv"))
    second = runner.generate_td(config, tmp_path / "second").folder
    result = tdctl("detect", "--td", digits_run, "--td", second, "--score", "aum", "--json")
    assert json.loads(result.stdout)["samples"] == 120
