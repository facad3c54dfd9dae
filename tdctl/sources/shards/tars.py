"""Reads the headers of tar files, to find the samples and their places."""

from __future__ import annotations

import io
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tdctl.errors import DataError
from tdctl.files import first_line

__all__ = ["compressed", "extension", "samples"]

# Names that the WebDataset format reserves, such as __key__.
OWN = re.compile(r"__[^/]*__($|[/.])")
MAGIC = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")


def samples(shard: Path, file: BinaryIO) -> Iterator[tuple[str, list[tarfile.TarInfo]]]:
    """The samples of a tar, in its order: each key with its members.

    A key is a member's path up to the first dot of the file name. Folders, links, hidden files,
    members without a dot, and reserved names such as ``__key__`` are left out. Memory holds only
    the members of one key at a time.

    Args:
        shard: the path that messages show.
        file: the tar, opened for reading at its start.

    Raises:
        DataError: the tar is compressed or damaged, or the members of a key are not side by side.
        OSError: the tar cannot be read.
    """
    seen: set[str] = set()
    for key, members in _runs(_files(shard, file)):
        if key in seen:
            raise DataError(
                f"{shard}: the key {key!r} comes a second time, at {members[0].name!r}; expected "
                "the members of a key once and side by side (tar --sort=name)"
            )
        seen.add(key)
        yield key, members


def extension(member: tarfile.TarInfo) -> str:
    """The part of a member's file name after its first dot, in lower case."""
    return member.name.rpartition("/")[2].partition(".")[2].lower()


def compressed(path: Path) -> DataError:
    """The error for a tar that cannot be read in any order."""
    return DataError(
        f"{path}: is compressed, and images in it cannot be read in any order; unpack or "
        "recompress without gzip (gunzip, or tar -cf)"
    )


def _runs(members: Iterator[tarfile.TarInfo]) -> Iterator[tuple[str, list[tarfile.TarInfo]]]:
    key, run = "", list[tarfile.TarInfo]()
    for member in members:
        folder, slash, name = member.name.rpartition("/")
        stem, dot, _ = name.partition(".")
        if not stem or not dot or OWN.match(member.name):
            continue
        found = folder + slash + stem
        if run and found != key:
            yield key, run
            run = []
        key = found
        run.append(member)
    if run:
        yield key, run


def _files(shard: Path, file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    size = os.fstat(file.fileno()).st_size
    end = -1
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # or it keeps all members
                # Older versions of tarfile go back at a negative length and never end.
                if tar.offset <= end or (member.isreg() and tar.offset > size):
                    raise _damaged(shard, f"member {member.name!r} does not end within the file")
                end = tar.offset
                if member.issparse():
                    raise DataError(
                        f"{shard}: {member.name!r} is stored with holes; pack without --sparse"
                    )
                if member.isreg():
                    yield member
            end = tar.offset
    except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
        file.seek(0)
        if file.read(6).startswith(MAGIC):
            raise compressed(shard) from None
        raise _damaged(shard, first_line(error)) from None
    _check_end(shard, file, end)


def _check_end(shard: Path, file: BinaryIO, end: int) -> None:
    # tarfile takes a damaged header, or the end of a truncated file, for the end of the tar.
    file.seek(end)
    mark = file.read(tarfile.BLOCKSIZE)
    if len(mark) < tarfile.BLOCKSIZE:
        raise _damaged(shard, "cut short: the mark of its end is missing")
    if mark.strip(b"\0"):
        raise _damaged(shard, f"the header at byte {end} is not valid")
    while rest := file.read(io.DEFAULT_BUFFER_SIZE << 4):
        if rest.strip(b"\0"):
            raise _damaged(shard, f"it goes on after its end at byte {end}; join tars by tar -A")


def _damaged(shard: Path, why: str) -> DataError:
    return DataError(f"{shard}: a damaged tar file ({why}); get or pack the shard anew")
