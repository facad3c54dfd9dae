"""The HTML report of a run: one file, from the ranking to the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tdctl.config import Config
from tdctl.errors import ConfigError, DetectorError, DynamicsError, RunError
from tdctl.files import atomic_path
from tdctl.rankers import (
    DetectResult,
    RecordedRuns,
    Source,
    looks_wrong,
    open_ranker,
    rank_recorded,
)
from tdctl.recorder import goes_on
from tdctl.report import Content, Deck, Table, deal, render, typical_curves
from tdctl.report.run_cards import looks_right, pictures_of_run, tables_of
from tdctl.report.run_facts import (
    answer_of,
    denoising_of,
    denoising_table,
    epochs_so_far,
    facts_of,
    log_of,
    manifest_of,
    settings_of,
    unfinished_note,
)
from tdctl.report.run_figures import figure_of_log, figure_of_sweep, figures_of, pairs_of
from tdctl.run import refuse_existing
from tdctl.run.class_and_file_names import class_names
from tdctl.run.outside import refuse_in_data_of
from tdctl.training import Report, World, pick_device

__all__ = ["MAX_BYTES", "ReportResult", "check_report", "report", "report_of"]

MAX_BYTES = 10_000_000
RANKED_SO_FAR = "The ranking is of these epochs; it changes as the training goes on."
# What is left of the bytes for what a card takes more than was counted.
MARGIN = 4096


@dataclass(frozen=True)
class ReportResult:
    """The page that was written.

    Attributes:
        file: where it is.
        size: bytes.
        samples: of the run; 0 of one that cannot be ranked yet.
        cards: of these, how many the gallery shows.
        flagged: how many labels look wrong; None where that cannot be estimated.
        without_picture: cards without a picture.
        notes: what the user should know, a line each.
    """

    file: Path
    size: int
    samples: int
    cards: int
    flagged: int | None
    without_picture: int
    notes: tuple[str, ...]


def check_report(
    runs: Sequence[Path], out: Path, overwrite: bool, denoise: Path | None = None
) -> None:
    """Refuses what could not be written, before the work is done.

    Raises:
        ConfigError: the name of the file is not one of a page.
        RunError: the file is there already, lies in the data, or the denoising is none.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"{out}: a report is an HTML page; name it so, such as report.html")
    refuse_existing([out], overwrite)
    refuse_in_data_of(runs, out)
    if denoise is not None:
        denoising_of(denoise)


def report(
    run: Path,
    source: Source,
    out: Path,
    *,
    config: Config | None = None,
    denoise: Path | None = None,
    max_bytes: int = MAX_BYTES,
    max_rows: int | None = None,
    overwrite: bool = False,
    device: str = "auto",
    report: Report | None = None,
) -> ReportResult:
    """Ranks a run and writes its report; of a run that is not finished, the epochs so far.

    Args:
        run: the run folder.
        source: what ranks, as ``detect`` takes it.
        out: the page to write.
        config: the run's settings, for its pictures; None where it has none.
        denoise: the folder of a denoising to show, too.
        max_bytes: the largest the page may be.
        max_rows: the most cards; by default as many as fit.
        report: told how far a long ranking is.

    Raises:
        ConfigError: the page cannot be so small.
        RunError: there is no such run; or as ``check_report``.
        DynamicsError, DetectorError: as ``detect``, of a run that is finished.
    """
    if not run.is_dir():
        what = "is a file" if run.exists() else "no such run folder"
        raise RunError(f"{run}: {what}; expected a folder that tdctl generate-td wrote")
    check_report([run], out, overwrite, denoise)
    unfinished = manifest_of(run).get("status", "complete") != "complete" or goes_on(run)
    if unfinished and not goes_on(run):
        return _without_ranking(run, out, denoise, max_bytes, "Its labels are not ranked yet.")
    world = World(device=pick_device(device))
    try:
        ranker = open_ranker(source, world)
        result = rank_recorded(RecordedRuns.so_far(run), ranker, world, (), report)
    except (DynamicsError, DetectorError) as error:
        if not unfinished:
            raise
        why = f"Its labels are not ranked yet: {error}."
        return _without_ranking(run, out, denoise, max_bytes, why)
    return report_of(
        result, out, config=config, denoise=denoise, max_bytes=max_bytes, max_rows=max_rows,
        overwrite=overwrite, world=world,
    )  # fmt: skip


