"""Reports of images that are decoded before a training."""

from __future__ import annotations

import pytest

from tdctl.training import Decoding, Progress, progress


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


def test_decoding_is_reported_each_second_with_speed_and_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, said = Clock(), list[Progress]()
    monkeypatch.setattr(progress, "time", clock)
    told = Decoding(said.append)
    for done in range(20, 201, 20):
        told(done, 200)
        clock.now += 0.6
    assert [(one.epoch, one.epochs) for one in said] == [(60, 200), (100, 200), (140, 200),
                                                         (180, 200), (200, 200)]  # fmt: skip
    first = said[0]
    assert (first.stage, first.counted, first.loss) == ("decode", "image", None)
    assert first.images_per_second == pytest.approx(40 / 1.2)
    assert first.seconds_left == pytest.approx(140 / (40 / 1.2))
    assert said[-1].seconds_left == 0


def test_what_is_fast_is_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said = Clock(), list[Progress]()
    monkeypatch.setattr(progress, "time", clock)
    told = Decoding(said.append)
    for done in range(50, 201, 50):
        told(done, 200)
        clock.now += 0.1
    assert not said
