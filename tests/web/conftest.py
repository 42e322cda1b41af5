"""Fixtures for tests of the web page: a headless Chromium, and an agent that serves the page on a loopback port.

They need Debian's chromium and fail without it: skipping would hide a broken page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.unit.api.running import Running, running
from tests.web.shop import Shop

OpenPage = Callable[..., Page]
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# Of a module and not of the session: Playwright keeps an event loop running in this thread as long as it is there.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the tests of a module; each has a profile of its own."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        yield found
        found.close()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Running]:
    """An agent with the page on a free loopback port."""
    with running(tmp_path, ("127.0.0.1", 0)) as found:
        yield found


@pytest.fixture
def shop(agent: Running) -> Shop:
    """The shop's workloads and policy, in that agent."""
    return Shop(agent)


@pytest.fixture
def complaints() -> list[str]:
    """What browsers complained of; a test that provokes something clears it."""
    return []


@pytest.fixture
def open_page(browser: Browser, complaints: list[str]) -> Iterator[OpenPage]:
    """Open an address. Nothing may leave this host, and nothing may be complained of in the console."""
    asked: list[str] = []
    with ExitStack() as stack:

        def open_at(url: str, **options: Any) -> Page:
            context = browser.new_context(**options)
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(15_000)
            page.on("request", lambda request: asked.append(request.url))
            page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto(url)
            return page

        yield open_at
    assert {"127.0.0.1"} == {urlsplit(url).hostname for url in asked}
    assert complaints == []
