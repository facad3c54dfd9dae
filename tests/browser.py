"""Chromium for the tests of the report, and axe: found where they are, else the test says why not.

``TDCTL_BROWSER`` names another browser of Chromium's kind, ``TDCTL_AXE`` the file ``axe.min.js``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
AXE = Path(__file__).parent.parent / ".venv" / "axe" / "axe.min.js"


def chromium() -> str:
    """The path of the browser; skips the test where there is none."""
    if find_spec("playwright") is None:
        pytest.skip("the package playwright is not installed; scripts/test installs it")
    found = os.environ.get("TDCTL_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("there is no Chromium: apt-get install chromium, or name one in TDCTL_BROWSER")
    return found


def axe() -> str:
    """The program of the accessibility checker; skips the test where there is none."""
    path = Path(os.environ.get("TDCTL_AXE", AXE))
    if not path.exists():
        pytest.skip("axe-core is not there; scripts/test gets it where npm is")
    return path.read_text(encoding="utf-8")


class Opened:
    """A page in the browser; what it asked for and complained of is in lists."""

    def __init__(self, page: Any, file: Path) -> None:
        self.page, self.file = page, file
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._asked(request.url))

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.errors.append(text)

    def _asked(self, url: str) -> None:
        if url != self.file.as_uri() and not url.startswith(("data:", "blob:")):
            self.requests.append(url)

    def goto(self) -> None:
        self.page.goto(self.file.as_uri())

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).inner_text())

    def saved(self, to: Path) -> Path:
        with self.page.expect_download() as download:
            self.page.locator("#save").click()
        download.value.save_as(to)
        return to


class Driver:
    """Playwright's own process: started for the first page, and one for all pages of a module."""

    def __init__(self) -> None:
        self._running: Any = None

    def chromium(self) -> Any:
        if self._running is None:
            from playwright.sync_api import sync_playwright

            self._running = sync_playwright().start()
        return self._running.chromium

    def stop(self) -> None:
        if self._running is not None:
            self._running.stop()
            self._running = None


DRIVER = Driver()


@contextmanager
def opened(file: Path, profile: Path, **how: Any) -> Iterator[Opened]:
    """A report in a browser of its own profile, which remembers what is kept in it."""
    path = chromium()
    how = {"viewport": {"width": 1280, "height": 900}, **how}
    init = how.pop("init", None)
    context = DRIVER.chromium().launch_persistent_context(
        str(profile), executable_path=path, args=["--no-sandbox"], **how
    )
    try:
        if init:
            context.add_init_script(init)
        page = Opened(context.new_page(), file)
        page.page.set_default_timeout(15000)
        page.goto()
        yield page
    finally:
        context.close()
