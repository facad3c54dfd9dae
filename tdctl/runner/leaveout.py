"""A second round: which samples an earlier ranking leaves out of the training."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tdctl.config import TrainConfig
from tdctl.data import Images
from tdctl.errors import ConfigError, DataError
from tdctl.files import first_line
from tdctl.labels import Labels
from tdctl.ranking import Ranking

__all__ = ["Found", "LeftOut", "find_left_out", "read_ranking"]

# What stays in of each given class, so that none is forgotten.
FLOOR = 0.5
EXPECTED = "expected the CSV of tdctl detect --out, with index and suspicion"


@dataclass(frozen=True)
class LeftOut:
    """The samples that are not trained on.

    Attributes:
        rows: bool [n], by row of the labels.
        ranking: hex digest of the ranking's file; None where nothing is left out.
    """

    rows: NDArray[np.bool_]
    ranking: str | None = None

    def facts(self) -> dict[str, Any] | None:
        """What the manifest says; None where nothing is left out."""
        if self.ranking is None:
            return None
        return {"count": int(self.rows.sum()), "ranking": self.ranking}

    def split(self, images: Images) -> tuple[Images, Images | None]:
        """The images that are trained on, and those that are not, if any."""
        if self.ranking is None:
            return images, None
        return images.take(~self.rows), images.take(self.rows)


@dataclass(frozen=True)
class Found:
    """A ranking as a file has it, sorted by index, and the hex digest of the file.

    Attributes:
        given: given labels by name, n strings; None where the file has none.
    """

    path: Path
    ranking: Ranking
    digest: str
    given: NDArray[np.object_] | None


def read_ranking(training: TrainConfig) -> Found | None:
    """The ranking that ``leave_out`` names; None where it names none.

    Raises:
        DataError: the file is missing, or no ranking.
    """
    path = training.leave_out
    if path is None:
        return None
    # Pandas' own reader of floats may be off by a bit, and what is equal fall apart.
    types = {"index": np.int64, "suspicion": str, "given_label": str}
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        # A class may be called "None" or "NA".
        table = pd.read_csv(
            path,
            usecols=lambda name: name in types,
            dtype=types,
            keep_default_na=False,
            na_values={"suspicion": [""]},
        )
        if lacking := {"index", "suspicion"} - set(table.columns):
            raise ValueError(f"no column '{min(lacking)}'")
        suspicion = table["suspicion"].to_numpy(object).astype(np.float64)
    except OSError as error:
        raise DataError(f"leave_out: {path}: {error.strerror}; {EXPECTED}") from None
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"leave_out: {path}: not a ranking ({first_line(error)}); {EXPECTED}"
        ) from None
    order = np.argsort(table["index"].to_numpy())
    index, suspicion = table["index"].to_numpy()[order], suspicion[order]
    _refuse(path, index[1:][index[1:] == index[:-1]], "stands there twice", EXPECTED)
    _refuse(path, index[~np.isfinite(suspicion)], "has no finite suspicion", EXPECTED)
    given = table["given_label"].to_numpy(object)[order] if "given_label" in table else None
    return Found(path, Ranking(index, suspicion), digest, given)


def find_left_out(
    found: Found | None, training: TrainConfig, labels: Labels, class_names: Sequence[str]
) -> LeftOut:
    """The worst share of a ranking, by row of the labels; nothing where there is none.

    The two are joined by index. Of each given class the better half stays in, whatever its rank.

    Args:
        training: the settings; ``leave_out_ratio``.
        labels: of the n training images.
        class_names: of the data set.

    Raises:
        DataError: the ranking is not of exactly these samples, or of other given labels.
        ConfigError: the share is none of the samples or all of them, or all of it stays in.
    """
    n, ratio = len(labels), training.leave_out_ratio
    if found is None:
        return LeftOut(np.zeros(n, dtype=np.bool_))
    index, then = found.ranking.index, "give the ranking of a run of the same data and splits"
    strangers = np.setdiff1d(index, labels.index)
    _refuse(found.path, strangers, "is not among the samples that this run trains on", then)
    missing = np.setdiff1d(labels.index, index)
    _refuse(found.path, missing, "is missing, and this run trains on it", then)
    if found.given is not None:
        there = found.given[np.searchsorted(index, labels.index)]
        alike = there == np.asarray(class_names, dtype=object)[labels.assigned]
        # Other code's runs name no classes: their rankings give the numbers.
        numbered = there == labels.assigned.astype(str).astype(object)
        alike = numbered if numbered.all() else alike
        other = "has another given label than in this run"
        _refuse(found.path, labels.index[~alike], other, f"{then}, and noise")
    count = round(ratio * n)
    if count in {0, n}:
        raise ConfigError(
            f"leave_out_ratio: {ratio:g} of {n} samples is {'all' if count else 'none'} of them; "
            f"give a {'smaller' if count else 'larger'} --leave-out-ratio"
        )
    suspicion = found.ranking.suspicion[np.searchsorted(index, labels.index)]
    rows = ~Ranking(labels.index, suspicion).kept(ratio, labels.assigned, FLOOR)
    if not rows.any():
        raise ConfigError(
            f"leave_out_ratio: {ratio:g} leaves out nothing, as half of each given class stays in; "
            "give a larger --leave-out-ratio, or no --leave-out"
        )
    return LeftOut(rows, found.digest)


def _refuse(path: Path, indices: NDArray[np.int64], what: str, then: str) -> None:
    """Refuses a ranking for some of its indices, if there are any."""
    if len(indices):
        many = f" ({len(indices)} such)" if len(indices) > 1 else ""
        raise DataError(f"leave_out: {path}: index {indices[0]} {what}{many}; {then}")
