"""The HTML report: one file that opens from disk, in which people look at pictures and decide.

``Content`` says what the page shows; ``render`` makes the page of it. Reading a run and ranking it
is the runner's.
"""

from __future__ import annotations

from tdctl.report.cards import CardTable, Deck, deal
from tdctl.report.content import Content, Fact, Figure, Pair, Table
from tdctl.report.curves import STEPS, as_bytes, typical_curves
from tdctl.report.drawn import drawn
from tdctl.report.html import render
from tdctl.report.thumbnails import Thumbnails

__all__ = [
    "STEPS",
    "CardTable",
    "Content",
    "Deck",
    "Fact",
    "Figure",
    "Pair",
    "Table",
    "Thumbnails",
    "as_bytes",
    "deal",
    "drawn",
    "render",
    "typical_curves",
]
