"""The version of the input features; a detector file says for which version it was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tdctl.errors import DetectorError

__all__ = ["FEATURES", "check_features"]

# The version covers what each channel is computed from and how (``channels``, ``class_pairs``,
# ``ranks``), the margin of runs that store none, and how curves are brought to one length
# (``resample``). If you change a number that a detector sees, increase the version and train the
# shipped detectors again. The test of the golden rankings fails until then.
FEATURES = 1


def check_features(path: Path, facts: dict[str, Any]) -> None:
    """Refuses a detector that was trained on another version of its input.

    Files without a version are older than this entry and have version 1. The paper's network
    reads the given label's curve as the run stores it, which no version changes.

    Args:
        path: the detector's file.
        facts: its card; without a ``reader`` it is the paper's network.

    Raises:
        DetectorError: it has another version; the message says what to do.
    """
    version = facts.get("features", 1)
    if type(version) is not int or version < 1:
        raise DetectorError(
            f"{path}: its card is not the JSON that tdctl writes (features is {version!r}; "
            "expected a whole number from 1)"
        )
    if version == FEATURES or "reader" not in facts:
        return
    remedy = "train it again with tdctl train-detector, or use --detector builtin"
    if version > FEATURES:
        remedy = "install a newer tdctl, or use --detector builtin"
    raise DetectorError(
        f"{path}: was trained on version {version} of the input features, and this tdctl computes "
        f"version {FEATURES}; {remedy}"
    )
