from __future__ import annotations

import io
import json
import os
import pickle
import random
import tarfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import colours
from shards_made import Member, pack, png, sample
from torch.utils.data import DataLoader

from tdctl.config import DataConfig
from tdctl.errors import DataError
from tdctl.sources.shards.webdataset import list_webdataset


def shard(path: Path, labels: Iterable[int], start: int = 0) -> Path:
    samples = (sample(label, start + at) for at, label in enumerate(labels))
    return pack(path, [member for members in samples for member in members])


def config(root: Path, **more: Any) -> DataConfig:
    return DataConfig(dataset="webdataset", data_dir=root, **more)


def two_shards(root: Path) -> Path:
    shard(root / "train-000.tar", [0, 2, 1])
    shard(root / "train-001.tar", [1, 0, 2], start=3)
    shard(root / "test-000.tar", [2, 1], start=50)
    return root


def test_shards_by_name_and_members_by_position(tmp_path: Path) -> None:
    listing = list_webdataset(config(two_shards(tmp_path)), 0)
    assert listing.name == "webdataset" and not listing.trusted
    assert listing.names is not None and listing.names[4] == "train-001.tar/0004.png"
    assert listing.class_names == ["0", "1", "2"]
    assert listing.labels.index.tolist() == list(range(6))
    assert listing.labels.assigned.tolist() == listing.labels.true.tolist() == [0, 2, 1, 1, 0, 2]
    assert listing.test_index.tolist() == [0, 1] and listing.test_targets.tolist() == [2, 1]
    assert colours(listing) == [(0, 0), (2, 1), (1, 2), (1, 3), (0, 4), (2, 5), (2, 50), (1, 51)]
    assert listing.images.name(4) == f"{tmp_path}/train-001.tar: 0004.png"
    assert listing.first is None and listing.notes == ()


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train/0.tar", "test/0.tar"),
        ("train/0.tar", "val/0.tar"),
        ("train/a.tar", "validation/a.tar"),
        ("imagenet1k-train-00.tar", "imagenet1k-validation-00.tar"),
        ("my_train_00.tar", "my_test_00.tar"),
        ("Train00.TAR", "Val00.TAR"),
    ],
)
def test_names_that_tell_the_splits(tmp_path: Path, train: str, test: str) -> None:
    shard(tmp_path / train, [0, 1])
    shard(tmp_path / test, [1], start=9)
    listing = list_webdataset(config(tmp_path), 0)
    assert colours(listing) == [(0, 0), (1, 1), (1, 9)]
    assert len(listing.labels) == 2 and listing.test_targets.tolist() == [1]


def test_val_beside_test_and_other_shards_are_left_out_aloud(tmp_path: Path) -> None:
    two_shards(tmp_path)
    shard(tmp_path / "val-000.tar", [1])
    shard(tmp_path / "extra.tar", [1])
    listing = list_webdataset(config(tmp_path), 0)
    assert len(listing.images) == 8
    assert any("2 shards" in note and "extra.tar" in note for note in listing.notes)


def test_without_test_shards_a_stratified_share_is_held_out(tmp_path: Path) -> None:
    shard(tmp_path / "a.tar", [0, 1] * 10)
    shard(tmp_path / "b.tar", [1, 0] * 5, start=20)
    listing = list_webdataset(config(tmp_path, test_share=0.2), 5)
    assert np.bincount(listing.test_targets).tolist() == [3, 3]
    index = np.concatenate([listing.labels.index, listing.test_index])
    assert sorted(index) == list(range(30))
    assert [number for _, number in colours(listing)] == index.tolist(), "images go with rows"
    targets = np.concatenate([listing.labels.assigned, listing.test_targets])
    assert [label for label, _ in colours(listing)] == targets.tolist()
    assert any("--test-share 0" in note for note in listing.notes)
    again, other = (list_webdataset(config(tmp_path, test_share=0.2), seed) for seed in (5, 6))
    assert again.test_index.tolist() == listing.test_index.tolist()
    assert other.test_index.tolist() != listing.test_index.tolist()
    everything = list_webdataset(config(tmp_path), 5)
    assert len(everything.labels) == 30 and len(everything.test_index) == 0


def test_a_share_of_nearly_all_leaves_an_image_of_each_class(tmp_path: Path) -> None:
    shard(tmp_path / "a.tar", [0])
    listing = list_webdataset(config(tmp_path, test_share=0.9), 0)
    assert (len(listing.labels), len(listing.test_index)) == (1, 0)


