"""Whatever is listed is read back: names with quotes, line breaks, separators and signs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import tiny_config
from PIL import Image

from tdctl import runner
from tdctl.scores import find_score

CLASSES = ["Käfer 🐞", "two words, comma", 'quo"te', "=1+1"]
PREFIXES = [
    "späce and ümlaut", "emoji🙂", "comma, in", "semi;colon", "=cmd", "-dash", 'quo"te', "[b]x[b]",
    "100%25", "new\nline", "carriage\rreturn", "tab\tin", "back\\slash", " blank", "bar|", "'",
    "line\u2028separator", "control\x1b[31m", "file:", "NA", "#", "\ufeffmark",
]  # fmt: skip


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of such names, and a run of it."""
    root = tmp_path_factory.mktemp("odd")
    for number, prefix in enumerate(PREFIXES * 2):
        folder = root / "d" / CLASSES[number % 4]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), number * 5).save(folder / f"{prefix}{number}.png")
    config = settings(root / "d")
    return root / "d", runner.generate_td(config, root / "run").folder


def settings(root: Path, **more: Any) -> Any:
    plain: dict[str, Any] = {
        "data__dataset": "folder", "data__data_dir": root, "data__limit": None,
        "data__test_share": 0.0, "noise__noise_ratio": 0.0, "train__epochs": 2,
    }  # fmt: skip
    return tiny_config(**plain | more)


def test_a_ranking_is_read_back_as_labels_and_to_leave_out(
    tmp_path: Path, recorded: tuple[Path, Path]
) -> None:
    root, run = recorded
    ranking = tmp_path / "o.csv"
    table = runner.detect(run, find_score("p-mean"), out=ranking).table
    assert len(table) == 44 and {str(name) for name in table["given_label"]} == set(CLASSES)
    again = runner.prepare(
        settings(root, data__labels=ranking, data__label_column="suggested_label")
    )
    suggested = table.set_index("index")["suggested_label"].astype(str)
    names = np.array(again.dataset.class_names)[again.labels.assigned]
    assert (names == suggested[again.labels.index]).all()
    config = settings(root, train__leave_out=ranking, train__leave_out_ratio=0.2)
    left = pd.read_csv(runner.generate_td(config, tmp_path / "r").folder / "left_out.csv")
    worst = table.nlargest(9, "suspicion")
    assert set(left["index"]) <= set(worst["index"]) and len(left)


def test_drawn_and_cleaned_labels_are_read_back(
    tmp_path: Path, recorded: tuple[Path, Path]
) -> None:
    root, run = recorded
    noisy = settings(root, noise__noise_ratio=0.3)
    drawn = runner.corrupt_labels(noisy, tmp_path / "n.csv").given.labels
    config = settings(root, data__labels=tmp_path / "n.csv", data__true_column="true_label")
    assert (runner.prepare(config).labels.assigned == drawn.assigned).all()
    source = find_score("p-mean")
    result = runner.clean(settings(root), run, source, 0.2, "drop", tmp_path / "c.csv")
    kept = runner.prepare(settings(root, data__labels=tmp_path / "c.csv"))
    assert kept.names == result.table["file_name"].tolist() and len(kept.train) == 35


def test_such_names_are_a_table_of_their_own(tmp_path: Path, recorded: tuple[Path, Path]) -> None:
    root, run = recorded
    runner.detect(run, find_score("p-mean"), out=tmp_path / "o.csv")
    config = settings(
        root, data__dataset="table", data__labels=tmp_path / "o.csv",
        data__label_column="given_label",
    )  # fmt: skip
    prepared = runner.prepare(config)
    names = prepared.names or []
    assert len(names) == 44
    classes = [prepared.dataset.class_names[label] for label in prepared.labels.assigned]
    assert classes == [name.split("/")[0] for name in names]
