"""A headless Chromium, the distribution's own: tests are skipped where there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser. `PIPELINE_CHROMIUM` names another than the one on the path."""
    program = os.environ.get("PIPELINE_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("there is no Chromium here: install it, or name it by PIPELINE_CHROMIUM")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@dataclass
class Watched:
    """A page and what it complained about."""

    page: Any
    complaints: list[str] = field(default_factory=list)

    def goto(self, address: str) -> int:
        """Go somewhere; returns the status. That it is no success is no complaint."""
        before = len(self.complaints)
        status: int = self.page.goto(address).status
        if status >= 400:
            self.complaints[before:] = [
                one for one in self.complaints[before:] if "Failed to load resource" not in one
            ]
        return status

    def unfold(self) -> None:
        """Open all that can be unfolded."""
        self.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")

    @property
    def overflow(self) -> int:
        """How many pixels are to be scrolled to the side."""
        script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        found: int = self.page.evaluate(script)
        return found


@contextmanager
def visiting(browser: Any, base_url: str, **options: Any) -> Iterator[Watched]:
    """A window of its own that watches for errors, violations of the policy, and dialogs."""
    context = browser.new_context(base_url=base_url, **{"locale": "en-US", **options})
    context.set_default_timeout(20_000)
    page = context.new_page()
    watched = Watched(page)
    page.on("console", lambda m: watched.complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: watched.complaints.append(str(error)))

    def failed(request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # the window went on before the icon had come
            watched.complaints.append(f"{request.url}: {request.failure}")

    page.on("requestfailed", failed)

    def dismissed(dialog: Any) -> None:
        watched.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("dialog", dismissed)
    try:
        yield watched
    finally:
        context.close()
