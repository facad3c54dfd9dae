"""Progress reports of a running training."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

__all__ = ["Clock", "Decoding", "LogRow", "Progress", "Report", "Teller", "staged"]

# One row of train_log.csv.
LogRow = dict[str, float | int | None]


@dataclass(frozen=True)
class Progress:
    """How far a training or a ranking is. Errors and losses are None until they are known.

    Attributes:
        stage: what is being trained or ranked, such as ``generate-td``.
        epoch, epochs: finished epochs, and all epochs; samples for a ranking.
        step, steps: finished steps of the current epoch, and all its steps.
        loss, train_error: means over the current epoch so far; the error is in [0, 1].
        valid_error: error of the last finished epoch on the watched images, in [0, 1].
        images_per_second: training images, or ranked samples, per second since the start.
        seconds_left: estimated from the speed so far.
        watched: which images are watched: ``valid`` (held out) or ``test``.
        counted: the unit of ``epochs``.
    """

    stage: str
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float | None = None
    train_error: float | None = None
    valid_error: float | None = None
    images_per_second: float | None = None
    seconds_left: float | None = None
    watched: str = "valid"
    counted: str = "epoch"


Report = Callable[[Progress], None]


def staged(report: Report | None, stage: str) -> Report | None:
    """A report that shows another stage, such as ``round 1 of 2``; None if ``report`` is None."""
    if report is None:
        return None
    return lambda progress: report(replace(progress, stage=stage))


class Clock:
    """The speed of a run of many equal steps, and the time that is left."""

    def __init__(self, steps_left: int, interval: float = 0.5) -> None:
        self._start = self._last = time.perf_counter()
        self._steps_left, self._interval = steps_left, interval
        self._steps = self._images = 0

    def step(self, images: int, steps: int = 1) -> bool:
        """Counts a step, or several; returns True if it is time for a report."""
        self._steps += steps
        self._images += images
        now = time.perf_counter()
        due = now - self._last >= self._interval
        if due:
            self._last = now
        return due

    def speed(self) -> tuple[float, float]:
        """Images per second so far, and the seconds that the remaining steps need at that speed."""
        elapsed = max(time.perf_counter() - self._start, 1e-9)
        left = (self._steps_left - self._steps) * elapsed / max(self._steps, 1)
        return self._images / elapsed, max(left, 0.0)


class Decoding:
    """Turns images that are decoded into reports, if it takes long enough for one."""

    def __init__(self, report: Report) -> None:
        self._report, self._clock, self._done, self._told = report, Clock(0, 1.0), 0, False

    def __call__(self, done: int, count: int) -> None:
        """Counts the images that are done, of all."""
        if not self._done:
            # The first images show when it began; the speed is that of the others.
            self._clock = Clock(count - done, 1.0)
        elif self._clock.step(done - self._done, done - self._done) or (
            done == count and self._told
        ):
            speed, left = self._clock.speed()
            at = ("decode", done, count, 1, 1)
            self._report(Progress(*at, images_per_second=speed, seconds_left=left, counted="image"))
            self._told = True
        self._done = done


class Teller:
    """Turns the steps and epochs of a training into reports."""

    def __init__(
        self,
        report: Report | None,
        stage: str,
        epochs: int,
        steps: int,
        start: int,
        valid_errors: Sequence[float | None],
        watched: str,
    ) -> None:
        self._watched = watched
        self._report, self._stage, self._epochs, self._steps = report, stage, epochs, steps
        self._clock, self._step = Clock((epochs - start) * steps), 0
        known = [error for error in valid_errors if error is not None]
        self._valid_error = known[-1] if known else None

    def step_done(self, images: int) -> bool:
        """Counts a step; returns True if a report is due."""
        self._step += 1
        return self._clock.step(images) and self._report is not None

    def within(self, epoch: int, loss: float, error: float | None) -> None:
        """Sends a report during an epoch, with the means so far."""
        self._send(epoch, self._step, loss, error)

    def epoch_done(self, done: int, row: LogRow) -> None:
        """Sends a report of a finished epoch."""
        self._step = 0
        if row["valid_error"] is not None:
            self._valid_error = row["valid_error"]
        self._send(done, self._steps, row["train_loss"], row["train_error"])

    def _send(self, epoch: int, step: int, loss: float | None, error: float | None) -> None:
        if self._report is None:
            return
        speed, left = self._clock.speed()
        at = (epoch, self._epochs, step, self._steps)
        errors = (loss, error, self._valid_error)
        self._report(Progress(self._stage, *at, *errors, speed, left, self._watched))
