"""The benchmark's figures as Markdown.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import mean
from typing import Any

from scripts.experiments.finding.cells import RECIPES
from scripts.experiments.tables.markdown import line, mean_and_spread

__all__ = [
    "AUTO", "NAMED", "best_score", "figures_of", "report", "table_of_errors", "table_of_quality",
    "table_of_recipes", "table_of_rows", "table_of_scores", "table_of_sizes",
]  # fmt: skip

Row = dict[str, Any]
LSTM, SIBLING, BUILTIN = "paper's LSTM (sibling)", "detector (sibling)", "builtin"
# The ranking that tdctl detect uses by default.
AUTO = "auto"
# The end of what a detector is called that was named on the command line.
NAMED = "(detector)"


def report(figures: Sequence[Row]) -> str:
    """Tables: AP of each row and length, errors and their ratios, every score, time to quality.

    Where other recipes were recorded, a table of these alone.
    """
    if any(f["kind"] in RECIPES for f in figures):
        told = table_of_recipes(figures)
        return f"AP in %, each kind of curves recorded in the time of ours:\n\n{told}"
    full = [f for f in figures if f["kind"] == "full"]
    figures = [f for f in figures if f["kind"] != "full"]
    parts = ["AP in %, mean ± standard deviation over seeds:", table_of_rows(figures)]
    parts += [
        "Average error, 1 - AP in %, over rows and lengths, and ratios:",
        table_of_errors(figures),
    ]
    for kind in dict.fromkeys(f["kind"] for f in figures):
        parts += [f"Mean AP in % on the curves `{kind}`:", table_of_scores(figures, kind)]
    if any("share" in f for f in figures):
        parts += ["The default ranking and its own cut, in %:", table_of_sizes(figures)]
    if full:
        parts += ["Until ours is as good as the paper's recipe at its full length:"]
        parts += [table_of_quality(figures, full)]
    return "\n\n".join(parts)


def table_of_recipes(figures: Sequence[Row]) -> str:
    """AUM, the best score, the detector and the default ranking on the curves of each recipe."""
    cells = _cells([f for f in figures if f["kind"] in RECIPES])
    ranked = ("AUM", "best score", "builtin", "auto")
    lines = _head("curves", *(f"{row}, {length}: {by}" for row, length in cells for by in ranked))
    for kind in ("ours", *RECIPES):
        mine = [f for f in figures if f["kind"] == kind]
        told = []
        for cell in cells:
            here = [f for f in mine if (f["row"], f["length"]) == cell]
            picked = (
                figures_of(here, kind, "aum"),
                best_score(here, kind),
                figures_of(here, kind, BUILTIN),
                figures_of(here, kind, AUTO),
            )
            told += list(map(_told, picked))
        if mine:
            lines.append(line(kind, *told))
    return "\n".join(lines)


def table_of_quality(figures: Sequence[Row], full: Sequence[Row]) -> str:
    """The shortest of our trainings that reaches the best score of the paper's, and its time."""
    lines = _head("noise", "paper's recipe, best score", "CPU s", "ours, builtin", "CPU s", "ratio")
    for row in dict.fromkeys(f["row"] for f in full):
        name, best = best_score([f for f in full if f["row"] == row], "full")
        seeds = {f["seed"] for f in best}
        mine = [f for f in figures_of(figures, "ours", BUILTIN)[1] if f["row"] == row]
        for length in sorted({f["length"] for f in mine}):
            here = [f for f in mine if f["length"] == length and f["seed"] in seeds]
            if len(here) == len(best) and mean(f["ap"] for f in here) >= mean(
                f["ap"] for f in best
            ):
                theirs, ours = _seconds(best), _seconds(here)
                told = f"{_told(('', here))} at {length} epochs"
                lines.append(
                    line(row, _told((name, best)), f"{theirs:.0f}", told, f"{ours:.0f}",
                          f"{ours / theirs:.3f}")
                )  # fmt: skip
                break
        else:
            lines.append(line(row, _told((name, best)), f"{_seconds(best):.0f}", "-", "-", "-"))
    return "\n".join(lines)


def _seconds(figures: Sequence[Row]) -> float:
    """Mean CPU seconds; not a number where a training was broken off and went on."""
    taken = [f["cpu_seconds"] for f in figures]
    return mean(float("nan") if one is None else one for one in taken)


def table_of_rows(figures: Sequence[Row]) -> str:
    columns = _columns(figures)
    lines = _head("noise", "epochs", *(name for name, _ in columns))
    for row, length in _cells(figures):
        here = [f for f in figures if (f["row"], f["length"]) == (row, length)]
        lines.append(line(row, length, *(_told(pick(here)) for _, pick in columns)))
    return "\n".join(lines)


def _columns(
    figures: Sequence[Row],
) -> list[tuple[str, Callable[[Sequence[Row]], tuple[str, list[Row]]]]]:
    """What a row of the first table shows: a name and what picks it from the row's figures."""
    every: list[tuple[str, Callable[[Sequence[Row]], tuple[str, list[Row]]]]] = [
        ("paper's recipe, best score", lambda here: best_score(here, "paper")),
        ("paper's recipe, its LSTM", lambda here: figures_of(here, "paper", LSTM)),
        ("paper's recipe, builtin", lambda here: figures_of(here, "paper", BUILTIN)),
        (
            "paper's recipe, builtin:paper",
            lambda here: figures_of(here, "paper", f"{BUILTIN}:paper"),
        ),
        ("out of fold, best", lambda here: best_score(here, "folds")),
        ("ours, AUM", lambda here: figures_of(here, "ours", "aum")),
        ("ours, best score", lambda here: best_score(here, "ours")),
        ("ours, paper's LSTM", lambda here: figures_of(here, "ours", LSTM)),
        ("ours, builtin", lambda here: figures_of(here, "ours", BUILTIN)),
        ("ours, auto", lambda here: figures_of(here, "ours", AUTO)),
        ("ours, sibling's", lambda here: figures_of(here, "ours", SIBLING)),
    ]
    # Detectors of siblings need not have been trained.
    return [(name, pick) for name, pick in every if pick(figures)[1]]


