"""What runs now, in a browser: lines above the table, a panel on the page of a site, and what they never claim."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.estimate import Estimate
from engine.pace import DoorPace
from engine.site_states import Reporting, SiteStatus
from engine.states import Reason
from storage.page.live import LIST, LIVE, LiveFile, live_name
from storage.page.server import PageServer
from storage.page.words import address, page_name
from tests.browser.driving import Browser
from tests.browser.sites import IMAGE, SCRIPT
from tests.browser.test_pages import CONTRAST, set_scheme
from tests.storage.page.planting import Planted
from tests.storage.page.running import COUNTS, DOOR, live_run

LARGE, GROWN, LATE, NEW, QUIET = "T2_US_Large", "T1_UK_Grown", "T2_IT_Late", "T3_KR_New", "T2_CH_Quiet"
NOTE = "nothing has answered for 60 s; waiting for /store/mc/x"
HOSTILE_PATH = b"/store/mc/" + IMAGE.encode() + b"\xff\n"
COMPARING: dict[str, Any] = {"phase": "comparing", "rate": None, "estimate": Estimate()}
STARTING: dict[str, Any] = {
    "phase": "reading the inventory",
    "run": None,
    "rate": None,
    "expected": 0,
    "estimate": Estimate(),
    "counts": dict.fromkeys(COUNTS, 0),
    "doors": (),
    "failures": (),
}

POSITIONS = """
return ['#sites', '#running', '#running li', '.views'].map((selector) => {
  const box = document.querySelector(selector).getBoundingClientRect();
  return [box.left, box.top, box.width, selector === '#sites' ? 0 : box.height];
});
"""


def put(web: Path, site: str, now: float | None = None, **changes: Any) -> None:
    """Let the run of a site write down how far it is."""
    LiveFile(web, site).write(live_run(site, time.time() if now is None else now, **changes))


def put_six(web: Path) -> None:
    now = time.time()
    put(web, LARGE)
    put(web, GROWN, estimate=Estimate(is_more=True), expected=40_000, doors=(DOOR, DoorPace("root://b", 10, 1, 2, 1.5)))
    put(web, LATE, **COMPARING, note="comparing has taken 5 min so far")
    put(web, NEW, **STARTING)
    put(web, QUIET, now - 312)
    put(web, SCRIPT, note=NOTE, failures=[(HOSTILE_PATH, Reason.SERVER, IMAGE)])


@contextmanager
def serving(web: Path, port: int = 0) -> Iterator[PageServer]:
    with PageServer(web, "127.0.0.1", port, lambda: None) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def web(tmp_path: Path, browser: Browser) -> Iterator[Path]:
    """A web directory of the test's own, served; `LARGE` is noted as running, and has given no sign yet."""
    made, base = Planted(tmp_path), browser.base
    made.site(LARGE, SiteStatus.RUNNING, Reporting.ACT, started=time.time() - 4800)
    for site in (GROWN, LATE, NEW, QUIET, SCRIPT):
        made.site(site)
    made.result(LARGE, time.time() - 90_000, files=5, nodes=2_000_000)
    made.build(now=time.time())
    with serving(made.web) as server:
        browser.base, browser.web = server.url, made.web
        yield made.web
    # What is open goes on to ask.
    browser.driver.get("about:blank")
    browser.base = base


def poke(browser: Browser) -> None:
    """Have the page ask now, as it does when somebody comes back to it."""
    browser.js("document.dispatchEvent(new Event('visibilitychange'))")


def soon(browser: Browser, what: str, happened: Callable[[], object]) -> None:
    poke(browser)
    browser.eventually(what, happened)


def lines(browser: Browser) -> list[dict[str, str]]:
    """Give what each line shows, by the class of the cell."""
    found: list[dict[str, str]] = browser.js(
        "return [...document.querySelectorAll('#running-rows li')].map((row) => Object.fromEntries("
        "[...row.children].filter((cell) => cell.offsetParent)"
        ".map((cell) => [cell.className, cell.innerText.split('\\n').filter(Boolean).join(' | ')])))"
    )
    return found


def line_of(browser: Browser, site: str) -> dict[str, str]:
    """Give that of a site; what it does not show is empty."""
    return defaultdict(str, next((line for line in lines(browser) if line["c-who"].startswith(site)), {}))


