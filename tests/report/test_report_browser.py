"""The report in Chromium: reviews by keys and mouse, kept, saved, applied; hostile names; axe.

``TDCTL_REVIEW_RUN`` names a finished run of 220 samples or more. The review by keys, which is saved
and applied, then works on the report of that run, with what ranks it by default.
"""

from __future__ import annotations

import csv
import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import DRIVER, axe, chromium, opened
from conftest import make_image_folder, make_run, tdctl, tiny_config
from PIL import Image

from tdctl import runner
from tdctl.cells import safe_cell
from tdctl.rankers import LooksWrong
from tdctl.scores import find_score

pytestmark = pytest.mark.browser

SCORE = ("--score", "aum", "--quiet")
# A page that may not keep anything, as some browsers treat files from disk.
BLOCKED = "Object.defineProperty(window, 'localStorage', {get() { throw new Error('no'); }});"
HOSTILE = [
    "</script><script>window.hacked=1</script>.png",
    "<img src=x onerror=window.hacked=1>.png",
    "<!--<script>.png",
    "quo\"te's & ampersand.png",
    "two\nlines.png",
    "carriage\rreturn.png",
    "\u202egnp.txt",
    "שלום/مرحبا.png",
    "x" * 300 + ".png",
    '=HYPERLINK("http://example.com","x")',
    "+1.png",
    "-2.png",
    "@SUM(A1).png",
    "'=quoted.png",
    "''twice.png",
    "{{ 7 * 7 }}.png",
    "line\u2028separator.png",
    "$x^2$ \\frac{.png",
    "100%25 #hash?.png",
    "comma, semicolon; tab\t.png",
]


@pytest.fixture(scope="module", autouse=True)
def _one_driver() -> Iterator[None]:
    yield
    DRIVER.stop()


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of 400 digits, and its report."""
    chromium()
    folder = tmp_path_factory.mktemp("report")
    run = runner.generate_td(tiny_config(data__limit=400), folder / "run").folder
    result = tdctl("report", "--td", run, "--out", folder / "report.html", *SCORE)
    assert result.exit_code == 0, result.output
    return run, folder / "report.html"


@pytest.fixture(scope="module")
def reviewed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, pd.DataFrame]:
    """The run that is reviewed, its report, and its ranking, worst first."""
    if asked := os.environ.get("TDCTL_REVIEW_RUN"):
        chromium()
        run, page = Path(asked), tmp_path_factory.mktemp("reviewed") / "report.html"
        result = tdctl("report", "--td", run, "--out", page, "--quiet")
        assert result.exit_code == 0, result.output
        return run, page, runner.detect(run, Path("auto")).table
    run, page = request.getfixturevalue("digits")
    return run, page, runner.detect(run, find_score("aum")).table


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run without pictures."""
    chromium()
    folder = tmp_path_factory.mktemp("made")
    run = make_run(folder / "run", n=300, classes=12)
    result = tdctl("report", "--td", run, "--out", folder / "report.html", *SCORE)
    assert result.exit_code == 0, result.output
    return folder / "report.html"


