from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest
from archives_made import assert_refused

from tdctl.sources.archives.lines import ListFile, read_list


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "list.txt"
    path.write_bytes(data)
    return path


def records(tmp_path: Path, data: bytes, *fields: str, separator: str | None = None) -> object:
    return list(read_list(written(tmp_path, data)).records(*fields, separator=separator))


@pytest.mark.parametrize(
    "data",
    [
        b"a 1\nb 2\n",
        b"a 1\nb 2",
        b"a 1\r\nb 2\r\n",
        b"a 1\nb 2\n\n",
        b"a 1\r\nb 2\r\n\r\n  \n",
        b"\xef\xbb\xbfa 1\nb 2\n",
        b"a\t1\n  b  2 \n",
    ],
)
def test_ends_of_lines_and_of_the_file_do_not_matter(tmp_path: Path, data: bytes) -> None:
    assert records(tmp_path, data, "name", "label") == [["a", "1"], ["b", "2"]]


def test_names_in_any_language_are_kept(tmp_path: Path) -> None:
    data = "猫/é.jpg\t1\nü 3.jpg\t2\n".encode()
    wanted = [["猫/é.jpg", "1"], ["ü 3.jpg", "2"]]
    assert records(tmp_path, data, "name", "label", separator="\t") == wanted


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "list.txt: empty"),
        (b"\n \r\n", "list.txt: empty"),
        (b"a 1\nb\n", "line 2 has 1 fields; expected 2: name, label"),
        (b"a 1\nb 2 3\n", "line 2 has 3 fields"),
        (b"a 1\n\nb 2\n", "line 2 is blank"),
        (b"\na 1\n", "line 1 is blank"),
        (b"a 1\nb 2\na 1\n", "line 3 has the name 'a', as an earlier line has"),
        (b"a 1\nb\xff 2\nc 3\n", "line 2 is not UTF-8"),
        ("a 1\n".encode("utf-16"), "line 1 is not UTF-8"),
        (b"a 1\nb\x002\n", "line 2 holds the control character '\\x00'"),
        ("a 1\nb\u2028 2\n".encode(), "line 2 holds the control character '\\u2028'"),
        (b"a 1\rb 2\r", "line 1 holds the control character '\\r'"),
        (b"a 1\n" + 500 * b"b " + b"\n", "line 2 has 500 fields"),
    ],
)
def test_malformed_files_are_refused_by_line(tmp_path: Path, data: bytes, says: str) -> None:
    assert_refused(lambda: records(tmp_path, data, "name", "label"), str(tmp_path), says)


def test_a_missing_list_or_a_folder_in_its_place_is_named(tmp_path: Path) -> None:
    assert_refused(lambda: read_list(tmp_path / "no.txt"), str(tmp_path / "no.txt"), "cannot be")
    assert_refused(lambda: read_list(tmp_path), str(tmp_path), "cannot be read")


LIST = ListFile(Path("list.txt"), ["x"] * 9)


@pytest.mark.parametrize("text", ["0", "7", "13"])
def test_whole_numbers(text: str) -> None:
    assert LIST.whole(4, text, "label", 0, 13) == int(text)


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1.0", "1e1", "14", "07", "1_0", "٣", "²", "x", "9" * 5000, "None"]
)
def test_other_numbers_are_refused(text: str) -> None:
    assert_refused(
        lambda: LIST.whole(4, text, "label", 0, 13),
        "list.txt: line 4 has ", " as label; expected a whole number from 0 to 13",
    )  # fmt: skip


@pytest.mark.parametrize("text", ["a.jpg", "a/b.jpg", ".a/..b/c..jpg", "a b/~/...", "C:\\x.jpg"])
def test_paths_below_the_folder(text: str) -> None:
    assert LIST.below(4, text) == text


@pytest.mark.parametrize(
    "text",
    ["", "/a.jpg", "../a.jpg", "a/../../b.jpg", "a/..", ".", "..", "a//b", "./a", "a/./b", "a/"],
)
def test_paths_that_lead_elsewhere_are_refused(text: str) -> None:
    assert_refused(lambda: LIST.below(4, text), "list.txt: line 4 names ", "expected a path below")


def test_long_lists_take_little_time_and_memory(tmp_path: Path) -> None:
    lines = 100_000
    data = "".join(f"images/{n % 10}/{n % 97}/{n},{n}.jpg {n % 14}\n" for n in range(lines))
    path = written(tmp_path, data.encode())
    started = time.process_time()
    listed = read_list(path)
    label_of = {
        listed.below(n, key): listed.whole(n, text, "label", 0, 13)
        for n, (key, text) in enumerate(listed.records("key", "label"), start=1)
    }
    assert len(label_of) == lines
    assert time.process_time() - started < 2, "about 0.15 s; a million must take seconds"
    tracemalloc.start()
    kept = read_list(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(kept) == lines and peak < 50_000_000
