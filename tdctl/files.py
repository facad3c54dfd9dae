"""Writes files whole or not at all, and reads files of tensors without executing code.

This module uses only the standard library. torch is imported only to read and write tensors.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import pickle
import re
import struct
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tdctl.errors import RunError

__all__ = [
    "LEFT_OUT_FILE",
    "MANIFEST_FILE", "RECORDER", "PickledError", "atomic_path", "file_digest", "first_line",
    "load_tensors", "nearest_folder",
    "read_json", "save_tensors", "write_json", "write_text",
]  # fmt: skip

# The part of torch's message that names the object it refused to load.
GLOBAL = re.compile(r"Unsupported global: GLOBAL (\S+)")
# How the files of torch.save begin: a zip archive, and a pickle in those of torch before 1.6.
MAGIC = (b"PK", b"\x80")
# The errors of torch's unpickler. A damaged file can lead to any of them.
READ_ERRORS = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    LookupError,
    struct.error,
    AttributeError,
    TypeError,
)


LEFT_OUT_FILE = "left_out.csv"
MANIFEST_FILE = "manifest.json"
# The manifest's "command" for a run that the user's own training loop recorded.
RECORDER = "Recorder"


class PickledError(ValueError):
    """A torch file holds Python objects or a program, and was not loaded."""


def nearest_folder(path: Path) -> Path:
    """The path itself if it exists, or else the nearest folder above it that exists."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary file that replaces ``path`` if the block ends without an error.

    The content is on the disk before the file is renamed. So a crash leaves either the old file or
    the new one.

    Raises:
        OSError: the file cannot be written, or ``path`` is a folder, a pipe or a device. The error
            names ``path``.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder; expected a file name", str(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "is a pipe or a device; expected a file name", str(path))
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        part = Path(name)
        os.close(handle)
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    except OSError as error:
        # Some errors name no file, and others name the temporary file.
        hidden = error.filename is None or Path(os.fsdecode(error.filename)).suffix == ".part"
        if not hidden or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes text as UTF-8, the whole file or nothing."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Writes indented JSON, the whole file or nothing. NaN is refused: use None, which is null."""
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
    write_text(path, text + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        RunError: the file cannot be read or is not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(content, dict):
        raise RunError(f"{path}: expected a JSON object")
    return content


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def _umask() -> int:
    # mkstemp makes private files. Our files should have the permissions of the user's umask.
    mask = os.umask(0)
    os.umask(mask)
    return mask


def save_tensors(path: Path, content: Any) -> None:
    """Writes a file for ``load_tensors``, whole or not at all. Equal content gives equal bytes."""
    import torch

    # torch writes to memory first. If it gets a path, it writes the (random) name into the file.
    # If it gets a file on a full disk, its errors differ from those of the system.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with atomic_path(path) as part:
        part.write_bytes(buffer.getbuffer())


def load_tensors(path: Path, allowed: Iterable[Any] = ()) -> Any:
    """The content of a ``torch.save`` file that holds only tensors and plain values.

    No code in the file is ever executed.

    Args:
        path: the file.
        allowed: further globals that are harmless, as for torch's ``safe_globals``.

    Raises:
        OSError: the file is missing or cannot be read.
        PickledError: the file holds Python objects, such as a whole model.
        ValueError: the file is not a torch file, or is damaged.
    """
    import torch

    with path.open("rb") as file:
        begins = file.read(2)
    if not begins.startswith(MAGIC):
        raise ValueError("it is no file of torch.save")
    try:
        # torch warns of pickles from other programs before it refuses them.
        with warnings.catch_warnings(), torch.serialization.safe_globals(list(allowed)):
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except READ_ERRORS as error:
        if found := GLOBAL.search(str(error)):
            raise PickledError(f"it holds a Python object, {found[1]}") from None
        if "TorchScript" in str(error):
            raise PickledError("it holds a program of TorchScript") from None
        raise ValueError(first_line(error)) from None
    except OSError as error:
        # In a truncated file, torch may seek to a place before the start, which gives EINVAL.
        if error.errno != errno.EINVAL:
            raise
        raise ValueError("it is cut off, or no file of torch's") from None


def first_line(error: BaseException) -> str:
    """The message of another library's error, shortened to fit into one line."""
    text = str(error).strip()
    if not text or isinstance(error, LookupError):
        return f"{type(error).__name__} {text}".strip()
    return text.splitlines()[0].split(". ")[0]
