"""A noise drawn once, as a table, gives the labels that the noise itself gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from archives_made import OBJECTS, make_caltech256
from conftest import tdctl
from PIL import Image
from shards_made import pack, png

from tdctl import runner
from tdctl.dynamics import read_run
from tdctl.settings import load_config
from tdctl.sources import list_dataset

Settings = dict[str, Any]
NAMES = ["ape", "bee", "ель"]
PER_CLASS = 20


def photo(path: Path, label: int, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([label, number]).integers(0, 256, (6, 6, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def digits(root: Path) -> Settings:
    return {}


def folder(root: Path, test: bool = True) -> Settings:
    for label, name in enumerate(NAMES):
        for number in range(PER_CLASS):
            photo(root / ("train" if test else "") / name / f"{number:02}.png", label, number)
        if test:
            photo(root / "test" / name / "x.png", label, 99)
    share = {} if test else {"data.test_share": 0.2}
    return {"data.dataset": "folder", "data.data_dir": root} | share


def table(root: Path, splits: tuple[str, ...] = ()) -> Settings:
    """Rows in no order of classes or names; with splits, by turns."""
    order = np.random.default_rng(0).permutation(3 * PER_CLASS)
    rows = [(f"deep/{n % 2}/{n:02}.png", n % 3) for n in order.tolist()]
    for number, (name, label) in enumerate(rows):
        photo(root / "photos" / name, label, number)
    columns = {"path": [name for name, _ in rows], "kind": [NAMES[label] for _, label in rows]}
    if splits:
        columns["split"] = [splits[row % len(splits)] for row in range(len(rows))]
    pd.DataFrame(columns).to_csv(root / "own.csv", index=False)
    return {
        "data.dataset": "table", "data.data_dir": root / "photos", "data.labels": root / "own.csv",
        "data.file_column": "path", "data.label_column": "kind",
        **({} if splits else {"data.test_share": 0.2}),
    }  # fmt: skip


def webdataset(root: Path, test: bool = True) -> Settings:
    for name in ("train-0", "train-1", *(["test-0"] if test else [])):
        members = []
        for n in range(30):
            members += [(f"{n:03}.cls", str(n * 7 % 3).encode()), (f"{n:03}.png", png(n % 3, n))]
        pack(root / f"{name if test else name[6:]}.tar", members)
    share = {} if test else {"data.test_share": 0.2}
    return {"data.dataset": "webdataset", "data.data_dir": root} | share


def caltech256(root: Path) -> Settings:
    make_caltech256(root, per_class=PER_CLASS)
    return {"data.dataset": "caltech256", "data.data_dir": root, "data.drop_clutter": True}


SOURCES: dict[str, tuple[Callable[[Path], Settings], list[str]]] = {
    "digits": (digits, [str(n) for n in range(10)]),
    "folder": (folder, NAMES),
    "folder without test": (lambda root: folder(root, test=False), NAMES),
    "table": (table, NAMES),
    "table with splits": (
        lambda root: table(root, ("train", "val", "train", "test", "train")),
        NAMES,
    ),
    "table tested by val": (lambda root: table(root, ("train", "val", "train")), NAMES),
    "webdataset": (webdataset, ["0", "1", "2"]),
    "webdataset without test": (lambda root: webdataset(root, test=False), ["0", "1", "2"]),
    "caltech256": (caltech256, list(OBJECTS[:3])),
}
KINDS = ("uniform", "pair", "matrix", "instance")


@pytest.fixture(scope="module", params=SOURCES)
def source(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Settings, list[str]]:
    make, names = SOURCES[request.param]
    return make(tmp_path_factory.mktemp("source")), names


def noise(kind: str, names: list[str], folder: Path) -> Settings:
    k = len(names)
    ratio = {"noise.noise_type": kind, "noise.noise_ratio": 0.4}
    if kind == "pair":
        pd.DataFrame({"from": names[:-1], "to": names[1:]}).to_csv(folder / "p.csv", index=False)
        return ratio | {"noise.pairs": folder / "p.csv"}
    if kind == "matrix":
        rows = 0.6 * np.eye(k) + 0.4 * np.roll(np.eye(k), 1, axis=1)
        np.savetxt(folder / "m.csv", rows, delimiter=",")
        return {"noise.noise_type": kind, "noise.matrix": folder / "m.csv"}
    return ratio


def by_table(own: Settings, out: Path) -> Settings:
    """The same data set with the labels of a table that was written for it."""
    kept = {
        key: value
        for key, value in own.items()
        if key not in {"data.file_column", "data.label_column"}
    }
    return kept | {"data.labels": out, "data.true_column": "true_label"}


def prepared(settings: Settings) -> runner.Prepared:
    return runner.prepare(load_config(None, settings))


def assert_same(one: runner.Prepared, other: runner.Prepared) -> None:
    for name in ("index", "assigned", "true"):
        assert (getattr(one.given.labels, name) == getattr(other.given.labels, name)).all(), name
        assert (getattr(one.labels, name) == getattr(other.labels, name)).all(), name
    assert one.train.targets.tolist() == other.train.targets.tolist()
    assert one.dataset.file_names == other.dataset.file_names
    assert one.valid_indices.tolist() == other.valid_indices.tolist()
    assert one.dataset.class_names == other.dataset.class_names
    first, second = one.dataset.test, other.dataset.test
    assert first is not None and second is not None
    assert first.index.tolist() == second.index.tolist()
    assert first.targets.tolist() == second.targets.tolist()
    assert one.dataset.test_names == other.dataset.test_names
    assert one.given.labels.fingerprint() == other.given.labels.fingerprint()


@pytest.mark.parametrize("limit", [None, 25])
@pytest.mark.parametrize("kind", KINDS)
def test_the_table_gives_what_the_noise_gives(
    tmp_path: Path, source: tuple[Settings, list[str]], kind: str, limit: int | None
) -> None:
    own, names = source
    more: Settings = {"data.limit": limit, "data.split_seed": 5}
    asked = own | more | noise(kind, names, tmp_path) | {"noise.noise_seed": 3}
    out = tmp_path / "noisy.csv"
    runner.corrupt_labels(load_config(None, asked), out)
    drawn = prepared(asked)
    assert drawn.labels.flipped.sum() > 3
    # Another seed of the training, and none of the noise, changes nothing.
    again = prepared(by_table(own, out) | more | {"seed": 9})
    assert_same(drawn, again)
    if own.get("data.dataset") != "table":
        as_noise = prepared(by_table(own, out) | more | {"noise.noise_type": "labels", "seed": 2})
        assert_same(drawn, as_noise)


def test_the_table_is_in_the_order_of_the_source(
    tmp_path: Path, source: tuple[Settings, list[str]]
) -> None:
    own, names = source
    config = load_config(None, own | {"noise.noise_ratio": 0.4})
    runner.corrupt_labels(config, tmp_path / "n.csv")
    read = pd.read_csv(tmp_path / "n.csv", dtype={"label": str, "true_label": str})
    assert read["index"].is_monotonic_increasing
    listing = list_dataset(config.data, 0)
    every = np.concatenate([listing.labels.index, listing.test_index])
    whole = listing.one_list or listing.name == "table"
    expected = every if whole else listing.labels.index
    assert read["index"].tolist() == sorted(expected.tolist())
    if listing.names is not None:
        name_of = dict(zip(every.tolist(), listing.names, strict=False)) if whole else {}
        for row in read.itertuples():
            assert not whole or name_of[row[1]] == row.file_name
    truth = dict(zip(listing.labels.index, listing.labels.true, strict=True))
    for index, true in zip(read["index"], read["true_label"], strict=True):
        assert index not in truth or names[truth[index]] == true


def test_with_another_split_every_image_has_the_label_that_was_drawn(
    tmp_path: Path, source: tuple[Settings, list[str]]
) -> None:
    own, names = source
    out = tmp_path / "n.csv"
    runner.corrupt_labels(load_config(None, own | {"noise.noise_ratio": 0.4}), out)
    read = pd.read_csv(out, dtype=str, keep_default_na=False).set_index("index")
    trained = set()
    for seed in (0, 1):
        again = prepared(by_table(own, out) | {"seed": seed})
        trained.add(tuple(again.given.labels.index.tolist()))
        for index, given, true in zip(
            *(getattr(again.given.labels, name) for name in ("index", "assigned", "true")),
            strict=True,
        ):
            row = read.loc[str(index)]
            assert (names[given], names[true]) == (row["label"], row["true_label"])
        test = again.dataset.test
        assert test is not None
        if again.dataset.one_list or own.get("data.dataset") == "table":
            judged = [read.loc[str(index), "true_label"] for index in test.index]
            assert [names[target] for target in test.targets] == judged
    assert len(trained) == (2 if again.dataset.one_list else 1)


def test_images_that_do_not_decode_keep_their_row(tmp_path: Path) -> None:
    own = table(tmp_path)
    (tmp_path / "photos" / pd.read_csv(tmp_path / "own.csv")["path"][4]).write_bytes(b"")
    asked = own | noise("instance", NAMES, tmp_path) | {"data.skip_unreadable": True}
    runner.corrupt_labels(load_config(None, asked), tmp_path / "n.csv")
    again = by_table(own, tmp_path / "n.csv") | {"data.skip_unreadable": True}
    assert len(pd.read_csv(tmp_path / "n.csv")) == 3 * PER_CLASS
    assert_same(prepared(asked), prepared(again))


def test_one_draw_serves_two_runs_of_the_command(tmp_path: Path) -> None:
    noisy = ("--noise-ratio", 0.3, "--seed", 4)
    limit = ("--limit", 60)
    out = tmp_path / "n.csv"
    assert tdctl("corrupt", *limit, *noisy, "--out", out).exit_code == 0
    small = (
        "generate-td",
        *limit,
        "--recipe",
        "paper",
        "--depth",
        8,
        "--epochs",
        1,
        "--no-amp",
        "--quiet",
    )
    given = ("--labels", out, "--true-column", "true_label")
    labels = []
    for name, options in {
        "drawn": noisy, "one": (*given, "--seed", 1), "two": (*given, "--seed", 2),
        "noise": (*given, "--noise-type", "labels"),
    }.items():  # fmt: skip
        result = tdctl(*small, *options, "--out", tmp_path / name)
        assert result.exit_code == 0, result.output
        labels.append(read_run(tmp_path / name)[1])
    assert labels[0].flipped.sum() > 5
    for other in labels[1:]:
        for name in ("index", "assigned", "true"):
            assert (getattr(labels[0], name) == getattr(other, name)).all()
