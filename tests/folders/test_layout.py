"""How an image folder is read: which of its folders are classes, and what is left out of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import make_run, refused, tdctl
from PIL import Image

from tdctl.config import DataConfig
from tdctl.data import open_dataset
from tdctl.errors import ConfigError, DataError
from tdctl.folders.splits import split_kind
from tdctl.settings import load_config
from tdctl.sources import Listing, list_dataset

CLASSES = ("cat", "dog", "owl")


def fill(root: Path, folder: str, count: int = 3, suffix: str = ".png") -> None:
    """Some images in a folder below ``root``."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (8, 8), (number, 9, 9)).save(root / folder / f"{number}{suffix}")


def classes(root: Path, top: str = "", count: int = 3, names: Sequence[str] = CLASSES) -> None:
    for name in names:
        fill(root, f"{top}/{name}" if top else name, count)


def read(root: Path, **more: Any) -> Listing:
    return list_dataset(DataConfig(dataset="folder", data_dir=root, **more))


def sizes(listing: Listing) -> tuple[int, int, int]:
    """How many images are trained on, held out and tested."""
    held = 0 if listing.held is None else int(listing.held.sum())
    return len(listing) - held, held, len(listing.test_index)


def said(listing: Listing, *parts: str) -> bool:
    return any(all(part in note for part in parts) for note in listing.notes)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("train", "train"), ("TRAINING", "train"), ("Training_Set", "train"), ("TrainSet", "train"),
        ("train2017", "train"), ("test_images", "test"), ("Testing", "test"), ("val", "val"),
        ("valid", "val"), ("Validation", "val"), ("dev", "val"), ("EVAL", "val"),
        ("trainer", None), ("test tube", None), ("train-test", None), ("cat", None), ("tést", None),
    ],
)  # fmt: skip
def test_the_usual_names_of_splits_in_any_case(name: str, kind: str | None) -> None:
    assert split_kind(name) == kind


@pytest.mark.parametrize(
    ("train", "test"),
    [("Training", "Testing"), ("TRAIN", "Valid"), ("train_set", "dev"), ("seg_train", "seg_test")],
)
def test_split_folders_by_other_names(tmp_path: Path, train: str, test: str) -> None:
    classes(tmp_path, train)
    classes(tmp_path, test, 2)
    listing = read(tmp_path)
    assert sizes(listing) == (9, 0, 6) and listing.class_names == list(CLASSES)
    assert listing.names is not None and listing.names[0] == f"{train}/cat/0.png"


def test_a_split_that_repeats_its_folder(tmp_path: Path) -> None:
    classes(tmp_path, "seg_train/seg_train")
    classes(tmp_path, "seg_test/seg_test", 1)
    fill(tmp_path, "seg_pred/seg_pred", 5)
    listing = read(tmp_path)
    assert sizes(listing) == (9, 0, 3)
    assert said(listing, "not read beside seg_train/: seg_pred")


def test_validation_images_beside_test_images_are_held_out(tmp_path: Path) -> None:
    for top, count in (("train", 3), ("test", 1), ("valid", 2)):
        classes(tmp_path, top, count)
    listing = read(tmp_path)
    assert sizes(listing) == (9, 6, 3)
    assert listing.labels.index.tolist() == list(range(15))
    assert listing.names is not None and listing.names[9] == "valid/cat/0.png"
    assert said(listing, "valid/ beside test/: its 6 images are held out for validation")
    assert sizes(read(tmp_path, limit=4)) == (4, 0, 3), "a limit is one of what is trained on"
    data = open_dataset(DataConfig(dataset="folder", data_dir=tmp_path))
    assert data.held is not None and data.held.sum() == 6


def test_validation_images_alone_are_the_test_set(tmp_path: Path) -> None:
    classes(tmp_path, "train")
    classes(tmp_path, "Validation", 2)
    listing = read(tmp_path)
    assert sizes(listing) == (9, 0, 6)
    assert said(listing, "no test/: Validation/ is the test set")


def test_two_folders_of_one_split_are_refused(tmp_path: Path) -> None:
    classes(tmp_path, "train")
    classes(tmp_path, "Training")
    with pytest.raises(DataError, match="Training and train are named as one split, train"):
        read(tmp_path)


