"""Puts the pages and files outside docs/ into the site: mkdocs calls this (hooks in mkdocs.yml).

README.md becomes the first page. Links are written as they work in the repository; here they are
changed to where the pages stand in the site.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "CONTRIBUTING.md"}
COPIED = ("CHANGELOG.md", "CITATION.cff", "LICENSE")
LINK = re.compile(r"(?<=\]\()(?!https?:|#|mailto:)([^)#\s]+)")


def on_files(files: Any, config: Any) -> Any:
    """Adds the files; those of the repository's root under their own names."""
    found = {**PAGES, **{name: name for name in COPIED}}
    for pattern in ("replication/*.md", "replication/results/*.json", "configs/*.yaml"):
        found |= {str(p.relative_to(ROOT)): str(p.relative_to(ROOT)) for p in ROOT.glob(pattern)}
    for source, name in found.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Changes the links of a page from the repository's places to the site's."""
    name = page.file.src_uri
    source = next((source for source, uri in PAGES.items() if uri == name), None)
    if source is None:
        source = name if name.startswith("replication/") else f"docs/{name}"
    folder = (ROOT / source).parent

    def moved(link: re.Match[str]) -> str:
        target = (folder / link[1]).resolve()
        if not target.is_relative_to(ROOT):
            return link[1]
        return "../" * name.count("/") + _uri(target.relative_to(ROOT).as_posix())

    return LINK.sub(moved, markdown)


def _uri(path: str) -> str:
    """Where a file of the repository stands in the site."""
    return PAGES.get(path, path.removeprefix("docs/"))