def report_of(
    result: DetectResult,
    out: Path,
    *,
    config: Config | None = None,
    denoise: Path | None = None,
    max_bytes: int = MAX_BYTES,
    max_rows: int | None = None,
    overwrite: bool = False,
    world: World | None = None,
) -> ReportResult:
    """Writes the report of a ranking that is there already; see ``report``.

    What looks wrong is what the ranking's own cut flags, else what an estimate says.

    Raises:
        ConfigError, RunError: as ``report``.
    """
    check_report(result.runs, out, overwrite, denoise)
    runs, wrong = result.recorded, looks_wrong(result, World() if world is None else world)
    flagged, notes = wrong.flagged, list(wrong.notes)
    if len(runs.folders) > 1:
        notes.append(f"curves and probabilities are those of {runs.folders[0]}")
    rows = None if flagged is None else flagged.rows
    first = runs.folders[0]
    manifest = {**settings_of(first), **manifest_of(first)}
    if (over := epochs_so_far(runs)) is not None:
        notes.insert(0, unfinished_note(first, manifest, over, RANKED_SO_FAR))
    names = class_names(runs.naming, max(runs.num_classes, 1 + int(runs.labels.true.max())))
    pairs, pairs_left = pairs_of(runs, rows, names.tolist())
    denoising = [] if denoise is None else denoising_of(denoise)
    answer, detail = answer_of(wrong.result, wrong.estimate, flagged)
    pictures, why_none = pictures_of_run(config, first)
    content = Content(
        title=first.resolve().name,
        answer=answer,
        detail=detail,
        facts=facts_of(manifest, result),
        notes=[_sentence(note) for note in (*notes, *result.notes, *why_none)],
        deck=None,
        pairs=pairs,
        pairs_left=pairs_left,
        figures=[
            *figures_of(runs, result, rows),
            *figure_of_log(log_of(first)),
            *figure_of_sweep(denoising),
        ],
        tables=_tables(denoising),
        fingerprint=result.fingerprints["run"],
        version=version("tdctl"),
    )
    deck = Deck(
        total=len(runs.labels),
        flagged=None if rows is None else int(rows.sum()),
        class_names=names.tolist(),
        class_totals=np.bincount(runs.labels.assigned, minlength=len(names)),
        typical=typical_curves(runs.dynamics[0], looks_right(runs), len(names)),
        epochs=runs.dynamics[0].epochs,
        folder=None if pictures is None else pictures.url_from(out),
    )
    content = replace(content, deck=deck)
    budget = max_bytes - MARGIN - len(render(content, with_review=True))
    flags = np.zeros(len(runs.labels), np.bool_) if rows is None else rows
    shown = None if pictures is None else (pictures.thumbnails, pictures.rows_of)
    worst = result.ranking.worst_first()
    deal(deck, worst, tables_of(runs, result, flags), shown, budget, max_rows)
    said, page = _fitted(content, pictures is not None, max_rows, max_bytes)
    _write(out, page)
    return ReportResult(
        out, len(page), deck.total, len(deck), deck.flagged, deck.no_picture,
        (*notes, *why_none, *said),
    )  # fmt: skip


def _fitted(
    content: Content, has_pictures: bool, max_rows: int | None, max_bytes: int
) -> tuple[list[str], bytes]:
    """The page, with as many of its cards as fit, and what to know of these."""
    deck = content.deck
    if deck is None:
        raise ValueError("a page without cards is as large as it is")
    while True:
        said = [*_left_out(deck, max_rows, max_bytes), *_without_picture(deck, has_pictures)]
        notes = [*content.notes, *map(_sentence, said)]
        page = render(replace(content, notes=notes))
        over = len(page) - max_bytes
        if over <= 0 and len(deck):
            return said, page
        if not len(deck):
            needed = len(render(replace(content, notes=notes), with_review=True))
            raise ConfigError(
                f"--max-bytes {max_bytes}: the page takes {needed:,} bytes without any card; give "
                "more"
            )
        deck.drop(over)


def _without_picture(deck: Deck, has_pictures: bool) -> list[str]:
    if not has_pictures or not deck.no_picture:
        return []
    return [
        f"{deck.no_picture:,} of {len(deck):,} cards have no picture: the files are gone or others "
        "now, or do not decode; where they have moved, name their folder with --data-dir"
    ]


def _without_ranking(
    run: Path, out: Path, denoise: Path | None, max_bytes: int, why: str
) -> ReportResult:
    """A page of a run that is not finished and cannot be ranked yet: its settings and training."""
    manifest, columns = {**settings_of(run), **manifest_of(run)}, log_of(run)
    total = f" of {manifest['epochs']}" if manifest.get("epochs") else ""
    recorded = manifest.get("recorded") or next(iter(columns.values()), ())
    over = f"{len(recorded):,}{total}"
    notes = [unfinished_note(run, manifest, over, why)]
    denoising = [] if denoise is None else denoising_of(denoise)
    content = Content(
        title=run.resolve().name,
        answer="This run is not finished.",
        detail=why,
        facts=facts_of(manifest, None),
        notes=notes,
        deck=None,
        pairs=[],
        pairs_left=0,
        figures=[*figure_of_log(columns), *figure_of_sweep(denoising)],
        tables=_tables(denoising),
        fingerprint="",
        version=version("tdctl"),
    )
    page = render(content)
    if len(page) > max_bytes:
        raise ConfigError(f"--max-bytes {max_bytes}: the page takes {len(page):,}; give more")
    _write(out, page)
    return ReportResult(out, len(page), 0, 0, None, 0, tuple(notes))


def _tables(denoising: Sequence[object]) -> list[Table]:
    return [denoising_table(denoising)] if denoising else []  # type: ignore[arg-type]


def _left_out(deck: Deck, max_rows: int | None, max_bytes: int) -> list[str]:
    if not deck.left_out:
        return []
    by_rows = max_rows is not None and len(deck) >= max_rows
    cap = f"--max-rows {max_rows}" if by_rows else f"{max_bytes / 1e6:g} MB"
    more = "--max-rows" if by_rows else "--max-bytes"
    return [
        f"the gallery holds the {len(deck):,} most suspicious of {deck.total:,} samples; "
        f"{deck.left_out:,} less suspicious ones are left out to stay within {cap} ({more} "
        "allows more)"
    ]


def _write(out: Path, page: bytes) -> None:
    with atomic_path(out) as part:
        part.write_bytes(page)


def _sentence(note: str) -> str:
    """A note of one line as a sentence."""
    note = note.strip()
    return note[:1].upper() + note[1:] + ("" if note.endswith((".", "!", "?")) else ".")
