"""Cells of CSV files that a spreadsheet opens: no text in them becomes a formula.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a formula, whatever
wrote it: a file name could so run a command on the computer of whoever opens the table. tdctl
writes an apostrophe before such a text, and takes it away when it reads the table. Standard
library only.

Source: OWASP, "CSV Injection" (https://owasp.org/www-community/attacks/CSV_Injection).
"""

from __future__ import annotations

from collections.abc import Iterable

from tdctl.names import trimmed

__all__ = ["is_own", "plain_cell", "safe_cell"]

MARK = "'"
FORMULA = frozenset("=+-@\t\r")
# A mark before these is ours. One before another mark too, so that every text reads back.
MARKED = FORMULA | {MARK}
# The columns by which a table is known as one that tdctl wrote.
OWN = {"index", "file_name"}


def safe_cell(text: str) -> str:
    """The text as a cell that no spreadsheet takes for a formula."""
    begins = text[:1]
    if begins in FORMULA or (begins == MARK and text[1:2] in MARKED):
        return MARK + text
    return text


def plain_cell(cell: str) -> str:
    """The text of a cell that ``safe_cell`` made."""
    return cell[1:] if cell[:1] == MARK and cell[1:2] in MARKED else cell


def is_own(header: Iterable[str]) -> bool:
    """Whether a table with this header has cells of ``safe_cell``: one of tdctl's samples.

    A table of the user's own that names no ``index`` and ``file_name`` is read as it stands.
    """
    return {trimmed(name) for name in header} >= OWN
