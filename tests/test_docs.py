"""The documentation: its links lead somewhere, its commands parse, its tables are the results'."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import typer
import yaml
from typer.core import TyperGroup
from typer.main import get_command

import tdctl
from scripts.experiments.tables import __main__ as tables
from tdctl.cli import app

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "replication").glob("*.md")),
]
EXPERIMENTS = [p for p in PAGES if p.parent.name == "replication" and p.name != "README.md"]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
CODE = re.compile(r"^```(?:sh|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMAND = get_command(app)
assert isinstance(COMMAND, TyperGroup)
# The base of typer's usage errors, which typer does not name itself.
UsageError = typer.BadParameter.__mro__[1]
each_page = pytest.mark.parametrize("page", PAGES, ids=NAMES)


def slugs(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    heads = re.findall(r"^#+ (.+)$", CODE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in heads}


def commands(page: Path) -> list[list[str]]:
    """The calls of tdctl in a page's blocks of code, each as its words."""
    found = []
    for block in CODE.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            for call in line.removeprefix("$ ").split("&&"):
                words = shlex.split(call, comments=True)
                if words[:1] == ["tdctl"]:
                    found.append(words[1:])
                elif words[:1] == ["torchrun"]:
                    found.append(words[words.index("tdctl") + 1 :])
    return found


def test_the_readme_fits_on_a_few_screens() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@each_page
def test_relative_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{path} is no file"
        if anchor:
            assert anchor in slugs(target), f"{path}#{anchor} is no heading"


@each_page
def test_commands_of_tdctl_parse(page: Path) -> None:
    for words in commands(page):
        # A missing file is not what is tested here: the examples name files of a reader.
        try:
            parse(words)
        except typer.Exit as done:
            assert done.exit_code == 0  # --help and --version


def parse(words: list[str]) -> None:
    if not words or words[0].startswith("-"):
        COMMAND.make_context("tdctl", words or ["--help"])
        return
    assert words[0] in COMMAND.commands, f"tdctl {words[0]} is no command"
    COMMAND.commands[words[0]].make_context(words[0], words[1:])


@cache
def known_options() -> tuple[set[str], str]:
    """The options of tdctl, and the text of all scripts."""
    known = {"--help", "--version"}
    for command in COMMAND.commands.values():
        for parameter in command.params:
            known |= {*parameter.opts, *parameter.secondary_opts}
    files = [path for path in (ROOT / "scripts").rglob("*") if path.suffix in {"", ".py", ".sh"}]
    return known, "".join(file.read_text(encoding="utf-8") for file in files if file.is_file())


def test_the_pages_hold_what_is_checked() -> None:
    """Else the checks of each page would find nothing, and pass."""
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert sum(len(commands(page)) for page in PAGES) > 30
    assert len(LINK.findall(text)) > 50 and len(re.findall(r"`--[a-z]", text)) > 50
    assert text.count("```python\n") > 2 and "scripts/" in text and "tests/" in text


def test_an_option_that_does_not_exist_is_found() -> None:
    with pytest.raises(UsageError):
        parse(["detect", "--td", "runs/a", "--no-such-option"])


@each_page
def test_options_in_the_text_exist(page: Path) -> None:
    known, scripts = known_options()
    for span in re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")):
        for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", span):
            assert option in known or option in scripts, option


@each_page
def test_files_of_the_repository_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"(?<![\w/.-])((?:scripts|tests|configs|tdctl|docs)/[\w./*-]*\w)", text):
        # `tdctl/detector` of `git show` is a place in another commit.
        assert [*ROOT.glob(path)] or f":{path}" in text, path
    # NAME in capitals stands for a name of the reader's.
    for module in re.findall(r"-m (scripts\.[a-z_.]*[a-z_])(?![\w.]*[A-Z])", text):
        place = ROOT / module.replace(".", "/")
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), module


def test_every_public_name_is_in_the_api_reference() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^::: tdctl\.(\w+)$", text, re.MULTILINE)) == sorted(
        set(tdctl.__all__)
    )


def test_every_page_is_in_the_menu() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    listed = {page for part in nav for pages in part.values() for page in [*_flat(pages)]}
    pages = {"index.md" if name == "README.md" else name.removeprefix("docs/") for name in NAMES}
    assert listed == pages | {"CHANGELOG.md"}


def _flat(pages: str | list[str]) -> list[str]:
    return [pages] if isinstance(pages, str) else pages


@pytest.mark.parametrize("page", EXPERIMENTS, ids=lambda page: page.stem)
def test_an_experiment_begins_with_its_claim_and_is_listed(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert lines[2] == "| claim | published | ours | command | seeds | hours |"
    overview = (ROOT / "replication" / "README.md").read_text(encoding="utf-8")
    assert f"]({page.name})" in overview


def test_the_tables_are_what_the_results_say() -> None:
    outcome = subprocess.run(
        [sys.executable, "-m", "scripts.experiments.tables", "--check"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    marked = {name for page in PAGES for name in tables_in(page)}
    assert marked == set(tables.TABLES), "each table stands in a page"


def tables_in(page: Path) -> list[str]:
    return re.findall(r"<!-- table: ([\w-]+) -->", page.read_text(encoding="utf-8"))


def test_a_table_that_was_changed_by_hand_is_found_and_written_anew(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- table: rounds -->\n| old |\n<!-- end of table -->\nafter\n")
    assert tables.main(["--check", str(page)]) == 1 and "| old |" in page.read_text()
    assert tables.main([str(page)]) == 0
    assert page.read_text().startswith("before\n<!-- table: rounds -->\n| recorded |")
    assert page.read_text().endswith("|\n<!-- end of table -->\nafter\n")
    assert tables.main(["--check", str(page)]) == 0


def test_the_tables_need_no_torch() -> None:
    code = "import sys, scripts.experiments.tables.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_python_examples_are_python() -> None:
    for page in PAGES:
        for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.M):
            ast.parse(block)


@pytest.mark.parametrize("file", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda f: f.stem)
def test_a_config_opens_with_claim_command_hours_and_figure(file: Path) -> None:
    head = file.read_text(encoding="utf-8")
    places = [head.find(f"# {word}:") for word in ("Claim", "Command", "Hours", "Expect")]
    assert places[0] == 0 and places == sorted(places) and -1 not in places


def test_the_citation_is_whole() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["authors"] == [{"name": "The tdctl developers"}]
    assert cited["references"][0]["year"] == 2023
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{cited["version"]}"' in text


def test_each_hook_is_a_step_of_scripts_check() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    check = (ROOT / "scripts" / "check").read_text(encoding="utf-8")
    for hook in hooks["repos"][0]["hooks"]:
        program, step = hook["entry"].split()
        assert program == "scripts/check" and re.search(rf"^    {step}\)", check, re.MULTILINE)