def open_with_numbers(browser: Browser, page: str = "index.html") -> None:
    browser.open(page)
    number = "#running .percent" if page == "index.html" else "#running [data-f=percent]"
    browser.eventually("numbers", lambda: browser.all(number) and any(found.text for found in browser.all(number)))


def asked(browser: Browser) -> int:
    count: int = browser.js(
        "return performance.getEntriesByType('resource').filter((entry) => entry.name.includes('/live/')).length"
    )
    return count


def test_every_run_has_a_line_with_what_it_does_and_when_it_may_end(browser: Browser, web: Path) -> None:
    put_six(web)
    open_with_numbers(browser)
    assert browser.find("#running-title").text == "Running now: 6 sites"
    found = lines(browser)
    names = [line["c-who"].split(" | ")[0] for line in found]
    assert names == [SCRIPT, GROWN, QUIET, LATE, LARGE, NEW], "by name, so that nothing changes its place"
    assert line_of(browser, LARGE) == {
        "c-who": f"{LARGE} | for 1 h 20 min",
        "c-far": "listing | 61 % | 1,234,567 of about 2,000,000 directories, 70,370,319 files",
        "c-left": "about 12 min | until all is listed",
        "c-rate": "1,240/s | directories",
        "c-doors": "498 of 512 in flight | 48 ms an answer",
        "c-failed": "2 failed | permission denied",
    }
    bar = browser.find(f"li[data-live='{LARGE}.json'] progress")
    assert float(bar.get_attribute("value") or "") == pytest.approx(0.6172)
    assert bar.get_attribute("aria-label") == f"Listing of {LARGE}"


def test_what_is_not_known_is_not_shown(browser: Browser, web: Path) -> None:
    put_six(web)
    open_with_numbers(browser)
    grown, late, new = line_of(browser, GROWN), line_of(browser, LATE), line_of(browser, NEW)
    assert grown["c-left"] == "- | more than last time"
    assert grown["c-far"] == "listing | 1,234,567 directories, 40,000 last time, 70,370,319 files"
    assert grown["c-doors"] == "500 of 522 in flight | 1,500 ms an answer, 2 doors"
    assert (late["c-left"], late["c-rate"]) == ("-", "-")
    assert late["c-far"] == "comparing | has taken 5 min so far | 1,234,567 directories, 70,370,319 files"
    assert (new["c-far"], new["c-left"], new["c-doors"]) == ("reading the inventory", "-", "")
    for site in (GROWN, LATE, NEW):
        bar = browser.find(f"li[data-live='{site}.json'] progress")
        assert not bar.is_displayed()
        assert bar.get_attribute("aria-hidden") is not None


def test_a_run_that_has_given_no_sign_is_not_shown_as_running_fine(browser: Browser, web: Path) -> None:
    put_six(web)
    open_with_numbers(browser)
    quiet = line_of(browser, QUIET)
    assert quiet["c-far"].startswith("no sign for 5 min, last: listing")
    assert (quiet["c-left"], quiet["c-rate"], quiet["c-doors"]) == ("-", "-", "")
    put(web, QUIET)
    soon(browser, "a sign", lambda: line_of(browser, QUIET)["c-far"].startswith("listing"))


def test_a_clock_that_is_wrong_makes_no_run_dead(browser: Browser, web: Path) -> None:
    put(web, LARGE, time.time() - 7200)
    browser.open()
    browser.eventually("what the clocks say", lambda: "no sign for 2 h" in line_of(browser, LARGE)["c-far"])
    put(web, LARGE, time.time() - 7195)
    soon(browser, "that it changes", lambda: "no sign" not in line_of(browser, LARGE)["c-far"])


def test_a_run_that_stops_to_write_is_found_out_whatever_its_clock_says(browser: Browser, web: Path) -> None:
    put(web, LARGE, time.time() + 7200)
    open_with_numbers(browser)
    browser.js("const now = performance.now.bind(performance); performance.now = () => now() + 125000")
    soon(browser, "silence", lambda: "no sign for 2 min" in line_of(browser, LARGE)["c-far"])