def rows_of(file: Path) -> dict[int, dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened_file:
        return {int(row["index"]): row for row in csv.DictReader(opened_file)}


def test_a_review_by_keys_is_kept_saved_and_applied(
    tmp_path: Path, reviewed: tuple[Path, Path, pd.DataFrame]
) -> None:
    run, report, ranking = reviewed
    classes = sorted(map(str, ranking["given_label"].unique()))
    expected: dict[int, str] = {}
    with opened(report, tmp_path / "profile") as page:
        page.page.locator(".card").first.focus()
        columns = (ranking[name] for name in ("index", "given_label", "suggested_label"))
        for place, (index, given, suggested) in enumerate(zip(*columns, strict=True)):
            if place == 20:
                break
            key = "rkdul"[place % 5]
            if key == "r" and given == suggested:
                key = "k"
            page.press(key)
            if key == "l":
                label = next(name for name in classes[place % 3 :] if name != str(given))
                page.page.keyboard.type(label)
                page.press("Enter")
            else:
                label = {"k": given, "u": given, "r": suggested, "d": "dropped"}[key]
            expected[index] = str(label)
        assert page.text("#progress").count("20 in all") == 1, page.text("#progress")
        # 200 at once: from the 21st on, by Shift and arrows, without the mouse.
        for _ in range(199):
            page.press("Shift+ArrowRight")
        assert page.text("#count").startswith("200 of ")
        page.press("d")
        for index in ranking["index"].iloc[20:220]:
            expected[index] = "dropped"
        progress = page.text("#progress")
        assert "220 in all" in progress
        page.page.reload()
        assert page.text("#progress") == progress
        review = page.saved(tmp_path / "review.csv")
        assert not page.errors and not page.requests
    # Another visit with the same profile: decisions outlive the browser.
    with opened(report, tmp_path / "profile") as page:
        assert page.text("#progress") == progress
    labels = tmp_path / "labels.csv"
    result = tdctl("apply-review", "--td", run, review, "--out", labels)
    assert result.exit_code == 0, result.output
    got = pd.read_csv(labels, dtype=str).set_index("index")["label"].to_dict()
    for index, given in zip(ranking["index"], ranking["given_label"], strict=True):
        wanted = expected.get(index, str(given))
        assert got.get(str(index), "dropped") == wanted, index


def test_the_key_o_opens_the_original_file_at_its_full_size(tmp_path: Path) -> None:
    chromium()
    data = make_image_folder(tmp_path / "my photos", per_class=4)
    odd = sorted((data / "train" / "dark").iterdir())[0]
    large = np.random.default_rng(0).integers(0, 60, (420, 700, 3), dtype=np.uint8)
    for path in (data / "train" / "light").iterdir():
        path.unlink()
        # Names that mean something in a URL; these files are larger than any picture of a page.
        Image.fromarray(large).save(path.with_name(f"50% #{path.stem}?&é ñ.png"))
    odd.rename(odd.with_name("a+b;c.png"))
    config = tiny_config(
        data__dataset="folder", data__data_dir=str(data), data__image_size=16, data__limit=None
    )
    run = runner.generate_td(config, tmp_path / "run").folder
    report = tmp_path / "pages" / "report.html"
    report.parent.mkdir()
    result = tdctl("report", "--td", run, "--out", report, *SCORE)
    assert result.exit_code == 0, result.output
    sizes = {}
    with opened(report, tmp_path / "profile") as page:
        page.page.locator(".card").first.focus()
        for _ in range(8):
            name = page.page.locator(".card.current .file").get_attribute("title")
            with page.page.context.expect_page() as other:
                page.press("o")
            image = other.value.locator("img")
            image.wait_for()
            sizes[name] = image.evaluate("one => [one.naturalWidth, one.naturalHeight]")
            other.value.close()
            page.press("ArrowRight")
        # From the large picture, too.
        page.press("Enter")
        with page.page.context.expect_page() as other:
            page.press("o")
        other.value.locator("img").wait_for()
        assert not page.errors and not page.requests
    assert len(sizes) == 8
    for name, size in sizes.items():
        with Image.open(data / str(name)) as file:
            assert list(file.size) == size, name
    assert [700, 420] in sizes.values()


def test_undo_lasso_and_any_class_by_its_name(tmp_path: Path, made: Path) -> None:
    with opened(made, tmp_path / "p") as page:
        grid = page.page.locator("#grid")
        grid.scroll_into_view_if_needed()
        box = grid.bounding_box()
        mouse = page.page.mouse
        mouse.move(box["x"] + 30, box["y"] + 30)
        mouse.down()
        mouse.move(box["x"] + 300, box["y"] + 60, steps=4)
        mouse.up()
        assert page.text("#count").startswith("2 of 300"), "a box around two cards"
        page.page.locator('.bar [data-act="choose"]').click()
        page.page.keyboard.type("11")
        assert page.page.locator("#choose-list li").count() == 1
        page.press("Enter")
        assert "2 relabelled" in page.text("#progress")
        page.press("z")
        assert "relabelled" not in page.text("#progress")
        page.press("Shift+Z")
        assert "2 relabelled" in page.text("#progress")
        # The range from the first card to the sixth, by Shift and click, without a decision yet.
        cards = page.page.locator(".card")
        cards.nth(0).locator(".text").click()
        cards.nth(4).locator(".text").click(modifiers=["Shift"])
        assert page.text("#count").startswith("5 of 300")
        page.page.locator("#none").click()
        page.page.locator("#all").click()
        assert page.text("#count").startswith("300 of 300")
        assert not page.errors and not page.requests


def test_filters_sorting_search_and_pairs(tmp_path: Path, made: Path) -> None:
    with opened(made, tmp_path / "p") as page:

        def count() -> int:
            return int(page.text("#count").split()[0])

        page.page.locator("#given").select_option("3")
        of_class = count()
        assert 0 < of_class < 300
        page.page.locator("#sheet").check()
        assert page.page.locator(".card").count() >= of_class - 1
        page.page.locator("#sheet").uncheck()
        page.page.locator("#differs").check()
        assert count() < of_class
        page.page.locator("#reset").click()
        page.page.locator(".card").first.focus()
        page.press("k", "d")
        page.page.locator("#decided").select_option("drop")
        assert count() == 1
        page.page.locator("#decided").select_option("none")
        assert count() == 298
        page.page.locator("#reset").click()
        page.page.locator("#sort").select_option("calm")
        assert page.page.locator(".rank").first.inner_text() == "300"
        page.page.locator("#search").fill("no such name")
        page.page.locator("#empty").wait_for(state="visible")
        page.page.locator("#reset").click()
        page.page.locator(".show-pair").first.click()
        pair = page.page.locator(".pairs tbody tr").first.locator("td")
        assert (
            count() > 0
            and pair.nth(0).inner_text() in page.page.locator(".card .line b").first.inner_text()
        )
        # Decisions survive all of it.
        assert "2 in all" in page.text("#progress")
        assert not page.errors


def test_two_reviewers_are_merged_and_conflicts_shown(tmp_path: Path, made: Path) -> None:
    with opened(made, tmp_path / "one") as page:
        page.page.locator(".card").first.focus()
        page.press("k", "k", "u", "d")
        page.saved(tmp_path / "one.csv")
    with opened(made, tmp_path / "two") as page:
        page.page.locator(".card").first.focus()
        page.press("k", "d", "d", "d", "k")
        page.page.locator("#file").set_input_files(str(tmp_path / "one.csv"))
        page.page.locator("#conflicts[open]").wait_for()
        rows = page.page.locator("#conflicts-rows tr")
        assert rows.count() == 1, "keep against drop; cannot tell gives way"
        page.page.locator("#theirs-all").click()
        page.page.locator("#merge").click()
        two = rows_of(page.saved(tmp_path / "two.csv"))
        page.press("z")
        undone = rows_of(page.saved(tmp_path / "undone.csv"))
    kinds = sorted(row["decision"] for row in two.values())
    assert kinds == ["drop", "drop", "keep", "keep", "keep"]
    assert sorted(row["decision"] for row in undone.values()).count("drop") == 3
    wrong = (tmp_path / "one.csv").read_text().replace(",keep,", ",keeep,", 1)
    (tmp_path / "wrong.csv").write_text(wrong)
    with opened(made, tmp_path / "three") as page:
        page.page.locator("#file").set_input_files(str(tmp_path / "wrong.csv"))
        banner = page.page.locator("#storage")
        banner.wait_for(state="visible")
        assert "keeep" in banner.inner_text() and "0 of" in page.text("#progress")


def test_a_browser_that_keeps_nothing_is_told_at_once(tmp_path: Path, made: Path) -> None:
    with opened(made, tmp_path / "p", init=BLOCKED) as page:
        assert "save review.csv" in page.text("#storage")
        page.page.locator(".card").first.focus()
        page.press("k")
        assert len(rows_of(page.saved(tmp_path / "r.csv"))) == 1
        assert not page.errors


def test_without_scripts_the_worst_fifty_are_there(tmp_path: Path, made: Path) -> None:
    with opened(made, tmp_path / "p", java_script_enabled=False) as page:
        assert page.page.locator("noscript table tbody tr").count() == 50
        assert page.page.locator("figure svg").count() >= 5
        assert not page.page.locator(".show-pair").first.is_visible()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of files and classes with such names, and its report."""
    chromium()
    folder = tmp_path_factory.mktemp("hostile")
    run = make_run(folder / "run", n=120, classes=len(HOSTILE))
    index = runner.detect(run, find_score("aum")).table["index"].sort_values()
    names = [f"{number}/{HOSTILE[number % len(HOSTILE)]}" for number in range(len(index))]
    # The worst of them begin as formulas do.
    names[: len(HOSTILE)] = HOSTILE
    for file, head, rows in (
        ("samples.csv", ("index", "file_name"), zip(index, names, strict=True)),
        ("class_names.csv", ("class", "class_name"), enumerate(HOSTILE)),
    ):
        with (run / file).open("w", encoding="utf-8", newline="") as out:
            table = csv.writer(out, quoting=csv.QUOTE_ALL)
            table.writerow(head)
            table.writerows((number, safe_cell(name)) for number, name in rows)
    result = tdctl("report", "--td", run, "--out", folder / "report.html", *SCORE)
    assert result.exit_code == 0, result.output
    return run, folder / "report.html"


def test_hostile_names_are_text(tmp_path: Path, hostile: tuple[Path, Path]) -> None:
    run, report = hostile
    table = runner.detect(run, find_score("aum")).table
    with opened(report, tmp_path / "p") as page:
        page.press("a")
        page.page.locator('.bar [data-act="relabel"]').click()
        # The others keep their labels: the suggestion is the same.
        page.page.locator("#differs").check()
        page.page.locator("#sheet").check()
        page.press("Escape")
        review = page.saved(tmp_path / "review.csv")
        page.page.locator("#reset").click()
        page.page.locator("#sheet").uncheck()
        page.page.locator(".card").first.focus()
        page.press("Enter")
        assert page.text("#large-title")
        page.press("Escape")
        assert page.page.evaluate("window.hacked") is None
        assert not page.errors and not page.requests
    text = review.read_text(encoding="utf-8")
    for cell in (cell for row in csv.reader(text.splitlines()) for cell in row[1:]):
        assert not cell.startswith(tuple("=+-@\t")), cell
    labels = tmp_path / "labels.csv"
    result = tdctl("apply-review", "--td", run, review, "--out", labels)
    assert result.exit_code == 0, result.output
    got = pd.read_csv(labels, keep_default_na=False, dtype=str)
    suggested = dict(zip(table["index"].astype(str), table["suggested_label"], strict=True))
    assert (got["label"] == [safe_cell(str(suggested[index])) for index in got["index"]]).all()
    # Loaded again, and saved again, the review is the same.
    with opened(report, tmp_path / "again") as page:
        page.page.locator("#file").set_input_files(str(review))
        page.page.wait_for_function("document.querySelector('#said').textContent.includes('taken')")
        assert page.saved(tmp_path / "again.csv").read_bytes() == review.read_bytes()
    with opened(report, tmp_path / "off", java_script_enabled=False) as page:
        assert page.page.locator("noscript tbody tr").count() == 50


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious(
    tmp_path: Path, digits: tuple[Path, Path], scheme: str, width: int
) -> None:
    program = axe()
    size = {"width": width, "height": 800}
    # The page's policy lets no other script run: it is put aside for the checker alone.
    with opened(
        digits[1], tmp_path / "p", color_scheme=scheme, viewport=size, bypass_csp=True
    ) as page:
        page.page.locator(".card").first.focus()
        page.press("k", "r", "d", "u", " ")
        page.page.evaluate(program)
        found = list(serious(page.page))
        page.press("Enter")
        page.page.locator("#large[open]").wait_for()
        found += serious(page.page)
        page.press("l")
        page.page.locator("#choose[open]").wait_for()
        found += serious(page.page)
        assert not found, "\n".join(found)


def serious(page: object) -> list[str]:
    result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")  # type: ignore[attr-defined]
    return [
        f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}"
        for one in result["violations"]
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.slow
def test_a_hundred_thousand_cards_do_not_stutter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chromium()
    # How many labels are wrong takes a detector some seconds to say; here it does not matter.
    report = importlib.import_module("tdctl.runner.report")
    monkeypatch.setattr(report, "looks_wrong", lambda result, _: LooksWrong(result, None, None))
    run = make_run(tmp_path / "run", n=100_000, classes=4, epochs=4)
    out = tmp_path / "report.html"
    result = tdctl("report", "--td", run, "--out", out, "--max-bytes", 40_000_000, *SCORE)
    assert result.exit_code == 0, result.output
    with opened(out, tmp_path / "p") as page:
        assert page.text("#count") == "100,000 pictures"
        frames = page.page.evaluate(
            """async () => {
              const grid = document.getElementById("grid"), times = [];
              for (let i = 0; i < 60; i++) {
                grid.scrollTop += 1500 + 40000 * (i % 3);
                const start = performance.now();
                await new Promise(requestAnimationFrame);
                await new Promise(requestAnimationFrame);
                times.push(performance.now() - start);
              }
              return times;
            }"""
        )
        assert page.page.locator(".card").count() < 100
        # Two frames of 16 ms, and room for a busy machine, which delays most of them.
        assert np.quantile(frames, 0.25) < 200, frames
        page.page.locator(".card").first.focus()
        page.press("End")
        assert page.page.locator(".card.current .rank").inner_text() == "100000"
        page.press("k")
        assert not page.errors
