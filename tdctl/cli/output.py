"""What is written to standard output and error, whatever their encoding can hold."""

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
    """Starts tdctl again in Python's UTF-8 mode where file names would be read as ASCII.

    That is so where somebody forbids Python to leave the locale C. No other letter of a file's
    name could then be written to the results. Standard output keeps its encoding.
    """
    name = codecs.lookup(sys.getfilesystemencoding()).name
    if name != "ascii" or sys.flags.utf8_mode or sys.platform == "win32":
        return
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    environment = os.environ | {"PYTHONIOENCODING": f"{encoding}:backslashreplace"}
    command = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
    os.execve(sys.executable, command, environment)


def let_all_text_through() -> None:
    r"""Lets both streams write a letter that their encoding lacks as ``\u0141``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def showable(text: str, stream: TextIO | None = None) -> str:
    r"""The text with what the stream (standard output) cannot hold as ``\u0141``."""
    encoding = _encoding(sys.stdout if stream is None else stream)
    return text.encode(encoding, "backslashreplace").decode(encoding)


def holds_all(text: str) -> bool:
    """Whether standard output holds the text as the UTF-8 that readers of JSON and YAML expect."""
    if codecs.lookup(_encoding(sys.stdout)).name != "utf-8":
        return False
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # a file name that is not UTF-8
        return False
    return True


def echo(text: str, *, err: bool = False, end: bool = True) -> None:
    """A line on standard output or error; ``end`` adds the line's end."""
    # click would write UTF-8 to a stream that says ascii.
    typer.echo(showable(text, sys.stderr if err else sys.stdout), err=err, nl=end)


def print_json(content: Any) -> None:
    """A result on standard output: JSON, in ASCII alone where the stream is not UTF-8."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    if not holds_all(text):
        text = json.dumps(content, indent=2, ensure_ascii=True, allow_nan=False)
    echo(text)


def _encoding(stream: TextIO) -> str:
    return getattr(stream, "encoding", None) or "utf-8"