def test_what_lies_beside_the_training_folder_is_named(tmp_path: Path) -> None:
    classes(tmp_path, "train")
    classes(tmp_path, "extra")
    fill(tmp_path, "Examples")
    assert said(read(tmp_path), "not read beside train/: Examples, extra")


def test_test_images_without_class_folders_are_not_read(tmp_path: Path) -> None:
    classes(tmp_path, "train", 5)
    fill(tmp_path, "test", 4)
    listing = read(tmp_path, test_share=0.2)
    assert sizes(listing) == (12, 0, 3)
    assert said(listing, "test/ is not read: its 4 images lie in no class folders", "--labels")
    assert said(listing, "3 images are held out")


@pytest.mark.parametrize("name", ["test", "train", "val"])
def test_a_class_may_be_called_as_a_split_is(tmp_path: Path, name: str) -> None:
    classes(tmp_path, "", 5, ["cat", name])
    listing = read(tmp_path)
    assert listing.class_names == ["cat", name] and sizes(listing) == (10, 0, 0)
    assert said(listing, f"{name}/ is read as a class")


def test_class_folders_beside_a_test_folder_of_the_same_classes(tmp_path: Path) -> None:
    classes(tmp_path)
    classes(tmp_path, "test", 1)
    listing = read(tmp_path)
    assert listing.class_names == list(CLASSES) and sizes(listing) == (9, 0, 3)
    assert said(listing, "test/ is read as test set")


def wrapped(root: Path) -> None:
    classes(root, "photos/train")
    classes(root, "photos/test", 2)
    (root / "README.txt").write_text("x")


def wrapped_twice(root: Path) -> None:
    classes(root, "a/b/train")
    classes(root, "a/b/test", 2)


def wrapped_beside_papers(root: Path) -> None:
    wrapped(root)
    fill(root, "figures", 1)


@pytest.mark.parametrize("make", [wrapped, wrapped_twice, wrapped_beside_papers])
def test_a_folder_that_wraps_the_data_is_looked_into(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path)
    listing = read(tmp_path)
    assert listing.class_names == list(CLASSES) and sizes(listing) == (9, 0, 6)
    (note,) = [note for note in listing.notes if "the data are those in " in note]
    assert ("a/b/" if make is wrapped_twice else "/") in note


@pytest.mark.parametrize(("inner", "beside"), [("Dataset", "Other"), ("Signs", "Examples")])
def test_class_folders_beside_a_folder_of_examples(tmp_path: Path, inner: str, beside: str) -> None:
    classes(tmp_path, inner, 2, [str(digit) for digit in range(10)])
    fill(tmp_path, beside)
    listing = read(tmp_path, test_share=0.0)
    assert len(listing.class_names) == 10 and len(listing) == 20
    assert said(listing, f"the data are those in {inner}/; not read beside it: {beside}")


def unclear_beside(root: Path) -> None:
    classes(root, "A", 2, ["1", "2", "3", "4"])
    fill(root, "B")


def unclear_twice(root: Path) -> None:
    classes(root, "first")
    classes(root, "second")


def two_wrapped(root: Path) -> None:
    classes(root, "v1/train")
    classes(root, "v2/train")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (unclear_beside, "class folders: A holds the folders 1, 2, 3, 4; give --data-dir .*/A"),
        (unclear_twice, "class folders: first, second hold the same folders, cat, dog, owl"),
        (two_wrapped, "class folders: v1, v2 hold splits of their own"),
        (lambda r: fill(r, "images", 5), r"a single class folder, images, which holds 5 images"),
        (lambda r: fill(r, "train/cat"), r"/train: a single class folder, cat, which holds 3 im"),
        (lambda r: classes(r, "test"), "no train/ in it, only test"),
        (lambda r: classes(r, "", 2, ["train", "test"]), "if test and train are the classes, rena"),
        (lambda r: fill(r, "train"), "/train: no class folders in it, but 3 images"),
        (lambda r: fill(r, "."), "no class folders in it, but 3 images"),
    ],
)
def test_what_is_not_clear_or_one_class_is_refused(
    tmp_path: Path, make: Callable[[Path], None], says: str
) -> None:
    make(tmp_path)
    with pytest.raises(DataError, match=says):
        read(tmp_path)


