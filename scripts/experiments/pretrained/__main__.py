"""Photographs: training from scratch, fine-tuning a pretrained network, and frozen features.

Each row takes photographs in class folders, makes a known share of the labels wrong, and measures
how well one method ranks the wrong ones first: AUC and AP of the shipped detector, of the automatic
choice and of every score, and seconds. One row is one JSON file in the work folder, so a repeated
call continues. --out collects the rows that are there. A method is a module beside this one.

usage: .venv/bin/python -m scripts.experiments.pretrained --data FOLDER [--name signs]
           [--methods scratch,finetune] [--noises uniform,flip] [--ratio 0.1] [--seeds 0,1]
           [--variant KEY=VALUE,...] [--threads 1] [--work FOLDER] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from scripts.experiments.pretrained.rows import Row
from scripts.experiments.tables.markdown import table


def main() -> None:
    parser = argparse.ArgumentParser(usage=str(__doc__).replace("%", "%%"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--name", default="signs")
    parser.add_argument("--methods", default="scratch,finetune")
    parser.add_argument("--noises", default="uniform,flip")
    parser.add_argument("--ratio", type=float, default=0.1)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--variant", default="")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("replication/pretrained"))
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    for method in asked.methods.split(","):
        for noise in asked.noises.split(","):
            for seed in map(int, asked.seeds.split(",")):
                row = Row(asked.name, noise, asked.ratio, seed, method, asked.variant)
                measured(row, asked)
    found = [json.loads(path.read_text()) for path in sorted(asked.work.glob("*.json"))]
    print(table_of(found))
    if asked.out is not None:
        asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def measured(row: Row, asked: argparse.Namespace) -> None:
    """Measures one row, unless its file exists."""
    path = asked.work / f"{row.name}.json"
    if path.exists():
        return
    import torch

    torch.set_num_threads(asked.threads)
    os.environ["OMP_NUM_THREADS"] = str(asked.threads)  # tdctl leaves a user's choice alone
    method = import_module(f"scripts.experiments.pretrained.{row.method}")
    figures = method.measure(row, asked.data, asked.work)
    content = {**asdict(row), "threads": asked.threads, **figures}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"{row.name}: {figures['cpu_seconds']:.0f} CPU seconds", file=sys.stderr, flush=True)


def table_of(found: list[dict[str, Any]]) -> str:
    """AUC and AP in %, and seconds, of each row."""
    rows: list[list[object]] = []
    for one in sorted(found, key=lambda one: (one["noise"], one["method"], one["seed"])):
        figures, best = one["figures"], one["best_score"]
        names = [name for name in ("builtin", "auto") if name in figures]
        cells = {name: f"{100 * figures[name]['ap']:.1f}" for name in names}
        variant = f" {one['variant']}" if one["variant"] else ""
        rows.append([
            f"{one['noise']} {one['ratio']:g}", one["seed"], one["method"] + variant,
            *(f"{100 * figures[name]['auc']:.2f}" for name in names[:1]),
            cells.get("builtin", "-"), f"{cells.get('auto', '-')} ({one['auto_is']})",
            f"{100 * figures[best]['ap']:.1f} ({best})", f"{one['cpu_seconds']:.0f}",
        ])  # fmt: skip
    head = (
        "noise",
        "seed",
        "method",
        "AUC builtin",
        "AP builtin",
        "AP auto",
        "AP best score",
        "CPU s",
    )
    return table(head, rows)


if __name__ == "__main__":
    main()
