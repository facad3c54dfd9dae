"""A flat JSON list of labels, as the published code for robust training reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_image_folder, refused, tdctl, tiny_config

from tdctl import runner
from tdctl.errors import DataError


def given(path: Path, **more: Any) -> Any:
    config = tiny_config(**{"noise__noise_ratio": 0.0, "data__labels": path} | more)
    return runner.prepare(config).labels


def test_a_label_belongs_to_the_index_of_its_place(tmp_path: Path) -> None:
    truth = given(None, data__limit=None)  # type: ignore[arg-type]
    labels = {int(i): int(t) for i, t in zip(truth.index, truth.true, strict=True)}
    count = 1797
    numbers = [(labels.get(i, 0) + (i % 5 == 0)) % 10 for i in range(count)]
    (tmp_path / "l.json").write_text(str(numbers))
    found = given(tmp_path / "l.json")
    assert (found.assigned == np.array(numbers)[found.index]).all()
    assert found.flipped.any() and (found.true[~found.flipped] < 10).all()


def test_the_numbers_are_of_classes_whatever_their_names(tmp_path: Path) -> None:
    root = make_image_folder(tmp_path / "images", per_class=5) / "train"
    for old, new in (("dark", "1"), ("light", "0x")):
        (root / old).rename(root / new)
    (tmp_path / "l.json").write_text(str([0] * 5 + [1] * 5))
    folder = {"data__dataset": "folder", "data__data_dir": root, "data__limit": None}
    found = given(tmp_path / "l.json", **folder, data__test_share=0.0)
    assert (found.assigned == (found.index >= 5)).all()
    (tmp_path / "l.json").write_text(str([0] * 9))
    with pytest.raises(DataError, match="1 training images have no row, first '1/004"):
        given(tmp_path / "l.json", **folder, data__test_share=0.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is no JSON"),
        ("[]", "holds an empty list"),
        ('{"a": 1}', "holds a JSON value of the type object"),
        ("[0, null, 1]", r"label 1 \(from 0\) is of the type null"),
        ("[0, 1.5]", r"label 1 \(from 0\) is of the type number"),
        ("[true]", r"label 0 \(from 0\) is of the type boolean"),
        ('["cat"]', r"label 0 \(from 0\) is of the type string"),
        ("[0, 10]", r"label 1 \(from 0\) is '10'; expected a class number from 0 to 9"),
        ("[" * 100_000, "is no JSON"),
        ("[0, 1]", "label 1 .from 0. names '1', which is not a training image of the data set"),
    ],
)
def test_what_is_no_list_of_labels_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "l.json").write_text(text)
    with pytest.raises(DataError, match=says) as found:
        given(tmp_path / "l.json", data__limit=None)
    assert "\n" not in str(found.value)


def test_the_command_line_says_it_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "l.json").write_bytes(b"\xff\xfe\x00")
    asked = ("generate-td", "--dataset", "digits", "--labels", tmp_path / "l.json", "--quiet")
    refused(tdctl(*asked, "--out", tmp_path / "r"), "l.json: is no ", "such as [3, 0, 5]")
