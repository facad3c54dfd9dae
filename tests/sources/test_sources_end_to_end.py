"""From the command line to the run folder: each source's own index, file names and labels."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torchvision.datasets as tv
from archives_made import (
    BIRDS,
    GARMENTS,
    OBJECTS,
    WNIDS,
    make_caltech256,
    make_clothing100k,
    make_cub_200_2011,
    make_tiny_imagenet,
    make_webvision50,
    write_image,
)
from conftest import hand_made_detector, tdctl
from shards_made import pack, sample

from tdctl.detector import Card, Detector, save_detector
from tdctl.dynamics import read_run
from tdctl.files import read_json
from tdctl.labels import Labels

# Over what the data sets' own recipes say: the smallest network, on tiny images.
SMALL = (
    "--net-type", "resnet", "--depth", 8, "--image-size", 16, "--pretrained", "none",
    "--epochs", 1, "--no-amp", "--quiet",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """What a fixture holds, said without a look at how it is read.

    Attributes:
        options: of the command line.
        class_names: k names.
        images: by index: file name (or None) and label, of all that may be trained on.
        train: how many of them are trained on; None for all.
        test: test images.
        true: by index the true label, where it is another one.
    """

    options: tuple[object, ...]
    class_names: list[str]
    images: dict[int, tuple[str | None, int]]
    test: int
    train: int | None = None
    true: dict[int, int] = field(default_factory=dict)


def named(dataset: str, root: Path, *more: object) -> tuple[object, ...]:
    return "--dataset", dataset, "--data-dir", root, *more


def tiny_imagenet(root: Path) -> Source:
    make_tiny_imagenet(root, per_class=3)
    paths = [(w, f"train/{w}/images/{w}_{n}.JPEG") for w in sorted(WNIDS) for n in range(3)]
    images = {row: (path, sorted(WNIDS).index(w)) for row, (w, path) in enumerate(paths)}
    return Source(named("tiny-imagenet", root), sorted(WNIDS), images, test=6)


def cub(root: Path) -> Source:
    make_cub_200_2011(root)
    images = {
        6 * label + n: (f"images/{bird}/{bird[4:]}_{n:04}_{7 - n}.jpg", label)
        for label, bird in enumerate(BIRDS)
        for n in range(6)
        if n % 3 != 1
    }
    return Source(named("cub-200-2011", root), list(BIRDS), images, test=6)


def caltech256(root: Path) -> Source:
    make_caltech256(root)
    images = {
        6 * label + n: (f"{name}/{name[:3]}_{n + 1:04}.jpg", label)
        for label, name in enumerate(OBJECTS[:3])
        for n in range(6)
    }
    options = named("caltech256", root, "--set", "data.drop_clutter=true", "--test-share", 1 / 3)
    return Source(options, list(OBJECTS[:3]), images, test=6, train=12)


def webvision50(root: Path) -> Source:
    make_webvision50(root)
    images = {
        3 * query + n: (f"google/q{query + 1:04}/{'kji'[n]}-_Q.jpg", label)
        for query, label in enumerate((0, 1, 50, 48, 49, 57))
        for n in range(3)
        if label < 50
    }
    names = [f"class {n}, number {n}" for n in range(50)]
    return Source(named("webvision50", root), names, images, test=6)


def clothing100k(root: Path) -> Source:
    make_clothing100k(root)
    images = {n: (f"images/{n % 10}/0{n % 3}/{n}00,77.jpg", 5 * n % 14) for n in range(28)}
    return Source(named("clothing100k", root), list(GARMENTS), images, test=14)


def class_folders(root: Path, k: int, per_class: int) -> tuple[list[str], dict[int, tuple]]:  # type: ignore[type-arg]
    """An image folder with one test image a class; its class names, and its training images."""
    names = sorted(f"c{label}" for label in range(k))
    images = {}
    for label, name in enumerate(names):
        for n in range(per_class):
            write_image(root / f"train/{name}/{n}.jpg", label, n)
            images[per_class * label + n] = f"train/{name}/{n}.jpg", label
        write_image(root / f"val/{name}/0.jpg", label, 0)
    return names, images


def clothing_as_folder(root: Path) -> Source:
    names, images = class_folders(root, 14, 2)
    return Source(named("clothing100k", root), names, images, test=14)


def webvision_as_folder(root: Path) -> Source:
    names, images = class_folders(root / "webvision50", 50, 1)
    return Source(named("webvision50", root), names, images, test=50)


def folder(root: Path) -> Source:
    names, images = class_folders(root, 3, 4)
    return Source(named("folder", root), names, images, test=3)


def table_of(suffix: str) -> Callable[[Path], Source]:
    def table(root: Path) -> Source:
        classes, rows, images, true = ["cat", "ель", "犬"], [], {}, {}
        for n in range(15):
            label, right = n % 3, (n + n % 2) % 3
            path, split = f"deep/{n % 4}/{n}.jpg", "test" if n % 5 == 4 else "train"
            write_image(root / "photos" / path, label, n)
            rows.append([path, classes[label], classes[right], split])
            if split == "train":
                images[n], true[n] = (path, label), right
        frame = pd.DataFrame(rows, columns=["file_name", "label", "right", "split"])
        if suffix == "parquet":
            pytest.importorskip("pyarrow", reason="an extra")
            frame.to_parquet(root / "t.parquet")
        else:
            frame.to_csv(root / f"t.{suffix}", index=False, sep="\t" if suffix == "tsv" else ",")
        columns = "--labels", root / f"t.{suffix}", "--true-column", "right"
        options = named("table", root / "photos", *columns)
        return Source(options, classes, images, test=3, true=true)

    return table


def webdataset(root: Path) -> Source:
    labels = [0, 2, 1, 1, 0, 2, 2]
    for number, part in enumerate((range(3), range(3, 7))):
        members = [member for n in part for member in sample(labels[n], n)]
        pack(root / f"train-{number}.tar", members)
    pack(root / "test-0.tar", sample(1, 50))
    images = {n: (f"train-{int(n > 2)}.tar/{n:04}.png", labels[n]) for n in range(7)}
    return Source(named("webdataset", root), ["0", "1", "2"], images, test=1)


def hf(root: Path) -> Source:
    pytest.importorskip("datasets", reason="an extra")
    from hub_made import NAMES, save, table

    labels = [0, 2, 1, 1, 0, 2]
    save(root, train=table(labels), test=table([2, 1], 50))
    places = [f"train/data-0000{n // 3}-of-00002.arrow/row {n}" for n in range(6)]
    images = {n: (places[n], labels[n]) for n in range(6)}
    return Source(named("hf", root), NAMES, images, test=2)


def cifar10(root: Path) -> Source:
    top = root / "cifar-10-batches-py"
    top.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3072)).astype(np.uint8)
    for number, (file, _) in enumerate(tv.CIFAR10.train_list + tv.CIFAR10.test_list):
        content = {"data": pixels, "labels": [number, 9, 0, 9 - number]}
        (top / file).write_bytes(pickle.dumps(content))
    names = [f"class {label}" for label in range(10)]
    (top / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    labels = [label for number in range(5) for label in (number, 9, 0, 9 - number)]
    images = {row: (None, label) for row, label in enumerate(labels)}
    return Source(named("cifar10", root), names, images, test=4)


SOURCES: dict[str, Callable[[Path], Source]] = {
    "tiny_imagenet": tiny_imagenet,
    "cub_200_2011": cub,
    "caltech256": caltech256,
    "webvision50": webvision50,
    "clothing100k": clothing100k,
    "clothing100k as a folder": clothing_as_folder,
    "webvision50 as a folder": webvision_as_folder,
    "folder": folder,
    "table.csv": table_of("csv"),
    "table.tsv": table_of("tsv"),
    "table.parquet": table_of("parquet"),
    "webdataset": webdataset,
    "hf": hf,
    "cifar10": cifar10,
}


def names_of(run: Path) -> dict[int, str]:
    table = pd.read_csv(run / "samples.csv")
    return dict(zip(table["index"], table["file_name"], strict=True))


def check_labels(labels: Labels, source: Source) -> None:
    index = labels.index.tolist()
    assert len(index) == (source.train or len(source.images))
    assert set(index) <= set(source.images)
    assert labels.assigned.tolist() == [source.images[row][1] for row in index]
    true = [source.true.get(row, source.images[row][1]) for row in index]
    assert labels.true.tolist() == true


@pytest.mark.parametrize("name", SOURCES)
def test_a_run_has_the_labels_and_names_of_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(tv.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *a: True)
    (tmp_path / "data").mkdir()
    source, run = SOURCES[name](tmp_path / "data"), tmp_path / "run"
    result = tdctl("generate-td", *source.options, *SMALL, "--out", run)
    assert result.exit_code == 0, result.output
    dynamics, labels, valid = read_run(run)
    check_labels(labels, source)
    assert np.asarray(dynamics.index).tolist() == labels.index.tolist() and not len(valid)
    assert np.asarray(dynamics.labels)[:, 0].tolist() == labels.assigned.tolist()
    assert dynamics.td.shape == (len(labels), 1, len(source.class_names))
    facts = read_json(run / "manifest.json")
    assert facts["dataset"]["class_names"] == source.class_names
    assert facts["dataset"]["test"] == source.test and facts["flipped"] == labels.flipped.sum()
    expected = {row: source.images[row][0] for row in labels.index.tolist()}
    if None in expected.values():
        assert not (run / "samples.csv").exists()
    else:
        assert names_of(run) == expected


@pytest.fixture(scope="module")
def noisy_shards(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[int, int]]:
    """Shards of two colours, a run on them with a quarter of the labels flipped, and the labels."""
    root = tmp_path_factory.mktemp("shards")
    labels = {n: n * 7 % 3 % 2 for n in range(90)}
    for number in range(3):
        part = range(30 * number, 30 * number + 30)
        # Colour and number are one byte each: 200 for one class tells them apart at a glance.
        members = [
            (name, content if name.endswith("png") else str(labels[n]).encode())
            for n in part
            for name, content in sample(200 * labels[n], n)
        ]
        pack(root / f"data/train-{number}.tar", members)
    pack(root / "data/test-0.tar", [m for n in range(2) for m in sample(n, 99 + n)])
    run = root / "run"
    noise = ("--noise-ratio", 0.25, "--num-valid", 10)
    epochs = [3 if option == 1 else option for option in SMALL]
    result = tdctl(
        "generate-td", *named("webdataset", root / "data"), *epochs, *noise, "--out", run
    )
    assert result.exit_code == 0, result.output
    return root, run, labels


def test_a_source_goes_all_the_way(
    tmp_path: Path, noisy_shards: tuple[Path, Path, dict[int, int]]
) -> None:
    _, run, labels = noisy_shards
    names = {n: f"train-{n // 30}.tar/{n:04}.png" for n in range(90)}
    _, recorded, valid = read_run(run)
    assert len(recorded) == 80 and len(valid) == 10 and 8 <= recorded.flipped.sum() <= 32
    assert names_of(run) == names
    assert recorded.true.tolist() == [labels[n] for n in recorded.index]
    result = tdctl(
        "train-detector", "--td", run, "--out", tmp_path / "d.pth.tar", "--restarts", 1,
        "--set", "detector.epochs=2", "--quiet",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    hand = Detector(hand_made_detector(), Card([], {}, {}, "0"))
    for detector in (tmp_path / "d.pth.tar", save_detector(tmp_path / "h.pth.tar", hand)[0]):
        ranking = tmp_path / f"{detector.name}.csv"
        result = tdctl("detect", "--td", run, "--detector", detector, "--out", ranking)
        assert result.exit_code == 0, result.output
        table = pd.read_csv(ranking)
        assert sorted(table["index"]) == sorted(recorded.index)
        given = dict(zip(recorded.index, recorded.assigned, strict=True))
        for row in table.itertuples():
            assert row.file_name == names[row[1]]
            assert row.given_label == given[row[1]] and row.true_label == labels[row[1]]
            assert row.label_flipped == (given[row[1]] != labels[row[1]])
    result = tdctl(
        "denoise", "--td", run, "--detector", tmp_path / "h.pth.tar", "--remove-ratio", 0.25,
        "--baselines", "--epochs", 1, "--no-amp", "--out", tmp_path / "o", "--json", "--quiet",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = {row["kind"]: row for row in json.loads(result.stdout)["rows"]}
    assert rows["pruned"]["removed"] == 20 and rows["pruned"]["kept"] == 60
    assert rows["clean"]["kept"] == 80 - recorded.flipped.sum()
