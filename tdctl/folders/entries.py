"""What lies directly in a folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path

__all__ = ["files_and_folders"]

NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}


def files_and_folders(folder: Path) -> tuple[list[str], list[str]] | None:
    """Names of the files and of the folders in a folder, in no order; None where it is not there.

    A link counts as what it leads to. Links that lead nowhere, pipes and devices are left out.

    Raises:
        OSError: the folder is there and cannot be listed.
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
