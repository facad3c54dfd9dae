"""The cards of a report: what the run says of each sample, and its picture."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from numpy.typing import NDArray

from tdctl.config import Config
from tdctl.data.picture import Reading, megapixels
from tdctl.data.survey import survey
from tdctl.dynamics import TrainingDynamics
from tdctl.errors import TdctlError
from tdctl.inputs.given_labels import list_training_data
from tdctl.names import normal
from tdctl.rankers.ranked import DetectResult
from tdctl.rankers.recorded_runs import RecordedRuns
from tdctl.report import CardTable, Thumbnails, as_bytes
from tdctl.run.class_and_file_names import file_names
from tdctl.sources.encoded import Files

__all__ = ["Pictures", "looks_right", "pictures_of_run", "tables_of"]

Rows = NDArray[np.int64]
# Values of td that are in memory at a time, in bytes.
AT_ONCE = 1 << 26


def looks_right(runs: RecordedRuns) -> NDArray[np.bool_]:
    """Bool [n], the samples whose suggested class is the given one."""
    return np.asarray(runs.suggested() == runs.labels.assigned)


def tables_of(
    runs: RecordedRuns, result: DetectResult, flagged: NDArray[np.bool_]
) -> Callable[[Rows], CardTable]:
    """What gives the cards of some rows of the run.

    Args:
        runs: as they were ranked; curves and probabilities are those of the first.
        result: the ranking.
        flagged: bool [n].
    """
    dynamics, labels = runs.dynamics[0], runs.labels
    suggested = runs.suggested()
    names = np.asarray(file_names(runs.naming, runs.index), dtype=object)
    known = bool(labels.flipped.any())

    def table(rows: Rows) -> CardTable:
        part = dynamics.take(rows)
        classes, means = _means(part)
        own = suggested[rows]
        p_suggested = np.where(classes == own[:, None], means, 0).max(axis=1)
        # The likeliest class that is neither the suggested nor the given one.
        given = labels.assigned[rows]
        taken = (classes == own[:, None]) | (classes == given[:, None])
        others = np.where(taken, -1.0, means)
        place = others.argmax(axis=1)
        p_second = others[np.arange(len(rows)), place]
        second = np.where(p_second < 0, -1, classes[np.arange(len(rows)), place])
        return CardTable(
            index=runs.index[rows],
            names=[str(name) for name in names[rows]],
            given=given,
            suggested=own,
            second=second,
            p_given=_mean_of_given(part),
            p_suggested=p_suggested,
            p_second=np.maximum(p_second, 0),
            suspicion=result.ranking.suspicion[rows],
            flagged=flagged[rows],
            true=labels.true[rows] if known else None,
            curves=as_bytes(part.given_curve()),
        )

    return table


def _mean_of_given(part: TrainingDynamics) -> NDArray[np.float64]:
    return np.asarray(part.given_curve().astype(np.float64).mean(axis=1))


def _means(part: TrainingDynamics) -> tuple[Rows, NDArray[np.float64]]:
    """Classes int64 [m, c] and their mean probabilities float64 [m, c], as far as kept."""
    if part.mean is not None and part.mean_class is not None:
        return np.asarray(part.mean_class).astype(np.int64), np.asarray(part.mean).astype(float)
    _, epochs, k = part.td.shape
    at_once = max(1, AT_ONCE // (8 * epochs * k))
    parts = [
        np.asarray(part.td[start : start + at_once]).mean(axis=1, dtype=np.float64)
        for start in range(0, len(part), at_once)
    ]
    classes = np.asarray(part.labels[:, :k]).astype(np.int64)
    return classes, np.concatenate(parts)


@dataclass
class Pictures:
    """The pictures of a run's samples, where they are still those of the run.

    Attributes:
        thumbnails: makes small ones.
        order, own: int64, the rows of the data set by index, and their indices.
        names: of the files of the data set; None where they are no files.
        moved: how many cards were asked for whose picture is another now, or gone.
        folder: where the files lie, None where they are no files.
    """

    thumbnails: Thumbnails
    order: Rows
    own: Rows
    names: list[str] | None
    folder: Path | None
    moved: int = 0

    def rows_of(self, table: CardTable) -> Rows:
        """Int64 [m], the rows of the pictures of some cards; -1 where there is none."""
        at = np.minimum(np.searchsorted(self.own, table.index), len(self.own) - 1)
        rows = np.where(self.own[at] == table.index, self.order[at], -1)
        if self.names is not None:
            for place, name in enumerate(table.names):
                row = rows[place]
                if row >= 0 and name and normal(self.names[row]) != normal(name):
                    rows[place] = -1
        self.moved += int((rows < 0).sum())
        return rows

    def url_from(self, page: Path) -> str | None:
        """The folder of the files as a URL that is relative to the page; None where there is none.

        Relative: a page and its pictures can be moved together, and no path of this computer is
        in a page that is passed on.
        """
        if self.folder is None:
            return None
        try:
            path = os.path.relpath(self.folder.resolve(), page.resolve().parent)
        except ValueError:  # on another drive of Windows
            return None
        return quote(Path(path).as_posix(), errors="surrogateescape") + "/"


def pictures_of_run(config: Config | None, run: Path) -> tuple[Pictures | None, list[str]]:
    """The pictures of a run, or None and a sentence that says why there are none."""
    if config is None:
        return None, [
            f"{run} holds no settings of tdctl, so where its pictures lie is not known: the cards "
            "have none."
        ]
    try:
        listing = list_training_data(config)
    except TdctlError as error:
        return None, [
            f"The pictures cannot be read now, so the cards have none: {error}. Where they have "
            "moved, name their folder with --data-dir."
        ]
    images: Any = listing.images
    reading = Reading()
    if not isinstance(images, torch.Tensor):
        limit = megapixels(config.data.max_megapixels)
        # What the pictures have in common, such as the bits in use: one rule for all of them.
        seen = survey(images, limit)
        reading = Reading(bits=seen.bits, ground=seen.ground, max_pixels=limit)
    order = np.argsort(listing.labels.index, kind="stable")
    folder = config.data.root if isinstance(images, Files) and listing.names else None
    own = listing.labels.index[order]
    return Pictures(Thumbnails(images, reading), order, own, listing.names, folder), []
