"""Figures: what they draw of odd and of large inputs, and that their files are safe and equal."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tdctl import figures
from tdctl.errors import ConfigError, DataError

ODD = ["$x^2$", "</script>", "a\nb", "naïve", "\udcff", "日本", "x" * 300, "='a'!"]


def ranked(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    flipped = rng.random(n) < 0.2
    # Rounded, so that some are equal.
    return np.round(rng.normal(flipped * 1.5, 1), 1), flipped


def one(draw: Callable[[Any], object]) -> str:
    figure = figures.new_figure()
    draw(figure.subplots())
    return figures.svg_text(figure, "a", "what is seen")


def test_auc_and_ap_are_those_of_sklearn_ties_included() -> None:
    suspicion, flipped = ranked()
    ax = figures.new_figure().subplots()
    assert figures.draw_roc(ax, suspicion, flipped) == pytest.approx(
        roc_auc_score(flipped, suspicion)
    )
    assert figures.draw_pr(ax, suspicion, flipped) == pytest.approx(
        average_precision_score(flipped, suspicion)
    )


@pytest.mark.parametrize("flipped", [np.zeros(5, bool), np.ones(5, bool)], ids=["none", "all"])
def test_without_two_kinds_there_is_no_roc_and_no_pr(flipped: np.ndarray) -> None:
    for draw in (figures.draw_roc, figures.draw_pr):
        with pytest.raises(DataError, match="label of this run is known to be wrong"):
            draw(figures.new_figure().subplots(), np.arange(5.0), flipped)


def test_the_histogram_tells_the_kinds_and_the_cut() -> None:
    suspicion, flipped = ranked()
    text = one(lambda ax: figures.draw_histogram(ax, suspicion, 1.0, flipped))
    assert f"right ({(~flipped).sum()})" in text and f"wrong ({flipped.sum()})" in text
    assert f"cut: {(suspicion >= 1).sum()} above" in text
    # Samples with the same suspicion may lie on both sides of the cut.
    assert "cut: 2 above" in one(lambda ax: figures.draw_histogram(ax, np.ones(3), 1.0, None, 2))
    assert "all labels (400)" in one(lambda ax: figures.draw_histogram(ax, suspicion))
    assert "all labels (3)" in one(lambda ax: figures.draw_histogram(ax, np.ones(3)))


def test_pairs_of_classes_are_counted_and_only_the_most_frequent_drawn() -> None:
    given, suggested = np.array([0, 0, 1, 2, 2]), np.array([1, 1, 1, 0, 1])
    assert figures.confused_pairs(given, suggested) == [(0, 1, 2), (2, 0, 1), (2, 1, 1)]
    assert figures.confused_pairs(given, given) == []
    k = 1000
    many, other = np.arange(k), np.roll(np.arange(k), 1)
    names = [f"class {label}" for label in range(k)]
    text = one(lambda ax: figures.draw_confusion(ax, many, other, names))
    assert "980 rarer pairs are not drawn" in text and text.count(" → ") == 21


def test_odd_names_are_drawn_as_they_are_in_one_line() -> None:
    k = len(ODD)
    given, suggested = np.arange(k), (np.arange(k) + 1) % k
    text = one(lambda ax: figures.draw_confusion(ax, given, suggested, ODD))
    assert "$x^2$ → &lt;/script&gt;" in text and "</script" not in text
    bands = [figures.band_of(name, np.full((3, 4), 0.5)) for name in ODD]
    assert "$x^2$ (3)" in one(lambda ax: figures.draw_curves(ax, bands))
    assert figures.plain("a\nb\x00\u202ec") == "a b c"
    assert len(figures.plain("x" * 300)) == 32


def test_an_svg_for_a_page_asks_for_nothing_and_its_ids_are_its_own() -> None:
    figure = figures.new_figure()
    figures.draw_curves(figure.subplots(), [figures.band_of("a", np.ones((2, 3)))])
    text = figures.svg_text(figure, "one", 'curves of "a" & b')
    assert text.startswith('<svg role="img" aria-label="curves of &quot;a&quot; &amp; b"')
    assert "<metadata" not in text and "<?xml" not in text and "<!DOCTYPE" not in text
    assert 'id="one-figure_1"' in text and 'id="figure_1"' not in text
    assert "url(#one-" in text or "url(#" not in text


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_equal_content_gives_equal_files(tmp_path: Path, kind: str) -> None:
    for name in "ab":
        figure = figures.new_figure()
        figures.draw_data_map(figure.subplots(), np.linspace(0, 1, 9), np.ones(9), np.arange(9) < 2)
        figures.save_figure(figure, tmp_path / f"{name}.{kind}")
    assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"written as \.svg, \.png or \.pdf"):
        figures.save_figure(figures.new_figure(), tmp_path / "a.gif")


def test_a_million_samples_are_drawn_in_seconds_and_small_files() -> None:
    n = 1_000_000
    suspicion, flipped = ranked(n)
    started = time.monotonic()
    sizes = [
        len(one(lambda ax: figures.draw_histogram(ax, suspicion, 1.0, flipped))),
        len(one(lambda ax: figures.draw_roc(ax, suspicion, flipped))),
        len(one(lambda ax: figures.draw_pr(ax, suspicion, flipped))),
    ]
    text = one(lambda ax: figures.draw_data_map(ax, suspicion, suspicion, flipped))
    assert "20,000 of 1,000,000 samples drawn" in text
    assert max(*sizes, len(text)) < 400_000
    assert time.monotonic() - started < 20
    band = figures.band_of("a", np.zeros((30_000, 2), np.float16), n)
    text = one(lambda ax: figures.draw_curves(ax, [band]))
    assert "a (1,000,000, 20,000 drawn)" in text


def test_a_grid_has_pictures_of_any_size_and_a_place_for_one_that_is_gone() -> None:
    figure = figures.sized_for_samples(3)
    pictures = [np.zeros((4, 9, 3), np.uint8), np.zeros((8, 8), np.uint8), None]
    figures.draw_samples(figure, pictures, [["a", "b → $c$"], ["d"], ["e"]])
    text = figures.svg_text(figure, "a", "pictures")
    assert "no picture" in text and "b → $c$" in text


def test_the_log_leaves_out_what_was_not_recorded() -> None:
    figure = figures.new_figure()
    errors, losses = figure.subplots(1, 2)
    columns = {"train_error": [0.5, 0.25], "train_loss": [2.0, 1.0], "valid_error": [None, None]}
    figures.draw_log(errors, losses, columns)
    assert [line.get_label() for line in errors.lines] == ["training"]
    assert errors.lines[0].get_ydata().tolist() == [50, 25]


def test_a_sweep_averages_seeds_and_draws_what_removes_nothing_level() -> None:
    ax = figures.new_figure().subplots()
    rows = [
        figures.Retrained("all labels", None, 0.2),
        figures.Retrained("pruned", 0.1, 0.1),
        figures.Retrained("pruned", 0.1, 0.3),
        figures.Retrained("pruned", 0.2, 0.1),
    ]
    figures.draw_sweep(ax, rows)
    level, pruned = ax.lines
    assert level.get_ydata()[0] == pytest.approx(20)
    assert pruned.get_ydata().tolist() == pytest.approx([20, 10])