def test_a_class_whose_images_lie_in_folders_stays_a_class(tmp_path: Path) -> None:
    fill(tmp_path, "cat/first")
    fill(tmp_path, "cat/second")
    fill(tmp_path, "dog")
    listing = read(tmp_path, test_share=0.0)
    assert listing.class_names == ["cat", "dog"] and len(listing) == 9
    assert said(listing, "1 of 2 class folders lie in folders below them, first cat/")


@pytest.mark.parametrize("place", ["images", ""])
def test_a_table_beside_the_images_is_named(tmp_path: Path, place: str) -> None:
    fill(tmp_path, place)
    (tmp_path / "labels.csv").write_text("file_name,label\n0.png,cat\n")
    images = tmp_path / place if place else tmp_path
    says = f"--dataset table --data-dir {images} --labels {tmp_path}/labels.csv"
    with pytest.raises(DataError, match=says):
        read(tmp_path)


@pytest.mark.parametrize("top", ["train", "test"])
def test_what_is_left_out_is_counted_for_each_split(tmp_path: Path, top: str) -> None:
    for split in ("train", "test"):
        classes(tmp_path, split, 2)
    home = tmp_path / top
    for name in ("a.cr2", "b.CR2", "c.txt"):
        (home / "cat" / name).write_text("x")
    (home / "cat/no_suffix").write_text("text")
    (home / "cat/away").symlink_to("nowhere")
    for name in (".DS_Store", "cat/Thumbs.db", "cat/._0.png", "dog/desktop.ini"):
        (home / name).write_text("x")
    for name in ("dog/.ipynb_checkpoints", "@eaDir", "__MACOSX/cat", "$RECYCLE.BIN", "lost+found"):
        fill(home, name)
    fill(home, ".")
    listing = read(tmp_path)
    assert sizes(listing) == (6, 0, 6) and listing.class_names == list(CLASSES)
    (note,) = (note for note in listing.notes if note.startswith("left out of"))
    assert note.startswith(f"left out of {top}/: ")
    for part in (
        "4 files are no images by their name (.cr2 2, .txt 1, without suffix 1)",
        f"first {top}/cat/a.cr2",
        "9 are hidden or left by a system or a tool (",
        f"3 images lie beside the class folders, first {top}/0.png",
        f"1 link leads nowhere, first {top}/cat/away",
    ):
        assert part in note, note


def test_all_that_pillow_reads_is_an_image(tmp_path: Path) -> None:
    classes(tmp_path, "", 1, ["cat", "dog"])
    image = Image.new("RGB", (8, 8))
    kinds = {".jfif": "JPEG", ".JPE": "JPEG", ".avif": "AVIF", ".jp2": "JPEG2000", ".tga": "TGA"}
    for suffix, kind in kinds.items():
        image.save(tmp_path / f"cat/x{suffix}", kind)
    image.save(tmp_path / "cat/without", "PNG")
    image.save(tmp_path / "cat/IMG.2019", "JPEG")
    data = open_dataset(DataConfig(dataset="folder", data_dir=tmp_path, test_share=0.0))
    assert len(data.train) == 9 and not any("left out" in note for note in data.notes)
    for name in ("a.eps", "a.pdf", "a.mpeg", "a.h5"):
        (tmp_path / "cat" / name).write_text("x")
    assert said(read(tmp_path, test_share=0.0), "4 files are no images by their name")


@pytest.mark.parametrize(
    "leads_to", ["..", "../../../..", "../dog", "../dog/more", "../../test/dog"]
)
def test_each_real_folder_is_read_once(tmp_path: Path, leads_to: str) -> None:
    root = tmp_path / "above/data"
    classes(root, "train")
    classes(root, "test", 1)
    fill(root, "train/dog/more", 2)
    fill(tmp_path, "above/others")
    (root / "train/cat/link").symlink_to(leads_to)
    listing = read(root)
    assert np.bincount(listing.labels.assigned).tolist() == [3, 5, 3] and sizes(listing)[2] == 3
    assert said(listing, "left out of train/: 1 folder is read already under another path, first")


