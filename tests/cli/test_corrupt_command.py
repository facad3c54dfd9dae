"""``tdctl corrupt``: the table alone, and the way back in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import make_image_folder, refused, tdctl

from tdctl import runner
from tdctl.settings import load_config

COLUMNS = ["index", "file_name", "label", "true_label"]


def folder_settings(root: Path) -> dict[str, object]:
    return {"data.dataset": "folder", "data.data_dir": root, "seed": 4}


@pytest.mark.parametrize("kind", ["uniform", "flip", "instance"])
def test_the_table_gives_the_labels_that_the_noise_gives(tmp_path: Path, kind: str) -> None:
    root, out = make_image_folder(tmp_path / "images", per_class=30), tmp_path / "noisy.csv"
    noise = ["--noise-type", kind, "--noise-ratio", 0.4, "--seed", 4]
    result = tdctl("corrupt", "--dataset", "folder", "--data-dir", root, *noise, "--out", out)
    assert result.exit_code == 0, result.output
    config = folder_settings(root) | {"noise.noise_type": kind, "noise.noise_ratio": 0.4}
    drawn = runner.prepare(load_config(None, config))
    again = runner.prepare(
        load_config(
            None, folder_settings(root) | {"data.labels": out, "data.true_column": "true_label"}
        )
    )
    assert drawn.labels.flipped.sum() > 5
    for name in ("index", "assigned", "true"):
        assert (getattr(drawn.labels, name) == getattr(again.labels, name)).all()
    assert drawn.facts()["given_fingerprint"] == again.facts()["given_fingerprint"]


def test_a_table_without_file_names_goes_back_by_index(tmp_path: Path) -> None:
    out = tmp_path / "noisy.csv"
    result = tdctl("corrupt", "--noise-ratio", 0.25, "--seed", 2, "--out", out)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(out, dtype=str, keep_default_na=False)
    assert list(table.columns) == COLUMNS and set(table["file_name"]) == {""}
    drawn = runner.prepare(load_config(None, {"noise.noise_ratio": 0.25, "seed": 2}))
    settings = {
        "noise.noise_type": "labels", "data.labels": out, "data.true_column": "true_label",
    }  # fmt: skip
    again = runner.prepare(load_config(None, settings))
    for name in ("index", "assigned", "true"):
        assert (getattr(drawn.labels, name) == getattr(again.labels, name)).all()
    assert drawn.labels.flipped.any()


@pytest.mark.parametrize("kind", ["uniform", "instance"])
def test_skipped_images_are_in_the_table_with_their_own_labels(tmp_path: Path, kind: str) -> None:
    root, out = make_image_folder(tmp_path / "images", per_class=30), tmp_path / "noisy.csv"
    for place in ("train/dark/002_dark.jpg", "train/light/003_light.png"):
        (root / place).write_bytes(b"")
    base = folder_settings(root) | {"data.skip_unreadable": True}
    config = load_config(None, base | {"noise.noise_type": kind, "noise.noise_ratio": 0.4})
    runner.corrupt_labels(config, out)
    drawn = runner.prepare(config)
    again = runner.prepare(
        load_config(None, base | {"data.labels": out, "data.true_column": "true_label"})
    )
    assert len(drawn.labels) == 58 and drawn.labels.flipped.any()
    for name in ("index", "assigned", "true"):
        assert (getattr(drawn.labels, name) == getattr(again.labels, name)).all()


@pytest.mark.parametrize("kind", ["uniform", "instance"])
@pytest.mark.parametrize("splits", ["", "train", "val", "val test"])
def test_of_a_table_index_and_split_stay_what_they_were(
    tmp_path: Path, splits: str, kind: str
) -> None:
    root, out = make_image_folder(tmp_path / "images", per_class=20), tmp_path / "noisy.csv"
    names = sorted(p.relative_to(root).as_posix() for p in root.rglob("*.*"))
    table = pd.DataFrame({"file_name": names, "label": [name.split("/")[1] for name in names]})
    if splits:
        # Rows of the test come first and in between, which the positions of others count.
        kinds = ["train", *splits.split()]
        table["split"] = [
            kinds[-1 - row % 3] if row % 3 < len(kinds) else "train" for row in range(len(names))
        ]
    table.to_csv(tmp_path / "t.csv", index=False)
    base = {"data.dataset": "table", "data.data_dir": root, "seed": 4}
    noise = {"noise.noise_type": kind, "noise.noise_ratio": 0.4}
    config = load_config(None, base | noise | {"data.labels": tmp_path / "t.csv"})
    runner.corrupt_labels(config, out)
    drawn = runner.prepare(config)
    again = runner.prepare(
        load_config(None, base | {"data.labels": out, "data.true_column": "true_label"})
    )
    assert drawn.labels.flipped.any()
    for name in ("index", "assigned", "true"):
        assert (getattr(drawn.labels, name) == getattr(again.labels, name)).all()
    assert (drawn.valid_indices == again.valid_indices).all()
    ours, theirs = drawn.dataset.test, again.dataset.test
    assert (ours is None) == (theirs is None) == (splits in ("", "train"))
    if ours is not None and theirs is not None:
        assert (ours.index == theirs.index).all() and (ours.targets == theirs.targets).all()
        assert drawn.dataset.test_names == again.dataset.test_names
    assert drawn.dataset.file_names == again.dataset.file_names


def test_rates_and_the_whole_matrix_are_printed_and_given_as_json(tmp_path: Path) -> None:
    arguments = ["corrupt", "--noise-type", "uniform-inclusive", "--noise-ratio", 0.2, "--out"]
    text = tdctl(*arguments, tmp_path / "a.csv")
    assert "18.00% expected" in text.stdout and "by true (rows) and given class" in text.stdout
    found = json.loads(tdctl(*arguments, tmp_path / "b.csv", "--json").stdout)
    table = pd.read_csv(tmp_path / "b.csv")
    flipped = int((table["label"] != table["true_label"]).sum())
    assert f"{flipped} labels flipped ({flipped / 1198:.2%})" in text.stdout
    assert found["flipped"] == flipped and found["samples"] == 1198
    assert abs(found["noise"]["expected_rate"] - 0.18) < 1e-9
    counts = np.zeros((10, 10), dtype=int)
    np.add.at(counts, (table["true_label"], table["label"]), 1)
    assert len(found["confusion"]) == 100
    for pair in found["confusion"]:
        assert counts[int(pair["true_label"]), int(pair["given_label"])] == pair["count"]
    assert abs(sum(pair["expected"] for pair in found["confusion"]) - 1198) < 1e-3
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_of_many_classes_the_most_frequent_flips_are_printed(tmp_path: Path) -> None:
    root = tmp_path / "images"
    make_image_folder(root, per_class=2)
    for number in range(20):
        (root / "train" / f"[b]{number:02}").mkdir()
        source = next((root / "train" / "dark").iterdir())
        for copy in range(4):
            (root / "train" / f"[b]{number:02}" / f"{copy}.jpg").write_bytes(source.read_bytes())
    result = tdctl(
        "corrupt", "--dataset", "folder", "--data-dir", root, "--noise-type", "flip",
        "--noise-ratio", 0.6, "--out", tmp_path / "n.csv",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "the most frequent flips" in result.stdout
    rows = [line.split() for line in result.stdout.splitlines() if line.strip().startswith("[b]")]
    assert 5 < len(rows) <= 10
    assert all(int(to[3:]) == int(of[3:]) + 1 for of, to, *_ in rows if of != "[b]19")
    assert all(float(expected) == 2.4 for *_, expected in rows)


def test_nothing_is_overwritten_unasked_and_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "n.csv"
    arguments = ["corrupt", "--noise-ratio", 0.2, "--out", out]
    dry = tdctl(*arguments, "--dry-run")
    assert dry.exit_code == 0 and "would write" in dry.stdout and not out.exists()
    assert tdctl(*arguments).exit_code == 0
    before = out.read_bytes()
    refused(tdctl(*arguments, "--seed", 1), "exists already")
    refused(tdctl(*arguments, "--seed", 1, "--dry-run"), "exists already")
    assert out.read_bytes() == before
    assert tdctl(*arguments, "--seed", 1, "--overwrite").exit_code == 0
    assert out.read_bytes() != before and [*tmp_path.iterdir()] == [out]


def test_settings_are_resolved_as_everywhere(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("noise: {noise_type: flip, noise_ratio: 0.1}\n")
    result = tdctl(
        "corrupt", "--config", tmp_path / "c.yaml", "--set", "noise.noise_ratio=0.3", "--out", "n",
        "--print-config",
    )  # fmt: skip
    assert "noise_ratio: 0.3" in result.stdout and "noise_type: flip" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "no noise is asked for; give --noise-ratio"),
        (["--noise-type", "pair", "--noise-ratio", "0.2"], "give --pairs FILE"),
        (["--noise-type", "matrix"], "needs --matrix FILE"),
        (["--noise-type", "labels"], "name it with --labels FILE"),
        (["--noise-type", "matrix", "--matrix", "none.csv"], "none.csv: No such file"),
        (["--noise-type", "nonsense", "--noise-ratio", "0.2"], "noise.noise_type"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(
    tmp_path: Path, arguments: list[str], says: str
) -> None:
    refused(tdctl("corrupt", *arguments, "--out", tmp_path / "n.csv"), says)
    assert not any(tmp_path.iterdir())


def prepared(**settings: object) -> Any:
    return runner.prepare(load_config(None, {k.replace("__", "."): v for k, v in settings.items()}))


def assert_same_labels(one: Any, other: Any) -> None:
    for name in ("index", "assigned", "true"):
        assert (getattr(one.labels, name) == getattr(other.labels, name)).all()
    assert one.labels.flipped.any()


@pytest.mark.parametrize("test", [True, False], ids=["with test/", "without"])
def test_the_table_of_a_limited_set_is_enough_for_that_set(tmp_path: Path, test: bool) -> None:
    root, out = make_image_folder(tmp_path / "images", 30, test=test), tmp_path / "noisy.csv"
    tdctl(
        "corrupt", "--dataset", "folder", "--data-dir", root, "--noise-ratio", 0.4, "--limit", 20,
        "--out", out,
    )  # fmt: skip
    of: dict[str, object] = {"data__dataset": "folder", "data__data_dir": root, "data__limit": 20}
    back = prepared(**of, data__labels=out, data__true_column="true_label")
    assert_same_labels(prepared(**of, noise__noise_ratio=0.4), back)
    assert pd.read_csv(out)["index"].is_monotonic_increasing


def test_unreadable_images_have_a_row_too(tmp_path: Path) -> None:
    root, out = make_image_folder(tmp_path / "images", 30), tmp_path / "noisy.csv"
    broken = root / "train" / "dark" / "003_dark.png"
    broken.write_bytes(broken.read_bytes()[:60])
    tdctl(
        "corrupt", "--dataset", "folder", "--data-dir", root, "--noise-type", "instance",
        "--noise-ratio", 0.4, "--skip-unreadable", "--out", out,
    )  # fmt: skip
    assert pd.read_csv(out).loc[3].tolist() == [3, "train/dark/003_dark.png", "dark", "dark"]
    of: dict[str, object] = {
        "data__dataset": "folder", "data__data_dir": root, "data__skip_unreadable": True,
    }  # fmt: skip
    back = prepared(**of, data__labels=out, data__true_column="true_label")
    drawn = prepared(**of, noise__noise_type="instance", noise__noise_ratio=0.4)
    assert_same_labels(drawn, back)


@pytest.mark.parametrize("split", [True, False], ids=["with splits", "without"])
def test_the_table_of_a_table_stands_in_for_it(tmp_path: Path, split: bool) -> None:
    root, out = make_image_folder(tmp_path / "images", 30), tmp_path / "noisy.csv"
    names = [str(p.relative_to(root)) for p in sorted(root.rglob("*.*g"))][::-1]
    rows = pd.DataFrame({"file_name": names, "label": [Path(n).parent.name for n in names]})
    if split:
        rows["split"] = ["test", "train", "train", "val", "train"] * (len(rows) // 5)
    rows.to_csv(tmp_path / "own.csv", index=False)
    of: dict[str, object] = {"data__dataset": "table", "data__data_dir": root}
    tdctl(
        "corrupt", "--dataset", "table", "--data-dir", root, "--labels", tmp_path / "own.csv",
        "--noise-ratio", 0.4, "--out", out,
    )  # fmt: skip
    assert pd.read_csv(out)["file_name"].tolist() == names
    drawn = prepared(**of, data__labels=tmp_path / "own.csv", noise__noise_ratio=0.4)
    back = prepared(**of, data__labels=out, data__true_column="true_label")
    assert_same_labels(drawn, back)
    assert drawn.valid_indices.tolist() == back.valid_indices.tolist()
    ours, theirs = drawn.dataset.test, back.dataset.test
    assert (ours is None) == (theirs is None) == (not split)
    if ours is not None and theirs is not None:
        assert ours.index.tolist() == theirs.index.tolist()
        assert ours.targets.tolist() == theirs.targets.tolist()
    assert len(drawn.valid_indices) == (24 if split else 0)


@pytest.mark.parametrize("name", ["n.parquet", "n.tsv"])
def test_a_name_that_would_be_read_as_another_format_is_refused(tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    refused(tdctl("corrupt", "--noise-ratio", 0.2, "--out", out), "written as CSV")
    assert not out.exists()
