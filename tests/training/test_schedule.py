from __future__ import annotations

import math

import numpy as np
import pytest

from tdctl.config import TrainConfig
from tdctl.training.schedule import drop_epoch, rate


def rates(epochs: int = 10, steps: int = 8, **settings: object) -> list[float]:
    config = TrainConfig.model_validate({"epochs": epochs, "lr": 0.4} | settings)
    return [rate(config, epoch, step, steps) for epoch in range(epochs) for step in range(steps)]


def test_a_step_schedule_drops_where_it_is_told() -> None:
    found = rates(lr_drops=(0.5, 0.75))
    assert np.allclose(found, [0.4] * 40 + [0.04] * 16 + [0.004] * 24)


def test_a_constant_schedule_never_drops() -> None:
    assert set(rates(schedule="constant")) == {0.4}


@pytest.mark.parametrize("warmup", [0.1, 0.3, 0.8])
def test_one_cycle_rises_in_a_line_to_its_peak_and_falls_to_nothing(warmup: float) -> None:
    found = np.array(rates(schedule="one-cycle", warmup=warmup))
    up = found[: int(80 * warmup)]
    down = found[int(80 * warmup) + 1 :]
    assert np.allclose(np.diff(up, 2), 0) and (np.diff(up) > 0).all()
    assert np.allclose(np.diff(down, 2), 0) and (np.diff(down) < 0).all()
    assert 0.95 * 0.4 < found.max() <= 0.4
    assert 0 < found[0] < 0.1 and 0 < found[-1] < 0.02


def test_cosine_is_half_a_cosine() -> None:
    found = rates(schedule="cosine")
    assert found[0] == pytest.approx(0.4, rel=1e-3) and 0 < found[-1] < 1e-3
    assert (np.diff(found) < 0).all()
    # A quarter of the way, between its 20th step and its 21st.
    assert (found[19] + found[20]) / 2 == pytest.approx(0.2 + 0.2 * math.cos(math.pi / 4), rel=1e-3)


@pytest.mark.parametrize("schedule", ["step", "constant", "one-cycle", "cosine"])
def test_one_epoch_of_one_step_has_a_rate(schedule: str) -> None:
    assert 0 < rates(1, 1, schedule=schedule)[0] <= 0.4


@pytest.mark.parametrize(
    ("share", "epochs", "first"),
    [(0.5, 200, 100), (0.75, 10, 7), (0.29, 200, 58), (0.33, 3, 1), (0.5, 1, 1)],
)
def test_the_rate_drops_after_the_share_but_never_at_once(
    share: float, epochs: int, first: int
) -> None:
    assert drop_epoch(share, epochs) == first


@pytest.mark.parametrize("warmup", [0.1, 0.4])
def test_warm_cosine_rises_in_a_line_and_falls_along_half_a_cosine(warmup: float) -> None:
    found = np.array(rates(schedule="warm-cosine", warmup=warmup))
    rise = int(80 * warmup)
    assert np.allclose(np.diff(found[:rise], 2), 0) and (np.diff(found[:rise]) > 0).all()
    assert (np.diff(found[rise + 1 :]) < 0).all()
    assert 0.98 * 0.4 < found.max() <= 0.4 and 0 < found[-1] < 1e-3
    middle = found[rise + (80 - rise) // 2]
    assert middle == pytest.approx(0.2, rel=0.05)
