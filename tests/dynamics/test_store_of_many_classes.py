from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tdctl import runner
from tdctl.dynamics import TrainingDynamics, read_run, store
from tdctl.errors import DataError
from tdctl.labels import Labels
from tdctl.recorder import EpochRows, RunRecorder, forecast
from tdctl.settings import load_config

N, K, EPOCHS = 40, 7, 5


def labels() -> Labels:
    rng = np.random.default_rng(0)
    given = rng.integers(0, K, N)
    return Labels(np.sort(rng.choice(3 * N, N, replace=False)), given, given)


def recorded(folder: Path, name: str, shared_by: int = 1) -> TrainingDynamics:
    generator, given = torch.Generator().manual_seed(1), labels()
    recorder = RunRecorder.create(folder, given, K, EPOCHS, store=name)
    index = torch.from_numpy(given.index)
    for epoch in range(EPOCHS):
        logits = 3 * torch.randn(N, K, generator=generator)
        parts = [torch.arange(rank, N, shared_by) for rank in range(shared_by)]
        own, *others = parts
        for some in torch.split(own, 16):
            recorder.record(index[some], logits[some])
        for rows in others:
            elsewhere = EpochRows(given, K, "cpu", store.Store.of(name, K))
            elsewhere.record(index[rows], logits[rows])
            recorder.rows.absorb([elsewhere.packed()])
        recorder.commit(epoch)
    recorder.finish()
    return read_run(folder)[0]


@pytest.mark.parametrize("name", ["given", "topk:3"])
@pytest.mark.parametrize("shared_by", [1, 3])
def test_of_very_many_classes_the_same_is_kept_without_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, shared_by: int
) -> None:
    exact = recorded(tmp_path / "exact", name)
    monkeypatch.setattr(store, "MANY", K - 1)
    kept = recorded(tmp_path / "kept", name, shared_by)
    for field in ("td", "labels", "index", "margin", "loss", "other", "other_class"):
        ours, theirs = (np.asarray(getattr(run, field)) for run in (kept, exact))
        # Another order of summing rounds the last bit otherwise.
        assert np.allclose(ours, theirs, atol=1e-3, rtol=1e-5), field


@pytest.mark.parametrize("name", ["given", "topk:2"])
def test_the_means_are_those_of_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(store, "MANY", K - 1)
    kept = recorded(tmp_path, name)
    others = np.asarray(kept.other).shape[2]
    assert np.asarray(kept.mean).shape == (N, others + 1)
    for row in range(N):
        means = np.zeros(K)
        means[kept.labels[row, 0]] = np.asarray(kept.td[row, :, 0], dtype=np.float64).mean()
        np.add.at(
            means,
            np.asarray(kept.other_class[row]).reshape(-1),  # type: ignore[index]
            np.asarray(kept.other[row], dtype=np.float64).reshape(-1) / EPOCHS,  # type: ignore[index]
        )
        best = np.argsort(-means, kind="stable")[: others + 1]
        assert np.asarray(kept.mean_class)[row].tolist() == best.tolist()
        assert np.allclose(np.asarray(kept.mean)[row], means[best], atol=1e-3)
    assert (kept.suggested() == np.asarray(kept.mean_class)[:, 0]).all()


def test_a_hundred_thousand_classes_take_room_for_the_samples_only() -> None:
    few, many = (forecast(10_000, k, 10, "given") for k in (4096, 100_000))
    assert many.capture_bytes < few.capture_bytes / 50
    rows = EpochRows(labels(), 100_000, "cpu", store.Store.of("given", 100_000))
    assert rows.probs.shape == (N + 1, 2)


def run_on(root: Path, out: Path, **more: Any) -> Path:
    settings = {
        "data.dataset": "folder", "data.data_dir": str(root), "recipe": "paper",
        "net.depth": 8, "train.epochs": 2, "train.amp": False, "data.test_share": 0.0,
    }  # fmt: skip
    return runner.generate_td(load_config(None, settings | more), out).folder


def image(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (value % 256, value // 256, 9)).save(path)


def test_one_class_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    for number in range(6):
        image(tmp_path / f"data/only/{number}.png", number)
    with pytest.raises(DataError, match="a single class folder, only, which holds 6 images"):
        run_on(tmp_path / "data", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_classes_with_one_sample_each_are_recorded_and_split(tmp_path: Path) -> None:
    for number in range(9):
        image(tmp_path / f"data/class {number}/x.png", 20 * number)
    more = {"data.test_share": 0.3, "data.num_valid": 2}
    dynamics, given, valid = read_run(run_on(tmp_path / "data", tmp_path / "run", **more))
    # No class loses its only image to the test set; --num-valid is asked for in so many words.
    assert len(dynamics) == 7 and len(valid) == 2 and len(set(given.assigned)) == 7
