"""One row of the table: the data, its noise, and the method."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tdctl import runner
from tdctl.config import Config
from tdctl.scores import SCORES

__all__ = ["Row", "figures_of", "settings_of"]


@dataclass(frozen=True)
class Row:
    """What is trained on what.

    Attributes:
        data: name of the image set.
        noise: ``uniform`` or ``flip``.
        ratio: the share of wrong labels.
        seed: seed of noise and training.
        method: the module that measures it: ``scratch``, ``finetune``, ...
        variant: settings above those of the method, as ``key=value`` joined by commas; or empty.
    """

    data: str
    noise: str
    ratio: float
    seed: int
    method: str
    variant: str = ""

    @property
    def name(self) -> str:
        """The name of its file."""
        parts = [str(value) for value in asdict(self).values() if value != ""]
        return "_".join(parts).replace("/", "-").replace("=", "-").replace(",", "_")


def settings_of(row: Row, folder: Path) -> dict[str, Any]:
    """The settings of data and noise, by dotted key, and those of the variant."""
    import yaml

    own: dict[str, Any] = {
        "data.dataset": "folder",
        "data.data_dir": str(folder),
        "data.test_share": 0.0,
        "noise.noise_type": row.noise,
        "noise.noise_ratio": row.ratio,
        "seed": row.seed,
        "device": "cpu",
    }
    for part in filter(None, row.variant.split(",")):
        key, _, value = part.partition("=")
        own[key] = yaml.safe_load(value)
    return own


def figures_of(run: Path, config: Config | None = None) -> dict[str, Any]:
    """AUC and AP of the shipped detector, of ``auto`` and of every score that the run has."""
    from tdctl.errors import TdctlError

    found: dict[str, dict[str, float]] = {}
    left_out: dict[str, str] = {}
    sources: dict[str, Any] = {"builtin": Path("builtin"), "auto": Path("auto"), **SCORES}
    chosen = ""
    for name, source in sources.items():
        try:
            ranked = runner.detect(run, source)
        except TdctlError as error:
            left_out[name] = str(error)
            continue
        if name == "auto":
            chosen = next(iter(ranked.ranked_by.values()))
        found[name] = {"auc": ranked.metrics.auc, "ap": ranked.metrics.ap}
    scores = [name for name in found if name not in ("builtin", "auto")]
    best = max(scores, key=lambda name: found[name]["ap"])
    return {"auto_is": chosen, "best_score": best, "figures": found, "left_out": left_out}
