from __future__ import annotations

import json
import pickle
import random
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest
from conftest import colours
from hub_made import NAMES, images_of, png, save, table
from PIL import Image
from torch.utils.data import DataLoader

from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.sources.shards.hub import list_hf


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def two_splits(root: Path) -> Path:
    return save(root, train=table([0, 2, 1, 1, 0, 2]), test=table([2, 1], 50))


def config(root: Path, **more: Any) -> DataConfig:
    return DataConfig(dataset="hf", data_dir=root, **more)


def test_splits_order_labels_and_pixels(tmp_path: Path) -> None:
    listing = list_hf(config(two_splits(tmp_path)), 0)
    assert listing.name == "hf" and not listing.trusted
    assert listing.names is not None
    assert listing.names[1] == "train/data-00000-of-00002.arrow/row 1"
    assert listing.class_names == NAMES
    assert listing.labels.index.tolist() == list(range(6))
    assert listing.labels.assigned.tolist() == listing.labels.true.tolist() == [0, 2, 1, 1, 0, 2]
    assert listing.test_index.tolist() == [0, 1] and listing.test_targets.tolist() == [2, 1]
    assert colours(listing) == [(0, 0), (2, 1), (1, 2), (1, 3), (0, 4), (2, 5), (2, 50), (1, 51)]
    assert listing.images.name(4).endswith("train/data-00001-of-00002.arrow: row 4")
    assert listing.images.name(7).endswith("test/data-00000-of-00001.arrow: row 1")
    assert listing.first is None and listing.notes == ()


def test_the_same_rows_as_datasets_itself_gives(tmp_path: Path) -> None:
    whole = table([at % 3 for at in range(40)])
    chosen = whole.shuffle(seed=3).filter(lambda row: row["label"] != 1).rename_column("label", "y")
    save(tmp_path, train=datasets.concatenate_datasets([chosen, chosen.select(range(5))]))
    listing = list_hf(config(tmp_path, label_column="y", test_share=0.0), 0)
    for row, theirs in enumerate(datasets.load_from_disk(tmp_path)["train"]):
        with Image.open(listing.images.open(row)) as image:
            assert image.tobytes() == theirs["image"].tobytes()
        assert listing.labels.assigned[row] == theirs["y"]
    assert len(listing.labels) == len(chosen) + 5
    assert any("1 of 3 classes have no training image, first '金魚'" in n for n in listing.notes)


def test_a_single_data_set_holds_out_a_stratified_share(tmp_path: Path) -> None:
    table([0, 1, 2] * 10).save_to_disk(tmp_path)
    listing = list_hf(config(tmp_path, test_share=0.2), 5)
    assert np.bincount(listing.test_targets).tolist() == [2, 2, 2]
    index = np.concatenate([listing.labels.index, listing.test_index])
    assert sorted(index) == list(range(30))
    assert [number for _, number in colours(listing)] == index.tolist(), "images go with rows"
    targets = np.concatenate([listing.labels.assigned, listing.test_targets])
    assert [label for label, _ in colours(listing)] == targets.tolist()
    share = config(tmp_path, test_share=0.2)
    assert list_hf(share, 5).test_index.tolist() == listing.test_index.tolist()
    assert list_hf(share, 6).test_index.tolist() != listing.test_index.tolist()
    assert len(list_hf(config(tmp_path), 5)) == 30, "no share is held out that is not asked for"


def test_validation_tests_where_there_is_no_test(tmp_path: Path) -> None:
    save(tmp_path, train=table([0, 1]), validation=table([2], 9), extra=table([1]))
    listing = list_hf(config(tmp_path), 0)
    assert listing.test_targets.tolist() == [2] and colours(listing)[2] == (2, 9)
    assert any("left out: extra" in note for note in listing.notes)


def test_the_one_class_label_serves_where_no_column_is_called_label(tmp_path: Path) -> None:
    save(tmp_path, train=table([1, 2, 0]).rename_columns({"label": "species", "image": "photo"}))
    listing = list_hf(config(tmp_path, test_share=0.0), 0)
    assert listing.labels.assigned.tolist() == [1, 2, 0] and listing.class_names == NAMES
    assert any("'species'" in note for note in listing.notes)


def test_a_true_label_beside_the_given_one(tmp_path: Path) -> None:
    own = datasets.ClassLabel(names=NAMES[::-1])  # the same classes in another order
    for kind, right in ((own, [2, 1, 0]), (datasets.Value("string"), NAMES)):
        train = table([1, 1, 2], right=(kind, right))
        save(tmp_path, train=train, test=table([0]))
        listing = list_hf(config(tmp_path, true_column="right"), 0)
        assert listing.labels.assigned.tolist() == [1, 1, 2]
        assert listing.labels.true.tolist() == [0, 1, 2]
        assert listing.test_targets.tolist() == [0]
        save(tmp_path, train=train, test=table([0], 3, right=(kind, right[:1][::-1])))
        tested = list_hf(config(tmp_path, true_column="right"), 0)
        assert tested.test_targets.tolist() == [0], "right labels test"


