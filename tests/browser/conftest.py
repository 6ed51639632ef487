"""One browser and one server for all tests; each test starts with a fresh page, a wide window and nothing kept."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from storage.page.limits import PageLimits
from storage.page.server import PageServer
from tests.browser.driving import Browser
from tests.browser.sites import plant
from tests.storage.page.planting import Planted
from tests.together import Shared


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is missing; install Debian's chromium and chromium-driver, or run make test as root")
    return path


@contextmanager
def _running_chromium() -> Iterator[Any]:
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = _program("chromium")
    # Root may not have a sandbox, and containers have little shared memory.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = Chrome(options=options, service=ChromeService(_program("chromedriver")))
    try:
        yield chrome
    finally:
        chrome.quit()


_chromium = Shared(_running_chromium)


@pytest.fixture
def driver() -> Any:
    """Debian's Chromium, without a window."""
    return _chromium.get()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    yield
    _chromium.end_behind(item, nextitem)


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """A web directory with sites in every state, and with hostile names."""
    made = Planted(tmp_path_factory.mktemp("page"))
    now = time.time()
    plant(made, now)
    made.build(PageLimits(), now)
    return made


@pytest.fixture(scope="session")
def server(planted: Planted) -> Iterator[PageServer]:
    """The web directory, served."""
    with PageServer(planted.web, "127.0.0.1", 0, lambda: None) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.05,))
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


@pytest.fixture
def browser(driver: Any, server: PageServer, planted: Planted) -> Iterator[Browser]:
    """The browser, as somebody finds it who has never seen the page; nothing may go wrong in its console."""
    fresh = Browser(driver, server.url, Path(planted.web))
    fresh.reset()
    yield fresh
    assert fresh.complaints() == []
