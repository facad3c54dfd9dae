"""A label table with the worst of a ranking dropped, or given the labels that are suggested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd

from tdctl.config import Config
from tdctl.errors import ConfigError
from tdctl.run import refuse_existing
from tdctl.runner.label_table import (
    check_table_name,
    labels_of_run,
    ordered,
    write_label_table,
)
from tdctl.runner.rank import DetectResult, Flagged, detect
from tdctl.runner.source import Source
from tdctl.training import Report, World

__all__ = ["ACTIONS", "Action", "CleanResult", "clean"]

Action = Literal["drop", "relabel"]
ACTIONS: tuple[Action, ...] = get_args(Action)


@dataclass(frozen=True)
class CleanResult:
    """The table that was made of a ranking.

    Attributes:
        table: by index; ``index, file_name, label, action``, and ``split`` of a user's table.
            ``action`` is ``relabel`` where the label was changed, else ``keep``.
        detection: the ranking.
        flagged: what it flags.
        action: what became of that.
        dropped: how many images have no row.
        relabelled: how many have another label than in the run.
        wrong: how many labels of ranked images are known to be wrong, before and after; None
            where the truth is unknown.
        one_list: whether a share of the images is held out as test set, by a seed.
        file: what was written; None in a dry run.
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
    """Writes the labels of a run's images with the flagged ones dropped or changed.

    All images of the run's data set have a row, as ``corrupt_labels`` has them: those that were
    held out for validation or as a share for testing, and those that did not decode, keep the
    labels they have. With ``data.labels`` the table gives these labels back, and leaves out what
    was dropped.

    Args:
        config: the run's settings; None where it has none, as other code's: the table then has
            the images of the run alone.
        runs: a run folder, or several as ``detect`` takes them.
        source: the detector's file, or a score.
        ratio: the share to flag, or ``auto``, as ``tdctl.cuts.ratio_of`` takes it.
        action: ``drop``, or ``relabel`` by the label that is suggested.
        keep_per_class: what is not flagged of each given class; see ``DetectResult.above``.

    Raises:
        ConfigError: the action or the ratio is none, or ``out`` is named as a file that is no CSV.
        DataError: the data set is missing or malformed, or is not that of the run.
        DynamicsError, DetectorError: as ``detect``.
        RunError: ``out`` is there already.
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
    """The ranking by index, with plain strings for the names of classes."""
    names = [column for column in table if str(column).endswith("_label")]
    return table.astype(dict.fromkeys([*names, "file_name"], object)).set_index("index")


def _wrong(ranked: pd.DataFrame, table: pd.DataFrame) -> tuple[int, int] | None:
    """How many labels of ranked images are wrong, before and after."""
    if "label_flipped" not in ranked:
        return None
    left = ranked.loc[ranked.index.intersection(table.index)]
    known = left["true_label"].notna()
    after = (table.loc[left.index, "label"] != left["true_label"]) & known
    # Where what is right is not known, a label that was kept stays wrong.
    after |= left["label_flipped"] & ~known & (table.loc[left.index, "action"] == "keep")
    return int(ranked["label_flipped"].sum()), int(after.sum())
