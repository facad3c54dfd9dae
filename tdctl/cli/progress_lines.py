"""Progress on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tdctl.cli.output import echo

if TYPE_CHECKING:
    from tdctl.training.progress import Progress, Report

__all__ = ["shown_progress"]

PLAIN_INTERVAL = 5.0


@contextmanager
def shown_progress(quiet: bool = False) -> Iterator[Report]:
    """A callback for the runner that shows what it reports."""
    if quiet:
        yield lambda progress: None
    elif sys.stderr.isatty():
        with _bar() as report:
            yield report
    else:
        yield _Lines()


def describe(progress: Progress, brief: bool = False) -> str:
    """Loss, errors, speed and time left of one report, as far as they are known.

    With ``brief``, the text fits next to a bar into 80 columns.
    """
    parts = []
    if progress.loss is not None:
        parts.append(f"loss {progress.loss:.3f}")
    if progress.train_error is not None:
        parts.append(f"{'err' if brief else 'train error'} {progress.train_error:.1%}")
    if progress.valid_error is not None:
        of = progress.watched
        parts.append(f"{of if brief else f'{of} error'} {progress.valid_error:.1%}")
    if progress.images_per_second is not None:
        parts.append(f"{progress.images_per_second:,.0f}/s")
    if progress.seconds_left is not None:
        minutes, seconds = divmod(round(progress.seconds_left), 60)
        hours, minutes = divmod(minutes, 60)
        parts.append(f"{hours}:{minutes:02}:{seconds:02}{'' if brief else ' left'}")
    return (" " if brief else ", ").join(parts)


class _Lines:
    """One line every few seconds, and one for the last epoch."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        final = progress.epoch == progress.epochs
        if not final and now - self._last < PLAIN_INTERVAL:
            return
        self._last = now
        echo(
            f"{progress.stage}: {progress.counted} {progress.epoch}/{progress.epochs}, "
            f"{describe(progress)}",
            err=True,
        )


@contextmanager
def _bar() -> Iterator[Report]:
    from rich import progress as rich_progress
    from rich.console import Console

    columns = (
        rich_progress.TextColumn("{task.description} {task.fields[epoch]}"),
        rich_progress.BarColumn(bar_width=8),
        rich_progress.TextColumn("{task.fields[detail]}"),
    )
    with rich_progress.Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, rich_progress.TaskID] = {}

        def report(progress: Progress) -> None:
            stage, epochs = progress.stage, f"{progress.epoch}/{progress.epochs}"
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=progress.epochs, epoch=epochs, detail="")
            within = progress.step / progress.steps if progress.step < progress.steps else 0
            bar.update(
                tasks[stage],
                completed=progress.epoch + within,
                epoch=epochs,
                detail=describe(progress, brief=True),
            )

        yield report