def test_a_limit_takes_classes_in_turn_where_shards_are_sorted_by_class(tmp_path: Path) -> None:
    shard(tmp_path / "train.tar", [0, 0, 0, 1, 1, 1])
    listing = list_webdataset(config(tmp_path, test_share=0.0), 0)
    assert listing.first is not None
    assert listing.labels.assigned[listing.first[:4]].tolist() == [0, 1, 0, 1]


def described(number: int, image: int, **fields: Any) -> list[Member]:
    text = json.dumps(fields, ensure_ascii=False).encode()
    return [(f"{number}.json", text), (f"{number}.png", png(image, number))]


def test_names_and_true_labels_in_json(tmp_path: Path) -> None:
    members = described(1, 1, noisy="猫", right="dog") + described(2, 2, noisy="dog", right="dog")
    pack(tmp_path / "train.tar", members)
    pack(tmp_path / "test.tar", described(3, 3, noisy="dog", right="猫"))
    listing = list_webdataset(config(tmp_path, label_column="noisy", true_column="right"), 0)
    assert listing.class_names == ["dog", "猫"]
    assert listing.labels.assigned.tolist() == [1, 0] and listing.labels.true.tolist() == [0, 0]
    assert listing.test_targets.tolist() == [1], "right labels test"
    assert colours(listing) == [(1, 1), (2, 2), (3, 3)]


def test_cls_is_the_field_label(tmp_path: Path) -> None:
    members = [*described(1, 1, noisy=0), ("1.cls", b"1"), *described(2, 2, noisy=1)]
    pack(tmp_path / "train.tar", [*members, ("2.cls", b" 1\n")])
    shard(tmp_path / "test.tar", [1])
    listing = list_webdataset(config(tmp_path, label_column="noisy", true_column="label"), 0)
    assert listing.labels.assigned.tolist() == [0, 1] and listing.labels.true.tolist() == [1, 1]
    with pytest.raises(DataError, match=r"test\.tar: 0000\.png: .*no field 'noisy'"):
        list_webdataset(config(tmp_path, label_column="noisy"), 0)


def test_with_a_label_table_the_columns_are_the_tables(tmp_path: Path) -> None:
    two_shards(tmp_path)
    more = {"labels": tmp_path / "l.csv", "label_column": "human", "true_column": "right"}
    assert len(list_webdataset(config(tmp_path, **more), 0).labels) == 6


def test_equal_labels_in_cls_and_json_are_one(tmp_path: Path) -> None:
    pack(tmp_path / "train.tar", [*described(1, 1, label=4, width=3), ("1.cls", b"4")])
    listing = list_webdataset(config(tmp_path, test_share=0.0), 0)
    assert listing.labels.assigned.tolist() == [4] and len(listing.class_names) == 5
    assert any("4 of 5 classes have no training image" in note for note in listing.notes)


@pytest.mark.parametrize("name", ["classes.txt", "classnames.txt"])
def test_a_list_of_classes_gives_names_to_numbers(tmp_path: Path, name: str) -> None:
    two_shards(tmp_path)
    (tmp_path / name).write_text("\ufefftench\r\n金魚\r\ngreat shark\r\n\r\n", encoding="utf-8")
    listing = list_webdataset(config(tmp_path), 0)
    assert listing.class_names == ["tench", "金魚", "great shark"]
    assert listing.labels.assigned.tolist() == [0, 2, 1, 1, 0, 2]


def test_a_list_of_classes_places_names_and_numbers_alike(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("b\na\n")
    pack(tmp_path / "train.tar", described(1, 1, label="a") + described(2, 2, label="b"))
    shard(tmp_path / "test.tar", [1, 0])
    listing = list_webdataset(config(tmp_path), 0)
    assert listing.labels.assigned.tolist() == [1, 0]
    assert listing.test_targets.tolist() == [1, 0]


def test_odd_members_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "train.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:

        def put(name: str, content: bytes = b"", **more: Any) -> None:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in more.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(content))

        put("data", type=tarfile.DIRTYPE)
        put("__meta__.json", b"{}")
        put("__key__", b"x")
        put("README", b"x")
        put("notes.txt", b"x")
        put("data/._a.png", b"x")
        put("data/a.PNG", png(0, 1))
        put("data/a.seg.png", png(9, 9))
        put("data/a.txt", b"a caption")
        put("data/a.cls", b"0")
        put("data/a.lnk.jpg", type=tarfile.SYMTYPE, linkname="a.PNG")
        put("data/" + "long" * 60 + ".cls", b"1")
        put("data/" + "long" * 60 + ".png", png(1, 2), mtime=1.5)
        put("b/a.only.png", png(1, 3))
        put("b/a.cls", b"1")
    listing = list_webdataset(config(tmp_path, test_share=0.0), 0)
    assert listing.labels.assigned.tolist() == [0, 1, 1]
    assert colours(listing) == [(0, 1), (1, 2), (1, 3)]
    assert listing.notes == (
        f"1 keys have neither an image nor a label and were left out, first 'notes.txt' in {path}",
    )


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_kind_of_tar(tmp_path: Path, form: int) -> None:
    name = "ß" * 40 + "/" + "x" * 60
    members = [(f"{name}.cls", b"0"), (f"{name}.png", png(0, 5)), *sample(1, 6)]
    pack(tmp_path / "train.tar", members, format=form)
    listing = list_webdataset(config(tmp_path, test_share=0.0), 0)
    assert colours(listing) == [(0, 5), (1, 6)]
    assert listing.images.name(0).endswith(f"train.tar: {name}.png")


