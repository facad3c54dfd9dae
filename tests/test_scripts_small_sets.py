"""The benchmark of small image sets: its settings and its tables."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from PIL import Image

from scripts.experiments.small_sets import compared, images_of, settings, table_of, tried


def cell(**changed: Any) -> dict[str, Any]:
    return {"set": "digits", "images": 240, "share": 0.1, "seed": 0, "way": "find"} | changed


def figures(**changed: Any) -> dict[str, Any]:
    found = {"wrong": 0.1, "estimate": 0.08, "interval": [0.05, 0.12], "ap": 0.9,
             "precision": 1.0, "recall": 0.8, "cpu_seconds": 3.0}  # fmt: skip
    return cell(**found) | changed


def asked(work: Path) -> argparse.Namespace:
    return argparse.Namespace(work=work, signs=work / "signs", cifar=work / "cifar")


def test_a_way_changes_what_find_chooses(tmp_path: Path) -> None:
    chosen = settings(asked(tmp_path), cell()).train
    assert (chosen.folds, chosen.epochs, chosen.flip) == (10, 20, False)
    plain = settings(asked(tmp_path), cell(way="plain-60")).train
    assert (plain.folds, plain.epochs) == (0, 60)


def test_images_are_drawn_by_the_seed_and_spread_over_the_classes(tmp_path: Path) -> None:
    for number in range(10):
        place = tmp_path / "signs" / str(number)
        place.mkdir(parents=True)
        for at in range(9):
            Image.new("RGB", (4, 4)).save(place / f"{at}.png")
    drawn = {seed: images_of(asked(tmp_path), cell(set="signs", images=43, seed=seed))
             for seed in (0, 1)}  # fmt: skip
    names = {seed: {p.relative_to(root) for p in root.rglob("*.png")}
             for seed, root in drawn.items()}  # fmt: skip
    assert len(names[0]) == len(names[1]) == 43 and names[0] != names[1]
    assert len(list((drawn[0] / "0").iterdir())) == 5 and len(list((drawn[0] / "9").iterdir())) == 4


def test_the_tables_say_error_and_how_many_intervals_hold() -> None:
    none = figures(way="plain", estimate=0.0, interval=[0.0, 0.02], ap=0.5)
    found = [figures(), none, figures(way="find", share=0.0, wrong=0.0, ap=None, precision=None)]
    assert "| digits 240, 10 % flipped | 10.0 | 8.0 | 5 to 12 | 90.0 |" in table_of(found, "find")
    last = compared(found, "plain", "find").splitlines()[-1]
    sums = "mean error 10.0 | 0 of 1 hold | 50.0 | mean error 2.0 | 1 of 1 hold | 90.0"
    assert last == f"| the 1 with both |  | {sums} |"
    assert "| find | - | - | 8.0 (5 to 12), AP 90.0 | - |" in tried(found, ["find", "decay"])
