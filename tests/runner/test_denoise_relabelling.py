"""Relabelling by the network of a retraining, as the paper's section 4.3 does."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import tiny_config

from tdctl import runner
from tdctl.dynamics import read_run
from tdctl.errors import RunError
from tdctl.files import read_json
from tdctl.runner import Cleaning, DenoiseResult
from tdctl.settings import load_config

SURE = Cleaning("relabel", "retrained", 0.0)


def relabelled(run: Path, detector: Path, out: Path, **more: Any) -> DenoiseResult:
    config = load_config(None, {}, runner.settings_of_run(run))
    more = {"cleaning": SURE} | more
    return runner.denoise(config, run, detector, [0.3], out=out, **more)


def test_the_flagged_get_what_the_network_of_the_others_predicts(
    digits_run: Path, tmp_path: Path, detector_file: Path
) -> None:
    result = relabelled(digits_run, detector_file, tmp_path / "o")
    pruned, row = result.rows
    assert (pruned.kind, pruned.action) == ("pruned", "prune")
    assert (row.kind, row.action) == ("relabelled", "relabel")
    table = pd.read_csv(Path(pruned.folder) / "results_dropped.csv")
    labels = read_run(digits_run)[1]
    ranking = result.detection.table.set_index("rank")
    worst = ranking["index"][:36]
    assert set(table["index"]) == set(worst)
    assert (table["Label"] == pd.Series(labels.assigned, labels.index)[table["index"]].values).all()
    new = table["Prediction"] != table["Label"]
    assert row.relabelled == new.sum() > 0 and row.removed == (~new).sum()
    true = pd.Series(labels.true, labels.index)
    wrong = int((table["Prediction"] != true[table["index"]].values)[new].sum())
    assert row.flipped_left == wrong + (pruned.flipped_left or 0)
    assert row.noise_after == row.flipped_left / (row.kept or 0)
    assert row.noise_before == labels.flipped.mean()
    assert result.file is not None
    stored = {one["kind"]: one for one in read_json(result.file)["rows"]}
    assert stored["relabelled"]["relabelled"] == new.sum() and stored["pruned"]["relabelled"] == 0
    assert stored["pruned"]["classes"] and "classes" not in pd.read_csv(
        result.file.with_suffix(".csv")
    )


def test_the_network_is_the_one_that_an_earlier_pruning_trained(
    digits_run: Path, tmp_path: Path, detector_file: Path
) -> None:
    out = tmp_path / "o"
    pruned = relabelled(digits_run, detector_file, out, cleaning=None).rows[0]
    with pytest.raises(RunError, match="--resume"):
        relabelled(digits_run, detector_file, out)
    result = relabelled(digits_run, detector_file, out, resume=True)
    assert result.rows[0] == pruned, "taken over, not trained again"
    again = relabelled(digits_run, detector_file, out, resume=True)
    assert again.rows == result.rows
    file = Path(pruned.folder) / "results_dropped.csv"
    before = file.read_bytes()
    file.unlink()
    assert relabelled(digits_run, detector_file, out, resume=True).rows == result.rows
    assert file.read_bytes() == before, "from the same weights"
    pd.read_csv(file).iloc[1:].to_csv(file, index=False)
    with pytest.raises(RunError, match="has other samples than those that are flagged now"):
        relabelled(digits_run, detector_file, out, resume=True)


def test_other_predictions_are_not_trained_on_by_a_retraining_that_began(
    digits_run: Path, tmp_path: Path, detector_file: Path
) -> None:
    out = tmp_path / "o"
    result = relabelled(digits_run, detector_file, out)
    file = Path(result.rows[0].folder) / "results_dropped.csv"
    table = pd.read_csv(file)
    table.assign(Prediction=(table["Label"] + 1) % 10, Confidence=1.0).to_csv(file, index=False)
    with pytest.raises(RunError, match="kept_fingerprint differs"):
        relabelled(digits_run, detector_file, out, resume=True)
    file.write_text("index\n1\n")
    with pytest.raises(RunError, match="is not the table that tdctl wrote"):
        relabelled(digits_run, detector_file, out, resume=True)
    model = Path(result.rows[0].folder) / "model.pth.last"
    model.write_bytes(model.read_bytes()[:1000])
    file.unlink()
    with pytest.raises(RunError, match=r"model\.pth\.last: cannot be read"):
        relabelled(digits_run, detector_file, out, resume=True)


def test_a_dry_run_does_not_know_what_would_be_relabelled(
    digits_run: Path, tmp_path: Path, detector_file: Path
) -> None:
    rows = relabelled(digits_run, detector_file, tmp_path / "o", dry_run=True).rows
    assert [(row.kind, row.removed) for row in rows] == [("pruned", 36), ("relabelled", None)]
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
def test_planted_labels_of_digits_are_corrected(tmp_path: Path) -> None:
    """Enough training for a network that predicts digits: nearly all flags get the true label."""
    settings: dict[str, Any] = {
        "data__limit": 450, "train__epochs": 10, "retrain__epochs": 12, "noise__noise_ratio": 0.2,
        "retrain__batch_size": 32, "train__batch_size": 32, "retrain__lr": 0.1,
    }  # fmt: skip
    run = runner.generate_td(tiny_config(**settings), tmp_path / "r").folder
    config = load_config(None, {}, runner.settings_of_run(run))
    outcome = {}
    for by in ("mean-softmax", "retrained"):
        cleaning = Cleaning("relabel", by, 0.5 if by == "retrained" else None)
        result = runner.denoise(
            config,
            run,
            Path("builtin"),
            [0.2],
            cleaning=cleaning,
            out=tmp_path / by,
            dry_run=by == "mean-softmax",  # its labels are known without a training
        )
        row = outcome[by] = result.rows[-1]
        assert row.noise_before is not None and row.noise_after is not None
        assert row.noise_after < row.noise_before / 3 and row.relabelled
    labels = read_run(run)[1]
    file = Path(result.rows[0].folder) / "results_dropped.csv"
    table = pd.read_csv(file).set_index("index")
    rows = np.isin(labels.index, table.index) & labels.flipped
    right = table["Prediction"][labels.index[rows]].to_numpy() == labels.true[rows]
    assert right.mean() >= 0.9, "of the planted wrong labels that were flagged"
    shutil.rmtree(tmp_path / "retrained")
