"""The log of a training as TensorBoard shows it, beside the table that is always written."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tdctl.errors import ConfigError
from tdctl.run import BOARD_FOLDER, LOG_FILE
from tdctl.training import Progress, Report

__all__ = ["LOGGERS", "check_logger", "logged"]

LOGGERS = ("tensorboard",)
# What TensorBoard puts into one chart.
CHARTS = {"error": "error", "loss": "loss", "top5_error": "error"}


def check_logger(name: str | None) -> None:
    """Refuses a logger that is unknown or not installed, before the training.

    Raises:
        ConfigError: it is.
    """
    if name is None:
        return
    if name not in LOGGERS:
        raise ConfigError(f"log_with: '{name}' is unknown; use {', '.join(LOGGERS)}")
    if find_spec("tensorboard") is None:
        raise ConfigError(
            "log_with: needs the package tensorboard; pip install 'tdctl[tensorboard]', or leave "
            "out --log-with"
        )


@contextmanager
def logged(report: Report | None, name: str | None, run: Path) -> Iterator[Report | None]:
    """The callback of a training, which also takes each epoch's row of the log to a logger.

    The rows come from ``train_log.csv``. A training that goes on writes all of them anew, so that
    no epoch is there twice.

    Args:
        report: the callback; None for none.
        name: of the logger; None for none.
        run: the run folder.
    """
    if name is None:
        yield report
        return
    board = _Board(run)

    def both(progress: Progress) -> None:
        if progress.step == progress.steps:
            board.catch_up()
        if report is not None:
            report(progress)

    try:
        yield both
    finally:
        board.close()


class _Board:
    """Events in ``tensorboard/``, made with the first epoch."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._writer: Any = None
        self._rows = 0

    def catch_up(self) -> None:
        """Writes the rows of the log that are not written yet."""
        from torch.utils.tensorboard import SummaryWriter

        folder = self._run / BOARD_FOLDER
        if self._writer is None:
            shutil.rmtree(folder, ignore_errors=True)
            self._writer = SummaryWriter(str(folder))
        with (self._run / LOG_FILE).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows[self._rows :]:
            for column, value in row.items():
                if column != "epoch" and value:
                    part, _, figure = column.partition("_")
                    name = f"{CHARTS[figure]}/{part}" + ("_top5" if "top5" in figure else "")
                    self._writer.add_scalar(name, float(value), int(row["epoch"]) + 1)
        self._rows = len(rows)
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