def test_hostile_names_are_names_here_too(browser: Browser, web: Path) -> None:
    put_six(web)
    open_with_numbers(browser)
    hostile = line_of(browser, SCRIPT)
    assert hostile["c-far"].startswith(f"listing | {NOTE} | 61 %")
    assert browser.js("return document.querySelectorAll('img, #running script').length") == 0
    browser.find("#running-rows a").click()
    browser.eventually("the page of the site", lambda: browser.find("h1").text == SCRIPT)
    browser.eventually("its run", lambda: browser.find("[data-f=phase]").text == "listing")
    assert browser.find("[data-f=failures]").text.startswith("/store/mc/" + IMAGE + r"\xff\n " + IMAGE)
    assert browser.js("return document.querySelectorAll('img, main script').length") == 0


def test_where_nothing_runs_there_is_nothing_to_see(browser: Browser, web: Path) -> None:
    planted = Planted(web.parent)
    planted.site(LARGE)
    planted.build(now=time.time())
    browser.open()
    browser.eventually("an answer", lambda: asked(browser) > 0)
    assert not browser.find("#running").is_displayed()
    browser.open(f"sites/{NEW}.html")
    browser.eventually("an answer", lambda: asked(browser) > 0)
    assert not browser.find("#running").is_displayed()


def test_a_run_without_a_file_is_told_of_in_the_words_of_the_table(browser: Browser, web: Path) -> None:
    """It may have just begun, be of an earlier version of the program, or be unable to write."""
    put(web, NEW)
    open_with_numbers(browser)
    assert lines(browser)[0] == {"c-who": LARGE, "c-words": "running"}
    assert browser.find("#running-title").text == "Running now: 2 sites"
    put(web, LARGE)
    soon(browser, "its numbers", lambda: line_of(browser, LARGE)["c-rate"])
    LiveFile(web, LARGE).remove()
    soon(browser, "that it is over, whatever the table knows", lambda: len(lines(browser)) == 1)
    poke(browser)
    time.sleep(0.5)
    assert len(lines(browser)) == 1
    put(web, LARGE)
    soon(browser, "the next run", lambda: line_of(browser, LARGE)["c-rate"])


def test_the_page_of_a_site_does_not_call_a_run_over_that_has_no_file_yet(browser: Browser, web: Path) -> None:
    browser.open(f"sites/{LARGE}.html")
    browser.eventually("its words", lambda: browser.find("#running .c-words").is_displayed())
    assert not browser.find("#running-over").is_displayed()
    assert not browser.find("#running .figures").is_displayed()
    put(web, LARGE)
    soon(browser, "its numbers", lambda: browser.find("#running .figures").is_displayed())


def test_numbers_change_where_they_stand(browser: Browser, web: Path) -> None:
    put(web, LARGE)
    open_with_numbers(browser)
    before = browser.js(POSITIONS)
    browser.js("window.row = document.querySelector('#running li'); row.querySelector('a').focus()")
    put(web, LARGE, rate=7.25, estimate=Estimate(0.999, 9.0), note=NOTE, failures=(), doors=())
    soon(browser, "new numbers", lambda: line_of(browser, LARGE)["c-rate"] == "7.3/s | directories")
    assert line_of(browser, LARGE)["c-left"] == "under 1 min | until all is listed"
    assert browser.js(POSITIONS) == before
    put(web, LARGE, time.time() - 1, **STARTING)
    soon(browser, "another phase", lambda: line_of(browser, LARGE)["c-far"] == "reading the inventory")
    assert browser.js(POSITIONS) == before
    assert browser.js(
        "return row === document.querySelector('#running li') && document.activeElement.closest('li') === row"
    )


def test_nothing_moves_when_the_numbers_come(browser: Browser, web: Path) -> None:
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    browser.open()
    height = browser.find("#running").size["height"]
    browser.command("Emulation.setScriptExecutionDisabled", value=False)
    put(web, LARGE)
    open_with_numbers(browser)
    assert browser.find("#running").size["height"] == height


def test_a_run_that_begins_and_one_that_ends_are_told_of(browser: Browser, web: Path) -> None:
    put(web, LARGE)
    open_with_numbers(browser)
    news = browser.find("#running-news")
    assert news.get_attribute("aria-live") == "polite"
    assert news.get_attribute("textContent") == "", "what was there from the start is no news"
    put(web, NEW, **STARTING)
    soon(browser, "a second line", lambda: len(lines(browser)) == 2)
    assert news.get_attribute("textContent") == f"Running now: {NEW}."
    LiveFile(web, LARGE).remove()
    soon(browser, "the first one goes", lambda: [line["c-who"].split(" ")[0] for line in lines(browser)] == [NEW])
    assert news.get_attribute("textContent") == f"No longer running: {LARGE}."
    LiveFile(web, NEW).remove()
    soon(browser, "nothing runs", lambda: not browser.find("#running").is_displayed())


