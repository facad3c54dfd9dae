"""The benchmark's own sums: equal times, blocks of images, tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scripts.experiments.finding import cells, recording, reporting


@pytest.mark.parametrize(
    ("kind", "expected"), [("ours", 60), ("paper", 18), ("folds", 24), ("full", 200)]
)
def test_others_get_the_time_of_ours_and_a_part_of_an_epoch_more(kind: str, expected: int) -> None:
    seconds = {"ours": 3.0, "paper": 10.4, "folds": 7.6, "full": 10.4}
    cell = cells.Cell("uniform0.2", 0, 60, kind)
    epochs = recording.equal_epochs(cell, seconds)
    assert epochs == expected and epochs * seconds[kind] >= 60 * seconds["ours"]


def test_ours_needs_no_calibration(tmp_path: Path) -> None:
    settings = cells.Settings(tmp_path, tmp_path / "labels.csv", tmp_path, 4)
    own = [cells.Cell("random1", 0, 16, kind) for kind in ("ours", "whole", "full")]
    assert recording.calibrate(settings, own) == {}
    assert [recording.equal_epochs(cell, {}) for cell in own] == [16, 16, 200]


def test_no_training_is_shorter_than_two_epochs() -> None:
    cell = cells.Cell("digits", 0, 1, "paper")
    assert recording.equal_epochs(cell, {"ours": 1.0, "paper": 50.0}) == 2


def test_seeds_have_images_of_their_own(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    lines = [f"train/cat/{i}.jpg,cat,cat,dog" for i in range(10)]
    table.write_text("\n".join(["file_name,label,aggregate,random1", *lines]) + "\n")
    settings = cells.Settings(tmp_path, table, tmp_path, 4)
    blocks = [cells.block_table(settings, seed).read_text().split() for seed in (0, 1)]
    assert blocks[0][0] == "file_name,label,aggregate,random1,split"
    assert blocks[1][1:] == [f"{line},train" for line in lines[4:8]]
    assert not set(blocks[0][1:]) & set(blocks[1][1:])


def figure(kind: str, by: str, ap: float, seed: int, row: str = "flip0.3") -> dict[str, Any]:
    return {"row": row, "seed": seed, "length": 60, "kind": kind, "by": by, "ap": ap}


def figures(row: str = "flip0.3") -> list[dict[str, Any]]:
    aps = {
        ("paper", "aum"): (0.4, 0.6), ("paper", "el2n"): (0.6, 0.5),
        ("paper", "paper's LSTM (sibling)"): (0.5, 0.5), ("folds", "oof-margin"): (0.7, 0.7),
        ("ours", "aum"): (0.7, 0.7), ("ours", "el2n"): (0.6, 0.6),
        ("ours", "paper's LSTM (sibling)"): (0.65, 0.65), ("ours", "builtin"): (0.8, 0.9),
        ("ours", "detector (sibling)"): (0.9, 0.9),
    }  # fmt: skip
    return [
        figure(*who, ap, seed, row) for who, both in aps.items() for seed, ap in enumerate(both)
    ]


def test_the_tables_name_the_best_score_and_give_errors_as_ratios() -> None:
    told = reporting.report(figures())
    assert "| flip0.3 | 60 | 55.0 ± 7.1 el2n | 50.0 ± 0.0 | 70.0 ± 0.0 oof-margin |" in told
    # Errors: builtin 0.15, best of the paper's 0.45, out of fold 0.3, AUM 0.3.
    assert "| ours, builtin | 15.0 | 0.33 | 0.50 | 0.50 | 0.50 |" in told
    assert "1 of 1 rows and lengths are complete." in told


def test_a_detector_named_by_the_user_is_no_hand_made_score() -> None:
    name = f"former {reporting.NAMED}"
    rest = [figure("ours", name, 0.99, seed) for seed in (0, 1)]
    told = reporting.report(figures() + rest)
    assert told.split("\n\n")[1] == reporting.report(figures()).split("\n\n")[1]
    assert f"| {name} | 99.0 | 99.0 |" in told


def test_the_time_to_quality_is_that_of_the_shortest_training_that_is_as_good() -> None:
    def timed(kind: str, by: str, length: int, ap: float, seconds: float) -> dict[str, Any]:
        return figure(kind, by, ap, 0) | {"length": length, "cpu_seconds": seconds}

    full = [timed("full", "aum", 200, 0.8, 2000.0), timed("full", "el2n", 200, 0.7, 2000.0)]
    ours = [
        timed("ours", "builtin", length, ap, 3.0 * length)
        for length, ap in ((60, 0.9), (10, 0.7), (20, 0.85))
    ]
    told = reporting.report(full + ours)
    assert "| flip0.3 | 80.0 aum | 2000 | 85.0 at 20 epochs | 60 | 0.030 |" in told
    assert "| flip0.3 | 80.0 aum | 2000 | - | - | - |" in reporting.report(full + ours[1:2])


def test_other_recipes_are_told_beside_ours_and_in_a_table_of_their_own() -> None:
    others = [figure("elr", "aum", 0.5, seed) for seed in (0, 1)]
    others += [figure("elr", "el2n", 0.6, seed) for seed in (0, 1)]
    others += [figure("elr", "auto", 0.65, seed) for seed in (0, 1)]
    told = reporting.report(figures() + figures("pair0.3") + others)
    head, _, *lines = told.split("\n\n")[1].split("\n")
    columns = ("AUM", "best score", "builtin", "auto")
    assert head == f"| curves | {' | '.join(f'flip0.3, 60: {name}' for name in columns)} |"
    assert lines == [
        "| ours | 70.0 ± 0.0 | 70.0 ± 0.0 aum | 85.0 ± 7.1 | - |",
        "| elr | 50.0 ± 0.0 | 60.0 ± 0.0 el2n | - | 65.0 ± 0.0 |",
    ]


def test_rows_that_lack_a_column_do_not_count_in_the_averages() -> None:
    rest = [one for one in figures("pair0.3") if one["kind"] != "folds"]
    told = reporting.report(figures() + rest)
    assert "| ours, builtin | 15.0 | 0.33 | 0.50 | 0.50 | 0.50 |" in told
    assert "1 of 2 rows and lengths are complete." in told


def test_a_column_that_no_row_has_is_left_out() -> None:
    rest = [one for one in figures() if one["kind"] != "folds"]
    told = reporting.report(rest)
    assert "out of fold" not in told and "| ours, builtin | 15.0 | 0.33 | 0.50 | 0.50 |" in told
    both = [one for one in figures() if one["kind"] == "folds"] + figures("pair0.3")[:2]
    assert "(no cell is complete)" in reporting.report(both)


def test_the_default_ranking_is_told_with_its_own_cut_by_size() -> None:
    def sized(by: str, ap: float, samples: int, kind: str = "ours") -> dict[str, Any]:
        facts = {"samples": samples, "rate": 0.2, "f1": 0.7, "cpu_seconds": 60.0}
        return figure(kind, by, ap, 0) | facts

    cut = {"precision": 0.9, "recall": 0.6, "f1": 0.72}
    own = {"share": {"rate": 0.15, "low": 0.1, "high": 0.2}, "cut": cut}
    rows = [
        sized("el2n", 0.7, 10_000), sized("auto", 0.9, 10_000) | own, sized("builtin", 0.8, 10_000),
        sized("aum", 0.6, 10_000), sized("auto", 0.95, 3000) | own,
        sized("auto", 0.5, 3000, "whole") | own,
    ]  # fmt: skip
    _, _, *lines = reporting.table_of_sizes(rows).split("\n")
    assert [line.split(" | ")[:3] for line in lines] == [
        ["| 3,000", "flip0.3", "ours"], ["| 3,000", "flip0.3", "whole"],
        ["| 10,000", "flip0.3", "ours"],
    ]  # fmt: skip
    assert lines[2] == (
        "| 10,000 | flip0.3 | ours | 60 | 60 | 60.0 | 70.0 el2n | 80.0 | 90.0 | 70.0 "
        "| 15.0 of 20.0 | 90.0 | 60.0 | 72.0 |"
    )
    assert "its own cut" in reporting.report(rows)
