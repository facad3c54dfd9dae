"""What all figures share: colours, text that is safe to draw, and files."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdctl.errors import ConfigError
from tdctl.files import atomic_path

__all__ = [
    "ALL", "COLOURS", "KINDS", "RIGHT", "WRONG", "evenly", "file_kind", "new_figure", "plain",
    "save_figure", "svg_text",
]  # fmt: skip

# The palette of Okabe and Ito, which colour-blind readers tell apart; black and yellow, which
# vanish on a dark or a light page, are left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
RIGHT, WRONG, ALL = COLOURS[0], COLOURS[1], COLOURS[6]
KINDS = ("svg", "png", "pdf")
# A fixed salt and no date: equal content gives equal files.
FIXED = {"svg.hashsalt": "tdctl"}
NO_DATE = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": None}
IDS = re.compile(r'(\bid="|href="#|url\(#)')
HEAD = re.compile(r"^.*?(?=<svg)|<metadata>.*?</metadata>", re.DOTALL)


def new_figure(width: float = 6.4, height: float = 4.0) -> Any:
    """An empty figure of so many inches: without pyplot, so no window and no shared state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def file_kind(path: Path) -> str:
    """``svg``, ``png`` or ``pdf``, as the file's name ends.

    Raises:
        ConfigError: it ends in something else.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise ConfigError(f"{path}: a plot is written as .svg, .png or .pdf; name the file so")
    return kind


def save_figure(figure: Any, path: Path) -> None:
    """Writes a figure as the kind that the file's name ends in, whole or not at all.

    Raises:
        ConfigError: it ends in another kind.
        OSError: the file cannot be written.
    """
    kind = file_kind(path)
    with _drawing(FIXED), atomic_path(path) as part:
        figure.savefig(part, format=kind, dpi=150, metadata=NO_DATE[kind])


def svg_text(figure: Any, prefix: str, described: str) -> str:
    """A figure as an ``<svg>`` element for a page: text stays text, the ground is transparent.

    Args:
        figure: of ``new_figure``.
        prefix: goes before every id, so that several figures can stand on one page.
        described: what is to be seen, for readers who do not see it.
    """
    buffer = io.StringIO()
    with _drawing({**FIXED, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = IDS.sub(rf"\g<1>{prefix}-", HEAD.sub("", buffer.getvalue()))
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(described)}"', 1)


@contextmanager
def _drawing(settings: Any) -> Iterator[None]:
    from matplotlib import rc_context

    # A letter that the font lacks is drawn as an empty box; the names stand in the table.
    with rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def plain(name: str, length: int = 32, end: bool = False) -> str:
    """A name in one line of at most ``length`` letters, without what cannot be drawn.

    ``end`` keeps its end in place of its beginning, as suits paths. Draw it with
    ``parse_math=False``: a dollar would begin a formula.
    """
    # File names that are not UTF-8 hold halves of letters, which no font draws.
    whole = name.encode("utf-8", "backslashreplace").decode("utf-8")
    text = " ".join("".join(c if c.isprintable() else " " for c in whole).split())
    if len(text) <= length:
        return text
    return f"…{text[1 - length :]}" if end else f"{text[: length - 1]}…"


def evenly(n: int, most: int) -> NDArray[np.int64]:
    """Int64 [min(n, most)]: rows evenly among n, in order."""
    if n <= most:
        return np.arange(n)
    return np.linspace(0, n - 1, most).round().astype(np.int64)
