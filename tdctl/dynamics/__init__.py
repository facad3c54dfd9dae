"""Training dynamics: the arrays, their file, and the run folders that contain it."""

from __future__ import annotations

from tdctl.dynamics.means import suggestions_of_all
from tdctl.dynamics.read_files import FEATURE_SCORES_FILE, HELDOUT_FILE, TD_FILE, read_run
from tdctl.dynamics.store import Layout, Store, class_type, file_layout
from tdctl.dynamics.td import TrainingDynamics
from tdctl.dynamics.writing import write_arrays, write_kept, write_td

__all__ = [
    "FEATURE_SCORES_FILE",
    "HELDOUT_FILE",
    "TD_FILE",
    "Layout",
    "Store",
    "TrainingDynamics",
    "class_type",
    "file_layout",
    "read_run",
    "suggestions_of_all",
    "write_arrays",
    "write_kept",
    "write_td",
]
