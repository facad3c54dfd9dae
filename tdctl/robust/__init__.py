"""Training on labels that are partly wrong: plain training, SSR, DivideMix and AugDesc."""

from __future__ import annotations

from tdctl.robust.first_split import find_first_split, read_split_ranking
from tdctl.robust.loop import RobustResult, open_algorithm, train_robustly
from tdctl.robust.setup import Algorithm, Networks, RobustSetup, Truth
from tdctl.robust.views import check_strong

__all__ = [
    "Algorithm",
    "Networks",
    "RobustResult",
    "RobustSetup",
    "Truth",
    "check_strong",
    "find_first_split",
    "open_algorithm",
    "read_split_ranking",
    "train_robustly",
]