def test_names_and_numbers_without_classes(tmp_path: Path) -> None:
    text = (datasets.Value("string"), ["b", "ä", "a"])
    number = (datasets.Value("uint8"), [4, 0, 2])
    save(tmp_path, train=table([0, 1, 2], text=text, number=number))
    named = list_hf(config(tmp_path, label_column="text", test_share=0.0), 0)
    assert named.class_names == ["a", "b", "ä"] and named.labels.assigned.tolist() == [1, 2, 0]
    numbered = list_hf(config(tmp_path, label_column="number", test_share=0.0), 0)
    assert numbered.labels.assigned.tolist() == [4, 0, 2] and len(numbered.class_names) == 5


@pytest.mark.parametrize("name", ["image", "img"])
@pytest.mark.parametrize("kind", ["struct", "binary", "large_binary"])
def test_bytes_under_a_known_name_are_images(tmp_path: Path, name: str, kind: str) -> None:
    values = [png(label, at) for at, label in enumerate([1, 0])]
    structs = [{"bytes": value, "path": "x.png"} for value in values]
    feature: Any = datasets.Value(kind) if kind != "struct" else {
        "bytes": datasets.Value("binary"), "path": datasets.Value("string"),
    }  # fmt: skip
    features = datasets.Features({name: feature, "label": datasets.Value("int64")})
    columns = {name: structs if kind == "struct" else values, "label": [1, 0]}
    save(tmp_path, train=datasets.Dataset.from_dict(columns, features=features))
    assert colours(list_hf(config(tmp_path, test_share=0.0), 0)) == [(1, 0), (0, 1)]


def write_arrow(path: Path, columns: dict[str, Any], **how: Any) -> None:
    whole = pa.table(columns)
    with (
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_stream(sink, whole.schema, **how) as writer,
    ):
        writer.write_table(whole, max_chunksize=2)


def test_images_that_are_files_of_their_own(tmp_path: Path) -> None:
    two_splits(tmp_path)
    (tmp_path / "far").mkdir()
    (tmp_path / "far/b.png").write_bytes(png(1, 8))
    (tmp_path / "c.png").write_bytes(png(0, 9))
    content = [png(2, 7), None, None]
    paths = [None, str(tmp_path / "far/b.png"), "c.png"]
    images = [{"bytes": b, "path": p} for b, p in zip(content, paths, strict=True)]
    write_arrow(only(tmp_path), {"image": images, "label": [2, 1, 0]})
    listing = list_hf(config(tmp_path), 0)
    assert colours(listing)[:3] == [(2, 7), (1, 8), (0, 9)]
    assert listing.images.name(1) == str(tmp_path / "far/b.png")
    assert listing.names is not None, "as they are wherever the folder lies"
    assert listing.names[:3] == ["train/data-00000-of-00002.arrow/row 0", "far/b.png", "c.png"]
    assert listing.images.stats()[:3, 0].tolist() == [len(png(2, 7)), *[len(png(1, 8))] * 2]
    (tmp_path / "c.png").unlink()
    assert listing.images.stats()[:3, 0].tolist() == [len(png(2, 7)), len(png(1, 8)), -1]


def test_rows_are_read_alike_in_processes_threads_and_copies(tmp_path: Path) -> None:
    save(tmp_path, train=table([at % 3 for at in range(100)]))
    images = list_hf(config(tmp_path, test_share=0.0), 0).images
    whole = [png(at % 3, at) for at in range(100)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda row: images.open(row).read(), range(100))) == whole

    class Rows:
        def __getitems__(self, rows: list[int]) -> list[bytes]:
            return [images.open(row).read() for row in rows]

        def __len__(self) -> int:
            return 100

    loader = DataLoader(Rows(), batch_size=8, num_workers=2, collate_fn=list)  # type: ignore[arg-type]
    assert [content for batch in loader for content in batch] == whole
    copy = pickle.loads(pickle.dumps(images))
    assert [copy.open(row).read() for row in range(100)] == whole
    assert images.stats()[:, 0].tolist() == [len(content) for content in whole]


