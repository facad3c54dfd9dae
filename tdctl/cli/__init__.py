"""The command line: parses, calls the runner, prints. The only place with typer and rich."""

from __future__ import annotations

from tdctl.cli.commands import app, main

__all__ = ["app", "main"]