def test_a_link_to_a_folder_elsewhere_is_followed_once(tmp_path: Path) -> None:
    classes(tmp_path / "data", "train")
    fill(tmp_path, "elsewhere", 4)
    (tmp_path / "data/train/cat/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/train/dog/more").symlink_to(tmp_path / "elsewhere")
    listing = read(tmp_path / "data", test_share=0.0)
    assert np.bincount(listing.labels.assigned).tolist() == [7, 3, 3]
    assert said(listing, "1 folder is read already under another path, first train/dog/more")


def test_a_class_that_is_a_link_to_another_class_is_refused(tmp_path: Path) -> None:
    classes(tmp_path, "train")
    (tmp_path / "train/panther").symlink_to("cat")
    with pytest.raises(DataError, match=r"panther: the class has no image.*read already"):
        read(tmp_path)


@pytest.mark.parametrize("below", ["train/cat", "train/cat/more", "test", "test/dog"])
def test_what_the_system_refuses_to_list_is_an_error(
    tmp_path: Path, below: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes(tmp_path, "train")
    classes(tmp_path, "test", 1)
    fill(tmp_path, "train/cat/more")
    listed = os.scandir

    def scandir(path: str) -> Any:  # who runs the tests may be root, who is refused nothing
        if str(path) == str(tmp_path / below):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=f"{below}: cannot be listed .Permission denied.; let"):
        read(tmp_path)


def test_splits_by_classes_in_either_unicode_form(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    classes(tmp_path, "train", 2, ["bar", composed])
    classes(tmp_path, "test", 1, ["bar", decomposed])
    listing = read(tmp_path)
    assert listing.class_names == ["bar", composed] and listing.test_targets.tolist() == [0, 1]


def test_an_unknown_test_class_says_which_is_near(tmp_path: Path) -> None:
    classes(tmp_path, "train")
    classes(tmp_path, "test", 1, ["Cat", "dog"])
    with pytest.raises(DataError, match="have no class of this name, but one named cat; expected"):
        read(tmp_path)


def test_runs_of_tdctl_among_the_classes_are_passed_over(tmp_path: Path) -> None:
    classes(tmp_path)
    fill(tmp_path, "run1/plots")
    for name in ("config.yaml", "manifest.json"):
        (tmp_path / "run1" / name).write_text("{}")
    listing = read(tmp_path)
    assert listing.class_names == list(CLASSES)
    assert said(listing, "1 folder is a run of tdctl, first run1")


@pytest.mark.parametrize(
    ("layout", "out", "inside"),
    [
        ("", "run", True), ("", "cat/run", True), ("train", "train/cat/run", True),
        ("train", "train/run", True), ("train", "test", True), ("train", "runs/run", False),
        ("photos/train", "photos/train/run", True), ("photos/train", "run", False),
        ("", "../run", False),
    ],
)  # fmt: skip
def test_an_output_among_the_data_is_refused(
    tmp_path: Path, layout: str, out: str, inside: bool
) -> None:
    root = tmp_path / "data"
    classes(root, layout)
    result = tdctl(
        "generate-td", "--dataset", "folder", "--data-dir", root, "--out", root / out, "--dry-run",
    )  # fmt: skip
    if inside:
        refused(result, "would be read as data the next time; give --out outside", "data_")
    else:
        assert result.exit_code == 0, result.output
    table = root / out / "noisy.csv"
    result = tdctl("corrupt", "--data-dir", root, "--noise-ratio", 0.5, "--out", table)
    assert table.exists() != inside and (result.exit_code == 1) == inside


def test_a_cache_among_the_data_is_refused(tmp_path: Path) -> None:
    classes(tmp_path / "data")
    result = tdctl(
        "generate-td", "--data-dir", tmp_path / "data", "--cache-dir", tmp_path / "data/cache",
        "--out", tmp_path / "run", "--dry-run",
    )  # fmt: skip
    refused(result, "give --cache-dir outside of the data")


def saved(root: Path) -> None:
    (root / "dataset_dict.json").write_text('{"splits": ["train"]}')


def shards(root: Path) -> None:
    (root / "train-000.tar").write_bytes(b"")


def cifar(root: Path) -> None:
    (root / "cifar-10-batches-py").mkdir()
    (root / "cifar-10-batches-py/data_batch_1").write_bytes(b"")


def packed_digits(root: Path) -> None:
    (root / "MNIST/raw").mkdir(parents=True)
    (root / "MNIST/raw/train-images-idx3-ubyte.gz").write_bytes(b"")


@pytest.mark.parametrize(
    ("make", "name"),
    [(classes, "folder"), (saved, "hf"), (shards, "webdataset"), (cifar, "cifar10"),
     (packed_digits, "mnist")],
)  # fmt: skip
def test_the_data_set_follows_from_what_the_folder_holds(
    tmp_path: Path, make: Callable[[Path], None], name: str
) -> None:
    make(tmp_path)
    result = tdctl("generate-td", "--data-dir", tmp_path, "--print-config")
    assert result.exit_code == 0, result.output
    assert f"  dataset: {name}  # found in --data-dir\n" in result.stdout
    assert f"note: --dataset {name}, by what {tmp_path} holds: " in result.stderr


def test_images_and_a_table_are_a_table(tmp_path: Path) -> None:
    fill(tmp_path, "images")
    flags = ("--data-dir", tmp_path / "images", "--labels", tmp_path / "labels.csv")
    result = tdctl("generate-td", *flags, "--print-config")
    assert "  dataset: table  # found in --data-dir\n" in result.stdout
    result = tdctl("generate-td", *flags[:2], "--print-config")
    refused(result, "folder: no class folders in it, but 3 images", "--dataset table --labels")


def test_without_a_folder_it_is_the_digits_and_said(tmp_path: Path) -> None:
    result = tdctl("generate-td", "--print-config")
    assert "  dataset: digits  # default\n" in result.stdout
    assert "neither --dataset nor --data-dir is given: the data set is digits" in result.stderr
    assert not tdctl("generate-td", "--dataset", "digits", "--print-config").stderr
    assert "note" not in tdctl("train-detector", "--td", "x", "--out", "y", "--print-config").stderr


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda root: None,
            (
                "holds no data set",
                "hf: no dataset_dict.json",
                "folder: no class folders",
                "cifar10",
            ),
        ),
        (
            lambda root: (classes(root), shards(root)),
            ("may be webdataset", "; folder (class folders", "--dataset"),
        ),
        (lambda root: (cifar(root), packed_digits(root)), ("may be cifar10", "mnist")),
    ],
)
def test_a_folder_that_fits_nothing_or_several_is_refused(
    tmp_path: Path, make: Callable[[Path], Any], says: tuple[str, ...]
) -> None:
    make(tmp_path)
    refused(tdctl("generate-td", "--data-dir", tmp_path, "--print-config"), *says)
    refused(tdctl("corrupt", "--data-dir", tmp_path, "--noise-ratio", 0.2, "--out", "x"), *says)