def figures_of(here: Iterable[Row], kind: str, by: str) -> tuple[str, list[Row]]:
    return "", [f for f in here if (f["kind"], f["by"]) == (kind, by)]


def best_score(here: Sequence[Row], kind: str) -> tuple[str, list[Row]]:
    """The hand-made score of the highest mean AP, chosen in hindsight."""
    made = [f for f in here if f["kind"] == kind and not _learned(f["by"])]
    names = dict.fromkeys(f["by"] for f in made)
    found = {name: [f for f in made if f["by"] == name] for name in names}
    best = max(found, key=lambda name: mean(f["ap"] for f in found[name]), default="")
    return best, found.get(best, [])


def _learned(by: str) -> bool:
    return by in (LSTM, SIBLING, AUTO) or by.startswith(BUILTIN) or by.endswith(NAMED)


def _told(picked: tuple[str, list[Row]]) -> str:
    name, found = picked
    if not found:
        return "-"
    told = mean_and_spread([100 * f["ap"] for f in found])
    return f"{told} {name}" if name else told


def table_of_errors(figures: Sequence[Row]) -> str:
    """Average errors over the cells that all columns have, with ratios to three of them."""
    cells = [[f for f in figures if (f["row"], f["length"]) == cell] for cell in _cells(figures)]
    columns = _columns(figures)
    whole = [here for here in cells if all(pick(here)[1] for _, pick in columns)]
    if not whole:
        return "(no cell is complete)"
    errors = {
        name: mean(1 - mean(f["ap"] for f in pick(here)[1]) for here in whole)
        for name, pick in columns
    }
    others = ("paper's recipe, best score", "out of fold, best", "ours, AUM", "ours, best score")
    against = [name for name in others if name in errors]
    lines = _head("ranked by", "error", *(f"over {name}" for name in against))
    for name, error in errors.items():
        ratios = (f"{error / errors[other]:.2f}" for other in against)
        lines.append(line(name, f"{100 * error:.1f}", *ratios))
    return "\n".join([*lines, "", f"{len(whole)} of {len(cells)} rows and lengths are complete."])


def table_of_scores(figures: Sequence[Row], kind: str) -> str:
    here = [f for f in figures if f["kind"] == kind]
    rows = list(dict.fromkeys(f["row"] for f in here))
    lines = _head("ranked by", *rows, "mean")
    table = []
    for name in dict.fromkeys(f["by"] for f in here):
        cells = [[f["ap"] for f in here if (f["by"], f["row"]) == (name, row)] for row in rows]
        if all(cells):
            means = [100 * mean(values) for values in cells]
            table.append((name, [*means, mean(means)]))
    for name, means in sorted(table, key=lambda one: -one[1][-1]):
        lines.append(line(name, *(f"{value:.1f}" for value in means)))
    return "\n".join(lines)


def table_of_sizes(figures: Sequence[Row]) -> str:
    """The default ranking beside scores, the estimated share, and F1 at the tool's own cut."""
    lines = _head(
        "images", "labels", "curves", "epochs", "CPU seconds", "AUM", "best score", "builtin",
        "auto", "F1 at the true share", "share estimated", "precision", "recall",
        "F1 at the tool's cut",
    )  # fmt: skip
    mine = sorted((f for f in figures if f["by"] == AUTO), key=lambda f: int(f["samples"]))
    groups = dict.fromkeys((f["samples"], f["row"], f["kind"], f["length"]) for f in mine)
    for size, row, kind, length in groups:
        here = [
            f for f in figures
            if (f["samples"], f["row"], f["kind"], f["length"]) == (size, row, kind, length)
        ]  # fmt: skip
        _, mine = figures_of(here, kind, AUTO)
        found = [
            figures_of(here, kind, "aum"), best_score(here, kind), figures_of(here, kind, BUILTIN),
            ("", mine),
        ]  # fmt: skip
        taken = _seconds(mine)
        share = (
            f"{_percent(f['share']['rate'] for f in mine)} of {_percent(f['rate'] for f in mine)}"
        )
        lines.append(
            line(
                f"{size:,}", row, kind, length, f"{taken:,.0f}", *map(_told, found),
                mean_and_spread([100 * f["f1"] for f in mine]), share,
                *(
                    mean_and_spread([100 * f["cut"][name] for f in mine])
                    for name in ("precision", "recall", "f1")
                ),
            )
        )  # fmt: skip
    return "\n".join(lines)


def _percent(shares: Iterable[float]) -> str:
    return f"{100 * mean(shares):.1f}"


def _cells(figures: Sequence[Row]) -> list[tuple[str, int]]:
    return list(dict.fromkeys((f["row"], f["length"]) for f in figures))


def _head(*names: str) -> list[str]:
    return [line(*names), "| --- " * len(names) + "|"]
