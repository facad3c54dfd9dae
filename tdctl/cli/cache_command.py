"""The subcommand that shows and empties the cache of decoded images."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tdctl.cache import Entry, default_cache_dir, entries, evict
from tdctl.cli.boundary import guarded
from tdctl.cli.output import echo, print_json
from tdctl.errors import ConfigError

__all__ = ["cache"]


@guarded
def cache(
    cache_dir: Annotated[
        Path | None,
        typer.Option(
            "--cache-dir", help="Folder of the cache (default: tdctl in the user's cache folder)."
        ),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove all entries.")] = False,
    keep_gb: Annotated[
        float | None,
        typer.Option(
            "--keep-gb", min=0, help="Remove the least recently used entries until N GB are left."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed, remove nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """List the decoded images that are kept on disk, or remove them.

    The disk space of an entry that a run is using becomes free when that run ends.

    Example: tdctl cache --keep-gb 50 --dry-run
    """
    if clear and keep_gb is not None:
        raise ConfigError("cache: --clear drops all; give it or --keep-gb")
    if keep_gb is not None and not math.isfinite(keep_gb):
        raise ConfigError(f"cache: --keep-gb {keep_gb} is no size; expected gigabytes, such as 50")
    if dry_run and not clear and keep_gb is None:
        raise ConfigError("cache: --dry-run goes with --clear or --keep-gb")
    folder = cache_dir if cache_dir is not None else default_cache_dir()
    dropped: list[Entry] = []
    if clear or keep_gb is not None:
        dropped = evict(folder, round((keep_gb or 0.0) * 1e9), dry_run)
    gone = {entry.path for entry in dropped}
    kept = [entry for entry in entries(folder) if entry.path not in gone]
    if as_json:
        content = {
            "folder": str(folder),
            "entries": [_row(entry) for entry in kept],
            "dropped": [_row(entry) for entry in dropped],
            "dry_run": dry_run,
        }
        print_json(content)
        return
    for heading, rows in (("would drop" if dry_run else "dropped", dropped), ("kept", kept)):
        for entry in rows:
            echo(f"{heading:<10} {_line(entry)}")
    total = sum(entry.bytes for entry in kept)
    echo(f"{folder}: {len(kept)} entries, {total / 1e9:,.2f} GB")


def _row(entry: Entry) -> dict[str, Any]:
    n, *shape = entry.shape
    return {
        "key": entry.path.name,
        "name": entry.name,
        "images": n,
        "shape": shape,
        "bytes": entry.bytes,
        "last_used": _time(entry).isoformat(timespec="seconds"),
    }


def _line(entry: Entry) -> str:
    n, *shape = entry.shape
    size = "x".join(map(str, shape))
    used = _time(entry).strftime("%Y-%m-%d %H:%M")
    return f"{entry.name}: {n:,} images of {size}, {entry.bytes / 1e6:,.1f} MB, last used {used}"


def _time(entry: Entry) -> datetime:
    return datetime.fromtimestamp(entry.last_used).astimezone()
