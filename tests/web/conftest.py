# SPDX-License-Identifier: BSD-3-Clause
"""The page in the machine's own Chromium, driven by Playwright; skipped without them."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bnn.web.serve import PageServer
from bnn.web.site import files


def chromium() -> str:
    """The browser's path; skips the test where there is none."""
    path = os.environ.get("BNN_CHROMIUM") or shutil.which("chromium") or shutil.which("chrome")
    if path is None:
        pytest.skip("no Chromium here (Debian: apt install chromium; or BNN_CHROMIUM=/its/path)")
    return path


@pytest.fixture(scope="session")
def playwright() -> Iterator[Any]:
    pytest.importorskip("playwright", reason="no Playwright here: pip install playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def server() -> Iterator[PageServer]:
    with PageServer(files()) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()


@pytest.fixture(scope="session")
def browser(playwright: Any) -> Iterator[Any]:
    started = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
    yield started
    started.close()


@pytest.fixture
def page(browser: Any, server: PageServer) -> Iterator[Any]:
    """The page, ready, in English; errors of its scripts fail the test."""
    context = browser.new_context(locale="en-GB", viewport={"width": 1200, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(120_000)  # tests are not timed; the machine may be busy
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(server.url)
    opened.wait_for_selector("html[data-ready=true]", state="attached")
    yield opened
    context.close()
    assert not errors
