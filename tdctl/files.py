"""Files that appear whole or not at all, and files of tensors that execute nothing.

Standard library only; torch is imported where tensors are read.
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

# How torch names what it would have to call.
GLOBAL = re.compile(r"Unsupported global: GLOBAL (\S+)")
# A damaged stream can ask torch's unpickler for anything on the wrong kind of thing.
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
# What the manifest of a recording by a training loop of one's own says in place of a command.
RECORDER = "Recorder"


class PickledError(ValueError):
    """A file of torch's holds objects that only a program could make, and was not opened."""


def nearest_folder(path: Path) -> Path:
    """The path itself where it exists, else the first of the folders above it that does."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it when the block ends without an error.

    The content is flushed to the disk before the name changes, so that a crash leaves either
    the old file or the new one.

    Raises:
        OSError: it cannot be written, or is there and no file (a folder, a pipe, a device); names
            ``path``.
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
        # Some name no file, others the temporary one.
        hidden = error.filename is None or Path(os.fsdecode(error.filename)).suffix == ".part"
        if not hidden or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes text as UTF-8, whole or not at all."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Writes indented JSON, whole or not at all; NaN is refused, undefined is null."""
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
    write_text(path, text + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        RunError: the file is not one.
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
    # mkstemp makes files private; what a user shares should follow the user's own umask.
    mask = os.umask(0)
    os.umask(mask)
    return mask


def save_tensors(path: Path, content: Any) -> None:
    """Writes what ``load_tensors`` reads, whole or not at all; equal content gives equal bytes."""
    import torch

    # Given a path, torch writes the path's (here random) name into the file; given a file on a
    # full disk, it raises other errors than the system's.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with atomic_path(path) as part:
        part.write_bytes(buffer.getbuffer())


def load_tensors(path: Path, allowed: Iterable[Any] = ()) -> Any:
    """What ``torch.save`` wrote, if it is made of tensors and plain values alone.

    Args:
        path: the file.
        allowed: harmless globals to accept besides, as torch's ``safe_globals`` takes them.

    Raises:
        OSError: the file is missing or cannot be read.
        PickledError: it holds Python objects, such as a whole model; nothing of it was executed.
        ValueError: it holds anything else, or is damaged; nor was that.
    """
    import torch

    try:
        # torch warns of pickles that other programs wrote before it refuses them.
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
        # Of a file that is cut off, torch may seek before its beginning.
        if error.errno != errno.EINVAL:
            raise
        raise ValueError("it is cut off, or no file of torch's") from None


def first_line(error: BaseException) -> str:
    """What an error of another library says, short enough for one line of ours."""
    text = str(error).strip()
    if not text or isinstance(error, LookupError):
        return f"{type(error).__name__} {text}".strip()
    return text.splitlines()[0].split(". ")[0]