def test_slices_are_read_alike_in_processes_threads_and_copies(tmp_path: Path) -> None:
    shard(tmp_path / "train-0.tar", [at % 7 for at in range(60)])
    shard(tmp_path / "train-1.tar", [at % 5 for at in range(60)], start=60)
    listing = list_webdataset(config(tmp_path, test_share=0.0), 0)
    images = listing.images
    whole = [images.open(row).read() for row in range(120)]
    assert whole[77] == png(17 % 5, 77)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda row: images.open(row).read(), range(120))) == whole

    class Rows:
        def __getitems__(self, rows: list[int]) -> list[bytes]:
            return [images.open(row).read() for row in rows]

        def __len__(self) -> int:
            return 120

    loader = DataLoader(Rows(), batch_size=8, num_workers=2, collate_fn=list)  # type: ignore[arg-type]
    assert [content for batch in loader for content in batch] == whole
    copy = pickle.loads(pickle.dumps(images))
    assert [copy.open(row).read() for row in range(120)] == whole
    assert len(pickle.dumps(images)) < 60 * 120, "places, not pixels"
    sizes = [len(content) for content in whole]
    changed = [(tmp_path / f"train-{at // 60}.tar").stat().st_mtime_ns for at in range(120)]
    assert images.stats().tolist() == np.stack([sizes, changed], axis=1).tolist()


def test_a_shard_that_changed_is_not_read_by_its_old_places(tmp_path: Path) -> None:
    listing = list_webdataset(config(two_shards(tmp_path)), 0)
    shard(tmp_path / "train-000.tar", [1, 1, 1])
    os.utime(tmp_path / "train-000.tar", ns=(1, 1))
    with pytest.raises(OSError, match="changed"):
        listing.images.open(0)
    assert listing.images.open(3).read() == png(1, 3)


def set_members(*members: Member) -> Callable[[Path], None]:
    return lambda root: void(pack(root / "train-001.tar", members))


def void(_: Any) -> None:
    pass


def edit(change: Callable[[bytes], bytes], name: str = "train-001.tar") -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        path = root / name
        path.write_bytes(change(path.read_bytes()))

    return damage


def gzipped(root: Path) -> None:
    (root / "train-001.tar").unlink()
    with tarfile.open(root / "train-001.tar.gz", "w:gz"):
        pass


def gzipped_in_secret(root: Path) -> None:
    with tarfile.open(root / "train-001.tar", "w:gz") as tar:
        tar.add(root / "test-000.tar", "x.png")


def linked(root: Path) -> None:
    with tarfile.open(root / "train-001.tar", "w") as tar:
        info = tarfile.TarInfo("k.png")
        info.type, info.linkname = tarfile.SYMTYPE, "elsewhere.png"
        tar.addfile(info)
        info = tarfile.TarInfo("k.cls")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"1"))


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda root: void((root / name).write_bytes(content))


def rename(old: str, new: str) -> Callable[[Path], None]:
    return lambda root: void((root / old).rename(root / new))