def test_nothing_is_printed_and_datasets_stays_out(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    two_splits(tmp_path)
    capfd.readouterr()
    monkeypatch.setitem(sys.modules, "datasets", None)
    list_hf(config(tmp_path), 0)
    assert capfd.readouterr() == ("", "")


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pip install 'tdctl\[hf\]'"):
        list_hf(config(tmp_path), 0)


def only(root: Path) -> Path:
    """The training split's files as one, for a test to write."""
    state = root / "train/state.json"
    content = json.loads(state.read_text())
    content["_data_files"] = content["_data_files"][:1]
    state.write_text(json.dumps(content))
    return root / "train" / content["_data_files"][0]["filename"]


def rows(**columns: Any) -> Callable[[Path], None]:
    plain = {"image": images_of([0, 1, 2]), "label": [0, 1, 2]}
    given = {name: values for name, values in (plain | columns).items() if values is not None}
    return lambda root: write_arrow(only(root), given)


def cut(name: str, size: int) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        path = root / name
        path.write_bytes(path.read_bytes()[:size])

    return damage


def without(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).unlink()


def put(name: str, key: str, value: Any) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        path = root / name
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))

    return damage


def compressed(root: Path) -> None:
    columns = {"image": [{"bytes": bytes(4000), "path": ""}] * 3, "label": [0, 1, 2]}
    write_arrow(only(root), columns, options=pa.ipc.IpcWriteOptions(compression="zstd"))


def resave(**more: Any) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        shutil.rmtree(root / "train")
        table([0, 1, 2], **more).save_to_disk(root / "train")

    return damage


def drop(column: str, split: str = "train") -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        shutil.rmtree(root / split)
        table([0, 1, 2]).remove_columns(column).save_to_disk(root / split)

    return damage


def empty(root: Path) -> None:
    shutil.rmtree(root / "train")
    table([]).save_to_disk(root / "train")


def ended(path: Path) -> bytes:
    """A whole stream of the same columns, without rows."""
    with pa.memory_map(str(path)) as source:
        schema = pa.ipc.open_stream(source).schema
    sink = pa.BufferOutputStream()
    pa.ipc.new_stream(sink, schema).close()
    return bytes(sink.getvalue())


ARROW = "train/data-00001-of-00002.arrow"
NONE_BYTES = [{"bytes": png(0, 0), "path": None}, {"bytes": None, "path": None}]
FAR = [{"bytes": None, "path": "https://x.org/a.png"}]
DAMAGE: list[tuple[str, Callable[[Path], None], str]] = [
    ("no dict", without("dataset_dict.json"), r"neither dataset_dict\.json nor state\.json"),
    ("no train", put("dataset_dict.json", "splits", ["a"]), r"_dict\.json: no split 'train'"),
    ("no splits", put("dataset_dict.json", "splits", None), r"_dict\.json: no split 'train'"),
    ("split gone", lambda r: shutil.rmtree(r / "test"), r"test/state\.json: cannot be read"),
    ("no state", without("train/state.json"), r"train/state\.json: cannot be read \(No such"),
    ("no info", without("train/dataset_info.json"), r"train/dataset_info\.json: cannot be read"),
    ("state no JSON", cut("train/state.json", 20), r"train/state\.json: does not read as JSON"),
    ("dict empty", cut("dataset_dict.json", 0), r"dataset_dict\.json: does not read as JSON"),
    ("no files", put("train/state.json", "_data_files", []), r"state\.json: names no data files"),
    ("odd files", put("train/state.json", "_data_files", [{}]), r"state\.json: names no data"),
    ("number", put("train/state.json", "_data_files", 3), r"state\.json: names no data"),
    (
        "a file elsewhere",
        put("train/state.json", "_data_files", [{"filename": "/x/d.arrow"}]),
        r"train/state\.json: names the data file '/x/d\.arrow'; expected files beside it",
    ),
    (
        "a selection",
        put("train/state.json", "_indices_data_files", [{"filename": "indices.arrow"}]),
        r"train: saved as a selection of rows.*flatten_indices",
    ),
    ("file gone", without(ARROW), r"00001-of-00002\.arrow: no such file"),
    ("empty file", cut(ARROW, 0), r"00001-of-00002\.arrow: a damaged Arrow file"),
    ("cut in schema", cut(ARROW, 100), r"00001-of-00002\.arrow: a damaged Arrow file"),
    ("cut in images", cut(ARROW, 900), r"00001-of-00002\.arrow: a damaged Arrow file"),
    ("cut at its end", cut(ARROW, -8), r"00001-of-00002\.arrow: a damaged Arrow file \(cut short"),
    (
        "an end within it",
        lambda r: (r / ARROW).write_bytes(ended(r / ARROW) + (r / ARROW).read_bytes()) and None,
        r"00001-of-00002\.arrow: a damaged Arrow file \(a mark of its end at byte \d+, within it",
    ),
    (
        "something else",
        lambda r: (r / ARROW).write_bytes(b"PAR1 and more" * 50) and None,
        r"00001-of-00002\.arrow: a damaged Arrow file",
    ),
    ("compressed", compressed, r"00000-of-00002\.arrow: its values are compressed"),
    ("no rows", empty, r"train/state\.json: names no data files; .*with rows"),
    (
        "no block",
        rows(image=pa.array([], pa.binary()), label=pa.array([], pa.int64())),
        r"train: has no rows",
    ),
    ("no label", drop("label"), r"train: no column 'label', and 0 ClassLabel.*image by --label"),
    ("no image", drop("image"), r"train: no image column; expected one .*among label"),
    ("no label in test", drop("label", "test"), r"test/data.*: no column 'label'; it has image"),
    ("no image in test", drop("image", "test"), r"test/data.*: no column 'image'; it has label"),
    (
        "two image columns",
        resave(mask=(datasets.Image(), images_of([0, 1, 2]))),
        r"train: several image columns, image, mask",
    ),
    ("image None", rows(image=[None, *images_of([1, 2])]), r"arrow: row 0: the image .* is None"),
    ("bytes None", rows(image=NONE_BYTES, label=[0, 1]), r"arrow: row 1: the image .* is None"),
    ("elsewhere", rows(image=FAR, label=[0]), r"arrow: row 0: .*not in the folder but at 'https"),
    ("text images", rows(image=["a", "b", "c"]), r"column 'image' holds string; expected encoded"),
    ("odd struct", rows(image=[{"x": 1}] * 3), r"column 'image' holds struct<x.*expected encoded"),
    ("label None", rows(label=[0, 1, None]), r"arrow: row 2: the label in column 'label' is None"),
    ("float labels", rows(label=[0.0, 1.0, 2.0]), r"column 'label' holds double; expected class"),
    ("list labels", rows(label=[[0], [1], [2]]), r"column 'label' holds list.*; expected class"),
    ("bool labels", rows(label=[True] * 3), r"column 'label' holds bool; expected class"),
    ("unlabelled", rows(label=[0, 1, -1]), r"train: row 2, label .*: -1 is out of range.*0 to 2"),
    ("label too large", rows(label=[0, 3, 1]), r"train: row 1, label .*: 3 is out of range"),
    ("unknown name", rows(label=["tench", "cat", "shark"]), r"row 1.*no class is named 'cat'"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "says"), [d[1:] for d in DAMAGE], ids=[d[0] for d in DAMAGE])
