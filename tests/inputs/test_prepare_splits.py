"""Held-out images and folds stay where they are when the noise is drawn anew."""

from __future__ import annotations

import json
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import refused, tdctl, tiny_config

from tdctl import runner
from tdctl.dynamics import read_run
from tdctl.files import read_json, write_json
from tdctl.inputs.prepare import SPLIT_BY_GIVEN, Prepared, prepare
from tdctl.labels import stratified_folds, stratified_holdout
from tdctl.training import Progress

NOISES: list[dict[str, Any]] = [
    {"noise__noise_type": "uniform"},
    {"noise__noise_type": "flip", "noise__noise_ratio": 0.4},
    {"noise__noise_type": "instance"},
]


def folds_of(prepared: Prepared) -> Any:
    return stratified_folds(prepared.strata, 3, 0)


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise["noise__noise_type"])
def test_another_noise_seed_moves_neither_held_out_images_nor_folds(noise: dict[str, Any]) -> None:
    seeds = [
        prepare(tiny_config(data__num_valid=30, noise__noise_seed=seed, **noise), dry=False)
        for seed in range(3)
    ]
    first = seeds[0]
    for other in seeds[1:]:
        assert (other.labels.assigned != first.labels.assigned).any()
        assert (other.valid_indices == first.valid_indices).all()
        assert (folds_of(other) == folds_of(first)).all()
    moved = prepare(tiny_config(data__num_valid=30, data__split_seed=7, **noise))
    assert set(moved.valid_indices) != set(first.valid_indices)


def test_more_noise_or_none_holds_out_the_same_images() -> None:
    ratios = [
        prepare(tiny_config(data__num_valid=30, noise__noise_ratio=ratio))
        for ratio in (0.0, 0.2, 0.6)
    ]
    for other in ratios[1:]:
        assert (other.valid_indices == ratios[0].valid_indices).all()
        assert (folds_of(other) == folds_of(ratios[0])).all()


@pytest.mark.parametrize("as_noise", [False, True])
def test_labels_of_a_table_are_spread_evenly_as_they_are(tmp_path: Path, as_noise: bool) -> None:
    """Nothing is drawn there, so the given labels are those before any noise."""
    own = prepare(tiny_config(noise__noise_ratio=0.0)).labels
    given = np.where(np.arange(len(own)) % 4 == 0, (own.true + 1) % 10, own.true)
    table = tmp_path / "labels.csv"
    pd.DataFrame({"index": own.index, "human": given, "right": own.true}).to_csv(table, index=False)
    settings: dict[str, Any] = {"data__labels": table, "data__label_column": "human"}
    settings |= {"data__true_column": "right", "noise__noise_ratio": 0.0, "data__num_valid": 30}
    if as_noise:
        settings["noise__noise_type"] = "labels"
    found = prepare(tiny_config(**settings))
    held = stratified_holdout(given, 30, 0)
    assert (found.valid_indices == own.index[held]).all()
    assert (found.strata == given[~held]).all()


def stop_after_one(progress: Progress) -> None:
    if progress.epoch == 1:
        raise KeyboardInterrupt


def begun_before(config: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Path:
    """A run as it was begun before manifests said how images are held out."""
    with monkeypatch.context() as patch:
        earlier = partial(prepare, split_by=SPLIT_BY_GIVEN)
        module = import_module("tdctl.runner.generate_td")
        patch.setattr(
            module, "prepare", lambda config, dry, split_by, report: earlier(config, dry=dry)
        )
        if more:
            with pytest.raises(KeyboardInterrupt):
                runner.generate_td(config, folder, **more)
        else:
            runner.generate_td(config, folder)
    manifest = read_json(folder / "manifest.json")
    assert manifest.pop("split_by") == SPLIT_BY_GIVEN
    write_json(folder / "manifest.json", manifest)
    return folder


@pytest.mark.parametrize("split", [{"data__num_valid": 30}, {"train__folds": 2}])
def test_a_run_begun_with_the_earlier_split_goes_on_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: dict[str, Any]
) -> None:
    config = tiny_config(noise__noise_ratio=0.4, **split)
    whole = begun_before(config, tmp_path / "whole", monkeypatch)
    folder = begun_before(config, tmp_path / "r", monkeypatch, report=stop_after_one)
    command = ("generate-td", "--config", tmp_path / "c.yaml", "--out", folder, "--resume")
    (tmp_path / "c.yaml").write_text(config.to_yaml())
    assert tdctl(*command, "--dry-run").exit_code == 0
    assert runner.generate_td(config, folder, resume=True).resumed
    for name in ("training_dynamics.npz", "metadata.pth", "model.pth", "train_log.csv"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    assert read_json(folder / "manifest.json")["split_by"] == SPLIT_BY_GIVEN
    new = runner.generate_td(config, tmp_path / "new").folder
    same = (new / "training_dynamics.npz").read_bytes()
    assert same != (whole / "training_dynamics.npz").read_bytes()


def test_a_split_of_a_later_version_is_refused(tmp_path: Path) -> None:
    config = tiny_config(data__num_valid=30)
    (tmp_path / "c.yaml").write_text(config.to_yaml())
    with pytest.raises(KeyboardInterrupt):
        runner.generate_td(config, tmp_path / "r", report=stop_after_one)
    file = tmp_path / "r" / "manifest.json"
    file.write_text(json.dumps(read_json(file) | {"split_by": "moon"}))
    command = ("generate-td", "--config", tmp_path / "c.yaml", "--out", tmp_path / "r", "--quiet")
    refused(tdctl(*command, "--resume"), "split_by is 'moon'", "start again with --overwrite")


def test_a_denoising_takes_the_images_that_the_run_held_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(noise__noise_ratio=0.4, data__num_valid=30, retrain__epochs=1)
    old = begun_before(config, tmp_path / "old", monkeypatch)
    result = runner.denoise(config, old, Path("builtin"), [0.1], out=tmp_path / "d")
    folder = Path(result.rows[0].folder)
    judged = pd.read_csv(folder / "results_valid.csv")["index"]
    assert sorted(judged) == sorted(read_run(old)[2])
    assert sorted(judged) != sorted(prepare(config).valid_indices)
