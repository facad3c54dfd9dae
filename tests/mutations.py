"""Ways to damage a file, each drawn from a generator."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import numpy as np

Mutation = Callable[[np.random.Generator, bytes], bytes]


def at(rng: np.random.Generator, content: bytes) -> int:
    return int(rng.integers(0, len(content) + 1))


def flipped(rng: np.random.Generator, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def overwritten(rng: np.random.Generator, content: bytes) -> bytes:
    place = int(rng.integers(len(content)))
    return content[:place] + rng.bytes(int(rng.integers(1, 9))) + content[place + 1 :]


def cut_short(rng: np.random.Generator, content: bytes) -> bytes:
    return content[: rng.integers(len(content))]


def cut_within(rng: np.random.Generator, content: bytes) -> bytes:
    start = at(rng, content)
    return content[:start] + content[start + int(rng.integers(1, 30)) :]


def repeated_within(rng: np.random.Generator, content: bytes) -> bytes:
    start, length = at(rng, content), int(rng.integers(1, 60))
    return content[: start + length] + content[start:]


def inserted(*parts: bytes) -> Mutation:
    def mutation(rng: np.random.Generator, content: bytes) -> bytes:
        for _ in range(rng.integers(1, 3)):
            place = at(rng, content)
            content = content[:place] + parts[rng.integers(len(parts))] + content[place:]
        return content

    return mutation


def of_lines(change: Callable[[np.random.Generator, list[bytes]], None]) -> Mutation:
    def mutation(rng: np.random.Generator, content: bytes) -> bytes:
        lines = content.splitlines(keepends=True)
        change(rng, lines)
        return b"".join(lines)

    return mutation


def delete_lines(rng: np.random.Generator, lines: list[bytes]) -> None:
    for _ in range(rng.integers(1, 4)):
        del lines[rng.integers(len(lines))]


def double_a_line(rng: np.random.Generator, lines: list[bytes]) -> None:
    lines.insert(int(rng.integers(len(lines))), lines[rng.integers(len(lines))])


def swap_cells(rng: np.random.Generator, lines: list[bytes]) -> None:
    """Two cells of one line, the header's among them."""
    row = int(rng.integers(len(lines)))
    mark = b"\t" if b"\t" in lines[row] else b","
    cells = lines[row].strip(b"\n").split(mark)
    one, other = rng.integers(len(cells), size=2)
    cells[one], cells[other] = cells[other], cells[one]
    lines[row] = mark.join(cells) + b"\n"


def move_a_cell_down(rng: np.random.Generator, lines: list[bytes]) -> None:
    """Two lines exchange what follows their first, second or third separator."""
    mark = b"\t" if b"\t" in lines[0] else b","
    one, other = (int(row) for row in rng.integers(len(lines), size=2))
    place = int(rng.integers(1, 4))
    heads = [lines[row].split(mark) for row in (one, other)]
    lines[one] = mark.join([*heads[0][:place], *heads[1][place:]])
    lines[other] = mark.join([*heads[1][:place], *heads[0][place:]])


def saved_as(encoding: str) -> Mutation:
    def mutation(_: np.random.Generator, content: bytes) -> bytes:
        return content.decode("utf-8", "replace").encode(encoding, "replace")

    return mutation


def replaced(old: bytes, new: bytes) -> Mutation:
    def mutation(rng: np.random.Generator, content: bytes) -> bytes:
        """A few of them, or all."""
        count = content.count(old)
        keep = rng.random(count) < rng.choice([0.0, 0.9])
        parts = content.split(old)
        glue = [old if kept else new for kept in keep]
        return b"".join(part + mark for part, mark in zip(parts, [*glue, b""], strict=True))

    return mutation


def shuffle_rows(rng: np.random.Generator, lines: list[bytes]) -> None:
    body = lines[1:]
    lines[1:] = [body[row] for row in rng.permutation(len(body))]


MUTATIONS: dict[str, Mutation] = {
    "bits flipped": flipped,
    "bytes overwritten": overwritten,
    "cut short": cut_short,
    "cut within": cut_within,
    "a part twice": repeated_within,
    "all twice": lambda _, content: content + content,
    "lines deleted": of_lines(delete_lines),
    "a line twice": of_lines(double_a_line),
    "cells swapped": of_lines(swap_cells),
    "cells of two lines swapped": of_lines(move_a_cell_down),
    "quotes": inserted(b'"', b'""', b"'", b'"\n'),
    "zero bytes": inserted(b"\0", b"\0" * 50),
    "control characters": inserted(b"\x1b[31m", b"\x07", b"\x7f", b"\xc2\x85", b"\xe2\x80\xa8"),
    "invisible characters": inserted(b"\xef\xbb\xbf", b"\xe2\x80\x8b", b"\xc2\xa0", b" "),
    "invalid utf-8": inserted(b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"),
    "line ends": inserted(b"\n", b"\r", b"\r\n", b"\n\n"),
    "separators": inserted(b",", b"\t", b";", b",,"),
    "separators lost": replaced(b",", b""),
    "other separators": replaced(b",", b";"),
    "line ends lost": replaced(b"\n", b""),
    "line ends of a Mac": replaced(b"\n", b"\r"),
    "backslashes": replaced(b"/", b"\\"),
    "a way up": replaced(b"/", b"/../"),
    "huge field": inserted(b"x" * 140_000),
    "long field": inserted(b"x" * 5_000),
    "utf-16": saved_as("utf-16"),
    "utf-32": saved_as("utf-32"),
    "latin 1": saved_as("latin-1"),
    "shift jis": saved_as("shift-jis"),
    "nothing": lambda _, content: b"",
}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
