"""The recipe ``finetune``: EfficientNet-Lite0 from ImageNet weights."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from scripts.experiments.pretrained.rows import Row, figures_of, settings_of
from scripts.experiments.pretrained.weights import NET, write_weights

__all__ = ["measure"]

# Half the size that the weights expect: a quarter of the time. The photographs have 100 pixels.
SIDE = 112


def measure(row: Row, folder: Path, work: Path) -> dict[str, Any]:
    """Trains and ranks; returns the figures and the seconds of both."""
    from tdctl import runner
    from tdctl.settings import load_config

    own = {
        "net.net_type": NET,
        "net.pretrained": str(write_weights(work / "lite0.safetensors")),
        "data.image_size": SIDE,
        "train.flip": False,
    }
    config = load_config(overrides={**own, **settings_of(row, folder)})
    run = work / "runs" / row.name
    started = time.process_time(), time.perf_counter()
    runner.generate_td(config, run, overwrite=True)
    spent = time.process_time() - started[0], time.perf_counter() - started[1]
    return {"cpu_seconds": spent[0], "seconds": spent[1], **figures_of(run)}
