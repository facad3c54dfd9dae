"""Small image sets: how many labels find says are wrong, and what it ranks first.

Trains on a few hundred images of hand signs, CIFAR-10, digits and rendered letters. A known share
of the labels is flipped (uniform noise). One thread each. Each set is trained in one or several
ways: `plain` is one network; `find` is what `tdctl find` chooses for so many images. Other ways
are remedies that were tried: see WAYS. Prints a Markdown table of each way: true share, estimate,
interval, AP, precision and recall at the cut, and CPU seconds. An interrupted call continues when
repeated: each result is a file in the work folder. The default takes about 15 CPU minutes.

usage: .venv/bin/python -m scripts.experiments.small_sets --signs FOLDER --cifar FOLDER
           [--work FOLDER] [--sets signs,cifar5,digits,letters13] [--images 240,600]
           [--shares 0,0.05,0.1,0.2] [--seeds 0] [--ways plain-20,folds-5-20] [--out FILE.json]
  --signs, --cifar   folders with a folder of images for each class; --signs4 is of four classes
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.experiments.glyphs import write_glyphs
from scripts.experiments.tables.markdown import table

# The classes of a set, in their order; None means all. Half as many classes have twice the images.
SETS: dict[str, tuple[str, ...] | None] = {
    "signs": None,
    "signs4": ("1", "3", "6", "9"),
    "cifar": None,
    "cifar5": ("airplane", "automobile", "bird", "cat", "deer"),
    "digits": None,
    "letters": None,
    "letters13": tuple("bdfhjlnpqruvz"),
}
# Settings above those that find chooses.
WAYS: dict[str, dict[str, Any]] = {
    "plain": {"train.folds": 0},
    "find": {},
    **{
        f"plain-{epochs}": {"train.folds": 0, "train.epochs": epochs}
        for epochs in (10, 20, 30, 40, 60)
    },
    **{
        f"folds-{folds}-{epochs}": {"train.folds": folds, "train.epochs": epochs}
        for folds, epochs in ((5, 20), (5, 40), (5, 60), (3, 40), (10, 20))
    },
    "folds-5-20-batch-16": {"train.folds": 5, "train.epochs": 20, "train.batch_size": 16},
    "augment": {"train.folds": 0, "train.epochs": 20, "train.augment_policy": "trivial"},
    "decay": {"train.folds": 0, "train.epochs": 20, "train.weight_decay": 0.01},
}
# Pixels a side; signs are photographs of 100 pixels, and find would take 64.
SIDE = 32
LETTERS = 60


def main() -> None:
    parser = argparse.ArgumentParser(usage=str(__doc__).replace("%", "%%"))
    parser.add_argument("--signs", type=Path, required=True)
    parser.add_argument("--cifar", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("replication/small_sets"))
    parser.add_argument("--sets", default="signs,cifar5,digits,letters13")
    parser.add_argument("--images", default="240,600")
    parser.add_argument("--shares", default="0,0.05,0.1,0.2")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--ways", default="plain-20,folds-5-20")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    for kind, known in (("sets", SETS), ("ways", WAYS)):
        for name in getattr(asked, kind).split(","):
            if name not in known:
                sys.exit(f"small_sets: error: --{kind}: '{name}' is none; use {', '.join(known)}")
    found = []
    for seed in map(int, asked.seeds.split(",")):
        for count in map(int, asked.images.split(",")):
            for name in asked.sets.split(","):
                for share in map(float, asked.shares.split(",")):
                    for way in asked.ways.split(","):
                        cell = {"set": name, "images": count, "share": share, "seed": seed}
                        found.append(measured(asked, {**cell, "way": way}))
    print("\n\n".join(f"{way}:\n\n{table_of(found, way)}" for way in asked.ways.split(",")))
    if asked.out is not None:
        asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def measured(asked: argparse.Namespace, cell: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of one set trained in one way; from its file if it was measured already."""
    name = "_".join(str(value) for value in cell.values())
    path = asked.work / f"{name}.json"
    if not path.exists():
        # Imported here: the tables of finished cells need no torch.
        import torch

        from tdctl import runner

        torch.set_num_threads(1)
        run = asked.work / name
        config = settings(asked, cell)
        started = time.process_time()
        runner.generate_td(config, run, overwrite=True)
        ranked = runner.detect(run, Path("auto"), cut="auto", keep_per_class=0.0)
        seconds = time.process_time() - started
        path.write_text(json.dumps({**cell, **_figures(ranked), "cpu_seconds": seconds}))
        shutil.rmtree(run)
        print(f"{name}: {seconds:.0f} s", file=sys.stderr, flush=True)
    figures: dict[str, Any] = json.loads(path.read_text())
    return figures