@pytest.mark.parametrize(
    ("dataset", "flags", "says"),
    [
        ("digits", ("--data-dir", "x"), "dataset 'digits' does not read --data-dir"),
        ("digits", ("--test-share", 0.3), "does not read --test-share"),
        ("digits", ("--download",), "does not read --download; leave it out, or name the data set"),
        ("digits", ("--skip-unreadable",), "does not read --skip-unreadable"),
        ("digits", ("--cache-dir", "x"), "does not read --cache-dir"),
        ("digits", ("--label-column", "y"), "names a column of --labels, which is not given"),
        ("folder", ("--file-column", "y"), "names a column of --labels, which is not given"),
        ("folder", ("--split-column", "y"), "does not read --split-column", ),
        ("folder", ("--download",), "does not read --download"),
        ("hf", ("--file-column", "y"), "names a column of --labels"),
    ],
)  # fmt: skip
def test_a_setting_that_the_data_set_does_not_read_is_refused(
    tmp_path: Path, dataset: str, flags: tuple[Any, ...], says: str
) -> None:
    where = () if dataset == "digits" else ("--data-dir", tmp_path)
    result = tdctl("generate-td", "--dataset", dataset, *where, *flags, "--print-config")
    refused(result, says)
    name = flags[0][2:].replace("-", "_")
    file = tmp_path / "c.yaml"
    value = "true" if len(flags) == 1 else str(flags[1])
    file.write_text(f"data: {{dataset: {dataset}, data_dir: {tmp_path}, {name}: {value}}}")
    if dataset != "digits":
        refused(tdctl("generate-td", "--config", file, "--print-config"), says)


