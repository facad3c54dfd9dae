"""Ways to spend the time of one recording: two networks, a second round, resolution, width.

For each row and seed of the benchmark it records the recipe detect:
  one       for LENGTH epochs.
  short     for half as many epochs.
  other     as short, with other weights and batches.
  second    for half as many epochs, without the tenth that short ranks worst.
  whole     at the whole resolution, for about the same CPU time as one.
  wider     with twice as many channels in each layer, for about the same CPU time as one.
Judges each of them but other, and two pairs: short with other (an ensemble), and short with second.
They are ranked by AUM, by the detector that ships, and by the default ranking. Two runs are ranked
by the mean of their ranks. `neighbours` adds the score knn to one: the labels of the nearest images
in the features of its network. Prints Markdown: AP in %, mean and standard deviation over seeds.
Runs that the benchmark recorded in the same folder are reused.

usage: .venv/bin/python -m scripts.experiments.rounds --data FOLDER --labels TABLE [--work FOLDER]
         [--images 3000] [--seeds 0,1] [--length 60] [--rows uniform0.2,aggregate] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

from sklearn.metrics import average_precision_score

from scripts.experiments.finding.cells import ROWS, Cell, Settings, data_of, kind_of
from scripts.experiments.finding.recording import going_on, tdctl
from scripts.experiments.tables.detection import rounds_table

LEFT_OUT = 0.1
# CPU seconds of an epoch, in those of an epoch of the recipe detect.
WHOLE_TAKES, WIDER_TAKES = 2.8, 3.4
WAYS = {
    "one": ("one",),
    "short": ("short",),
    "ensemble: short, other": ("short", "other"),
    "second": ("second",),
    "short, second": ("short", "second"),
    "whole resolution": ("whole",),
    "twice as wide": ("wider",),
}
RANKED_BY = ("aum", "builtin", "auto")
NEIGHBOURS = "one, with neighbours"


def recorded(settings: Settings, row: str, seed: int, length: int) -> dict[str, Path]:
    """The runs of a row and seed, recorded where they are not there yet."""
    half = length // 2
    epochs = {
        "one": length, "short": half, "other": half, "second": half,
        "whole": round(length / WHOLE_TAKES), "wider": round(length / WIDER_TAKES),
    }  # fmt: skip
    # The benchmark calls the first two ours, and the one at the whole resolution whole.
    kinds = {name: name for name in epochs} | {"one": "ours", "short": "ours"}
    folders = {
        name: settings.work / Cell(row, seed, count, kinds[name]).name
        for name, count in epochs.items()
    }
    ranking = settings.work / f"{folders['short'].name}.csv"
    own = ["--seed", str(seed)]
    again = ["--seed", str(seed + 1000), "--noise-seed", str(seed), "--split-seed", str(seed)]
    left = ["--leave-out", str(ranking), "--leave-out-ratio", str(LEFT_OUT)]
    rest = dict.fromkeys(epochs, own) | {
        "other": again, "second": again + left,
        "whole": [*own, "--set", "net.stride=1"], "wider": [*own, "--set", "net.width=2"],
    }  # fmt: skip
    for name, folder in folders.items():
        if name == "second" and not ranking.exists():
            tdctl("detect", "--td", str(folders["short"]), "--out", str(ranking))
        tdctl(
            "generate-td", *data_of(settings, row, seed), *ROWS[row], *rest[name],
            *kind_of("ours", epochs[name]), "--out", str(folder), *going_on(folder), "--quiet",
        )  # fmt: skip
        print(f"{folder.name}: there", file=sys.stderr, flush=True)
    return folders


def judged(folders: list[Path], by: str) -> float:
    """AP of a ranking of some runs together."""
    runs = [argument for folder in folders for argument in ("--td", str(folder))]
    how = ["--score", by] if by == "aum" else ["--detector", by]
    told, _ = tdctl("detect", *runs, *how, "--json", "--top", "0")
    return float(json.loads(told)["metrics"]["ap"])


def seconds_of(folders: list[Path]) -> float:
    """CPU seconds of some recordings."""
    return sum(
        float(json.loads((folder / "manifest.json").read_text())["cpu_seconds"])
        for folder in folders
    )


def with_neighbours(settings: Settings, row: str, seed: int, one: Path) -> tuple[float, float]:
    """AP of the mean rank of the default ranking and of knn, and the CPU seconds of both."""
    features = one.with_name(f"{one.name}_features")
    tdctl(
        "generate-td", *data_of(settings, row, seed), *ROWS[row], "--seed", str(seed),
        "--recipe", "features", "--net-type", "wide", "--pretrained", str(one / "model.pth"),
        "--out", str(features), *going_on(features), "--quiet",
    )  # fmt: skip
    by_curves = _ranks(one, "--detector", "auto")
    by_features = _ranks(features, "--score", "knn")
    wrong = {index: flipped for index, (_, flipped) in by_curves.items()}
    together = [-by_curves[index][0] - by_features[index][0] for index in wrong]
    ap = float(average_precision_score(list(wrong.values()), together))
    return ap, seconds_of([one, features])


def _ranks(run: Path, *by: str) -> dict[str, tuple[int, bool]]:
    """Rank, 1 for the worst, and whether the label was changed, by index."""
    out = run / "ranking_of_rounds.csv"
    tdctl("detect", "--td", str(run), *by, "--out", str(out), "--overwrite", "--top", "0")
    with out.open(encoding="utf-8", newline="") as file:
        return {
            row["index"]: (int(row["rank"]), row["label_flipped"] == "True")
            for row in csv.DictReader(file)
        }


def main() -> None:
    parser = argparse.ArgumentParser(usage=str(__doc__).replace("%", "%%"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("replication/finding"))
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--length", type=int, default=60)
    parser.add_argument("--rows", default="uniform0.2,aggregate")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    settings = Settings(asked.data, asked.labels, asked.work, asked.images)
    rows = asked.rows.split(",")
    if unknown := [
        row for row in rows if row not in ROWS or data_of(settings, row, 0)[1] != "table"
    ]:
        sys.exit(
            f"rounds: error: --rows: '{unknown[0]}' is no noise on CIFAR-10 that finding knows"
        )
    settings.work.mkdir(parents=True, exist_ok=True)
    found: list[dict[str, Any]] = []
    for row in rows:
        for seed in map(int, asked.seeds.split(",")):
            folders = recorded(settings, row, seed, asked.length)
            for way, names in WAYS.items():
                runs = [folders[name] for name in names]
                one = {"row": row, "seed": seed, "way": way, "seconds": seconds_of(runs)}
                found += [one | {"by": by, "ap": judged(runs, by)} for by in RANKED_BY]
            ap, seconds = with_neighbours(settings, row, seed, folders["one"])
            one = {"row": row, "seed": seed, "way": NEIGHBOURS, "seconds": seconds}
            found.append(one | {"by": "auto", "ap": ap})
    print(rounds_table(found))
    if asked.out is not None:
        asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
