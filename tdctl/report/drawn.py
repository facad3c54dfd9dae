"""Figures as SVG that stands in a page: no inline styles, colours that follow light and dark."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape, unescape
from typing import Any

from tdctl.figures import COLOURS, new_figure, svg_text

__all__ = ["drawn"]

STYLE = re.compile(r'\bstyle="([^"]*)"')
SHEET = re.compile(r"<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)
GROUP_ID = re.compile(r'<g id="[^"]*"')
FONT_SIZE = re.compile(r"\bfont:[^;]*?([\d.]+)px[^;]*")
# A policy without inline styles lets these stand as attributes.
ATTRIBUTE = re.compile(r"\s*([a-z-]+)\s*:\s*([^;]+)")
# Text gets its colour from the page; so do black lines and the white ground of a legend.
THEMED = {"#000000": "currentColor", "#ffffff": "var(--surface)", "#cccccc": "var(--line)"} | {
    colour.lower(): f"var(--c{place})" for place, colour in enumerate(COLOURS)
}
COLOUR = re.compile(r'\b(fill|stroke)="(#[0-9a-fA-F]{6})"')


def drawn(
    draw: Callable[..., Any],
    prefix: str,
    described: str,
    size: tuple[float, float] = (6.4, 3.8),
    axes: tuple[int, int] = (1, 1),
) -> str:
    """An ``<svg>`` element of what a function draws.

    Args:
        draw: gets the axes, from left to right.
        prefix: goes before every id, so that several figures can stand on one page.
        described: what is to be seen, for readers who do not see it.
        size: width and height in inches.
        axes: rows and columns of axes.
    """
    figure = new_figure(*size)
    draw(*figure.subplots(*axes, squeeze=False).reshape(-1))
    text = SHEET.sub("", svg_text(figure, prefix, described))
    text = GROUP_ID.sub("<g", text)
    text = STYLE.sub(_attributes, text)
    return COLOUR.sub(_themed, text)


def _attributes(found: re.Match[str]) -> str:
    """Declarations of a style as attributes of the element."""
    style = FONT_SIZE.sub(r"font-size: \1px", unescape(found[1]))
    return " ".join(f'{name}="{escape(value.strip())}"' for name, value in ATTRIBUTE.findall(style))


def _themed(found: re.Match[str]) -> str:
    colour = THEMED.get(found[2].lower(), found[2])
    return f'{found[1]}="{colour}"'
