"""Writes a label table in which the flagged samples are dropped or relabelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tdctl.config import Config
from tdctl.errors import ConfigError
from tdctl.inputs.label_formats import LabelFormat, check_writable, format_of, write_labels
from tdctl.inputs.label_table import labels_of_run, ordered
from tdctl.rankers import DetectResult, Flagged, Source
from tdctl.retraining import (
    ClassLoss,
    Cleaning,
    LabelSet,
    class_losses,
    cleaned,
    cleaning_of,
    emptied_note,
)
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
        cleaning: the action with its options, as in ``denoise``.
        dropped: number of images without a row.
        relabelled: number of images with another label than in the run.
        right: how many of these have their true label now; None if the truth is unknown.
        wrong: number of wrong labels among the ranked images, before and after; None if the truth
            is unknown.
        noise: the shares of wrong labels among the ranked images, before and after; None if the
            truth is unknown.
        classes: the classes that lost the largest share of their labels.
        one_list: whether a share of the images is held out as test set, by a seed.
        format: of the file.
        file: the file that was written; None in a dry run.
        notes: what the user should know, one line each.
    """

    table: pd.DataFrame
    detection: DetectResult
    flagged: Flagged
    action: Action
    cleaning: Cleaning
    dropped: int
    relabelled: int
    right: int | None
    wrong: tuple[int, int] | None
    noise: tuple[float, float] | None
    classes: tuple[ClassLoss, ...]
    one_list: bool
    format: LabelFormat
    file: Path | None
    notes: tuple[str, ...] = ()

    def report(self) -> dict[str, Any]:
        """The result as JSON-ready values."""
        wrong, noise = self.wrong or (None, None), self.noise or (None, None)
        return {
            **self.detection.run_facts,
            **self.detection.ranker.facts,
            "file": None if self.file is None else str(self.file),
            "format": self.format,
            **self.cleaning.facts(),
            "action": self.action,
            "rows": len(self.table),
            "ranked": len(self.detection.labels),
            "dropped": self.dropped,
            "relabelled": self.relabelled,
            "relabelled_right": self.right,
            "wrong_before": wrong[0],
            "wrong_left": wrong[1],
            "noise_before": noise[0],
            "noise_after": noise[1],
            "classes": [one.to_dict() for one in self.classes],
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
    relabel_by: str | None = None,
    confidence_floor: float | None = None,
    below: str | None = None,
    file_format: str | None = None,
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
        action: ``drop``, or ``relabel``.
        out: the file to write.
        relabel_by: ``mean-softmax`` or ``truth``; see ``Cleaning``.
        confidence_floor: the least probability of a new label; see ``Cleaning``.
        below: what happens to flagged images below the floor; see ``Cleaning``.
        file_format: one of ``LABEL_FORMATS``; by default the one that the name of ``out`` says.
        keep_per_class: how many samples of each given class are never flagged; see
            ``DetectResult.above``.
        overwrite: whether an existing file may be replaced.
        dry_run: rank and check, but write nothing.
        report: is told the progress.
        world: the processes; by default this process only.

    Returns:
        The table, and the ranking that it was made from.

    Raises:
        ConfigError: the action, one of its options or the ratio is not valid, or the name of
            ``out`` belongs to another format, or the format cannot hold this table.
        DataError: the data set is missing or malformed, or is not the one of the run.
        DynamicsError, DetectorError: as in ``detect``, or the run suggests no labels.
        RunError: ``out`` exists already.
    """
    cleaning = _cleaning(action, relabel_by, confidence_floor, below)
    kind = format_of(out, file_format)
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
    cleaning = cleaning.with_floor(detection.runs)
    after = cleaned(cleaning, detection, detection.flagged.rows)
    labels = labels_of_run(config, _ranked(detection.table), detection.runs[0])
    table = ordered(_changed(labels.table, detection, after))
    facts = after.facts(detection.labels)
    check_writable(kind, table, facts["removed"])
    if not dry_run:
        own = labels.everything
        names = detection.class_names if own is None else own.listing.class_names
        write_labels(out, kind, table, names)
    known = facts["noise_before"] is not None
    return CleanResult(
        table=table,
        detection=detection,
        flagged=detection.flagged,
        action="drop" if cleaning.action == "prune" else "relabel",
        cleaning=cleaning,
        dropped=facts["removed"],
        relabelled=facts["relabelled"],
        right=int((_new_label(detection, after) & ~after.wrong(detection.labels)).sum())
        if known
        else None,
        wrong=(int(detection.labels.flipped.sum()), facts["wrong_left"]) if known else None,
        noise=(facts["noise_before"], facts["noise_after"]) if known else None,
        classes=class_losses(detection.labels, after, detection.class_names),
        one_list=labels.one_list,
        format=kind,
        file=None if dry_run else out,
        notes=_notes(detection, after, action),
    )


def _cleaning(
    action: str, relabel_by: str | None, confidence_floor: float | None, below: str | None
) -> Cleaning:
    """The action with its options, as in ``denoise``.

    Raises:
        ConfigError: a value is unknown, or the new labels would need a network to be trained.
    """
    if action not in ACTIONS:
        raise ConfigError(f"action: '{action}' is unknown; use one of {', '.join(ACTIONS)}")
    if relabel_by == "retrained":
        raise ConfigError(
            "relabel_by: retrained trains a network, and clean trains none; use mean-softmax or "
            "truth, or tdctl denoise --action relabel --relabel-by retrained"
        )
    known = "prune" if action == "drop" else action
    return cleaning_of(known, relabel_by, confidence_floor, below)


def _ranked(table: pd.DataFrame) -> pd.DataFrame:
    """The ranking by index, with plain strings as class names."""
    names = [column for column in table if str(column).endswith("_label")]
    return table.astype(dict.fromkeys([*names, "file_name"], object)).set_index("index")


def _changed(table: pd.DataFrame, detection: DetectResult, after: LabelSet) -> pd.DataFrame:
    """The table by index, with the new labels and without what is dropped."""
    labels = detection.labels
    dropped = pd.Index(labels.index[~after.keep])
    table = table.assign(action="keep").drop(index=dropped)
    changed = np.flatnonzero(_new_label(detection, after))
    names = np.asarray(detection.class_names, dtype=object)
    table.loc[labels.index[changed], "label"] = names[after.assigned[changed]]
    table.loc[labels.index[changed], "action"] = "relabel"
    return table


def _new_label(detection: DetectResult, after: LabelSet) -> NDArray[np.bool_]:
    """Bool [n]: which samples have another label than the given one."""
    changed: NDArray[np.bool_] = after.keep & (after.assigned != detection.labels.assigned)
    return changed


def _notes(detection: DetectResult, after: LabelSet, action: str) -> tuple[str, ...]:
    found = [emptied_note(detection.labels, after, detection.class_names, action)]
    facts = after.facts(detection.labels)
    before, now = facts["noise_before"], facts["noise_after"]
    if before is not None and now is not None and now > before:
        found.append(
            f"{action}: {now:.2%} of the ranked labels are wrong now, and {before:.2%} were "
            "before: this cleaning does harm"
        )
    if action == "relabel" and not facts["relabelled"]:
        found.append(
            "relabel: no new label is sure enough, so nothing is relabelled; give a lower "
            "--confidence-floor"
        )
    return tuple(note for note in found if note is not None)
