"""The page: a template, a style sheet and a program that ship, and the content."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

from tdctl.report.content import Content

__all__ = ["render"]

FOLDER = "page"
# The parts of the program in the order in which they build on each other.
SCRIPTS = (
    "cards.js", "csv.js", "decisions.js", "filters.js", "grid.js", "card.js", "dialogs.js",
    "review_files.js", "keys.js", "main.js",
)  # fmt: skip
# In a script element these would end it, or begin a comment.
ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
STATIC_ROWS = 50
# What opens the element with the data, in the template.
DATA_ELEMENT = '<script type="application/json" id="data">'


def render(content: Content, with_review: bool | None = None) -> bytes:
    """The whole page, as UTF-8.

    Args:
        content: what it shows.
        with_review: whether the gallery has its place; by default where there are cards.

    Names come through Jinja2's autoescape, or as JSON without any of the signs that HTML reads; a
    policy in the page lets only our own script and style sheet run, and no request leave.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tdctl.report", FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = _shown
    program, styles = script(), _file("page.css")
    text = environment.get_template("page.html").render(
        content=content,
        static=_static(content),
        script=program,
        styles=styles,
        script_hash=_hash(program),
        style_hash=_hash(styles),
        with_review=bool(content.deck) if with_review is None else with_review,
    )
    # The data is most of the page. It is put in as bytes: as part of a text with a letter beyond
    # Latin-1 it would take twice as much memory. In the text no name can open such an element.
    head, opened, tail = text.partition(DATA_ELEMENT)
    parts = (head + opened, data_of(content), tail)
    return b"".join(part.encode("utf-8") for part in parts)


@cache
def script() -> str:
    """The program: its parts in one scope of their own."""
    parts = "\n".join(_file(name) for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}\n}})();\n'


def data_of(content: Content) -> str:
    """What the program reads, as JSON that cannot end its element."""
    deck = content.deck
    found: dict[str, Any] = {} if deck is None else deck.to_dict()
    found |= {"fingerprint": content.fingerprint, "run": content.title}
    text = json.dumps(found, separators=(",", ":"), allow_nan=False)
    for sign, escaped in ESCAPES.items():
        text = text.replace(sign, escaped)
    return text


def _static(content: Content) -> list[dict[str, Any]]:
    """The first rows for readers whose browser runs no script."""
    deck = content.deck
    if deck is None:
        return []
    columns, names = deck.columns, deck.class_names
    return [
        {
            "rank": row + 1,
            "index": columns["index"][row],
            "name": columns["name"][row],
            "given": names[columns["given"][row]],
            "suggested": names[columns["suggested"][row]],
            "suspicion": columns["suspicion"][row],
        }
        for row in range(min(STATIC_ROWS, len(deck)))
    ]


def _shown(text: str) -> str:
    """A name as UTF-8 can write it: halves of letters, as of odd file names, become a sign."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _file(name: str) -> str:
    return files("tdctl.report").joinpath(FOLDER, name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