def test_the_table_takes_over_what_a_run_has_found(browser: Browser, web: Path) -> None:
    put(web, LARGE)
    open_with_numbers(browser)
    planted = Planted(web.parent)
    planted.result(LARGE, time.time(), files=7777)
    planted.site(LARGE)
    planted.build(now=time.time() + 1)
    LiveFile(web, LARGE).remove()
    soon(browser, "the results", lambda: "7,777" in browser.column("files"))


def set_offline(browser: Browser, offline: bool) -> None:
    browser.command("Network.enable")
    browser.command(
        "Network.emulateNetworkConditions", offline=offline, latency=0, downloadThroughput=-1, uploadThroughput=-1
    )


def test_a_server_that_is_away_makes_the_numbers_old(browser: Browser, web: Path) -> None:
    put(web, LARGE)
    open_with_numbers(browser)
    set_offline(browser, True)
    try:
        soon(browser, "silence", lambda: "No answer from the server" in browser.find("#running-asked").text)
        assert "these numbers are old" in browser.find("#running-asked").text
        assert line_of(browser, LARGE)["c-rate"] == "1,240/s | directories"
    finally:
        set_offline(browser, False)
    soon(browser, "an answer", lambda: browser.find("#running-asked").text == "")
    assert all("ERR_INTERNET_DISCONNECTED" in said for said in browser.complaints())


def test_a_page_that_nobody_looks_at_asks_for_nothing(browser: Browser, web: Path) -> None:
    put(web, LARGE)
    open_with_numbers(browser)
    before = asked(browser)
    browser.js("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    poke(browser)
    time.sleep(6)
    assert asked(browser) == before
    browser.js("delete document.hidden")
    soon(browser, "the next question", lambda: asked(browser) > before)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"kind": "dynamo-consistency run", "version": 2, "site": "T9_Next"}', "T9_Next"),
        ('{"kind": "dynamo-consistency run", "version": 1}', "other"),
        (
            '{"kind": "dynamo-consistency run", "version": 1, "site": 5, "doors": 7, "failures": [1], "rate": "x"}',
            "other",
        ),
        ('{"kind": "something else"}', ""),
        ("[]", ""),
        ("null", ""),
    ],
)
def test_a_file_that_is_none_of_this_version_breaks_nothing(browser: Browser, web: Path, text: str, shown: str) -> None:
    put(web, LARGE)
    (web / LIVE / "other.json").write_text(text)
    (web / LIVE / LIST).write_text(json.dumps({"version": 1, "running": ["other.json", f"{LARGE}.json", "../x", 5]}))
    open_with_numbers(browser)
    names = [line["c-who"].split(" | ")[0] for line in lines(browser)]
    assert names == [*filter(None, [shown]), LARGE] if shown == "other" else sorted(filter(None, [shown, LARGE]))


def test_half_a_list_makes_what_was_shown_old(browser: Browser, web: Path) -> None:
    put(web, LARGE)
    open_with_numbers(browser)
    (web / LIVE / LIST).write_text('{"version": 1, "runn')
    soon(browser, "that it is old", lambda: "old" in browser.find("#running-asked").text)
    assert line_of(browser, LARGE)["c-rate"] == "1,240/s | directories"


def test_the_page_of_a_site_shows_its_run_with_doors_and_failures(browser: Browser, web: Path) -> None:
    put(web, LARGE, doors=(DOOR, DoorPace("root://b.example.org:1094", 64, 4, 0, 12.3)))
    put(web, NEW, **STARTING)
    open_with_numbers(browser, f"sites/{LARGE}.html")
    assert browser.find("#running-title").text == "Running now: run 12"
    fields = {field.get_attribute("data-f"): field.text for field in browser.all("dl [data-f]")}
    assert fields.pop("started").startswith("since ")
    assert fields == {
        "left": "about 12 min",
        "until": "until all is listed",
        "rate": "1,240/s",
        "listed": "1,234,567",
        "others": "20,000 resumed, 3 ignored",
        "failed": "2",
        "files": "70,370,319",
        "bytes": "168.9 PB",
        "queued": "5,000",
        "in_flight": "498 in flight",
        "requests": "1,358,023",
        "taken": "1 h 20 min",
    }
    doors = [
        [cell.text for cell in row.find_elements("css selector", "th, td")] for row in browser.all(".pair tbody tr")
    ]
    assert doors == [
        ["root://door.example.org:1094", "498 of 512", "16", "48 ms"],
        ["root://b.example.org:1094", "0 of 64", "4", "12 s"],
    ]
    failures = [item.text for item in browser.all("[data-f=failures] li")]
    assert failures == ["/store/data/closed permission denied", "/store/mc/slow no answer for 60 s"], "newest first"