IMAGE = ("k.png", png(0, 0))
BLOCK = 512
DAMAGE: list[tuple[str, Callable[[Path], None], str]] = [
    ("compressed", gzipped, r"train-001\.tar\.gz: is compressed.*without gzip"),
    ("compressed in secret", gzipped_in_secret, r"train-001\.tar: is compressed"),
    ("no tar", write("train-001.tar", b"nothing of the kind" * 99), r"train-001\.tar: a damaged"),
    ("empty file", write("train-001.tar", b""), r"train-001\.tar: a damaged tar file"),
    ("cut in an image", edit(lambda b: b[: 3 * BLOCK + 9]), r"train-001\.tar: a damaged"),
    ("cut in a header", edit(lambda b: b[: 4 * BLOCK + 9]), r"train-001\.tar: a damaged.*cut"),
    ("cut between members", edit(lambda b: b[: 4 * BLOCK]), r"train-001\.tar: .*cut short"),
    (
        "damaged header",
        edit(lambda b: b[: 4 * BLOCK] + b"\xff" + b[4 * BLOCK + 1 :]),
        r"train-001\.tar: a damaged tar file \(the header at byte 2048",
    ),
    ("joined", edit(lambda b: b + b), r"train-001\.tar: .*goes on after its end.*tar -A"),
    ("no label", set_members(IMAGE), r"train-001\.tar: 'k\.png' has no label; .*k\.cls"),
    ("no image", set_members(("k.cls", b"1")), r"train-001\.tar: 'k\.cls' has no image"),
    ("an image that is a link", linked, r"train-001\.tar: 'k\.cls' has no image.*links"),
    (
        "two images",
        set_members(IMAGE, ("k.jpg", b"x"), ("k.cls", b"1")),
        r"train-001\.tar: the key 'k' has two images, 'k\.png' and 'k\.jpg'",
    ),
    (
        "names with dots",
        set_members(("k.1.png", b"x"), ("k.1.cls", b"1"), ("k.2.png", b"x")),
        r"train-001\.tar: the key 'k' has two images.*first dot",
    ),
    (
        "the same member twice",
        set_members(IMAGE, IMAGE, ("k.cls", b"1")),
        r"two images, 'k\.png' and 'k\.png'",
    ),
    (
        "two labels that differ",
        set_members(IMAGE, ("k.cls", b"1"), ("k.json", b'{"label": 2}')),
        r"train-001\.tar: the key 'k' has two labels, 1 in 'k\.cls' and 2 in 'k\.json'",
    ),
    (
        "two labels of a kind",
        set_members(("k.cls", b"1"), IMAGE, ("k.CLS", b"1")),
        r"train-001\.tar: the key 'k' has two labels in \.cls",
    ),
    (
        "a key that comes back",
        set_members(IMAGE, ("k.cls", b"1"), *sample(0, 7), ("k.cls", b"1")),
        r"train-001\.tar: the key 'k' comes a second time, at 'k\.cls'.*--sort=name",
    ),
    *(
        (
            f"unparsable label {text!r}",
            set_members(IMAGE, ("k.cls", text)),
            r"train-001\.tar: 'k\.cls': the label .* is no class number",
        )
        for text in (b"", b"cat", b"1.0", b"1 2", b"1_0", b"0x1", b"\xff", "٣".encode(), b"9" * 400)
    ),
    ("negative", set_members(IMAGE, ("k.cls", b"-1")), r"k\.png.*: -1 is out of range"),
    ("too large", set_members(IMAGE, ("k.cls", b"100000")), r"k\.png.*out of range.*99999"),
    ("no JSON", set_members(IMAGE, ("k.json", b"{label: 1}")), r"'k\.json': does not read as JSON"),
    ("no UTF-8", set_members(IMAGE, ("k.json", b'{"label": "\xff"}')), r"'k\.json': does not read"),
    ("deep", set_members(IMAGE, ("k.json", b"[" * 99999)), r"'k\.json': does not read as JSON"),
    ("a list", set_members(IMAGE, ("k.json", b"[1]")), r"'k\.json': is no JSON object"),
    ("no field", set_members(IMAGE, ("k.json", b"{}")), r"k\.png: .*no field 'label' nor a \.cls"),
    ("null", set_members(IMAGE, ("k.json", b'{"label": null}')), r"k\.png: .*no field 'label'"),
    *(
        (
            f"label {text}",
            set_members(IMAGE, ("k.json", f'{{"label": {text}}}'.encode())),
            r"'k\.json': the label .* of the field 'label' is neither",
        )
        for text in ("true", "1.5", "[1]", "NaN", '{"a": 1}')
    ),
    (
        "huge number",
        set_members(IMAGE, ("k.json", b'{"label": 99999999999999999999999}')),
        r"'k\.json': the label in 'label' is out of range",
    ),
    (
        "a name among numbers",
        set_members(IMAGE, ("k.json", b'{"label": "cat"}')),
        r"train-001\.tar: k\.png: the label 'cat' of the field 'label', after 0",
    ),
    ("no test sample", lambda r: void(pack(r / "test-000.tar", [])), r"no sample .* test shards"),
    ("only test", lambda r: [p.unlink() for p in r.glob("train*")] and None, r"no training shards"),
    ("two kinds", rename("train-001.tar", "train-test.tar"), r"train-test\.tar: .*test and train"),
    ("short class list", write("classes.txt", b"a\nb\n"), r"0001\.png.*2 is out of.*2 classes"),
    ("class twice", write("classes.txt", b"a\nb\na\n"), r"classes\.txt: two classes.*'a'"),
    ("class gap", write("classes.txt", b"a\n\nc\n"), r"classes\.txt: class 1 has no name"),
    ("empty class list", write("classes.txt", b"\n"), r"classes\.txt: class 0 has no name"),
    ("class list no UTF-8", write("classes.txt", b"\xff\n"), r"classes\.txt: cannot be read"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "says"), [d[1:] for d in DAMAGE], ids=[d[0] for d in DAMAGE])
