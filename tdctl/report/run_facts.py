"""What a report says in words: what was run, how many labels look wrong, what to know of it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tdctl.catalogue import samples_of
from tdctl.cuts import Estimate
from tdctl.errors import RunError
from tdctl.files import MANIFEST_FILE, RECORDER, read_json
from tdctl.rankers import DetectResult, Flagged, RecordedRuns
from tdctl.report import Fact, Table
from tdctl.retraining.denoise_table import RESULT_FILE
from tdctl.run import CONFIG_FILE, LOG_FILE, read_config

__all__ = [
    "KINDS", "answer_of", "denoising_of", "denoising_table", "epochs_so_far", "facts_of", "log_of",
    "manifest_of", "settings_of", "unfinished_note",
]  # fmt: skip

# An interval that begins below this share may hold no wrong label.
PERHAPS_NONE = 0.005
KINDS = {
    "all": "all given labels",
    "pruned": "without the worst",
    "random": "without a random share",
    "relabelled": "the worst relabelled",
    "reweighted": "all, weighed by suspicion",
    "true": "true labels",
    "clean": "truly clean labels",
}
SEEN = {
    True: "in-sample: the detector was trained on this run, so its figures here are too good",
    False: "not in-sample: the detector was not trained on this run",
    None: "unknown whether the detector was trained on this run: its file does not say",
}
Row = Mapping[str, Any]


def manifest_of(run: Path) -> dict[str, Any]:
    """What a run folder says of itself; empty where other code wrote it.

    Raises:
        RunError: it is a retraining, or does not read.
    """
    path = run / MANIFEST_FILE
    manifest = read_json(path) if path.exists() else {}
    if manifest.get("command") == "denoise":
        raise RunError(
            f"{run}: is a retraining of tdctl denoise, which ranks nothing; report on the run that "
            "it was made of, and name the denoising with --denoise"
        )
    return manifest


def settings_of(run: Path) -> dict[str, Any]:
    """What a manifest says only once the run is finished."""
    if not (run / CONFIG_FILE).exists():
        return {}
    config = read_config(run)
    return {
        "net": config.net.label,
        "recipe": config.recipe,
        "epochs": config.train.epochs,
        "seed": config.seed,
    }


def facts_of(manifest: Mapping[str, Any], result: DetectResult | None) -> list[Fact]:
    """What was run, line by line."""
    pairs = [
        ("Data set", _data(manifest, result)),
        ("Label noise", _noise(manifest, result)),
        ("Network", _network(manifest)),
        ("Seed", _seeds(manifest)),
        ("Test error", _test_error(manifest)),
        ("Recorded", _recorded(manifest)),
    ]
    if result is not None:
        pairs += [
            ("Ranked by", ", ".join(dict.fromkeys(result.ranked_by.values()))),
            ("Judged", SEEN[result.in_sample]),
        ]
        if len(result.runs) > 1:
            pairs.append(("Runs", ", ".join(map(str, result.runs))))
    return [Fact(name, value) for name, value in pairs if value]


def _data(manifest: Mapping[str, Any], result: DetectResult | None) -> str:
    data = manifest.get("dataset")
    if isinstance(data, dict):
        kind = samples_of(str(data.get("name")))
        words = (("train", f"training {kind}"), ("valid", "held out"), ("test", f"test {kind}"))
        counts = [f"{data[key]:,} {word}" for key, word in words if data.get(key)]
        classes = len(data.get("class_names") or ())
        return f"{data.get('name')}: {', '.join(counts)}, {classes:,} classes"
    return "" if result is None else f"{len(result.labels):,} samples, recorded by other code"


def _noise(manifest: Mapping[str, Any], result: DetectResult | None) -> str:
    noise = manifest.get("noise")
    flipped = 0 if result is None else int(result.labels.flipped.sum())
    known = "" if result is None else f"{flipped:,} labels are wrong ({_percent(flipped, result)})"
    kind = noise.get("type") if isinstance(noise, dict) else None
    if isinstance(noise, dict) and kind not in (None, "none") and noise.get("ratio"):
        asked = f"{kind}, {noise['ratio']:.0%} asked for"
        return asked if not flipped else f"{asked}; {known}"
    if flipped:
        return f"labels as given; the truth is known: {known}"
    return "labels as given; which of them are wrong is not known"


def _percent(count: int, result: DetectResult) -> str:
    return f"{count / max(1, len(result.labels)):.1%}"


def _network(manifest: Mapping[str, Any]) -> str:
    if not manifest.get("net"):
        return ""
    parts = [str(manifest["net"])]
    if manifest.get("recipe"):
        parts.append(f"recipe {manifest['recipe']}")
    if manifest.get("epochs"):
        parts.append(f"{manifest['epochs']} epochs")
    return ", ".join(parts)


def _seeds(manifest: Mapping[str, Any]) -> str:
    seed, noise = manifest.get("seed"), manifest.get("noise")
    if seed is None:
        return ""
    own = noise.get("seed") if isinstance(noise, dict) else None
    return f"{seed}" if own in (None, seed) else f"{seed}, of the noise {own}"


def _test_error(manifest: Mapping[str, Any]) -> str:
    error = manifest.get("test_error_last")
    return "" if error is None else f"{error:.2%} at the last epoch"


def _recorded(manifest: Mapping[str, Any]) -> str:
    if manifest.get("command") == RECORDER:
        return "by a training loop of your own"
    if not manifest.get("finished"):
        return ""
    day = str(manifest["finished"])[:10]
    seconds, device = manifest.get("seconds"), manifest.get("device")
    took = "" if seconds is None else f", in {seconds:,.0f} s on {device}"
    return day + took


def epochs_so_far(runs: RecordedRuns) -> str | None:
    """How many epochs of a run that is not finished are over; None for a finished one."""
    return None if runs.planned is None else f"{runs.dynamics[0].epochs:,} of {runs.planned:,}"


def answer_of(
    result: DetectResult, estimate: Estimate | None, flagged: Flagged | None
) -> tuple[str, str]:
    """How many labels look wrong, in a sentence, and what to make of it."""
    head, detail = _answer(result, estimate, flagged)
    over = epochs_so_far(result.recorded)
    if over is not None:
        head = f"Not finished, {over} epochs are over: {head[0].lower()}{head[1:]}"
    return head, detail


def _answer(
    result: DetectResult, estimate: Estimate | None, flagged: Flagged | None
) -> tuple[str, str]:
    n = len(result.labels)
    if flagged is None:
        return (
            f"{n:,} labels are ranked by suspicion.",
            "How many of them are wrong cannot be estimated for this run. The gallery shows the "
            "most suspicious first.",
        )
    count = int(flagged.rows.sum())
    of_all = f"{count:,} of {n:,} labels"
    if estimate is None:
        head = f"{of_all} are above the cut ({count / n:.1%})."
    elif count == 0:
        head = f"None of the {n:,} labels looks wrong."
    else:
        head = f"About {of_all} look wrong ({count / n:.1%})."
    return head, " ".join(part for part in (_range(estimate), _judged(flagged)) if part)


def _range(estimate: Estimate | None) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    if estimate.low < PERHAPS_NONE:
        return f"This is an estimate: it may be none, and at most {estimate.high:.0%}."
    return f"This is an estimate: between {estimate.low:.0%} and {estimate.high:.0%}."


def _judged(flagged: Flagged) -> str:
    cut = flagged.cut
    if cut is None or cut.precision is None or cut.recall is None:
        return ""
    return (
        f"The truth is known here: {cut.precision:.1%} of these labels are wrong, and they are "
        f"{cut.recall:.1%} of all wrong labels."
    )


def unfinished_note(run: Path, manifest: Mapping[str, Any], over: str, ranking: str) -> str:
    """What to know of a run that is not finished.

    Args:
        run: the run folder.
        manifest: what it says of itself; empty where it says nothing.
        over: how many of its epochs are over, such as ``3 of 10``.
        ranking: a sentence on its ranking.
    """
    why = f" ({manifest['reason']})" if manifest.get("reason") else ""
    status = f"it is {manifest['status']}{why}, and " if manifest.get("status") else ""
    own = not manifest or manifest.get("command") == RECORDER
    then = (
        "Go on with it in your own training loop"
        if own
        else f"Go on with it: tdctl generate-td --resume --out {run}"
    )
    return f"The run is not finished: {status}{over} epochs are over. {ranking} {then}."


def log_of(run: Path) -> dict[str, list[float | None]]:
    """The columns of a run's log; empty where there is none yet.

    Raises:
        RunError: it is not the log that tdctl wrote.
    """
    path = run / LOG_FILE
    if not path.exists():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        names = rows[0] if rows else {}
        return {name: [float(row[name]) if row[name] else None for row in rows] for name in names}
    except (ValueError, TypeError, KeyError, UnicodeDecodeError):
        raise RunError(f"{path}: is not the log that tdctl wrote; expected numbers") from None


def denoising_of(folder: Path, run: Path | None = None) -> list[Row]:
    """The rows of a denoising.

    Args:
        folder: of one denoising, or the folder that it lies in.
        run: the run that was to be denoised, for the message.

    Raises:
        RunError: there is none, or several, or it is not the table that tdctl wrote.
    """
    found = sorted({*folder.glob(RESULT_FILE), *folder.glob(f"*/{RESULT_FILE}")})
    if not found:
        raise RunError(
            f"{folder}: holds no {RESULT_FILE}; run tdctl denoise --td {run or 'RUN'}, or name the "
            "folder of a denoising with --denoise"
        )
    if len(found) > 1:
        some = ", ".join(str(file.parent) for file in found[:5])
        raise RunError(f"{folder}: holds several denoisings; name one with --denoise: {some}")
    rows = read_json(found[0]).get("rows")
    needed = {"kind", "remove_ratio", "test_error_last"}
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and needed <= set(row) and row["kind"] in KINDS for row in rows
    ):
        raise RunError(f"{found[0]}: is not the table that tdctl wrote")
    return rows


def denoising_table(rows: Sequence[Row]) -> Table:
    """The retrainings of a denoising."""

    def percent(value: float | None) -> str:
        return "-" if value is None else f"{value:.2%}"

    def count(value: int | None) -> str:
        return "-" if value is None else f"{value:,}"

    # Of the controls, the true labels alone change labels.
    changed = any(row.get("relabelled") for row in rows)
    texts = [
        (
            KINDS[row["kind"]]
            + ("" if row["remove_ratio"] is None else f", {row['remove_ratio']:.3g}"),
            count(row.get("removed")),
            *([count(row.get("relabelled"))] if changed else []),
            count(row.get("kept")),
            count(row.get("flipped_left")),
            percent(row["test_error_last"]),
            percent(row.get("test_error_best")),
        )
        for row in rows
    ]  # fmt: skip
    return Table(
        "Retraining without the worst",
        (
            "Trained on", "Removed", *(["Relabelled"] if changed else []), "Kept",
            "Wrong labels left", "Test error, last epoch",
            "Test error, best epoch by held-out images",
        ),
        texts,
        "Each row is a fresh network, trained on what is named in the first column.",
    )  # fmt: skip
