"""Mistakes in calls of tdctl.Recorder are told, and cost no recording."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tdctl import Recorder, read_run
from tdctl.errors import DataError, DynamicsError

TARGETS = np.arange(12) % 3


def logits() -> Any:
    return np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)


def record(folder: Path, **options: Any) -> Recorder:
    recorder = Recorder(folder, **options)
    for _ in range(2):
        recorder.record(np.arange(12), logits(), TARGETS)
        recorder.end_epoch()
    return recorder


@pytest.mark.parametrize(
    ("true", "says"),
    [
        (TARGETS + 1, "true_targets is 3 for sample 2; expected a class from 0 to 2"),
        (TARGETS - 1, "true_targets is -1 for sample 0"),
        (dict.fromkeys(range(12), "a"), "true_targets is 'a' for sample 0"),
        (dict.fromkeys(range(12), 0.5), "true_targets is 0.5 for sample 0"),
    ],
)
def test_wrong_true_labels_do_not_cost_the_recording(tmp_path: Path, true: Any, says: str) -> None:
    recorder = record(tmp_path / "run", true_targets=true)
    with pytest.raises(DataError) as error:
        recorder.finish()
    assert says in str(error.value)
    Recorder.complete(tmp_path / "run", true_targets=TARGETS)
    dynamics, labels, _ = read_run(tmp_path / "run")
    assert (dynamics.epochs, labels.true.tolist()) == (2, TARGETS.tolist())


@pytest.mark.parametrize(
    "options", [{"num_samples": "12"}, {"num_samples": 12.0}, {"num_samples": True},
                {"num_classes": "3"}, {"num_classes": -3}, {"num_classes": 1}],
)  # fmt: skip
def test_a_number_must_be_one(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="expected a whole number"):
        Recorder(tmp_path / "run", **options)


@pytest.mark.parametrize(
    ("ids", "values", "says"),
    [
        (3, logits(), "the ids are int"),
        ("abc", logits(), "the ids are str"),
        (np.arange(12) - 1, logits(), "expected the positions 0 and above"),
        (np.arange(12), [[1.0, 2.0, 3.0]] * 11 + [[1.0]], "the logits are no numbers"),
        (np.arange(12), [["a", "b", "c"]] * 12, "the logits are no numbers"),
    ],
)
def test_a_wrong_batch_is_told(tmp_path: Path, ids: Any, values: Any, says: str) -> None:
    with pytest.raises(DynamicsError, match=says):
        Recorder(tmp_path / "run").record(ids, values, TARGETS)


def test_an_infinite_logit_of_the_given_label_is_told(tmp_path: Path) -> None:
    values = logits()
    values[5, TARGETS[5]] = -np.inf
    with pytest.raises(DynamicsError, match="the logits of sample 5 are not finite"):
        Recorder(tmp_path / "run").record(np.arange(12), values, TARGETS)


@pytest.mark.parametrize("state", [None, 3, {}, {"version": 9, "epoch": 1}])
def test_what_is_no_state_is_refused(tmp_path: Path, state: Any) -> None:
    with pytest.raises(DynamicsError, match="this is no state"):
        Recorder(tmp_path / "run").load_state_dict(state)
