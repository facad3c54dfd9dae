"""Which rows a sweep trains: every combination once, and the controls without being asked."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tdctl.errors import ConfigError
from tdctl.sweeping import RowSettings, plan_rows, read_sweep

SWEEPS = Path(__file__).parents[2] / "configs" / "sweeps"

NOISES = {"u": {"noise": {"noise_ratio": 0.4}}, "f": {"noise": {"noise_type": "flip"}}}


def rows_of(folder: Path, *groups: dict[str, Any], **more: Any) -> list[Any]:
    file = folder / "sweep.yaml"
    tree = {"noises": NOISES, "seeds": [3, 4], "rows": list(groups), **more}
    file.write_text(yaml.safe_dump(tree))
    return plan_rows(read_sweep(file))


def test_every_combination_is_trained_once(tmp_path: Path) -> None:
    group = {
        "labels": ["prune"],
        "detectors": ["builtin", "loss-mean"],
        "remove_ratios": [0.1, "auto"],
        "equal": ["epochs", "steps"],
        "controls": False,
    }
    rows = rows_of(tmp_path, group, group)
    assert len(rows) == 2 * 2 * 2 * 2 * 2
    assert len({row.name for row in rows}) == len(rows)
    assert [row.seed for row in rows] == [3] * 16 + [4] * 16  # a seed is whole early


def test_a_cleaning_brings_its_controls(tmp_path: Path) -> None:
    group = {"labels": ["prune", "relabel"], "detectors": ["builtin"], "remove_ratios": [0.1, 0.2]}
    rows = [row for row in rows_of(tmp_path, group) if row.recording == "u_seed3"]
    kinds = Counter((row.labels, row.detector) for row in rows)
    assert kinds == {
        ("all", None): 1,
        ("clean", None): 1,
        ("true", None): 1,
        ("random", None): 2,
        ("prune", "best-score"): 2,
        ("prune", "builtin"): 2,
        ("relabel", "builtin"): 2,
    }


def test_a_random_removal_follows_the_ranker_only_where_the_ranker_sets_its_size(
    tmp_path: Path,
) -> None:
    group = {"labels": ["random"], "detectors": ["builtin"], "remove_ratios": [0.1, "auto"]}
    found = {row.remove_ratio: row.detector for row in rows_of(tmp_path, group)}
    assert found == {"0.1": None, "auto": "builtin"}


def test_robust_trainings_need_no_ranking(tmp_path: Path) -> None:
    rows = rows_of(
        tmp_path,
        {"labels": ["all"], "algorithms": ["ssr", "slow"]},
        algorithms={"slow": {"algorithm": "ssr", "epochs": 9}},
    )
    assert {row.what for row in rows} == {"ssr_all", "slow_all"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rows": [{"labels": ["prun"]}]}, "labels"),
        ({"rows": [{"labels": ["all"], "algorithms": ["ssl"]}]}, "'ssl' is unknown"),
        ({"rows": [{"labels": ["prune"], "remove_ratios": [1.5]}]}, "'1.5' is not a ratio"),
        ({"rows": [{"labels": ["prune"], "remove_ratios": 0.1}]}, "expected a list"),
        ({"rows": []}, "rows"),
        ({"noises": {"a/b": {}}}, "becomes part of folder names"),
        ({"noises": {}}, "noises"),
        ({"algorithms": {"slow": {"epochs": 9}}}, "'slow' is none of"),
        ({"row": []}, "row: is unknown"),
        ({"seeds": [-1]}, "seeds"),
        ({"seeds": [True]}, "true is not a seed"),
        ({"seeds": 3}, "seeds: expected a list, such as [3]"),
        ({"rows": [{"label": ["all"], "labels": ["all"]}]}, "rows.0.label: is unknown; expected l"),
        ({"rows": [{"labels": ["prune"], "remove_ratios": ["auto:no"]}]}, "'auto:no' is neither"),
        ({"rows": [{"labels": ["prune"], "remove_ratios": [False]}]}, "'False' is not a ratio"),
        ({"rows": [{"labels": ["prune"], "keep_per_class": 1.5}]}, "1.5 is neither"),
        (
            {"rows": [{"labels": ["relabel"], "relabel_by": "truth", "below": "keep"}]},
            "below: true labels have no confidence",
        ),
        (
            {"rows": [{"labels": ["reweight"], "keep_per_class": 0.5}]},
            "keep_per_class: has an effect only",
        ),
        ({"settings": {"seed": 3}}, "settings: seed has no effect"),
        ({"settings": {"robust": {"algorithm": "ssr"}}}, "robust.algorithm has no effect"),
        ({"settings": {"nois": {}}}, "unknown setting 'nois'"),
        ({"settings": {"data": {1: 2}}}, "a key that is not text"),
        ({"noises": {"u": {"seed": 3}}}, "noises.u: seed has no effect"),
        ({"algorithms": {"slow": {"algorithm": "ce", "epoch": 9}}}, "robust.epoch"),
        ({"algorithms": {"ce": {"algorithm": "ssr"}}}, "give it another name"),
    ],
)
def test_a_wrong_file_is_refused_by_the_place_of_the_fault(
    tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=r"sweep .*sweep\.yaml") as error:
        rows_of(tmp_path, *([{"labels": ["all"]}] if "rows" not in change else []), **change)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("assigned", "says"),
    [
        ("seed=3", "--set: seed has no effect"),
        ("robust.algorithm=ssr", "--set: robust.algorithm has no effect"),
        ("noise.noise_ratio=0.1", "noises.u of the sweep's file also sets it"),
        ("robust.epochs=3", "algorithms.slow of the sweep's file also sets it"),
        ("train.epoch=3", "unknown setting 'train.epoch'"),
    ],
)
def test_an_assignment_without_effect_is_refused(tmp_path: Path, assigned: str, says: str) -> None:
    file = tmp_path / "sweep.yaml"
    slow = {"slow": {"algorithm": "ssr", "epochs": 9}}
    rows = [{"labels": ["all"], "algorithms": ["slow"]}]
    file.write_text(yaml.safe_dump({"noises": NOISES, "algorithms": slow, "rows": rows}))
    with pytest.raises(ConfigError) as error:
        read_sweep(file, [assigned])
    assert says in str(error.value)


def test_a_reweighting_has_a_ratio_only_where_what_ranks_may_be_no_probability(
    tmp_path: Path,
) -> None:
    detectors = ["builtin", "aum", "auto", "best-score"]
    group = {"labels": ["reweight"], "detectors": detectors, "controls": False}
    found = {row.detector: row.remove_ratio for row in rows_of(tmp_path, group)}
    assert found == {"builtin": None, "aum": "auto", "auto": "auto", "best-score": "auto"}


def test_rows_that_would_share_a_folder_are_refused(tmp_path: Path) -> None:
    group = {"labels": ["prune"], "detectors": ["a/b.pth", "a-b.pth"], "controls": False}
    with pytest.raises(ConfigError, match="they differ only in detector"):
        rows_of(tmp_path, group)


def test_a_share_keeps_all_its_digits(tmp_path: Path) -> None:
    group = {"labels": ["random"], "remove_ratios": [0.1, 0.12345678, 0, 0.25]}
    ratios = [row.remove_ratio for row in rows_of(tmp_path, group) if row.recording == "u_seed3"]
    assert ratios == ["0.1", "0.12345678", "0", "0.25"]


@pytest.mark.parametrize("path", sorted(SWEEPS.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_shipped_sweep_is_whole_and_says_what_it_is_for(path: Path) -> None:
    sweep = read_sweep(path)
    settings = RowSettings(sweep)
    for row in plan_rows(sweep):
        seeds = {settings.of_recording(row).seed, settings.of_training(row).seed}
        assert seeds == {row.seed}
    head = path.read_text().split("settings:")[0]
    assert f"tdctl sweep configs/sweeps/{path.name} --out" in head
    assert "CPU" in head or "minutes" in head
