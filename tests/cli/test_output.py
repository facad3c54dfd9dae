"""Output arrives whatever the encoding of standard output and error."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import make_run, tdctl
from rich.console import Console
from typer.testing import CliRunner

from tdctl.cli.commands import app, main
from tdctl.cli.console import table_of
from tdctl.cli.output import echo, let_all_text_through, print_json, showable
from tdctl.files import write_json

# German, Polish, and beyond the first 65,536 letters; and a file name that is not UTF-8.
NAMES = ["Käfer 🐞", "Łoś", "caf\udce9"]
ENCODINGS = ["ascii", "cp1252", "latin-1", "utf-8", "utf-16-le"]


def stream_of(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)


def written(stream: io.TextIOWrapper) -> bytes:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_is_valid_utf8_whatever_the_stream(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    stream = stream_of(encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    print_json({"names": NAMES[:2]})
    print_json({"names": NAMES})
    text = written(stream).decode(encoding)
    first, second = (json.loads("{" + part) for part in text.split("{")[1:])
    assert first == {"names": NAMES[:2]} and second == {"names": NAMES}
    # What is no UTF-8 is ASCII, which is UTF-8 as well.
    assert text.isascii() or encoding == "utf-8"
    assert ("Käfer 🐞" in text) == (encoding == "utf-8")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_messages_and_tables_arrive(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, stream_of(encoding))
    let_all_text_through()
    echo(NAMES[1])
    echo(f"note: {NAMES[2]}", err=True)
    table = table_of(["name", "n"])
    for name in NAMES:
        table.add_row(name, "1")
    Console(file=sys.stdout, width=70).print(table)
    out = written(sys.stdout).decode(encoding)  # type: ignore[arg-type]
    err = written(sys.stderr).decode(encoding)  # type: ignore[arg-type]
    assert err == "note: caf\\udce9\n"
    assert out.startswith("Łoś\n" if encoding.startswith("utf") else r"\u0141o")
    rows = [line for line in out.splitlines() if line.rstrip(" |").endswith("1")]
    assert len(rows) == 3
    if encoding == "cp1252":
        assert r"Käfer \U0001f41e" in out
        assert len(set(map(len, rows))) == 1  # the columns stay in line


def test_a_stream_shows_what_it_holds() -> None:
    assert showable("Käfer Łoś", stream_of("latin-1")) == r"Käfer \u0141o\u015b"
    assert showable("Käfer Łoś", stream_of("utf-8")) == "Käfer Łoś"


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "tdctl", *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        timeout=300,
    )


def named_run(folder: Path) -> Path:
    make_run(folder, n=30, classes=3)
    index = range(90)
    names = [f"train/{NAMES[row % 2]}/{row}.png" for row in index]
    pd.DataFrame({"index": index, "file_name": names}).to_csv(folder / "samples.csv", index=False)
    write_json(folder / "manifest.json", {"dataset": {"class_names": [*NAMES[:2], "c2"]}})
    return folder


def test_a_ranking_reaches_a_code_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = named_run(tmp_path / "r")
    asked = ("detect", "--td", run, "--score", "aum", "--top", 30)
    with monkeypatch.context() as patch:
        for name in ("stdout", "stderr"):
            patch.setattr(sys, name, stream_of("cp1252"))
        patch.setattr(sys, "argv", ["tdctl", *map(str, asked)])
        for name in ("stop_on_sigterm", "tune_environment"):
            patch.setattr(f"tdctl.cli.commands.{name}", lambda: None)
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code and not written(sys.stderr)  # type: ignore[arg-type]
        shown = written(sys.stdout)  # type: ignore[arg-type]
    assert r"\u0141o\u015b" in shown.decode("cp1252")
    found = CliRunner(charset="ascii").invoke(app, [*map(str, asked), "--json"])
    rows = json.loads(found.stdout_bytes.decode("ascii"))["worst"]
    assert {row["given_label"] for row in rows} == {*NAMES[:2], "c2"}


@pytest.mark.skipif(sys.platform == "win32", reason="the locale C is of other systems")
def test_the_locale_c_changes_no_file_name(tmp_path: Path) -> None:
    data = tmp_path / "Łoś"
    data.mkdir()
    found = command(
        *("cache", "--cache-dir", data, "--json"),
        LC_ALL="C",
        PYTHONUTF8="0",
        PYTHONCOERCECLOCALE="0",
    )
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout.decode("ascii"))["folder"] == str(data)

    asked = ("generate-td", "--dataset", "folder", "--data-dir", str(data), "--print-config")
    printed = CliRunner(charset="ascii").invoke(app, asked).stdout_bytes
    assert yaml.safe_load(printed.decode("ascii"))["data"]["data_dir"] == str(data)
    file = tmp_path / "again.yaml"
    file.write_bytes(printed)
    again = tdctl("generate-td", "--config", file, "--print-config")
    assert again.exit_code == 0 and str(data) in again.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
@pytest.mark.parametrize("arguments", [("--help",), ("generate-td", "--help"), ("scores",)])
def test_a_full_disk_is_one_line_for_help_too(arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tdctl", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1 and done.stderr == "tdctl: error: No space left on device\n"
