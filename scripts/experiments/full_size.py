"""The ranking of all 50,000 training images of CIFAR-10, from one or two recordings.

--recordings names the labels (a column of TABLE, or uniform0.2 for synthetic noise) and what is
recorded for them; by default six recordings for random1, three for aggregate and one for
uniform0.2:

  half        the recipe detect for 16 epochs, at half of the resolution.
  strong      at the whole resolution. half and strong have a weight decay of 0.002, which the
              recipe used before for so many images.
  whole       as strong, with the weight decay that the recipe now uses, 0.0005.
  second      as whole, with other random first weights, without the labels that whole ranks
              worst. As many are left out as the estimate of whole says.
  long        as whole, for 40 epochs.
  pretrained  the recipe finetune: EfficientNet-Lite0 from ImageNet weights, 8 epochs at 64 pixels.

Judges each, and pairs of them together, with the settings of tdctl detect. Prints Markdown. What
was recorded in the same folder before is used again.

usage: .venv/bin/python -m scripts.experiments.full_size --data FOLDER --labels TABLE
         [--work FOLDER] [--recordings random1=half,whole ...] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from scripts.experiments.finding.recording import going_on, tdctl
from scripts.experiments.pretrained.weights import NET, write_weights
from scripts.experiments.tables.markdown import table

__all__ = ["shown"]

RECORDINGS = (
    "random1=half,strong,whole,second,long,pretrained",
    "aggregate=half,whole,pretrained",
    "uniform0.2=whole",
)
DETECT = ("--recipe", "detect", "--set", "train.eval_every=4")
SHORT, LONG = ("--epochs", "16"), ("--epochs", "40")
WHOLE = (*DETECT, "--set", "net.stride=1")
STRONG = ("--set", "train.weight_decay=0.002")
SETTINGS = {
    "half": (*DETECT, *SHORT, *STRONG),
    "strong": (*WHOLE, *SHORT, *STRONG),
    "whole": (*WHOLE, *SHORT),
    "second": (*WHOLE, *SHORT, "--seed", "1"),
    "long": (*WHOLE, *LONG),
    "pretrained": (
        "--recipe", "finetune", "--net-type", NET, "--image-size", "64", "--epochs", "8",
        "--batch-size", "64", "--lr", "0.03", "--set", "train.eval_every=2",
    ),
}  # fmt: skip
TOGETHER = (("whole", "second"), ("whole", "pretrained"), ("long", "pretrained"))
SYNTHETIC = "uniform"


def recorded(asked: argparse.Namespace, labels: str, names: list[str]) -> dict[str, Path]:
    """The named runs, recorded where they are not there yet."""
    data = ["--dataset", "folder", "--data-dir", str(asked.data)]
    if labels.startswith(SYNTHETIC):
        data += ["--noise-ratio", labels.removeprefix(SYNTHETIC)]
    else:
        data += ["--labels", str(asked.labels), "--label-column", labels, "--true-column", "label"]
    folders = {name: asked.work / f"{labels}_{name}" for name in names}
    for name, folder in folders.items():
        more: tuple[str, ...] = ()
        if name == "second" and not going_on(folder):
            more = leaving_out(folders["whole"])
        if name == "pretrained":
            more = ("--pretrained", str(write_weights(asked.work / "lite0.safetensors")))
        settings = (*SETTINGS[name], *more)
        tdctl("generate-td", *data, *settings, "--out", str(folder), *going_on(folder), "--quiet")
        print(f"{folder.name}: there", file=sys.stderr, flush=True)
    return folders


def leaving_out(first: Path) -> tuple[str, ...]:
    """The settings that leave out what a run ranks worst, as many as its estimate says."""
    ranking = first.with_suffix(".csv")
    rank = ("detect", "--td", str(first), "--cut", "auto", "--json", "--overwrite")
    told, _ = tdctl(*rank, "--out", str(ranking))
    share = max(0.001, round(json.loads(told)["estimates"]["combined"]["rate"], 3))
    return ("--leave-out", str(ranking), "--leave-out-ratio", str(share))


def judged(labels: str, way: str, folders: list[Path]) -> dict[str, Any]:
    """What detect says of some runs together, and what they took.

    The test error is that of the last run.
    """
    runs = [argument for folder in folders for argument in ("--td", str(folder))]
    told, _ = tdctl("detect", *runs, "--cut", "auto", "--json", "--top", "0")
    found = json.loads(told)
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in folders]
    return {
        "labels": labels,
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
                one["labels"], one["way"], f"{one['cpu_seconds']:,.0f}",
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
    parser.add_argument("--recordings", nargs="+", default=RECORDINGS)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    found = []
    for one in asked.recordings:
        labels, _, listed = one.partition("=")
        names = [name for name in SETTINGS if name in listed.split(",")]
        if len(names) < len(listed.split(",")) or ("second" in names and "whole" not in names):
            sys.exit(f"full_size: error: {one}: names of {', '.join(SETTINGS)}; second needs whole")
        folders = recorded(asked, labels, names)
        pairs = [pair for pair in TOGETHER if set(pair) <= folders.keys()]
        for way in (*((name,) for name in folders), *pairs):
            found.append(judged(labels, " and ".join(way), [folders[name] for name in way]))
    if asked.out is not None:
        asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(shown(found))


if __name__ == "__main__":
    main()
