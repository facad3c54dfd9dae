"""What commands print: tables that fit a terminal, and progress lines."""

from __future__ import annotations

import pytest
from rich.console import Console

from tdctl.cli.console import table_of
from tdctl.cli.progress_lines import shown_progress
from tdctl.training import Progress


@pytest.mark.parametrize("width", [48, 60, 200])
def test_a_table_shows_every_cell_to_its_end(width: int) -> None:
    shown = Console(width=width, markup=False)
    table = table_of(["name", "what", "count"], whole=["name"], right=["count"])
    table.add_row("oof-self-confidence", "w" * 90, "12,345")
    with shown.capture() as got:
        shown.print(table)
    text = got.get()
    assert "oof-self-confidence" in text and "12,345" in text
    assert text.count("w") == 91 and "…" not in text  # with the header's
    assert max(map(len, text.splitlines())) <= width


def test_progress_names_what_it_counts(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress() as report:
        report(Progress("ranking a", 5, 9, 0, 0, images_per_second=1234, counted="sample"))
    with shown_progress() as report:
        report(Progress("generate-td", 1, 2, 3, 4, loss=0.5, seconds_left=61))
    with shown_progress(quiet=True) as report:
        report(Progress("generate-td", 2, 2, 4, 4))
    told = capsys.readouterr()
    assert not told.out
    lines = told.err.splitlines()
    assert lines == [
        "ranking a: sample 5/9, 1,234/s",
        "generate-td: epoch 1/2, loss 0.500, 0:01:01 left",
    ]