def test_the_page_of_a_site_says_when_its_run_is_over(browser: Browser, web: Path) -> None:
    put(web, LARGE)
    open_with_numbers(browser, f"sites/{LARGE}.html")
    height = browser.find("#running").size["height"]
    LiveFile(web, LARGE).remove()
    soon(browser, "the end", lambda: browser.find("#running-over").is_displayed())
    assert browser.find("#running").size["height"] == height
    assert browser.find("#running-title").text == "Run 12"
    browser.find("#running-over a").click()
    browser.eventually("the page again", lambda: browser.find("h1").text == LARGE)
    assert browser.js("return location.pathname") == f"/sites/{LARGE}.html"


def test_the_page_of_a_site_notices_a_run_that_begins(browser: Browser, web: Path) -> None:
    browser.open(f"sites/{NEW}.html")
    put(web, NEW)
    soon(browser, "its panel", lambda: browser.find("#running").is_displayed())
    assert browser.find("[data-f=percent]").text == "61 %"


@pytest.mark.parametrize("scripts", [True, False])
@pytest.mark.parametrize("page", ["index.html", f"sites/{LARGE}.html"])
def test_from_a_disk_or_without_scripts_there_are_the_words_of_the_build(
    browser: Browser, web: Path, page: str, scripts: bool
) -> None:
    put(web, LARGE)
    browser.command("Emulation.setScriptExecutionDisabled", value=not scripts)
    browser.open(page, web.as_uri() + "/" if scripts else None)
    assert browser.find("#running .c-words").text == "running"
    assert "1,240" not in browser.find("main").text
    assert "now" not in browser.find("#running-title").text
    assert not browser.all("#running .figures") or not browser.find("#running .figures").is_displayed()


PAGES = ["index.html", f"sites/{LARGE}.html", address("sites", page_name(SCRIPT))]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_no_page_is_wider_than_its_window(browser: Browser, web: Path, page: str, width: int) -> None:
    put_six(web)
    browser.resize(width, 844)
    open_with_numbers(browser, page)
    assert browser.js("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_every_text_can_be_read_on_its_ground(browser: Browser, web: Path, page: str, scheme: str) -> None:
    put_six(web)
    set_scheme(browser, scheme)
    open_with_numbers(browser, page)
    assert browser.js(CONTRAST) == []
    browser.js("document.getElementById('running').classList.add('old', 'silent')")
    assert browser.js(CONTRAST) == []


def test_who_wants_no_motion_gets_none(browser: Browser, web: Path) -> None:
    rules = browser.js(
        "return [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules])"
        ".filter((rule) => rule.conditionText === '(prefers-reduced-motion: reduce)').map((rule) => rule.cssText)"
    )
    assert len(rules) == 1
    assert "transition: none" in rules[0]


def test_everything_has_a_name_for_those_who_cannot_see_it(browser: Browser, web: Path) -> None:
    put_six(web)
    for page in PAGES[:2]:
        open_with_numbers(browser, page)
        nodes = browser.command("Accessibility.getFullAXTree")["nodes"]
        named = ("button", "link", "image", "region", "progressbar", "progress", "meter")
        nameless = [
            node["role"]["value"]
            for node in nodes
            if not node.get("ignored")
            and node["role"]["value"] in named
            and not node.get("name", {}).get("value", "").strip()
        ]
        assert nameless == [], page


def test_a_name_of_a_thousand_characters(browser: Browser, web: Path) -> None:
    site = "T2_" + "x" * 1000
    put(web, site)
    browser.open()
    browser.eventually("its line", lambda: len(lines(browser)) == 2)
    assert (
        browser.find("#running-rows li:last-child a").get_attribute("href")
        == f"{browser.base}sites/{live_name(site)[:-5]}.html"
    )
    assert browser.js("return document.documentElement.scrollWidth") <= 1400