def test_damage_is_refused_by_name(
    tmp_path: Path, damage: Callable[[Path], None], says: str
) -> None:
    root = two_splits(tmp_path / "data")
    damage(root)
    with pytest.raises(DataError, match=says) as caught:
        list_hf(config(root), 0)
    assert "\n" not in str(caught.value)


def test_an_unknown_column_is_not_replaced_by_another(tmp_path: Path) -> None:
    two_splits(tmp_path)
    with pytest.raises(DataError, match=r"no column 'noisy'; it has image, label"):
        list_hf(config(tmp_path, label_column="noisy"), 0)
    with pytest.raises(DataError, match=r"no column 'right'; it has image, label"):
        list_hf(config(tmp_path, true_column="right"), 0)


def test_two_class_labels_and_none_called_label_are_refused(tmp_path: Path) -> None:
    coarse = (datasets.ClassLabel(names=["a"]), [0, 0])
    save(tmp_path, train=table([0, 1], coarse=coarse).rename_column("label", "fine"))
    with pytest.raises(DataError, match=r"2 ClassLabel features; .*--label-column"):
        list_hf(config(tmp_path), 0)
    listing = list_hf(config(tmp_path, label_column="fine", test_share=0.0), 0)
    assert listing.labels.assigned.tolist() == [0, 1]


def test_no_folder_and_an_empty_one_say_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder; expected what .*save_to_disk"):
        list_hf(config(tmp_path / "none"), 0)
    with pytest.raises(DataError, match=r"neither dataset_dict\.json.*; expected what .*save"):
        list_hf(config(tmp_path), 0)


def test_damaged_tables_are_refused_or_read_within_the_file(tmp_path: Path) -> None:
    """200 Arrow files with a byte changed: refused by name, or every image a part of the file."""
    path = two_splits(tmp_path) / ARROW
    whole = path.read_bytes()
    rng = random.Random(0)
    refused = 0
    for _ in range(200):
        content = bytearray(whole)
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        try:
            listing = list_hf(config(tmp_path), 0)
        except DataError as error:
            assert "train" in str(error) and "\n" not in str(error)
            refused += 1
        else:
            assert len(listing.labels) == 6 and set(listing.labels.assigned) <= {0, 1, 2}
            for row in range(3, 6):
                assert listing.images.open(row).read() in content
    assert refused > 20
