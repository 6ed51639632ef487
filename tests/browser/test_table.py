"""The table of sites, in a browser: order, views, states, search, address, news."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from engine.site_states import Reporting
from storage.page.limits import PageLimits
from storage.sites.summary import StatsRow, SummaryDatabase
from tests.browser.driving import Browser
from tests.browser.sites import GOOD, HOSTILE, MANY, NEW, STATES
from tests.storage.page.planting import Planted


def number(text: str) -> float:
    return float(text.replace(",", ""))


def test_all_sites_are_shown_by_name(browser: Browser) -> None:
    browser.open()
    assert sorted(browser.sites()) == sorted(STATES)
    assert browser.find("#count").text == f"{len(STATES)} sites"
    assert browser.find("th[data-key=site]").get_attribute("aria-sort") == "ascending"


@pytest.mark.parametrize("key", ["time", "files", "nodes", "empty", "missing", "orphan", "unmerged"])
def test_a_click_on_a_heading_sorts_and_another_one_turns_it_round(browser: Browser, key: str) -> None:
    browser.open()
    browser.click(f"th[data-key={key}] button")
    up = browser.column(key)
    assert up[-1] == "-", "what is not known comes last"
    assert [number(text) for text in up[:-1]] == sorted(number(text) for text in up[:-1])
    browser.click(f"th[data-key={key}] button")
    down = browser.column(key)
    assert down[-1] == "-"
    assert [number(text) for text in down[:-1]] == sorted((number(text) for text in up[:-1]), reverse=True)
    assert browser.find(f"th[data-key={key}]").get_attribute("aria-sort") == "descending"
    assert [head.get_attribute("aria-sort") for head in browser.all("#sites thead th")].count("none") == 13
    assert browser.hash() == f"#sort={key}&dir=down"


@pytest.mark.parametrize("key", ["updated", "runs", "unlisted", "nosource", "missing_size", "orphan_size"])
def test_every_other_column_sorts_too(browser: Browser, key: str) -> None:
    browser.open()
    browser.click(f"th[data-key={key}] button")
    before = browser.sites()
    assert before[-1] == NEW
    browser.click(f"th[data-key={key}] button")
    assert browser.sites()[-1] == NEW
    assert sorted(browser.sites()) == sorted(before)


def test_the_views_hold_the_sites_acted_on_those_in_dry_runs_and_all(browser: Browser) -> None:
    browser.open()
    acting = sorted(site for site, (_, reporting, *_) in STATES.items() if reporting == Reporting.ACT)
    browser.click("[data-view=act]")
    assert sorted(browser.sites()) == acting
    assert browser.find("#count").text == f"{len(acting)} of {len(STATES)} sites"
    assert browser.find("[data-view=act]").get_attribute("aria-pressed") == "true"
    browser.click("button[data-view=dry]")
    assert sorted(browser.sites()) == sorted(set(STATES) - set(acting))
    assert browser.hash() == "#view=dry"
    browser.click("button[data-view=all]")
    assert len(browser.sites()) == len(STATES)
    assert browser.hash() == ""


@pytest.mark.parametrize(
    ("state", "sites"),
    [
        ("running", {"T1_UK_Running", "T2_IT_Long"}),
        ("queued", {"T2_CH_Queued"}),
        ("off", {"T2_ES_Disabled", "T2_PL_Halted", "T3_KR_NotReady"}),
        ("stale", {"T3_BR_Old", NEW}),
    ],
)
def test_a_state_narrows_the_table(browser: Browser, state: str, sites: set[str]) -> None:
    browser.open()
    button = browser.find(f"[data-show={state}]")
    count = int(button.find_element("css selector", "b").text)
    button.click()
    assert set(browser.sites()) == sites
    assert count == len(sites)
    assert browser.hash() == f"#show={state}"
    button.click()
    assert len(browser.sites()) == len(STATES)


def test_what_needs_a_look_is_found(browser: Browser) -> None:
    browser.open("index.html#show=look")
    assert {MANY, "T2_IT_Long", "T3_US_Empty"} <= set(browser.sites())
    assert not {GOOD, NEW, "T2_ES_Disabled"} & set(browser.sites())
    assert browser.js("return document.title").startswith("(")


def test_the_search_takes_any_part_of_a_name(browser: Browser) -> None:
    browser.open()
    browser.click("#q")
    browser.type("us_")
    assert set(browser.sites()) == {MANY, "T3_US_Empty"}
    assert browser.hash() == "#q=us_"
    browser.type(Keys.ESCAPE)
    assert len(browser.sites()) == len(STATES)


def test_a_search_without_a_match_says_so_and_can_be_undone(browser: Browser) -> None:
    browser.open("index.html#view=act&show=off&q=nothing%20like%20it")
    assert browser.sites() == []
    assert browser.find("#none").is_displayed()
    assert browser.find("#count").text == f"0 of {len(STATES)} sites"
    browser.click("#reset")
    assert len(browser.sites()) == len(STATES)
    assert not browser.find("#none").is_displayed()


def test_an_address_brings_everything_back(browser: Browser) -> None:
    browser.open("index.html#view=act&q=T&sort=orphan&dir=down")
    shown = browser.sites()
    assert shown[0] == MANY
    assert NEW in shown
    assert "T2_CH_Queued" not in shown
    assert browser.find("#q").get_attribute("value") == "T"
    browser.driver.refresh()
    assert browser.sites() == shown


def test_an_address_that_makes_no_sense_is_the_plain_page(browser: Browser) -> None:
    browser.open("index.html#view=%3Cb%3E&show=nonsense&sort=constructor&dir=sideways&x=1&%%%")
    assert sorted(browser.sites()) == sorted(STATES)


def test_a_change_of_the_address_is_followed(browser: Browser) -> None:
    browser.open()
    browser.js("location.hash = '#view=dry&sort=files'")
    browser.eventually("another view", lambda: GOOD not in browser.sites())
    assert browser.find("[data-view=dry]").get_attribute("aria-pressed") == "true"


def test_colours_go_with_words(browser: Browser) -> None:
    browser.open()
    names = {
        row.get_attribute("data-site"): row.find_element("css selector", "th") for row in browser.all("#sites tbody tr")
    }
    for site, colour, words in (
        ("T2_CH_Queued", "blue", "queued"),
        ("T1_UK_Running", "green", "running"),
        ("T2_IT_Long", "yellow", "running for over 24 h"),
        ("T2_ES_Disabled", "gray", "disabled"),
        ("T3_KR_NotReady", "gray", "not ready"),
        ("T3_US_Empty", "red", "no files in last listing"),
    ):
        assert names[site].get_attribute("class") == colour, site
        assert words in names[site].text, site


def test_hostile_names_are_names(browser: Browser) -> None:
    browser.open()
    for site in HOSTILE:
        assert site in browser.sites()
        assert site in [link.text for link in browser.all("#sites th a")]
    assert browser.js("return document.querySelectorAll('img, #sites script').length") == 0


def test_news_come_in_without_a_reload_and_disturb_nobody(browser: Browser, planted: Planted) -> None:
    now = time.time()
    planted.site(GOOD, reporting=Reporting.ACT)
    browser.open("index.html#q=T&sort=orphan&dir=down")
    browser.js("window.same = true")
    link = browser.find(f'tr[data-site="{GOOD}"] a')
    browser.js("arguments[0].focus()", link)
    planted.result(GOOD, now, files=7777, orphan=3)
    planted.build(PageLimits(), now + 1)
    browser.js("document.dispatchEvent(new Event('visibilitychange'))")
    browser.eventually("the new number", lambda: "7,777" in browser.column("files"))
    assert browser.js("return window.same") is True
    assert browser.sites()[0] == MANY
    assert not set(HOSTILE) - set(browser.sites()) or "T" in browser.find("#q").get_attribute("value")
    focused = browser.js("return document.activeElement.closest('tr')?.dataset.site")
    assert focused == GOOD
    assert "just now" in browser.find(f'tr[data-site="{GOOD}"] td').text


def test_a_site_turns_old_while_the_page_is_open(browser: Browser) -> None:
    browser.open()
    script = (
        "const real = Date.now; Date.now = () => real() + 2 * 86400 * 1000;"
        "window.dispatchEvent(new Event('hashchange')); Date.now = real;"
        "return document.querySelector('[data-show=fresh] b').textContent"
    )
    assert browser.js("return document.querySelector('[data-show=fresh] b').textContent") != "0"
    assert browser.js(script) == "0"


def test_headings_and_names_stay_in_sight(browser: Browser) -> None:
    browser.resize(900, 520)
    browser.open()
    place = "const r = document.querySelector(arguments[0]).getBoundingClientRect(); return [r.left, r.top]"
    head, name = browser.js(place, "thead th:nth-child(5)"), browser.js(place, "tbody tr:nth-child(4) th")
    browser.js("document.querySelector('.box').scrollTo(300, 200)")
    assert browser.js("return document.querySelector('.box').scrollTop") > 100
    assert browser.js(place, "thead th:nth-child(5)")[1] == head[1]
    assert browser.js(place, "tbody tr:nth-child(4) th")[0] < name[0]
    assert browser.js(place, "tbody tr:nth-child(4) th")[0] >= browser.js(place, ".box")[0]


def test_five_hundred_sites_are_sorted_and_found(browser: Browser, tmp_path: Path) -> None:
    many = Planted(tmp_path)
    with SummaryDatabase(many.web / "stats.db") as summary:
        for place in range(500):
            summary.update(StatsRow(f"T2_{place:03d}", time.time(), files=1, orphan=place * 7919 % 500))
    many.build(now=time.time())
    browser.open(base=many.web.as_uri() + "/")
    assert browser.find("#count").text == "500 sites"
    browser.click("th[data-key=orphan] button")
    browser.click("th[data-key=orphan] button")
    assert [number(text) for text in browser.column("orphan")] == list(range(499, -1, -1))
    browser.click("#q")
    browser.type("T2_12")
    assert sorted(browser.sites()) == [f"T2_12{digit}" for digit in range(10)]
