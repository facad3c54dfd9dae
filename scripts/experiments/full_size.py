"""The ranking of all 50,000 training images of CIFAR-10 with human labels, from one or two rounds.

For each column of human labels, the recipe detect is recorded for 16 epochs (long: 40):

  half    at half of the resolution.
  whole   at the whole resolution. Only for the columns that --whole names.
  second  at the whole resolution, without the labels that half ranks worst. As many are left out as
          the estimate of half says.
  light   as whole, with the weight decay that the recipe now uses for 50,000 images, 0.0005. The
          three above have 0.002, which the recipe used before.
  long    as light, for 40 epochs. Only for the columns that --long names.

Judges each, and half or whole together with second, with the settings of tdctl detect. Prints
Markdown. What was recorded in the same folder before is used again.

usage: .venv/bin/python -m scripts.experiments.full_size --data FOLDER --labels TABLE
         [--work FOLDER] [--columns random1,aggregate] [--whole random1] [--long random1]
         [--out FILE.json]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from scripts.experiments.finding.recording import going_on, tdctl
from scripts.experiments.tables.markdown import table

__all__ = ["shown"]

COMMON = ("--recipe", "detect", "--set", "train.eval_every=4")
SHORT, LONG = ("--epochs", "16"), ("--epochs", "40")
WHOLE = ("--set", "net.stride=1")
STRONG = ("--set", "train.weight_decay=0.002")
WAYS = {
    "half": ("half",),
    "whole": ("whole",),
    "second": ("second",),
    "half and second": ("half", "second"),
    "whole and second": ("whole", "second"),
    "light": ("light",),
    "long": ("long",),
}
NAMES = tuple(dict.fromkeys(name for names in WAYS.values() for name in names))


def recorded(asked: argparse.Namespace, column: str) -> dict[str, Path]:
    """The runs of a column, recorded where they are not there yet."""
    data = [
        "--dataset", "folder", "--data-dir", str(asked.data), "--labels", str(asked.labels),
        "--label-column", column, "--true-column", "label",
    ]  # fmt: skip
    folders = {name: asked.work / f"{column}_{name}" for name in NAMES}
    ranking = asked.work / f"{column}_half.csv"

    def record(name: str, *more: str) -> None:
        folder = folders[name]
        on = ("--out", str(folder), *going_on(folder), "--quiet")
        tdctl("generate-td", *data, *COMMON, *more, *on)
        print(f"{folder.name}: there", file=sys.stderr, flush=True)

    record("half", *SHORT, *STRONG)
    rank = ("detect", "--td", str(folders["half"]), "--cut", "auto", "--json", "--overwrite")
    told, _ = tdctl(*rank, "--out", str(ranking))
    share = round(json.loads(told)["estimates"]["combined"]["rate"], 3)
    left = ("--leave-out", str(ranking), "--leave-out-ratio", str(share))
    record("second", *SHORT, *WHOLE, *STRONG, *left, "--seed", "1")
    if column in asked.whole.split(","):
        record("whole", *SHORT, *WHOLE, *STRONG)
    record("light", *SHORT, *WHOLE)
    if column in asked.long.split(","):
        record("long", *LONG, *WHOLE)
    return {name: folder for name, folder in folders.items() if folder.exists()}


def judged(column: str, way: str, folders: list[Path]) -> dict[str, Any]:
    """What detect says of some runs together, and what they took."""
    runs = [argument for folder in folders for argument in ("--td", str(folder))]
    told, _ = tdctl("detect", *runs, "--cut", "auto", "--json", "--top", "0")
    found = json.loads(told)
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in folders]
    return {
        "column": column,
        "way": way,
        "cpu_seconds": sum(manifest["cpu_seconds"] for manifest in manifests),
        "test_error": manifests[-1]["test_error_last"],
        "ranked_by": list(found["ranked_by"].values()),
        "metrics": found["metrics"],
        "cut": found["cut"],
        "estimate": found["estimates"]["combined"],
    }


def shown(found: list[dict[str, Any]]) -> str:
    """The table of the results, in %."""
    rows = []
    for one in found:
        metrics, cut, share = one["metrics"], one["cut"], one["estimate"]
        by_rate = metrics["at_realised_rate"]
        flagged = cut["cut"]
        rows.append(
            [
                one["column"], one["way"], f"{one['cpu_seconds']:,.0f}",
                f"{100 * one['test_error']:.1f}",
                *(f"{100 * metrics[name]:.1f}" for name in ("auc", "ap")),
                f"{100 * by_rate['f1']:.1f}",
                f"{100 * share['rate']:.1f} of {100 * share['realised']:.1f}",
                *(f"{100 * flagged[name]:.1f}" for name in ("precision", "recall", "f1")),
            ]
        )  # fmt: skip
    head = ("labels", "recorded", "CPU seconds", "test error", "AUC", "AP", "F1 at the true share",
            "share estimated", "precision", "recall", "F1 at the tool's cut")  # fmt: skip
    return table(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(usage=str(__doc__).replace("%", "%%"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("replication/full_size"))
    parser.add_argument("--columns", default="random1,aggregate")
    parser.add_argument("--whole", default="random1")
    parser.add_argument("--long", default="random1")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    found = []
    for column in asked.columns.split(","):
        folders = recorded(asked, column)
        for way, names in WAYS.items():
            if all(name in folders for name in names):
                found.append(judged(column, way, [folders[name] for name in names]))
    print(shown(found))
    if asked.out is not None:
        asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
