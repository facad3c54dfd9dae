"""Names of samples and classes in a recording of a training loop of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import planted_labels, refused, softmax_history, tdctl

from tdctl.errors import DataError, RunError
from tdctl.labels import Labels
from tdctl.recorder import RunRecorder

N, K, EPOCHS = 30, 3, 4
LABELS = planted_labels(N, K)
CLASSES = ["Große, Eule", 'a "b"', "NA"]
FILES = [f'photos/{i:02d} ü, "x".png' for i in range(N - 2)] + ["001", "null"]


def recorded(folder: Path, **names: Any) -> Path:
    recorder = RunRecorder.create(folder, LABELS, K, EPOCHS, **names)
    fill(recorder)
    recorder.finish()
    return folder


def fill(recorder: RunRecorder, first: int = 0) -> None:
    logits = torch.from_numpy(softmax_history(LABELS, K, EPOCHS)[0]).float().log()
    for epoch in range(first, EPOCHS):
        recorder.record(torch.from_numpy(LABELS.index), logits[epoch])
        recorder.commit(epoch)


def ranking(folder: Path, out: Path, *others: Path) -> pd.DataFrame:
    runs = [item for run in (folder, *others) for item in ("--td", run)]
    result = tdctl("detect", *runs, "--score", "aum", "--out", out)
    assert result.exit_code == 0, result.output
    return pd.read_csv(out, keep_default_na=False, dtype=str)


def names_as_given(table: pd.DataFrame) -> bool:
    row = {str(index): place for place, index in enumerate(LABELS.index.tolist())}
    places = [row[index] for index in table["index"]]
    return list(table["file_name"]) == [FILES[place] for place in places] and list(
        table["given_label"]
    ) == [CLASSES[LABELS.assigned[place]] for place in places]


@pytest.mark.parametrize("kind", [list, tuple, np.array, pd.Series, iter])
def test_the_ranking_shows_names(tmp_path: Path, kind: Any) -> None:
    run = recorded(tmp_path / "r", file_names=kind(FILES), class_names=kind(CLASSES))
    table = ranking(run, tmp_path / "o.csv")
    assert names_as_given(table) and set(table["suggested_label"]) <= set(CLASSES)


def test_paths_are_names_as_well(tmp_path: Path) -> None:
    run = recorded(tmp_path / "r", file_names=[Path(name) for name in FILES], class_names=CLASSES)
    assert names_as_given(ranking(run, tmp_path / "o.csv"))


def test_without_names_classes_are_numbers(tmp_path: Path) -> None:
    table = ranking(recorded(tmp_path / "r"), tmp_path / "o.csv")
    assert set(table["given_label"]) <= {"0", "1", "2"} and set(table["file_name"]) == {""}
    assert not list((tmp_path / "r").glob("*.csv"))


def test_of_several_recordings_the_one_with_names_gives_them(tmp_path: Path) -> None:
    run = recorded(tmp_path / "a", file_names=FILES, class_names=CLASSES)
    assert names_as_given(ranking(recorded(tmp_path / "b"), tmp_path / "o.csv", run))


@pytest.mark.parametrize("again", [{}, {"file_names": FILES, "class_names": CLASSES}])
def test_names_are_kept_over_a_resumption(tmp_path: Path, again: Any) -> None:
    folder = tmp_path / "r"
    RunRecorder.create(folder, LABELS, K, EPOCHS, file_names=FILES, class_names=CLASSES)
    recorder = RunRecorder.resume(folder, LABELS, K, EPOCHS, **again)
    fill(recorder)
    recorder.finish()
    assert names_as_given(ranking(folder, tmp_path / "o.csv"))


def test_other_names_are_refused_on_resumption(tmp_path: Path) -> None:
    RunRecorder.create(tmp_path, LABELS, K, EPOCHS, file_names=FILES, class_names=CLASSES)
    with pytest.raises(RunError, match=r"samples.csv: holds other names than those given"):
        RunRecorder.resume(tmp_path, LABELS, K, EPOCHS, file_names=FILES[::-1])
    with pytest.raises(RunError, match=r"class_names.csv: holds other names"):
        RunRecorder.resume(tmp_path, LABELS, K, EPOCHS, class_names=CLASSES[::-1])


def test_a_table_of_the_users_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "samples.csv").write_text("mine")
    with pytest.raises(RunError, match=r"samples.csv: holds other names"):
        RunRecorder.create(tmp_path, LABELS, K, EPOCHS, file_names=FILES)
    assert (tmp_path / "samples.csv").read_text() == "mine"
    assert not (tmp_path / "capture").exists()


def test_a_recording_that_replaces_another_does_not_take_over_its_names(tmp_path: Path) -> None:
    recorded(tmp_path, file_names=FILES, class_names=CLASSES)
    with pytest.raises(RunError, match=r"samples.csv: .* give file_names of the new one, or"):
        RunRecorder.create(tmp_path, LABELS, K, EPOCHS, overwrite=True)
    others = [f"{name} 2" for name in FILES]
    recorded(tmp_path, file_names=others, class_names=CLASSES, overwrite=True)
    assert set(ranking(tmp_path, tmp_path / "o.csv")["file_name"]) == set(others)


def test_a_recording_of_held_out_samples_shares_them(tmp_path: Path) -> None:
    names = {"file_names": FILES, "class_names": CLASSES}
    seen = RunRecorder.create(tmp_path / "r", LABELS, K, EPOCHS, **names)
    for more in (names, {}):
        fresh = RunRecorder.create(
            tmp_path / "r", LABELS, K, EPOCHS, heldout=True, overwrite=True, **more
        )
    for recorder in (fresh, seen):
        fill(recorder)
        recorder.finish()
    assert names_as_given(ranking(tmp_path / "r", tmp_path / "o.csv"))


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ({"file_names": FILES[1:]}, "file_names holds 29 names for 30 samples"),
        ({"class_names": [*CLASSES, "d"]}, "class_names holds 4 names for 3 classes"),
        ({"class_names": "abc"}, "class_names is a str; expected a list of 3 names"),
        ({"class_names": {"a": 0, "b": 1, "c": 2}}, "class_names is a dict"),
        ({"class_names": 3}, "class_names is an int; expected a list"),
        ({"class_names": ["a", 1, "c"]}, r"class_names\[1\] is 1, an int"),
        ({"class_names": ["a", None, "c"]}, r"class_names\[1\] is None, a NoneType"),
        ({"class_names": ["a", b"b", "c"]}, r"class_names\[1\] is b'b', a bytes"),
        ({"class_names": ["a", " ", "c"]}, r"class_names\[1\] is empty"),
        ({"class_names": ["a", "c", "c"]}, r"\[1\] and class_names\[2\] are both 'c'"),
        ({"class_names": ["a", "b\udce4", "c"]}, "which UTF-8 cannot write"),
        ({"class_names": ["a", "b\nc", "c"]}, "a line break or another control character"),
        ({"file_names": [*FILES[:-1], FILES[0]]}, r"file_names\[0\] and file_names\[29\] are both"),
    ],
)
def test_names_that_do_not_fit_are_refused_before_anything_is_made(
    tmp_path: Path, names: Any, says: str
) -> None:
    with pytest.raises(DataError, match=says) as caught:
        RunRecorder.create(tmp_path / "r", LABELS, K, EPOCHS, **names)
    assert "\n" not in str(caught.value) and not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "content", ["class,class_name\n0,a\n", "x\n", "", "class,class_name\n1,a\n0,b\n2,c\n"]
)
def test_a_damaged_table_of_class_names_is_one_line(tmp_path: Path, content: str) -> None:
    run = recorded(tmp_path / "r", class_names=CLASSES)
    (run / "class_names.csv").write_text(content)
    result = tdctl("detect", "--td", run, "--score", "aum", "--out", tmp_path / "o.csv")
    refused(result, "class_names.csv: not the table that a recorder wrote")


def test_names_follow_the_labels_not_the_index(tmp_path: Path) -> None:
    labels = Labels(np.array([7, 2, 5]), np.array([0, 1, 0]), np.array([0, 1, 0]))
    RunRecorder.create(tmp_path, labels, 2, 1, file_names=["seven", "two", "five"])
    text = (tmp_path / "samples.csv").read_text()
    assert text == "index,file_name\n7,seven\n2,two\n5,five\n"
