"""A second round: which samples an earlier ranking removes from the training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.config import TrainConfig
from tdctl.data import Images
from tdctl.errors import ConfigError, DataError
from tdctl.files import file_digest, first_line
from tdctl.labels import Labels
from tdctl.names import normal
from tdctl.ranking import Ranking
from tdctl.sources.tables.columns import read_table, shown

__all__ = ["RankingFile", "LeftOut", "find_left_out", "read_ranking"]

# The share of each given class that always stays, so that no class disappears.
FLOOR = 0.5
EXPECTED = "expected the CSV of tdctl detect --out, with index and suspicion"
THEN = "give the ranking of a run of the same data and splits"


@dataclass(frozen=True)
class LeftOut:
    """The samples that are not trained on.

    Attributes:
        rows: bool [n], by row of the labels.
        ranking: hex digest of the ranking file; None if nothing is left out.
    """

    rows: NDArray[np.bool_]
    ranking: str | None = None

    def facts(self) -> dict[str, Any] | None:
        """The facts for the manifest; None if nothing is left out."""
        if self.ranking is None:
            return None
        return {"count": int(self.rows.sum()), "ranking": self.ranking}

    def split(self, images: Images) -> tuple[Images, Images | None]:
        """The images to train on, and the images that are left out (None if there are none)."""
        if self.ranking is None:
            return images, None
        return images.take(~self.rows), images.take(self.rows)


@dataclass(frozen=True)
class RankingFile:
    """A ranking from a file, sorted by index.

    Attributes:
        path: the file.
        ranking: the suspicion of each of the n samples.
        digest: hex digest of the file.
        given: names of the given labels, n strings; None if the file has no such column.
        names: file names, n strings; None if the file does not name every sample.
    """

    path: Path
    ranking: Ranking
    digest: str
    given: NDArray[np.object_] | None
    names: NDArray[np.object_] | None = None


def read_ranking(training: TrainConfig) -> RankingFile | None:
    """Reads the ranking file that ``leave_out`` names; None if the setting is empty.

    Raises:
        DataError: the file is missing, or is not a ranking.
    """
    path = training.leave_out
    if path is None:
        return None
    try:
        digest = file_digest(path)
        table = read_table(path, ["index", "suspicion", "given_label", "file_name"])
        index = np.array(table["index"], dtype=object).astype(np.int64)
        filled = [value or "nan" for value in table["suspicion"]]
        suspicion = np.array(filled, dtype=object).astype(np.float64)
    except OSError as error:
        raise DataError(f"leave_out: {path}: {error.strerror}; {EXPECTED}") from None
    except (DataError, ValueError, OverflowError) as error:
        why = first_line(error).removeprefix(f"{path}: ")
        raise DataError(f"leave_out: {path}: not a ranking ({why}); {EXPECTED}") from None
    order = np.argsort(index, kind="stable")
    index, suspicion = index[order], suspicion[order]
    _refuse(path, index[1:][index[1:] == index[:-1]], "stands there twice", EXPECTED)
    _refuse(path, index[~np.isfinite(suspicion)], "has no finite suspicion", EXPECTED)
    given, names = (
        np.array([normal(value) for value in table.columns[name]], dtype=object)[order]
        if name in table.columns
        else None
        for name in ("given_label", "file_name")
    )
    if names is not None and not all(names):
        names = None
    return RankingFile(path, Ranking(index, suspicion), digest, given, names)


def find_left_out(
    found: RankingFile | None,
    training: TrainConfig,
    labels: Labels,
    class_names: Sequence[str],
    names: Sequence[str] | None = None,
) -> LeftOut:
    """The samples that a second round leaves out: the worst share of a ranking.

    The ranking and the labels are joined by file name if both have names, otherwise by index. The
    better half of each given class always stays.

    Args:
        found: the ranking; None leaves out nothing.
        training: the settings; ``leave_out_ratio`` is the share.
        labels: the labels of the n training images.
        class_names: the names of the classes.
        names: the n file names, or None.

    Raises:
        DataError: the ranking has other samples or other given labels.
        ConfigError: the share is zero samples or all samples, or every sample in it stays.
    """
    n, ratio = len(labels), training.leave_out_ratio
    if found is None:
        return LeftOut(np.zeros(n, dtype=np.bool_))
    rows = _rows(found, labels, names)
    if found.given is not None:
        there = found.given[rows]
        called = np.array([normal(name) for name in class_names], dtype=object)
        alike = there == called[labels.assigned]
        # Runs that other code recorded have no class names. Their rankings contain numbers.
        numbered = there == labels.assigned.astype(str).astype(object)
        alike = numbered if numbered.all() else alike
        other = "has another given label than in this run"
        _refuse(found.path, labels.index[~alike], other, f"{THEN}, and noise")
    count = round(ratio * n)
    if count in {0, n}:
        raise ConfigError(
            f"leave_out_ratio: {ratio:g} of {n} samples is {'all' if count else 'none'} of them; "
            f"give a {'smaller' if count else 'larger'} --leave-out-ratio"
        )
    out = ~Ranking(labels.index, found.ranking.suspicion[rows]).kept(ratio, labels.assigned, FLOOR)
    if not out.any():
        raise ConfigError(
            f"leave_out_ratio: {ratio:g} leaves out nothing, as half of each given class stays in; "
            "give a larger --leave-out-ratio, or no --leave-out"
        )
    return LeftOut(out, found.digest)


def _rows(found: RankingFile, labels: Labels, names: Sequence[str] | None) -> NDArray[np.int64]:
    """Int64 [n]: the row in the ranking of each label, if both have the same samples."""
    ranked = found.ranking.index
    if found.names is None or names is None:
        strangers = np.setdiff1d(ranked, labels.index)
        _refuse(found.path, strangers, "is not among the samples that this run trains on", THEN)
        missing = np.setdiff1d(labels.index, ranked)
        _refuse(found.path, missing, "is missing, and this run trains on it", THEN)
        return np.searchsorted(ranked, labels.index)
    places = {name: row for row, name in enumerate(found.names)}
    called = [normal(name) for name in names]
    here, path = set(called), found.path
    twice = [name for row, name in enumerate(found.names) if places[name] != row]
    _refuse_names(path, twice, "stands there twice", EXPECTED)
    then = f"{THEN}; images are matched by file name, so none may have been renamed or moved"
    gone = [name for name in found.names if name not in here]
    _refuse_names(path, gone, "is not among the images that this run trains on", then)
    new = [name for name in called if name not in places]
    _refuse_names(path, new, "is missing, and this run trains on it", then)
    return np.array([places[name] for name in called], dtype=np.int64)


def _refuse(path: Path, indices: NDArray[np.int64], what: str, then: str) -> None:
    """Refuses a ranking because of these indices, if there are any."""
    if len(indices):
        many = f" ({len(indices)} such)" if len(indices) > 1 else ""
        raise DataError(f"leave_out: {path}: index {indices[0]} {what}{many}; {then}")


def _refuse_names(path: Path, names: Sequence[str], what: str, then: str) -> None:
    """Refuses a ranking because of these file names, if there are any."""
    if names:
        many = f" ({len(names)} such)" if len(names) > 1 else ""
        raise DataError(f"leave_out: {path}: {shown(names[0])} {what}{many}; {then}")
