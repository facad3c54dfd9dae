"""Embeddings of any size, made here: time, memory and AP of recording and ranking them.

Each class has a centre drawn at random, each sample lies about the centre of its class, and a known
share of the labels is another class, drawn uniformly. The result is appended to --out as a row.

usage: .venv/bin/python -m scripts.experiments.pretrained.embeddings [--samples 1000000]
           [--width 384] [--classes 1000] [--ratio 0.1] [--spread 4.5] [--work FOLDER]
           [--out FILE.json] [--set KEY=VALUE ...]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(usage=str(__doc__).replace("%", "%%"))
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--ratio", type=float, default=0.1)
    parser.add_argument("--spread", type=float, default=4.5)
    parser.add_argument("--work", type=Path, default=Path("replication/embeddings"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--set", action="append", default=[])
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    vectors, table = made(asked)
    run, ranking = asked.work / "run", asked.work / "ranking.csv"
    settings = [part for one in asked.set for part in ("--set", one)]
    record = timed([
        "generate-td", "--dataset", "embeddings", "--data-dir", str(vectors),
        "--labels", str(table), "--true-column", "true",
        "--out", str(run), "--overwrite", *settings,
    ])  # fmt: skip
    rank = timed(["detect", "--td", str(run), "--out", str(ranking), "--overwrite"])
    facts = json.loads(ranking.with_suffix(".json").read_text(encoding="utf-8"))
    row = {
        "samples": asked.samples,
        "width": asked.width,
        "classes": asked.classes,
        "ratio": asked.ratio,
        "spread": asked.spread,
        "settings": asked.set,
        "ranked_by": next(iter(facts["ranked_by"].values())),
        "auc": facts["metrics"]["auc"],
        "ap": facts["metrics"]["ap"],
        "record": record,
        "detect": rank,
        "vectors_mb": vectors.stat().st_size / 1e6,
    }
    print(json.dumps(row))
    if asked.out is not None:
        rows = json.loads(asked.out.read_text(encoding="utf-8")) if asked.out.exists() else []
        asked.out.write_text(json.dumps([*rows, row], indent=1) + "\n", encoding="utf-8")


def made(asked: argparse.Namespace) -> tuple[Path, Path]:
    """The vectors, float16, and the table of given and true labels; made unless they are there."""
    stem = f"{asked.samples}x{asked.width}x{asked.classes}_{asked.ratio:g}_{asked.spread:g}"
    vectors, table = asked.work / f"{stem}.npy", asked.work / f"{stem}.csv"
    if table.exists():
        return vectors, table
    rng = np.random.default_rng(0)
    n, d, k = asked.samples, asked.width, asked.classes
    centres = rng.standard_normal((k, d), dtype=np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    true = rng.integers(0, k, n)
    wrong = rng.random(n) < asked.ratio
    given = np.where(wrong, (true + rng.integers(1, k, n)) % k, true)
    values = np.lib.format.open_memmap(vectors, "w+", np.float16, (n, d))
    for start in range(0, n, 100_000):
        part = true[start : start + 100_000]
        noise = rng.standard_normal((len(part), d), dtype=np.float32)
        values[start : start + len(part)] = centres[part] + noise * (asked.spread / d**0.5)
    values.flush()
    rows = (f"{i},{g},{t}\n" for i, (g, t) in enumerate(zip(given, true, strict=True)))
    table.write_text("index,label,true\n" + "".join(rows), encoding="utf-8")
    return vectors, table


def timed(arguments: list[str]) -> dict[str, Any]:
    """Runs a command of tdctl; its seconds, CPU seconds, and peak memory.

    The peak is that of private memory and of pages of files that are mapped.
    """
    started = time.perf_counter()
    command = [sys.executable, "-m", "tdctl", *arguments]
    child = os.posix_spawn(sys.executable, command, os.environ)
    # What this one process used; the numbers of all children have the largest peak of them.
    _, status, used = os.wait4(child, 0)
    if status:
        code = os.waitstatus_to_exitcode(status)
        sys.exit(f"embeddings: error: tdctl {arguments[0]} ended with {code}")
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1e3,
    }


if __name__ == "__main__":
    main()
