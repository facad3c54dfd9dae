"""People's decisions on a run's labels: read, checked, merged, and made a label table."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tdctl.config import Config
from tdctl.dynamics import read_run
from tdctl.errors import DataError
from tdctl.inputs.copy_pictures import CopyPlan, copy_pictures, plan_copies
from tdctl.inputs.label_table import (
    RunLabels,
    check_table_name,
    labels_of_run,
    ordered,
    write_label_table,
)
from tdctl.names import normal, trimmed
from tdctl.run import refuse_existing
from tdctl.run.class_and_file_names import class_names, file_names
from tdctl.run.outside import refuse_in_data_of
from tdctl.sources.tables.columns import Table, read_table, shown

__all__ = ["COLUMNS", "DECISIONS", "Decision", "ReviewResult", "apply_review", "read_review"]

COLUMNS = ("index", "file_name", "given_label", "decision", "new_label")
DECISIONS = ("keep", "relabel", "drop", "unsure")
# A cell without a decision: the picture was not looked at.
NONE = ""
ANOTHER = "the review is of another run: give the folder of that run with --td"


@dataclass(frozen=True)
class Decision:
    """What a reviewer says of an image.

    Attributes:
        index: of the image.
        what: one of ``DECISIONS``.
        label: the class that it gets; None but with ``relabel``.
        where: file and line, as a message names them.
    """

    index: int
    what: str
    label: str | None
    where: str

    @property
    def says(self) -> str:
        """The decision as a message has it."""
        return self.what if self.label is None else f"{self.what} {shown(self.label)}"


@dataclass(frozen=True)
class ReviewResult:
    """The table that was made of the reviews.

    Attributes:
        table: ``index, file_name, label, action``, and ``split`` of a user's table.
        counts: how many images have each decision, once the reviews are merged.
        changed: how many have another label than before: a relabel may name the same.
        undecided: rows of the reviews without a decision.
        reviews: the files.
        run: the folder of the run.
        one_list: whether a share of the images is held out as test set, by a seed.
        file: what was written; None in a dry run.
        copies: what was copied, or would be; None where nothing was asked for.
        notes: what the user should know, a line each.
    """

    table: pd.DataFrame
    counts: Mapping[str, int]
    changed: int
    undecided: int
    reviews: tuple[Path, ...]
    run: Path
    one_list: bool
    file: Path | None
    copies: CopyPlan | None
    notes: tuple[str, ...]

    def report(self) -> dict[str, Any]:
        """The result as JSON-ready values."""
        return {
            "run": str(self.run),
            "reviews": [str(path) for path in self.reviews],
            "file": None if self.file is None else str(self.file),
            "rows": len(self.table),
            "decisions": dict(self.counts),
            "changed": self.changed,
            "dropped": self.counts["drop"],
            "undecided": self.undecided,
            "copied": None if self.copies is None else self.copies.report(),
            "notes": list(self.notes),
        }


def apply_review(
    config: Config | None,
    run: Path,
    reviews: Sequence[Path],
    out: Path,
    *,
    copy_to: Path | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> ReviewResult:
    """Writes the labels of a run's images as people decided on them.

    All images of the run's data set have a row, but for those that were dropped; those that
    nobody decided on keep the label they have. With ``data.labels`` the table gives these labels
    back.

    Args:
        config: the run's settings; None where it has none, as other code's.
        run: the run folder.
        reviews: one file or more, as ``read_review`` reads them. The same decision twice counts
            once, and "unsure" gives way to any other; two different ones are refused.
        out: the CSV to write.
        copy_to: a new folder for copies of the pictures, in class folders as decided.

    Raises:
        DataError: a review is none or of another run, or reviews contradict each other; or the
            data set is not that of the run.
        RunError: a file or folder is there already, or lies in the data.
        ConfigError: ``out`` is named as a file that is no CSV, or pictures of this data set
            cannot be copied into class folders.
    """
    check_table_name(out)
    refuse_existing([out], overwrite)
    refuse_in_data_of([run], out)
    dynamics, labels, _ = read_run(run)
    names = class_names(run, max(dynamics.num_classes, 1 + int(labels.true.max())))
    recorded = pd.DataFrame(
        {
            "file_name": pd.Series(file_names(run, labels.index), dtype=object),
            "given_label": names[labels.assigned],
        }
    ).set_index(pd.Index(labels.index, name="index"))
    before = labels_of_run(config, recorded, run)
    read = [read_review(path, run, before, names.tolist()) for path in reviews]
    decided = _merged([decision for found, _ in read for decision in found])
    table, changed = _applied(before.table, decided)
    plan = None if copy_to is None else plan_copies(config, before, table, copy_to)
    if plan is not None and not dry_run:
        copy_pictures(plan)
    written = ordered(table) if dry_run else write_label_table(out, table)
    counts = Counter(decision.what for decision in decided.values())
    return ReviewResult(
        table=written,
        counts={what: counts[what] for what in DECISIONS},
        changed=changed,
        undecided=sum(blank for _, blank in read),
        reviews=tuple(reviews),
        run=run,
        one_list=before.one_list,
        file=None if dry_run else out,
        copies=plan,
        notes=_notes(before.table, table),
    )


def read_review(
    path: Path, run: Path, labels: RunLabels, names: Sequence[str]
) -> tuple[list[Decision], int]:
    """The decisions in a review, and how many of its rows have none.

    The file is a CSV with the columns ``index, file_name, given_label, decision, new_label``;
    ``new_label`` is empty but with ``relabel``. Cells are as ``tdctl.cells`` writes them.

    Raises:
        DataError: the file is no review, or a row of it is not of this run, or names a decision
            or a class that does not exist.
    """
    if not path.is_file():
        raise DataError(
            f"{path}: no such review; give the CSV that was saved in the report, with the columns "
            f"{', '.join(COLUMNS)}"
        )
    table = read_table(path, COLUMNS)
    for column in COLUMNS:
        _ = table[column]  # all must be there
    known = {trimmed(name): name for name in names}
    rows = labels.table
    own = dict(
        zip(rows.index.tolist(), zip(rows["file_name"], rows["label"], strict=True), strict=True)
    )
    found, blank = [], 0
    for row in range(len(table)):
        index = _checked_index(table, row, own, run)
        decision = trimmed(table["decision"][row]).lower()
        if decision == NONE:
            blank += 1
            if table["new_label"][row].strip():
                raise table.error(
                    row, f" gives a new_label and no decision; decide {shown('relabel')}"
                )
            continue
        label = _checked_label(table, row, decision, known)
        found.append(Decision(index, decision, label, f"{path}: {table.at(row)}"))
    return found, blank


def _checked_index(table: Table, row: int, own: Mapping[int, tuple[str, str]], run: Path) -> int:
    """The index of a row whose name and given label are those of the run."""
    text = table["index"][row].strip()
    # More digits than an int64 is sure to hold are no index.
    index = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1
    if index not in own:
        raise table.error(row, f" has the index {shown(text)}, which {run} has not; {ANOTHER}")
    of_run = dict(zip(("file_name", "given_label"), own[index], strict=True))
    for column, was in of_run.items():
        here = table[column][row]
        if trimmed(here) != trimmed(str(was)):
            raise table.error(
                row,
                f" has the {column} {shown(here)} at index {index}, and {run} has "
                f"{shown(str(was))}; {ANOTHER}, or undo what another program changed in the file",
            )
    return index


def _checked_label(table: Table, row: int, decision: str, known: Mapping[str, str]) -> str | None:
    """The class that a row gives its image; None but with ``relabel``."""
    new = trimmed(table["new_label"][row])
    if decision not in DECISIONS:
        raise table.error(
            row, f" has the decision {shown(decision)}; expected one of {', '.join(DECISIONS)}"
        )
    if decision != "relabel":
        if new:
            raise table.error(
                row,
                f" gives the new_label {shown(new)} with the decision {decision}; leave it empty, "
                "or decide relabel",
            )
        return None
    if not new:
        raise table.error(row, " decides relabel and gives no new_label; name a class")
    if new not in known:
        raise table.error(
            row, f" gives the label {shown(new)}, which is no class; {_near(new, known)}"
        )
    return known[new]


def _near(name: str, known: Mapping[str, str]) -> str:
    """What may be meant by a class that does not exist."""
    folded = {other.casefold(): other for other in known}
    near = [folded[found] for found in difflib.get_close_matches(name.casefold(), folded, n=3)]
    if near:
        return f"perhaps {' or '.join(map(shown, near))}"
    some = ", ".join(map(shown, list(known)[:5]))
    return f"expected one of {len(known)} classes, such as {some}"


def _merged(decisions: Sequence[Decision]) -> dict[int, Decision]:
    """One decision for each image.

    Raises:
        DataError: two differ; names the first pair.
    """
    found: dict[int, Decision] = {}
    conflicts: dict[int, tuple[Decision, Decision]] = {}
    for decision in decisions:
        before = found.get(decision.index)
        if before is None or before.what == "unsure":
            found[decision.index] = decision
        elif decision.what != "unsure" and decision.says != before.says:
            conflicts.setdefault(decision.index, (before, decision))
    if conflicts:
        one, other = next(iter(conflicts.values()))
        more = ", ".join(str(index) for index in list(conflicts)[1:10])
        also = f"; so do the rows of index {more}" if more else ""
        many = f" ({len(conflicts)} images in all{also})" if also else ""
        raise DataError(
            f"{one.where} says {one.says} of index {one.index}, and {other.where} says "
            f"{other.says}{many}; agree on one decision an image, and delete the other row"
        )
    return found


def _applied(before: pd.DataFrame, decided: Mapping[int, Decision]) -> tuple[pd.DataFrame, int]:
    """The table as decided, and how many labels are others than before."""
    new = {i: one.label for i, one in decided.items() if one.label is not None}
    changed = [i for i, label in new.items() if normal(str(before.at[i, "label"])) != normal(label)]
    table = before.astype({"label": object}).assign(action="keep")
    table.loc[changed, "label"] = [new[i] for i in changed]
    table.loc[changed, "action"] = "relabel"
    dropped = [i for i, one in decided.items() if one.what == "drop"]
    return table.drop(index=dropped), len(changed)


def _notes(before: pd.DataFrame, after: pd.DataFrame) -> tuple[str, ...]:
    gone = sorted(set(before["label"]) - set(after["label"]))
    if not gone:
        return ()
    names = ", ".join(map(shown, gone[:5])) + (", ..." if len(gone) > 5 else "")
    return (f"no image is left of the class{'es' * (len(gone) > 1)} {names}",)
