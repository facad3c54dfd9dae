"""Advice about names in a table that are not files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tdctl.names import normal
from tdctl.sources.tables.headers import shown
from tdctl.sources.tables.paths import Disk, Known

__all__ = ["advice"]

# An absolute path or a URL.
ELSEWHERE = re.compile(r"^(?:/|[A-Za-z]:[/\\]|[a-z0-9]+://)")


def advice(
    names: Sequence[str], missing: Sequence[int], known: Disk | Known, root: Path, skips: str
) -> str:
    """Advice about names that are not files, based on the first such name.

    Args:
        names: the names of all rows.
        missing: the rows whose name is not a file.
        known: the files that exist.
        root: the folder of the files.
        skips: words about the option that leaves such rows out; ``""`` if there is no such option.
    """
    name = normal(names[missing[0]]).strip().replace("\\", "/")
    plain = re.sub(r"^(?:[a-z0-9]+://|[A-Za-z]:)?/*", "", name)
    parts = [part for part in plain.split("/") if part not in {"", "."}]
    for count in range(1, len(parts)):
        tail = "/".join(parts[count:])
        if found := known.find(tail):
            cut = name[: len(name) - len(tail)]
            of = "this name" if len(missing) == 1 else "the names"
            return f"{shown(found[0])} is there: cut {shown(cut)} off {of}"
    if bare := _bare(name, plain, known):
        return bare
    if parts and (other := known.same_but_suffix("/".join(parts))):
        return f"{shown(other)} is there: mend the suffix"
    if isinstance(known, Disk) and (place := _folder_with("/".join(parts), root)):
        return f"it is in {place}: give that folder as --data-dir"
    if 2 * len(missing) > len(names):
        then = "give the folder that the names are relative to as --data-dir"
        return f"it lies elsewhere; {then}" if ELSEWHERE.match(name) else then
    return f"mend or remove {'the row' if len(missing) == 1 else 'these rows'}{skips}"


def _bare(name: str, plain: str, known: Disk | Known) -> str | None:
    """What to do about a name in quotes, or a URL with a query, whose file is there."""
    unquoted = name.strip("'\"` ")
    if unquoted != name and (found := known.find(unquoted)):
        return f"{shown(found[0])} is there: take the quotes off the names"
    path = re.split(r"[?#]", plain)[0]
    parts = path.split("/") if path != plain else []
    for count in range(len(parts)):
        tail = "/".join(parts[count:])
        if tail and (found := known.find(tail)):
            return f"{shown(found[0])} is there: write that name, without what is around it"
    return None


def _folder_with(name: str, root: Path) -> Path | None:
    """A folder near the root that contains the file: the parents, or a folder in the root."""
    if not name or len(name) > 4000:
        return None
    near = [root.absolute().parent, *root.absolute().parent.parents[:1]]
    try:
        near += sorted(path for path in root.iterdir() if path.is_dir())[:1000]
        return next((folder for folder in near if (folder / name).is_file()), None)
    except OSError:
        return None  # this is only a guess, so an error here does not matter