def test_settings_that_are_read_are_no_error(tmp_path: Path) -> None:
    good: list[tuple[Any, ...]] = [
        ("--dataset", "hf", "--data-dir", tmp_path, "--label-column", "y", "--true-column", "z"),
        ("--dataset", "cifar10", "--data-dir", tmp_path, "--download", "--test-share", 0.1),
        ("--dataset", "digits", "--labels", "t.csv", "--label-column", "y", "--no-download"),
    ]
    for flags in good:
        result = tdctl("generate-td", *flags, "--print-config")
        assert result.exit_code == 0, result.output
        file = tmp_path / "whole.yaml"
        file.write_text(result.stdout)
        again = tdctl("generate-td", "--config", file, "--print-config")
        assert yaml.safe_load(again.stdout) == yaml.safe_load(result.stdout), (
            "a file of all settings asks for nothing more"
        )


def hub(root: Path) -> None:
    (root / "data").mkdir()
    (root / "data/train-00000-of-00001.parquet").write_bytes(b"PAR1")


def arrow(root: Path) -> None:
    (root / "default/0.0.0/abc").mkdir(parents=True)
    (root / "default/0.0.0/abc/x-train.arrow").write_bytes(b"")


def imagefolder(root: Path) -> None:
    fill(root, "train")
    (root / "train/metadata.csv").write_text("file_name,label\n")


def imagefolder_of_lines(root: Path) -> None:
    fill(root, "train")
    (root / "train/metadata.jsonl").write_text("{}\n")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (hub, "load_dataset('{}').save_to_disk(NEW)"),
        (arrow, "load_dataset('{}/default/0.0.0/abc').save_to_disk(NEW)"),
        (imagefolder, "--dataset table --data-dir {0}/train --labels {0}/train/metadata.csv"),
        (
            imagefolder_of_lines,
            "load_dataset('imagefolder', data_dir='{}/train').save_to_disk(NEW)",
        ),
        (classes, "--dataset folder --data-dir {}"),
    ],
)
def test_a_hugging_face_folder_of_another_kind_says_what_to_do(
    tmp_path: Path, make: Callable[[Path], None], says: str
) -> None:
    make(tmp_path)
    with pytest.raises(DataError) as caught:
        list_dataset(DataConfig(dataset="hf", data_dir=tmp_path))
    assert says.format(tmp_path) in str(caught.value)


def test_the_list_of_data_sets_says_how_a_folder_is_read(tmp_path: Path) -> None:
    classes(tmp_path, "train")
    classes(tmp_path, "Testing", 1)
    told = tdctl("datasets", "folder", "--data-dir", tmp_path).stdout
    assert "here       3 folders of classes in train/, test in Testing/" in told
    shards(tmp_path)
    told = tdctl("datasets", "webdataset", "--data-dir", tmp_path).stdout
    assert "here       tar shards such as train-000.tar" in told


def test_settings_of_the_library_name_the_data_set_too(tmp_path: Path) -> None:
    classes(tmp_path)
    assert load_config(None, {"data.data_dir": tmp_path}).data.dataset == "folder"
    with pytest.raises(ConfigError, match="no such folder"):
        load_config(None, {"data.data_dir": tmp_path / "no"})


def test_a_share_to_hold_out_beside_a_test_set_is_said_to_be_of_no_use(tmp_path: Path) -> None:
    classes(tmp_path, "train")
    says = "--test-share 0.3 is of no use"
    assert not said(read(tmp_path, test_share=0.3), says)
    classes(tmp_path, "test", 1)
    assert said(read(tmp_path, test_share=0.3), says)


def test_a_ranking_or_an_export_among_the_data_of_its_run_is_refused(tmp_path: Path) -> None:
    classes(tmp_path / "data", "train")
    run = make_run(tmp_path / "run")
    config = load_config(None, {"data.data_dir": tmp_path / "data"})
    (run / "config.yaml").write_text(config.to_yaml())
    inside, outside = tmp_path / "data/train/cat/a.csv", tmp_path / "a.csv"
    detect = ("detect", "--td", run, "--score", "aum", "--out")
    export = ("export", "--td", run, "--format", "datamap", "--out")
    for command in (detect, export):
        refused(tdctl(*command, inside), "would be read as data the next time", "data_a.csv")
        result = tdctl(*command, outside)
        assert result.exit_code == 0, result.output
        outside.unlink()