def settings(asked: argparse.Namespace, cell: Mapping[str, Any]) -> Any:
    """The settings of a training: what find chooses, below those of the way."""
    from tdctl.finding.choices import Seen, choose
    from tdctl.settings import load_config

    digits = cell["set"] == "digits"
    source: dict[str, Any] = {"data.dataset": "digits", "data.limit": cell["images"]}
    names: Sequence[str] = [str(digit) for digit in range(10)]
    if not digits:
        folder = images_of(asked, cell)
        names = sorted(place.name for place in folder.iterdir())
        source = {"data.dataset": "folder", "data.data_dir": str(folder), "data.test_share": 0.0}
        if cell["set"].startswith("signs"):
            source["data.image_size"] = SIDE
    side = 8 if digits else SIDE
    chosen = choose(Seen(cell["images"], tuple(names), side, side, True)).settings
    noise = {"noise.noise_type": "uniform", "noise.noise_ratio": cell["share"]}
    own = {"seed": cell["seed"], "device": "cpu", **noise, **source}
    return load_config(overrides={**chosen, **own, **WAYS[cell["way"]]})


def images_of(asked: argparse.Namespace, cell: Mapping[str, Any]) -> Path:
    """A folder with some images of each class, drawn by the seed."""
    name, count, seed = cell["set"], cell["images"], cell["seed"]
    place: Path = asked.work / "images" / f"{name}_{count}_{seed}"
    if place.exists():
        return place
    root = asked.signs if name.startswith("signs") else asked.cifar
    if name.startswith("letters"):
        root = asked.work / "images" / "letters"
        if not root.exists():
            root.parent.mkdir(exist_ok=True)
            write_glyphs(root, "abcdefghijklmnopqrstuvwxyz", LETTERS, 5, 1.0)
        root /= "train"
    classes = SETS[name] or tuple(sorted(path.name for path in root.iterdir() if path.is_dir()))
    rng = np.random.default_rng(seed)
    part = place.with_name(f".{place.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    for number, own in enumerate(classes):
        files = sorted((root / own).iterdir())
        many = count // len(classes) + (number < count % len(classes))
        if many > len(files):
            sys.exit(f"small_sets: error: {root / own}: {len(files)} images; needs {many}")
        (part / own).mkdir(parents=True)
        for at in rng.permutation(len(files))[:many]:
            shutil.copy(files[at], part / own / files[at].name)
    part.rename(place)
    return place


def _figures(ranked: Any) -> dict[str, Any]:
    estimate, cut = ranked.estimates["combined"], ranked.flagged.cut
    return {
        "wrong": float(ranked.labels.flipped.mean()),
        "method": estimate.method,
        "estimate": estimate.rate,
        "interval": [estimate.low, estimate.high],
        "ranked_by": next(iter(ranked.ranked_by.values())),
        "ap": ranked.metrics.ap,
        "precision": None if cut is None else cut.precision,
        "recall": None if cut is None else cut.recall,
    }


def table_of(found: Iterable[Mapping[str, Any]], way: str) -> str:
    """The figures of one way, in %."""
    ours = [one for one in found if one["way"] == way]
    rows: list[list[object]] = [
        [_name(one), _percent(one["wrong"]), *_cells(one), f"{one['cpu_seconds']:.0f}"]
        for one in ours
    ]
    rows.append(["all", "", *_summary(ours)])
    head = ("set", "wrong", "estimate", "its interval", "AP", "precision", "recall", "CPU s")
    return table(head, rows)


def compared(found: Iterable[Mapping[str, Any]], before: str, now: str) -> str:
    """Two ways beside each other, in %, of the sets that were trained in the second way."""
    ways: dict[str, dict[tuple[Any, ...], Mapping[str, Any]]] = {before: {}, now: {}}
    for one in found:
        if one["way"] in ways:
            ways[one["way"]][_key(one)] = one
    rows: list[list[object]] = []
    for key, one in sorted(ways[now].items(), key=lambda pair: (pair[0][1], pair[0])):
        other = ways[before].get(key)
        cells = ["-"] * 3 if other is None else _cells(other)[:3]
        rows.append([_name(one), _percent(one["wrong"]), *cells, *_cells(one)[:3]])
    both = [key for key in ways[now] if key in ways[before]]
    sums = [_summary([ways[way][key] for key in both])[:3] for way in (before, now)]
    rows.append([f"the {len(both)} with both", "", *sums[0], *sums[1]])
    head = ("set", "wrong", *(f"{way}: {what}" for way in (before, now)
                              for what in ("estimate", "interval", "AP")))  # fmt: skip
    return table(head, rows)


def chosen_on(one: Mapping[str, Any]) -> bool:
    """Whether the model of the labels was chosen on a set; all others judge it."""
    return bool(one["seed"] == 0 and one["images"] == 240 and one["share"] <= 0.1)


def tried(found: Sequence[Mapping[str, Any]], ways: Sequence[str]) -> str:
    """Each way on the sets of 240 images with a tenth of the labels flipped, in %."""
    rows: list[list[object]] = []
    sets = ("signs", "cifar5", "digits", "letters13")
    for way in ways:
        ours = {
            one["set"]: one for one in found
            if (one["way"], one["images"], one["share"], one["seed"]) == (way, 240, 0.1, 0)
        }  # fmt: skip
        cells = [
            f"{_cells(ours[name])[0]} ({_cells(ours[name])[1]}), AP {_cells(ours[name])[2]}"
            if name in ours
            else "-"
            for name in sets
        ]
        if ours:
            rows.append([way, *cells])
    return table(("way", *sets), rows)


def _key(one: Mapping[str, Any]) -> tuple[Any, ...]:
    return one["set"], one["images"], one["share"], one["seed"]


def _name(one: Mapping[str, Any]) -> str:
    return f"{one['set']} {one['images']}, {100 * one['share']:g} % flipped"


def _cells(one: Mapping[str, Any]) -> list[str]:
    low, high = (100 * end for end in one["interval"])
    shown = [_percent(one[name]) for name in ("ap", "precision", "recall")]
    return [_percent(one["estimate"]), f"{low:.0f} to {high:.0f}", *shown]


def _summary(ours: Sequence[Mapping[str, Any]]) -> list[str]:
    """Mean absolute error, how many intervals hold, mean AP, and CPU seconds."""
    if not ours:
        return ["-"] * 6
    error = np.mean([abs(one["estimate"] - one["wrong"]) for one in ours])
    # A share is of whole images: it may miss the end of an interval by half an image.
    held = sum(
        one["interval"][0] - 0.5 / one["images"]
        <= one["wrong"]
        <= one["interval"][1] + 0.5 / one["images"]
        for one in ours
    )
    ap = [one["ap"] for one in ours if one["ap"] is not None]
    return [
        f"mean error {_percent(float(error))}", f"{held} of {len(ours)} hold",
        _percent(float(np.mean(ap)) if ap else None), "", "",
        f"{sum(one['cpu_seconds'] for one in ours):.0f}",
    ]  # fmt: skip


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


if __name__ == "__main__":
    main()
