"""What ``find`` chooses: a network trained from scratch."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from scripts.experiments.pretrained.rows import Row, figures_of, settings_of

__all__ = ["measure"]


def measure(row: Row, folder: Path, work: Path) -> dict[str, Any]:
    """Trains and ranks; returns the figures and the seconds of both."""
    from tdctl import runner
    from tdctl.settings import load_config

    own = settings_of(row, folder)
    named = frozenset(own)
    plan = runner.plan_find(
        lambda chosen: load_config(overrides={**chosen, **own}), named, None, "cpu"
    )
    run = work / "runs" / row.name
    started = time.process_time(), time.perf_counter()
    runner.generate_td(plan.config, run, overwrite=True)
    spent = time.process_time() - started[0], time.perf_counter() - started[1]
    return {"cpu_seconds": spent[0], "seconds": spent[1], **figures_of(run)}
