"""Pairs and matrices from files: read by class name, refused by line where they are malformed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import transition_row

from tdctl.config import NoiseConfig
from tdctl.errors import ConfigError, DataError
from tdctl.noise import OfClass, known_pairs, make_noise, read_matrix, read_pairs
from tdctl.noise.flip_pairs import CIFAR10, CIFAR100_SUPERCLASSES

NAMES = ["cat", "dog", "Größe, cm", "0"]
CIFAR100 = sorted(name for group in CIFAR100_SUPERCLASSES.values() for name in group)


def written(tmp_path: Path, content: str | bytes, name: str = "table.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def as_names(to: np.ndarray[tuple[int], np.dtype[np.int64]], names: list[str]) -> dict[str, str]:
    return {
        name: names[label] for name, label in zip(names, to, strict=True) if name != names[label]
    }


@pytest.mark.parametrize("order", [1, -1])
def test_cifar10s_pairs_are_known_by_class_name(order: int) -> None:
    names = list(CIFAR10)[::order]
    name, to = known_pairs(names)
    assert name == "cifar10"
    assert as_names(to, names) == {
        "truck": "automobile", "bird": "airplane", "deer": "horse", "cat": "dog", "dog": "cat",
    }  # fmt: skip


def test_cifar100s_pairs_go_round_within_the_superclass() -> None:
    assert len(CIFAR100_SUPERCLASSES) == 20 and len(set(CIFAR100)) == 100
    name, to = known_pairs(CIFAR100)
    pairs = as_names(to, CIFAR100)
    assert name == "cifar100" and len(pairs) == 100
    assert pairs["aquarium_fish"] == "flatfish" and pairs["trout"] == "aquarium_fish"
    for group in CIFAR100_SUPERCLASSES.values():
        assert list(group) == sorted(group)  # the order of the labels
        assert {pairs[member] for member in group} == set(group)


@pytest.mark.parametrize("names", [["a", "b"], list(CIFAR10)[:9], [*CIFAR10, "x"]])
def test_other_classes_need_a_table_of_pairs(names: list[str]) -> None:
    with pytest.raises(ConfigError, match="give --pairs FILE"):
        known_pairs(names)


@pytest.mark.parametrize(
    "content",
    [
        'from,to\ncat,dog\n"Größe, cm",cat\n',
        "from\tto\r\nGröße, cm\tcat\r\n\r\ncat\tdog\r\n",
        '\ufeff\nfrom,to\ncat,dog\n"Größe, cm",cat',
    ],
)
def test_pairs_from_a_table(tmp_path: Path, content: str) -> None:
    to = read_pairs(written(tmp_path, content), NAMES)
    assert as_names(to, NAMES) == {"cat": "dog", "Größe, cm": "cat"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("from,to\n", "line 1 is the last"),
        ("cat,dog\n", "line 1 is 'cat,dog'; expected the header 'from,to'"),
        ("to,from\ncat,dog\n", "line 1 is 'to,from'"),
        ("from,to,ratio\ncat,dog,0.1\n", "line 1 is 'from,to,ratio'"),
        ("from;to\ncat;dog\n", "line 1 is 'from;to'"),
        ("from,to\ncat,dog\ncat\n", "line 3 has 1 values"),
        ("from,to\ncat,dog,0\n", "line 2 has 3 values"),
        ("from,to\nGröße, cm,cat\n", "line 2 has 3 values"),
        ("from,to\ncow,cat\n", "line 2, column 'from', names the class 'cow'"),
        ("from,to\n\ncat,cow\n", "line 3, column 'to', names the class 'cow'"),
        ("from,to\ncat, dog\n", "line 2, column 'to', names the class ' dog'"),
        ("from,to\nCat,dog\n", "line 2, column 'from', names the class 'Cat'"),
        ("from,to\n,dog\n", "line 2, column 'from', names the class ''"),
        ("from,to\ncat,dog\ndog,cat\ncat,0\n", "line 4 names 'cat' in 'from' a second time"),
        ("from,to\ncat,cat\n", "line 2 pairs 'cat' with itself"),
        ('from,to\n"cat,dog\n', "line 2 is no line of a table"),
        ('from,to\n"cat"x,dog\n', "line 2 is no line of a table"),
        (b"from,to\ncat,\xff\xfe\n", "byte 13 is not UTF-8"),
        ("from,to\ncat,dog\n".encode("utf-16"), "is not UTF-8"),
    ],
)
def test_malformed_pairs_are_refused_by_line(
    tmp_path: Path, content: str | bytes, says: str
) -> None:
    with pytest.raises(DataError) as caught:
        read_pairs(written(tmp_path, content), NAMES)
    assert says in str(caught.value) and "table.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


ROWS = np.array([[0.7, 0.3, 0, 0], [0, 1, 0, 0], [0.25, 0.25, 0.25, 0.25], [0.1, 0, 0, 0.9]])
HEAD = 'true,0,dog,"Größe, cm",cat\n'
BODY = ["cat,0,0.3,0,0.7", "0,0.9,0,0,0.1", "dog,0,1,0,0", '"Größe, cm",.25,.25,.25,.25']


def lines(*changed: str, at: int = 0) -> str:
    """The good table, with the lines from ``at`` on replaced by others."""
    return HEAD + "\n".join([*BODY[:at], *changed, *BODY[at + len(changed) :]])


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (lines(), "m.csv"),
        (lines().replace(",", "\t").replace('"Größe\t cm"', "Größe, cm"), "m.tsv"),
        ("\n".join(",".join(map(str, row)) for row in ROWS), "m.csv"),
        ("\n\n".join("\t".join(map(str, row)) for row in ROWS), "m.txt"),
    ],
)
def test_a_matrix_from_text(tmp_path: Path, content: str, name: str) -> None:
    assert np.array_equal(read_matrix(written(tmp_path, content, name), NAMES), ROWS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_matrix_from_an_array(tmp_path: Path, dtype: type) -> None:
    np.save(tmp_path / "m.npy", ROWS.astype(dtype))
    found = read_matrix(tmp_path / "m.npy", NAMES)
    assert np.allclose(found, ROWS, atol=1e-7) and np.allclose(found.sum(axis=1), 1, atol=1e-15)
    np.save(tmp_path / "i.npy", np.eye(4, dtype=np.int8))
    assert np.array_equal(read_matrix(tmp_path / "i.npy", NAMES), np.eye(4))


def test_rows_within_rounding_of_one_are_scaled_to_it(tmp_path: Path) -> None:
    thirds = "\n".join(["0.3333333,0.3333333,0.3333333"] * 3)
    found = read_matrix(written(tmp_path, thirds), ["a", "b", "c"])
    assert np.allclose(found, 1 / 3, atol=1e-12)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        (HEAD, "ends with line 1 and has no row of the class 'cat'"),
        (lines("cat,0,0.3,0,0.6"), "line 2 ('cat') sums to 0.9; expected 1"),
        (lines("cat,0,0.3,0,0.70001"), "line 2 ('cat') sums to 1.00001"),
        (lines("cat,0,-0.3,0,1.3"), "line 2 ('cat') holds -0.3"),
        (lines("cat,0,nan,0,0.7"), "line 2 ('cat') holds nan"),
        (lines("cat,0,inf,0,0.7"), "line 2 ('cat') holds inf"),
        (lines("cat,0,x,0,0.7"), "line 2 ('cat') holds 'x'"),
        (lines("cat,0,,0,1"), "line 2 ('cat') holds ''"),
        (lines("cat,0,0.3,0.7"), "line 2 ('cat') has 3 probabilities; expected 4"),
        (lines("cat,0,0.3,0,0.7,0"), "line 2 ('cat') has 5 probabilities; expected 4"),
        (lines("cat,0,0.3,0,0.7", "cow,0,0,0,1"), "line 3 names the class 'cow'"),
        (lines("cat,0,0.3,0,0.7", at=3), "line 5 is a second row of the class 'cat'"),
        (HEAD + "\n".join(BODY[:3]), "ends with line 4 and has no row of the class 'Größe, cm'"),
        (lines().replace("dog,", "cow,", 1), "line 1 names the class 'cow'"),
        (lines().replace("dog,", "cat,", 1), "line 1 names the class 'cat' a second time"),
        (lines().replace(",dog", "", 1), "line 1 names 3 classes; expected 4, 'dog' is missing"),
        (lines().replace("true,", "", 1), "line 1 names 3 classes; expected 4, '0' is missing"),
        ("1,0,0\n0,1,0\n0,0,1\n", "line 1 has 3 values; expected 4"),
        ("1,0,0,0\n0,1,0,0\n0,0,1\n", "line 3 has 3 values"),
        ("1,0,0,0\n0,1,0,0\n0,0,1,0\n", "ends with line 3 after 3 rows; expected 4"),
        ("1,0,0,0\n0,1,0,0\n0,0,1,0\n0,0,0,1\n1,0,0,0", "ends with line 5 after 5 rows"),
        ("1,0,0,0\n0,1,0,0\n0,0,0.5,0\n0,0,0,1", "line 3 ('Größe, cm') sums to 0.5"),
        ("1,0,0,0\n0,1,0,0\n0,0,a,0\n0,0,0,1", "line 3 ('Größe, cm') holds 'a'"),
        ("1,0,0,0\n0,0,0,0\n0,0,1,0\n0,0,0,1", "line 2 ('dog') sums to 0"),
        ('1,0,0,0\n"0,1,0,0', "line 2 is no line of a table"),
        (b"\x93NUMPY\x01\x00", "is not UTF-8"),
    ],
)
def test_malformed_matrices_are_refused_by_line(
    tmp_path: Path, content: str | bytes, says: str
) -> None:
    with pytest.raises(DataError) as caught:
        read_matrix(written(tmp_path, content), NAMES)
    assert says in str(caught.value) and "table.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.eye(3), "is 3 x 3; expected 4 x 4"),
        (np.ones((4, 5)) / 5, "is 4 x 5"),
        (np.ones(4), "is 4; expected"),
        (np.float64(1), "is a single value"),
        (np.eye(4) * 0.5, "row 1 ('cat') sums to 0.5"),
        (np.where(np.eye(4), np.nan, 0), "row 1 ('cat') holds nan"),
        (np.eye(4) + np.diag([0, 0, 1], 1) - np.diag([0, 0, 1], -1), "row 3 ('Größe, cm') sums"),
        (np.eye(4) * 1j, "not an array of real numbers"),
        (np.full((4, 4), "x"), "not an array of real numbers"),
        (np.full((4, 4), None), "not an array of numbers (Object arrays cannot be loaded"),
    ],
)
def test_malformed_arrays_are_refused_by_row(
    tmp_path: Path, array: np.ndarray[tuple[int, int], np.dtype[np.float64]], says: str
) -> None:
    np.save(tmp_path / "m.npy", array)
    with pytest.raises(DataError) as caught:
        read_matrix(tmp_path / "m.npy", NAMES)
    assert says in str(caught.value) and "m.npy" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [0, 5, 60, 140])
def test_an_array_that_is_cut_off_is_refused(tmp_path: Path, size: int) -> None:
    np.save(tmp_path / "m.npy", ROWS)
    whole = (tmp_path / "m.npy").read_bytes()
    (tmp_path / "m.npy").write_bytes(whole[:size])
    with pytest.raises(DataError, match=r"m\.npy: not an array"):
        read_matrix(tmp_path / "m.npy", NAMES)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "no.csv", tmp_path / "no.npy", tmp_path):
        with pytest.raises(DataError, match="give --matrix an existing"):
            read_matrix(path, NAMES)
    for path in (tmp_path / "no.csv", tmp_path):
        with pytest.raises(DataError, match="give --pairs an existing"):
            read_pairs(path, NAMES)


def test_the_settings_make_the_noise(tmp_path: Path) -> None:
    matrix = written(tmp_path, lines(), "m.csv")
    noise, facts = make_noise(NoiseConfig(noise_type="matrix", matrix=matrix), NAMES)
    assert isinstance(noise, OfClass)
    assert np.array_equal(transition_row(noise.transition, 3), ROWS[3])
    assert facts["matrix"]["file"] == "m.csv" and len(facts["matrix"]["sha256"]) == 64
    pairs = written(tmp_path, "from,to\ncat,dog\n", "p.csv")
    noise, facts = make_noise(NoiseConfig(noise_type="pair", pairs=pairs, noise_ratio=0.25), NAMES)
    assert isinstance(noise, OfClass) and facts["pairs"]["file"] == "p.csv"
    assert transition_row(noise.transition, 0).tolist() == [0.75, 0.25, 0, 0]
    assert transition_row(noise.transition, 1).tolist() == [0, 1, 0, 0]
    named = NoiseConfig(noise_type="pair", noise_ratio=0.25)
    assert make_noise(named, list(CIFAR10))[1] == {"pairs": "cifar10"}
    for kind in ("uniform", "uniform-inclusive", "flip", "instance"):
        noise, facts = make_noise(NoiseConfig(noise_type=kind, noise_ratio=0.2), NAMES)
        assert noise.num_classes == 4 and facts == {}
        with pytest.raises(ConfigError, match="single class"):
            make_noise(NoiseConfig(noise_type=kind, noise_ratio=0.2), ["one"])
