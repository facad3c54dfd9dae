"""Prints replication/results/human_*.json as the table of replication/README.md.

usage: python scripts/human_labels_table.py [FOLDER]
"""

import json
import sys
from pathlib import Path


def main() -> None:
    """Prints the table."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "replication/results")
    print("| column | seed | wrong | AUC | AP | F1 at the rate |")
    print("| --- | --- | --- | --- | --- | --- |")
    for file in sorted(folder.glob("human_*.json")):
        _, column, seed = file.stem.split("_")
        metrics = json.loads(file.read_text())["metrics"]
        cells = [metrics["realised_rate"], metrics["auc"], metrics["ap"]]
        cells.append(metrics["at_realised_rate"]["f1"])
        print("|", " | ".join([column, seed[4:], *(f"{100 * cell:.2f}" for cell in cells)]), "|")


if __name__ == "__main__":
    main()
