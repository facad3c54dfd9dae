"""What a report shows, before it is a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tdctl.report.cards import Deck

__all__ = ["Content", "Fact", "Figure", "Pair", "Table"]


@dataclass(frozen=True)
class Fact:
    """One line of what was run: its name, and what it is."""

    name: str
    value: str


@dataclass(frozen=True)
class Figure:
    """A drawing with its words.

    Attributes:
        title: short.
        svg: an ``<svg>`` element of ``drawn``.
        caption: what is to be seen, in a sentence or two.
    """

    title: str
    svg: str
    caption: str


@dataclass(frozen=True)
class Pair:
    """How many flagged samples of one class look like another: names, count, share of the most."""

    given: str
    suggested: str
    count: int
    share: float


@dataclass(frozen=True)
class Table:
    """A small table: its title, column names, and rows of texts."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class Content:
    """All that a page shows, top to bottom.

    Attributes:
        title: the run's name.
        answer: how many labels look wrong, in one sentence.
        detail: what to make of it, in a sentence or two.
        facts: what was run.
        notes: what the reader should know, a sentence each.
        deck: the cards of the gallery; None where there is no ranking.
        pairs: which class is taken for which, the most frequent first.
        pairs_left: how many rarer pairs are not shown.
        figures: in their order.
        tables: of a denoising.
        fingerprint: of the run; decisions are kept under it.
        version: of tdctl.
    """

    title: str
    answer: str
    detail: str
    facts: Sequence[Fact]
    notes: Sequence[str]
    deck: Deck | None
    pairs: Sequence[Pair]
    pairs_left: int
    figures: Sequence[Figure]
    tables: Sequence[Table]
    fingerprint: str
    version: str
