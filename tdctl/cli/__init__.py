"""The command line: it parses, calls the runner and prints. Only it uses typer and rich."""

from __future__ import annotations

from tdctl.cli.commands import app, main

__all__ = ["app", "main"]