def test_damage_is_refused_by_name(
    tmp_path: Path, damage: Callable[[Path], None], says: str
) -> None:
    root = two_shards(tmp_path)
    damage(root)
    with pytest.raises(DataError, match=says) as caught:
        list_webdataset(config(root), 0)
    assert "\n" not in str(caught.value)


def test_two_lists_of_classes_are_refused(tmp_path: Path) -> None:
    two_shards(tmp_path)
    for name in ("classes.txt", "classnames.txt"):
        (tmp_path / name).write_text("a\nb\nc\n")
    with pytest.raises(DataError, match="keep one"):
        list_webdataset(config(tmp_path), 0)


def test_no_folder_and_an_empty_one_say_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder; expected DIR/train-"):
        list_webdataset(config(tmp_path / "none"), 0)
    with pytest.raises(DataError, match=r"no tar files; expected DIR/train-"):
        list_webdataset(config(tmp_path), 0)
    pack(tmp_path / "a.tar", [("README", b"")])
    with pytest.raises(DataError, match=r"a\.tar: no sample in any of the training shards"):
        list_webdataset(config(tmp_path), 0)


def test_names_without_a_list_must_be_one_kind_and_known(tmp_path: Path) -> None:
    pack(tmp_path / "train.tar", described(1, 1, label="a") + described(2, 2, label="b"))
    pack(tmp_path / "test.tar", described(3, 3, label="c"))
    with pytest.raises(DataError, match=r"test\.tar: 3\.png: .*no class is named 'c'.*a, b"):
        list_webdataset(config(tmp_path), 0)
    shard(tmp_path / "test.tar", [1])
    with pytest.raises(DataError, match=r"a number, and .*train\.tar: 1\.png.* a name"):
        list_webdataset(config(tmp_path), 0)
    (tmp_path / "test.tar").unlink()
    pack(tmp_path / "train.tar", described(1, 1, label=" "))
    with pytest.raises(DataError, match=r"train\.tar: 1\.png.*no name"):
        list_webdataset(config(tmp_path), 0)
    pack(tmp_path / "train.tar", [("1.json", b'{"label": "\\ud800"}'), ("1.png", b"x")])
    with pytest.raises(DataError, match=r"train\.tar: 1\.png.*UTF-8"):
        list_webdataset(config(tmp_path), 0)


def test_a_true_label_must_be_in_all(tmp_path: Path) -> None:
    pack(tmp_path / "train.tar", described(1, 1, label=0, right=1) + described(2, 2, label=1))
    with pytest.raises(DataError, match=r"2\.png: .*no field 'right'; expected it in all"):
        list_webdataset(config(tmp_path, true_column="right"), 0)


def test_damaged_headers_never_give_another_listing(tmp_path: Path) -> None:
    """300 tars with one to three bytes changed in a header: refused, or read as they were."""
    path = two_shards(tmp_path) / "train-001.tar"
    whole = path.read_bytes()
    labels, seen = [1, 0, 2], colours(list_webdataset(config(tmp_path), 0))
    rng = random.Random(0)
    refused = 0
    for _ in range(300):
        content = bytearray(whole)
        header = rng.randrange(6) * 2 * BLOCK
        for _ in range(rng.randint(1, 3)):
            content[header + rng.randrange(345)] = rng.randrange(256)
        path.write_bytes(content)
        try:
            found = list_webdataset(config(tmp_path), 0)
        except DataError as error:
            assert "train-001.tar" in str(error) and "\n" not in str(error)
            refused += 1
        else:
            assert found.labels.assigned[3:].tolist() == labels and colours(found) == seen
    assert refused > 250
