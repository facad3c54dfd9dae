"""The cards of a report: what the run says of each sample, and its picture."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from tdctl.config import Config
from tdctl.dynamics import TrainingDynamics
from tdctl.errors import TdctlError
from tdctl.inputs.find_pictures import FoundPictures, find_pictures
from tdctl.rankers.ranked import DetectResult
from tdctl.rankers.recorded_runs import RecordedRuns
from tdctl.report import CardTable, Thumbnails, as_bytes
from tdctl.run.class_and_file_names import file_names

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
            With few images and held-out curves, the probabilities are those of the held-out curves.
        result: the ranking.
        flagged: bool [n].
    """
    dynamics, labels = runs.dynamics[0], runs.labels
    judges = dynamics
    if runs.judged_by_heldout and dynamics.heldout is not None:
        judges = dynamics.heldout
    suggested = runs.suggested()
    names = np.asarray(file_names(runs.naming, runs.index), dtype=object)
    known = bool(labels.flipped.any())

    def table(rows: Rows) -> CardTable:
        part = dynamics.take(rows)
        # The networks that suggest a class also say how sure they are.
        judge = part if judges is dynamics else judges.take(rows)
        classes, means = _means(judge)
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
            p_given=_mean_of_given(judge),
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


@dataclass(frozen=True)
class Pictures:
    """The pictures of a run's cards.

    Attributes:
        found: the pictures of the data set.
        thumbnails: makes small ones.
    """

    found: FoundPictures
    thumbnails: Thumbnails

    def rows_of(self, table: CardTable) -> Rows:
        """Int64 [m], the rows of the pictures of some cards; -1 where there is none."""
        return self.found.rows_of(table.index, table.names)

    def url_from(self, page: Path) -> str | None:
        """The folder of the files as a URL that is relative to the page; None where there is none.

        Relative: a page and its pictures can be moved together, and no path of this computer is
        in a page that is passed on.
        """
        folder = self.found.folder
        if folder is None:
            return None
        try:
            path = os.path.relpath(folder.resolve(), page.resolve().parent)
        except ValueError:  # on another drive of Windows
            return None
        return quote(Path(path).as_posix(), errors="surrogateescape") + "/"


def pictures_of_run(config: Config | None, run: Path) -> tuple[Pictures | None, list[str]]:
    """The pictures of a run, or None and a sentence that says why there are none."""
    if config is None:
        return None, [
            f"the run {run} holds no settings of tdctl, so where its pictures lie is not known: "
            "the cards have none"
        ]
    if config.data.dataset == "embeddings":
        return None, ["The samples are embeddings, so the cards have no pictures."]
    try:
        found = find_pictures(config)
    except TdctlError as error:
        return None, [
            f"The pictures cannot be read now, so the cards have none: {error}. Where they have "
            "moved, name their folder with --data-dir."
        ]
    return Pictures(found, Thumbnails(found.images, found.reading)), []
