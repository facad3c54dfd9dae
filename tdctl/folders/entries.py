"""The files and folders directly in a folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path

__all__ = ["files_and_folders"]

NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}


def files_and_folders(folder: Path) -> tuple[list[str], list[str]] | None:
    """The names of the files and of the folders in a folder, in any order.

    A link counts as the file or folder that it points to. Broken links, pipes and devices are left
    out.

    Returns:
        The names of the files and the names of the folders; None if the folder does not exist.

    Raises:
        OSError: the folder exists and cannot be listed.
    """
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file():
                    files.append(entry.name)
                elif entry.is_dir():
                    folders.append(entry.name)
    except OSError as error:
        if error.errno in NOT_THERE:
            return None
        raise
    return files, folders
