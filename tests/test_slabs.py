from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tdctl.slabs
from tdctl.slabs import create_array, open_array, rows_per_slab, slabs_of


@pytest.fixture(autouse=True)
def small_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tdctl.slabs, "SLAB", 200)


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    array = np.random.default_rng(0).random((40, 3, 4)).astype(np.float32)
    path = tmp_path_factory.mktemp("arrays") / "a.npy"
    np.save(path, array)
    return array, open_array(path)


ends = st.one_of(st.none(), st.integers(-45, 45))


@settings(max_examples=200, deadline=None)
@given(
    rows=st.one_of(
        st.builds(slice, ends, ends),
        st.builds(slice, ends, ends, st.sampled_from([2, -1, -3])),
        st.lists(st.integers(-40, 39), max_size=60).map(lambda rows: np.array(rows, np.int64)),
        st.integers(-40, 39),
    ),
    rest=st.sampled_from([(), (0,), (slice(None), 1), (slice(None), slice(0, 2)), (2, 2)]),
    swapped=st.booleans(),
    order=st.one_of(st.none(), st.permutations(range(40))),
)
def test_a_mapped_array_is_indexed_as_numpys(
    values: Any, rows: Any, rest: Any, swapped: bool, order: list[int] | None
) -> None:
    expected, mapped = values
    if swapped:
        expected, mapped = expected.transpose(0, 2, 1), mapped.swapped()
    if order is not None:
        expected, mapped = expected[order], mapped.take(np.array(order))
    assert np.array_equal(mapped[(rows, *rest)], expected[(rows, *rest)])
    assert mapped.shape == expected.shape and np.array_equal(np.asarray(mapped), expected)


def test_a_part_of_a_new_array_is_written_alone_and_read_back(tmp_path: Path) -> None:
    array = create_array(tmp_path / "a.npy", np.int16, (3, 50, 4))
    part = np.arange(160, dtype=np.int16).reshape(40, 4)
    array.at(1).put(part, start=7)
    array.sync()
    expected = np.zeros((3, 50, 4), np.int16)
    expected[1, 7:47] = part
    assert np.array_equal(np.load(tmp_path / "a.npy"), expected)
    assert np.array_equal(open_array(tmp_path / "a.npy").at(1)[6:48], expected[1, 6:48])


def test_a_mapped_array_is_read_as_another_type(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([0.1, 0.5], np.float64))
    read = open_array(tmp_path / "a.npy").cast(np.float16)[:]
    assert read.dtype == np.float16 and read.tolist() == [np.float16(0.1), 0.5]


@pytest.mark.parametrize("without", ["posix_fallocate is missing", "the file system has none"])
def test_where_room_cannot_be_reserved_zeros_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: str
) -> None:
    if without.startswith("posix"):
        monkeypatch.delattr(os, "posix_fallocate")
    else:

        def refuse(*args: int) -> None:
            raise OSError(errno.EOPNOTSUPP, "not supported")

        monkeypatch.setattr(os, "posix_fallocate", refuse)
    create_array(tmp_path / "a.npy", np.float32, (300_000,))
    assert not np.load(tmp_path / "a.npy").any()
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= 1_200_000


def test_a_full_disk_is_found_at_once_and_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"No space left on device: .*a\.npy"):
        create_array(tmp_path / "a.npy", np.float32, (3,))


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"0")


def of_objects(path: Path) -> None:
    np.save(path, np.array([{}], dtype=object))


def in_reverse(path: Path) -> None:
    np.save(path, np.asfortranarray(np.zeros((2, 3))))


def no_array(path: Path) -> None:
    path.write_bytes(b"hello")


@pytest.mark.parametrize("damage", [cut_off, longer, of_objects, in_reverse, no_array])
def test_a_file_that_is_no_whole_array_is_refused(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((2, 3)))
    damage(path)
    with pytest.raises(ValueError):
        open_array(path)


def test_slabs_cover_all_rows_once() -> None:
    assert list(slabs_of(10, 4)) == [(0, 4), (4, 8), (8, 10)]
    assert list(slabs_of(10, 4, start=5)) == [(5, 9), (9, 10)]
    assert rows_per_slab(np.zeros((5, 10), np.float32)) == 5
    assert rows_per_slab(np.zeros((5, 1000), np.float32)) == 1


def test_the_first_entries_of_the_second_axis_are_read_alone(values: tuple[Any, Any]) -> None:
    array, mapped = values
    cut = mapped.swapped().columns(2)
    expected = array.transpose(0, 2, 1)[:, :2]
    assert cut.shape == expected.shape and cut.ndim == 3
    rows = np.array([7, 0, 39])
    for key in (slice(None), slice(3, 30), rows, 5, (slice(2, 9), 1), (slice(None), slice(0, 1))):
        assert np.array_equal(cut[key], expected[key])
    assert np.array_equal(cut.take(rows)[:], expected[rows])
    assert np.array_equal(cut.columns(9)[:], expected)
    with pytest.raises(ValueError, match="before the second one is cut"):
        cut.swapped()
