"""Writes a label table in which the worst of a ranking are dropped or relabelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd

from tdctl.config import Config
from tdctl.errors import ConfigError
from tdctl.inputs.label_table import (
    check_table_name,
    labels_of_run,
    ordered,
    write_label_table,
)
from tdctl.rankers import DetectResult, Flagged, Source
from tdctl.run import refuse_existing
from tdctl.runner.detect import detect
from tdctl.training import Report, World

__all__ = ["ACTIONS", "Action", "CleanResult", "clean"]

Action = Literal["drop", "relabel"]
ACTIONS: tuple[Action, ...] = get_args(Action)


@dataclass(frozen=True)
class CleanResult:
    """The label table that was made from a ranking.

    Attributes:
        table: one row per image, by index. Columns: ``index``, ``file_name``, ``label``,
            ``action``; and ``split`` if the user's own table had it. ``action`` is ``relabel`` if
            the label was changed, else ``keep``.
        detection: the ranking.
        flagged: the samples that it flags.
        action: what was done with them: ``drop`` or ``relabel``.
        dropped: number of images without a row.
        relabelled: number of images with another label than in the run.
        wrong: number of wrong labels among the ranked images, before and after; None if the truth
            is unknown.
        one_list: whether a share of the images is held out as test set, by a seed.
        file: the file that was written; None in a dry run.
    """

    table: pd.DataFrame
    detection: DetectResult
    flagged: Flagged
    action: Action
    dropped: int
    relabelled: int
    wrong: tuple[int, int] | None
    one_list: bool
    file: Path | None

    def report(self) -> dict[str, Any]:
        """The result as JSON-ready values."""
        wrong = self.wrong or (None, None)
        return {
            **self.detection.run_facts,
            **self.detection.ranker.facts,
            "file": None if self.file is None else str(self.file),
            "action": self.action,
            "rows": len(self.table),
            "ranked": len(self.detection.labels),
            "dropped": self.dropped,
            "relabelled": self.relabelled,
            "wrong_before": wrong[0],
            "wrong_left": wrong[1],
            "cut": self.flagged.to_dict(),
        }


def clean(
    config: Config | None,
    runs: Path | Sequence[Path],
    source: Source,
    ratio: float | str,
    action: str,
    out: Path,
    *,
    keep_per_class: float | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    report: Report | None = None,
    world: World | None = None,
) -> CleanResult:
    """Writes the labels of a run's images, with the flagged ones dropped or changed.

    All images of the run's data set have a row, as in ``corrupt_labels``. Some images keep their
    labels: those held out for validation or testing, and those that cannot be decoded. If you use
    the table as ``data.labels``, a training gets these labels and leaves out what was dropped.

    Args:
        config: the run's settings; None for runs of other programs. The table then contains only
            the images of the run.
        runs: a run folder, or several, as in ``detect``.
        source: the detector's file, or a score.
        ratio: the share to flag, or ``auto``; see ``tdctl.cuts.ratio_of``.
        action: ``drop``, or ``relabel`` with the suggested label.
        out: the CSV file to write.
        keep_per_class: how many samples of each given class are never flagged; see
            ``DetectResult.above``.
        overwrite: whether an existing file may be replaced.
        dry_run: rank and check, but write nothing.
        report: is told the progress.
        world: the processes; by default this process only.

    Returns:
        The table, and the ranking that it was made from.

    Raises:
        ConfigError: the action or the ratio is not valid, or ``out`` has the suffix of another
            format than CSV.
        DataError: the data set is missing or malformed, or is not the one of the run.
        DynamicsError, DetectorError: as in ``detect``.
        RunError: ``out`` exists already.
    """
    if action not in ACTIONS:
        raise ConfigError(f"action: '{action}' is unknown; use one of {', '.join(ACTIONS)}")
    check_table_name(out)
    refuse_existing([out], overwrite)
    device = "auto" if config is None else config.device
    detection = detect(
        runs,
        source,
        cut=ratio,
        keep_per_class=keep_per_class,
        device=device,
        report=report,
        world=world,
    )
    if detection.flagged is None:
        raise ConfigError(f"remove_ratio: '{ratio}' flags nothing; give a share, or auto")
    ranked = _ranked(detection.table)
    labels = labels_of_run(config, ranked, detection.runs[0])
    table = labels.table.assign(action="keep")
    flagged = ranked.index[ranked["flagged"]]
    changed = flagged[ranked.loc[flagged, "given_label"] != ranked.loc[flagged, "suggested_label"]]
    if action == "drop":
        table = table.drop(index=flagged)
    else:
        table.loc[changed, "label"] = ranked.loc[changed, "suggested_label"]
        table.loc[changed, "action"] = "relabel"
    written = ordered(table) if dry_run else write_label_table(out, table)
    return CleanResult(
        table=written,
        detection=detection,
        flagged=detection.flagged,
        action="drop" if action == "drop" else "relabel",
        dropped=len(flagged) if action == "drop" else 0,
        relabelled=len(changed) if action == "relabel" else 0,
        wrong=_wrong(ranked, table),
        one_list=labels.one_list,
        file=None if dry_run else out,
    )


def _ranked(table: pd.DataFrame) -> pd.DataFrame:
    """The ranking by index, with plain strings as class names."""
    names = [column for column in table if str(column).endswith("_label")]
    return table.astype(dict.fromkeys([*names, "file_name"], object)).set_index("index")


def _wrong(ranked: pd.DataFrame, table: pd.DataFrame) -> tuple[int, int] | None:
    """The number of wrong labels among the ranked images, before and after."""
    if "label_flipped" not in ranked:
        return None
    left = ranked.loc[ranked.index.intersection(table.index)]
    known = left["true_label"].notna()
    after = (table.loc[left.index, "label"] != left["true_label"]) & known
    # If the right label is unknown, a wrong label that was kept stays wrong.
    after |= left["label_flipped"] & ~known & (table.loc[left.index, "action"] == "keep")
    return int(ranked["label_flipped"].sum()), int(after.sum())
