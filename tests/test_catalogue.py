from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tdctl.catalogue import CATALOGUE, find, known_name, nearest
from tdctl.cli import app
from tdctl.recipes import preset_of
from tdctl.settings import load_config

# The paper's seven, and the folder that their archive unpacks to.
ARCHIVES = {
    "cifar10": "",
    "cifar100": "",
    "tiny_imagenet": "tiny-imagenet-200",
    "cub_200_2011": "CUB_200_2011",
    "caltech256": "256_ObjectCategories",
    "webvision50": "",
    "clothing100k": "",
}


def unpack(home: Path, name: str) -> Path:
    """Empty files and folders where the landmarks of a data set are."""
    for landmark in CATALOGUE[name].landmarks:
        path = home / landmark
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in {".txt", ".mat"}:
            path.touch()
        else:
            path.mkdir(exist_ok=True)
    return home


def image_folder(home: Path, classes: int) -> None:
    for number in range(classes):
        (home / "train" / f"{number:03}").mkdir(parents=True)


def datasets(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["datasets", *(str(argument) for argument in arguments)])


def listed(*arguments: object) -> dict[str, dict[str, Any]]:
    result = datasets(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return {row["name"]: row for row in json.loads(result.stdout)}


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_entry_says_what_it_is(name: str) -> None:
    entry = CATALOGUE[name]
    assert entry.title and entry.layout and entry.terms
    assert (entry.test is None) == (entry.train is None)
    known = entry.train is not None or entry.total is not None
    assert known == (entry.classes is not None)


@pytest.mark.parametrize("name", ARCHIVES)
def test_the_papers_sets_have_landmarks_and_settings_that_are_valid(name: str) -> None:
    entry = CATALOGUE[name]
    preset = preset_of(name)
    assert entry.landmarks and preset and entry.classes
    config = load_config(None, {"recipe": "paper", "data.dataset": name, "data.data_dir": "x"})
    for section, part in preset.items():
        for key, value in part.items():
            found = config.model_dump(mode="json")[section][key]
            assert found == value


@pytest.mark.parametrize(("name", "folder"), ARCHIVES.items())
def test_a_data_set_is_found_wherever_its_archive_was_unpacked(
    tmp_path: Path, name: str, folder: str
) -> None:
    for number, place in enumerate(("", name, folder, f"{name}/{folder}")):
        data_dir = tmp_path / str(number)
        assert find(name, data_dir) is None
        home = unpack(data_dir / place, name)
        assert find(name, data_dir) == home
    assert find(name, tmp_path / "nowhere") is None


@pytest.mark.parametrize("name", [name for name in ARCHIVES if len(CATALOGUE[name].landmarks) > 1])
def test_what_is_there_in_part_is_not_found_and_its_lack_is_named(
    tmp_path: Path, name: str
) -> None:
    home = unpack(tmp_path / name, name)
    lost = CATALOGUE[name].landmarks[0]
    (home / lost).rename(tmp_path / "elsewhere")
    assert find(name, tmp_path) is None
    assert nearest(name, tmp_path) == (home, (lost,))
    row = listed("--data-dir", tmp_path)[name]
    assert row["found"] is False and row["says"] == f"in part: {home} lacks {lost}"


def test_the_lists_of_clothing_may_lie_among_the_annotations(tmp_path: Path) -> None:
    unpack(tmp_path / "annotations", "clothing100k")
    (tmp_path / "annotations/images").rename(tmp_path / "images")
    assert find("clothing100k", tmp_path) == tmp_path


def test_names_may_be_written_with_hyphens() -> None:
    assert known_name("CUB-200-2011") == "cub_200_2011"
    with pytest.raises(ValueError, match=r"'cub' is unknown; use one of digits, .*caltech256"):
        known_name("cub")


def test_no_data_set_is_taken_for_another(tmp_path: Path) -> None:
    for name in CATALOGUE:
        unpack(tmp_path / name, name)
        others = {other for other in CATALOGUE if find(other, tmp_path / name) is not None}
        assert others == ({name} if CATALOGUE[name].landmarks else set())


def test_the_command_says_what_it_finds(tmp_path: Path) -> None:
    unpack(tmp_path, "cifar10")
    image_folder(tmp_path / "webvision50", 50)
    rows = listed("--data-dir", tmp_path)
    assert rows["cifar10"]["found"] is True and rows["cifar10"]["path"] == str(tmp_path)
    assert rows["webvision50"]["found"] is True
    assert rows["webvision50"]["says"].startswith("as an image folder of 50 classes")
    assert rows["digits"]["found"] is True and rows["mnist"]["says"] == "not found"
    assert rows["folder"]["says"].startswith("no class folders in it")
    told = datasets("--data-dir", tmp_path).stdout
    assert f"cifar10        found in {tmp_path}" in told.splitlines()


def test_an_image_folder_of_another_number_of_classes_is_not_taken_for_it(tmp_path: Path) -> None:
    image_folder(tmp_path / "webvision50", 49)
    assert listed("--data-dir", tmp_path)["webvision50"]["found"] is False


def test_a_nameless_image_folder_is_only_perhaps_the_data_set(tmp_path: Path) -> None:
    image_folder(tmp_path, 10)
    rows = listed("--data-dir", tmp_path)
    for name in ("cifar10", "svhn"):
        assert rows[name]["found"] is None and rows[name]["says"].startswith("perhaps as an image")
    assert rows["cifar100"]["found"] is False


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_list_does_not_break_the_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = datasets().stdout.splitlines()
    assert max(map(len, lines)) <= width
    for name in CATALOGUE:
        assert sum(line.startswith(f"  {name} ") for line in lines) == 2, "in either table"


def test_one_entry_in_full() -> None:
    told = datasets("caltech256").stdout
    entry = CATALOGUE["caltech256"]
    assert all(text in told for text in (entry.title, entry.layout, entry.terms, "30,607"))
    assert "--pretrained FILE" in told and "data.image_size 224" in told
    row = json.loads(datasets("cub-200-2011", "--json").stdout)
    assert (row["train"], row["test"], row["total"]) == (5994, 5794, 11788)
    assert row["net"] == "resnet34" and row["pretrained"] is True and "found" not in row


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--data-dir", "/nowhere"), "/nowhere: no such folder"),
        (("cub",), "'cub' is unknown; use one of digits"),
    ],
)
def test_what_it_cannot_say_is_one_line(arguments: tuple[str, ...], says: str) -> None:
    result = datasets(*arguments)
    assert result.exit_code == 1 and not result.stdout
    assert len(result.stderr.splitlines()) == 1 and says in result.stderr


def test_the_command_does_not_wait_for_torch(tmp_path: Path) -> None:
    code = (
        "import sys, tdctl.cli\n"
        f"try:\n    tdctl.cli.app(['datasets', '--data-dir', {str(tmp_path)!r}])\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'torch', 'torchvision', 'pandas', 'sklearn', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    command = [sys.executable, "-c", code]
    outcome = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert outcome.returncode == 0, outcome.stderr
