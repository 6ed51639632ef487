"""A check of a real store, the page served by ``web serve``, and somebody who looks on in a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from tests.browser.driving import Browser
from tests.cli.program import PATIENCE, start, wait_for
from tests.faults.site import FaultySite
from tests.servers.faulty_proxy import FORWARD, Fault, FaultyProxy
from tests.servers.fixtures import ServedDirectory

DIRECTORIES = 400
SLOW = Fault(delay=0.25)


@pytest.fixture
def proxy(xrootd_directory: ServedDirectory) -> Iterator[FaultyProxy]:
    with FaultyProxy(xrootd_directory.server.port) as door:
        yield door


@pytest.fixture
def site(tmp_path: Path, xrootd_directory: ServedDirectory, proxy: FaultyProxy) -> FaultySite:
    """A site that has been checked once."""
    lfn = xrootd_directory.lfn.decode()
    made = FaultySite(tmp_path, [xrootd_directory.path], lfn, [proxy.url])
    for number in range(DIRECTORIES):
        made.put(f"data/set{number}/file.root")
    made.know("data/set0/lost.root")
    made.prepare(InFlight=1, Connections=1)
    assert made.check().code == 0
    return made


@pytest.fixture
def served(site: FaultySite, browser: Browser) -> Iterator[str]:
    """The address of the site's page."""
    process = start("web", "serve", "--port", 0, "--json", cwd=site.home)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise AssertionError(wait_for(process))
    yield json.loads(line)["url"]
    browser.driver.get("about:blank")
    process.terminate()
    assert wait_for(process).code == 0


@pytest.fixture
def check(site: FaultySite, proxy: FaultyProxy) -> Iterator[Popen[str]]:
    """A check that has begun, and whose answers take long."""
    proxy.fault = SLOW
    process = site.start_check()
    yield process
    if process.poll() is None:
        process.kill()
        process.communicate()


def text(browser: Browser, selector: str) -> str:
    return " ".join(element.text for element in browser.all(selector))


def test_a_run_is_watched_from_its_beginning_to_its_results(
    browser: Browser, site: FaultySite, proxy: FaultyProxy, served: str, request: pytest.FixtureRequest
) -> None:
    browser.open(base=served)
    browser.eventually("that nothing runs", lambda: not browser.find("#running").is_displayed())
    check: Popen[str] = request.getfixturevalue("check")
    browser.eventually("its line", lambda: site.name in text(browser, "#running-rows .c-who"), PATIENCE)
    browser.eventually("its phase", lambda: "listing" in text(browser, "#running-rows .c-far"), PATIENCE)
    browser.eventually("its size", lambda: f"of about {DIRECTORIES + 1}" in text(browser, ".c-far"), PATIENCE)
    browser.eventually("its speed", lambda: "/s" in text(browser, ".c-rate"), PATIENCE)
    assert "1 in flight" in text(browser, ".c-doors")
    assert "of 1 in flight" in text(browser, ".c-doors")
    browser.eventually("the table", lambda: "running" in text(browser, "#sites .state"), PATIENCE)

    browser.find("#running-rows a").click()
    browser.eventually("the page of the site", lambda: "run 2" in text(browser, "#running-title"), PATIENCE)
    assert text(browser, ".pair tbody th") == f"localhost:{proxy.port}"
    browser.eventually("a share", lambda: text(browser, "[data-f=percent]").endswith(" %"), PATIENCE)
    browser.driver.back()

    proxy.fault = FORWARD
    assert wait_for(check).code == 0
    browser.eventually("that it is over", lambda: not browser.find("#running").is_displayed(), PATIENCE)
    browser.eventually("its results", lambda: "running" not in text(browser, "#sites .state"), PATIENCE)
    assert browser.column("missing") == ["1"]
    assert json.loads((site.web / "live/~running.json").read_text()) == {"version": 1, "running": []}


def test_a_run_that_is_killed_is_not_shown_as_running_fine(
    browser: Browser, site: FaultySite, proxy: FaultyProxy, served: str, check: Popen[str]
) -> None:
    browser.open(base=served)
    browser.eventually("its line", lambda: site.name in text(browser, "#running-rows .c-who"), PATIENCE)
    check.kill()
    check.communicate()
    assert (site.web / f"live/{site.name}.json").is_file()
    # Nobody wants to wait until a minute is over.
    browser.js("const now = performance.now.bind(performance); performance.now = () => now() + 125000")
    browser.eventually("that it is silent", lambda: "no sign for 2 min" in text(browser, ".c-far"), PATIENCE)
    proxy.fault = FORWARD
    assert site.check().code == 0
    browser.eventually("the next run", lambda: not browser.find("#running").is_displayed(), PATIENCE)
    assert not (site.web / f"live/{site.name}.json").exists()
