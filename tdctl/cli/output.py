"""Writes to standard output and error, whatever characters their encoding supports."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from typing import Any, TextIO

import typer

__all__ = ["echo", "holds_all", "in_utf8", "let_all_text_through", "print_json", "showable"]


def in_utf8() -> None:
    """Restarts tdctl in Python's UTF-8 mode if file names would be read as ASCII.

    This happens if Python is forbidden to leave the C locale. File names with other characters
    could then not be written to the results. Standard output keeps its encoding.
    """
    name = codecs.lookup(sys.getfilesystemencoding()).name
    if name != "ascii" or sys.flags.utf8_mode or sys.platform == "win32":
        return
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    environment = os.environ | {"PYTHONIOENCODING": f"{encoding}:backslashreplace"}
    command = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
    os.execve(sys.executable, command, environment)


def let_all_text_through() -> None:
    r"""Makes both streams write a character that their encoding lacks as ``\u0141``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def showable(text: str, stream: TextIO | None = None) -> str:
    r"""The text, with characters that the stream (standard output) cannot show as ``\u0141``."""
    encoding = _encoding(sys.stdout if stream is None else stream)
    return text.encode(encoding, "backslashreplace").decode(encoding)


def holds_all(text: str) -> bool:
    """Whether standard output can show the text in UTF-8, which JSON and YAML readers expect."""
    if codecs.lookup(_encoding(sys.stdout)).name != "utf-8":
        return False
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # a file name that is not UTF-8
        return False
    return True


def echo(text: str, *, err: bool = False, end: bool = True) -> None:
    """Prints text on standard output or error; ``end`` adds a newline."""
    # click itself would write UTF-8 even to a stream with the encoding ascii.
    typer.echo(showable(text, sys.stderr if err else sys.stdout), err=err, nl=end)


def print_json(content: Any) -> None:
    """Prints a result as JSON on standard output; in ASCII only, if the stream is not UTF-8."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    if not holds_all(text):
        text = json.dumps(content, indent=2, ensure_ascii=True, allow_nan=False)
    echo(text)


def _encoding(stream: TextIO) -> str:
    return getattr(stream, "encoding", None) or "utf-8"
