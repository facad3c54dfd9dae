"""Several rounds of recording and ranking: each leaves out what the round before flagged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import refused, tdctl, tiny_config

from tdctl import runner
from tdctl.dynamics import read_run
from tdctl.errors import ConfigError, RunError
from tdctl.files import read_json
from tdctl.runner import Cleaning, DenoiseResult
from tdctl.scores import find_score
from tdctl.settings import load_config
from tdctl.training import Progress

AUM = find_score("aum")


def denoised(run: Path, out: Path, rounds: int = 3, ratios: Any = (0.2,), **more: Any) -> Any:
    config = load_config(None, {}, runner.settings_of_run(run))
    return runner.denoise(config, run, AUM, list(ratios), rounds=rounds, out=out, **more)


@pytest.fixture(scope="module")
def three(digits_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DenoiseResult]:
    out = tmp_path_factory.mktemp("rounds") / "o"
    return out, denoised(digits_run, out)


def test_a_round_is_not_trained_on_what_the_one_before_flagged(
    digits_run: Path, three: tuple[Path, DenoiseResult]
) -> None:
    out, result = three
    folder = out / "score_aum_rounds" / "percremove0.2"
    assert [one.round for one in result.rounds] == [1, 2, 3]
    before, given = digits_run, read_run(digits_run)[1]
    for number in (2, 3):
        run = folder / f"round{number}"
        ranking = runner.detect(before, AUM).table
        left = set(pd.read_csv(run / "left_out.csv")["index"])
        assert left <= set(ranking["index"][:24]) and len(left) >= 12
        labels = read_run(run)[1]
        assert (labels.index == given.index).all() and (labels.assigned == given.assigned).all()
        own, first = runner.settings_of_run(run), runner.settings_of_run(digits_run)
        assert own is not None and first is not None and own["net"] == first["net"]
        assert result.rounds[number - 1].trained_on == 120 - len(left)
        before = run
    assert result.detection.runs == (folder / "round3",)
    last = result.rounds[-1]
    row = result.rows[0]
    assert last.noise_after == row.noise_after and row.removed == last.flagged == 24
    stored = read_json(folder / "rounds.json")["rounds"]
    assert [one["noise_before"] for one in stored] == [given.flipped.mean()] * 3
    assert result.file is not None
    assert result.file == folder / "rounds3" / "denoise.json"
    assert [one["auc"] for one in read_json(result.file)["rounds"]] == [
        one.auc for one in result.rounds
    ]


def test_rounds_go_on_to_the_same_rows_and_to_more(
    digits_run: Path, three: tuple[Path, DenoiseResult], tmp_path: Path
) -> None:
    out, result = three
    again = denoised(digits_run, out, resume=True)
    assert (again.rows, again.rounds) == (result.rows, result.rounds)
    with pytest.raises(RunError, match=r"rounds\.json: exists already; .*--resume"):
        denoised(digits_run, out)
    two = denoised(digits_run, tmp_path / "two", rounds=2)
    more = denoised(digits_run, tmp_path / "two", resume=True)
    assert more.rounds[:2] == two.rounds and more.rounds[2].flagged == result.rounds[2].flagged
    assert [one.auc for one in more.rounds] == [one.auc for one in result.rounds]
    assert more.rows[0].test_error_last == result.rows[0].test_error_last


def test_a_dry_run_records_nothing_and_takes_over_what_is_there(
    digits_run: Path, three: tuple[Path, DenoiseResult], tmp_path: Path
) -> None:
    plan = denoised(digits_run, tmp_path / "o", dry_run=True)
    assert not (tmp_path / "o").exists() and plan.rows[0].removed == 24
    assert any("would record round 2 to 3 in" in note for note in plan.notes)
    out, result = three
    plan = denoised(digits_run, out, dry_run=True, resume=True)
    assert plan.rows[0].noise_after == result.rows[0].noise_after
    assert not any("would record" in note for note in plan.notes)


def test_rounds_of_another_run_are_not_gone_on_with(
    three: tuple[Path, DenoiseResult], tmp_path: Path
) -> None:
    other = runner.generate_td(tiny_config(seed=7, data__num_valid=30), tmp_path / "r").folder
    with pytest.raises(RunError, match=r"rounds\.json: round 1 had another recording"):
        denoised(other, three[0], resume=True)


def test_labels_change_only_for_the_retraining(digits_run: Path, tmp_path: Path) -> None:
    relabel = Cleaning("relabel", confidence_floor=0.0)
    result = denoised(digits_run, tmp_path / "o", 2, cleaning=relabel)
    labels = read_run(result.detection.runs[0])[1]
    assert (labels.assigned == read_run(digits_run)[1].assigned).all()
    changed = result.detection.suggested != labels.assigned
    worst = result.detection.ranking.worst_first()[:24]
    assert result.rows[0].relabelled == changed[worst].sum()
    assert np.isclose(result.rows[0].removed, 24 - changed[worst].sum())


def test_what_cannot_be_recorded_again_is_refused(digits_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    for rounds, ratios, says in (
        (0, [0.2], "rounds: 0 is less than one"),
        (2, [0.1, 0.2], "2 are given; name one --remove-ratio"),
        (2, [0.0], "0 is given; name one --remove-ratio"),
    ):
        with pytest.raises(ConfigError, match=says):
            denoised(digits_run, out, rounds, ratios)
    with pytest.raises(ConfigError, match="none is given; name one --remove-ratio"):
        denoised(digits_run, out, 2, [], cleaning=Cleaning("reweight"))
    config = load_config(None, {}, runner.settings_of_run(digits_run))
    with pytest.raises(ConfigError, match="record one run again, and 2 are given"):
        runner.denoise(config, [digits_run, digits_run], AUM, [0.2], rounds=2, out=out)
    folds = runner.generate_td(tiny_config(train__folds=2), tmp_path / "f").folder
    with pytest.raises(ConfigError, match=r"rounds: .* cannot be recorded again so: .*folds"):
        denoised(folds, out, 2)
    assert not out.exists()


def test_the_command_prints_the_rounds_and_goes_on(digits_run: Path, tmp_path: Path) -> None:
    asked = ["denoise", "--td", digits_run, "--score", "aum", "--remove-ratio", 0.2, "--quiet"]
    asked += ["--rounds", 2, "--epochs", 1, "--out", tmp_path / "o"]
    result = tdctl(*asked)
    assert result.exit_code == 0, result.output
    words = " ".join(result.stdout.split())
    assert "rounds round trained on AUC" in words and "lost most" in words
    assert tdctl(*asked, "--resume").stdout == result.stdout
    refused(tdctl(*asked), "rounds.json: exists already")


def test_an_interrupted_round_goes_on_to_the_same_bits(
    digits_run: Path, three: tuple[Path, DenoiseResult], tmp_path: Path
) -> None:
    def stop(progress: Progress) -> None:
        if progress.stage == "generate-td" and progress.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        denoised(digits_run, tmp_path / "o", report=stop)
    folder = tmp_path / "o" / "score_aum_rounds" / "percremove0.2"
    assert read_json(folder / "round2" / "manifest.json")["status"] == "interrupted"
    asked = ["denoise", "--td", digits_run, "--score", "aum", "--remove-ratio", 0.2, "--rounds", 3]
    result = tdctl(*asked, "--out", tmp_path / "o", "--resume", "--quiet")
    assert result.exit_code == 0, result.output
    whole = Path(three[1].detection.runs[0])
    for name in ("training_dynamics.npz", "model.pth.last"):
        assert (folder / "round3" / name).read_bytes() == (whole / name).read_bytes()
