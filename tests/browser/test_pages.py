"""All pages, in a browser: links, widths, keyboard, themes, without scripts, from a disk."""

from __future__ import annotations

import urllib.error
import urllib.request
from urllib.parse import urldefrag

import pytest
from selenium.webdriver.common.keys import Keys

from storage.page.words import address, page_name
from tests.browser.driving import Browser
from tests.browser.sites import GOOD, HOSTILE, IMAGE, MANY, SCRIPT, STATES

PAGES = ["index.html", "columns.html", f"sites/{page_name(MANY)}", address("sites", page_name(IMAGE))]

CONTRAST = """
const luminance = (text) => {
  const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map((v) => {
    const c = v / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const colour = getComputedStyle(e).backgroundColor;
    if (!/^rgba\\(.*, 0\\)$/.test(colour)) return colour;
  }
  return "rgb(255, 255, 255)";
};
const poor = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!own || element.offsetParent === null || element.closest("svg") || element.closest(".vh")) continue;
  const [a, b] = [luminance(getComputedStyle(element).color), luminance(ground(element))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) poor.push([element.tagName, element.className, element.textContent.slice(0, 30), ratio.toFixed(2)]);
}
return poor;
"""


def links_of(browser: Browser) -> set[str]:
    found: list[str] = browser.js("return [...document.querySelectorAll('a')].map((a) => a.href)")
    return {urldefrag(link)[0] for link in found}


def test_every_link_leads_somewhere(browser: Browser) -> None:
    known, todo = {browser.base + "index.html"}, [browser.base + "index.html"]
    while todo:
        page = todo.pop()
        browser.driver.get(page)
        for link in sorted(links_of(browser) - known):
            known.add(link)
            assert link.startswith(browser.base), link
            try:
                with urllib.request.urlopen(link, timeout=20) as answer:
                    kind = answer.headers["Content-Type"]
            except urllib.error.HTTPError as error:
                pytest.fail(f"{page}: {link}: {error}")
            if kind.startswith("text/html"):
                todo.append(link)
    pages = [link for link in known if "/sites/" in link]
    assert len(pages) == len(STATES)
    assert len(known) > 11 * (len(STATES) - 1)


@pytest.mark.parametrize("site", [GOOD, *HOSTILE])
def test_the_time_of_a_site_opens_its_history_and_back_again(browser: Browser, site: str) -> None:
    browser.open("index.html#sort=orphan")
    row = next(row for row in browser.all("#sites tbody tr") if row.get_attribute("data-site") == site)
    row.find_element("css selector", "td a").click()
    browser.eventually("the page of the site", lambda: browser.find("h1").text == site)
    assert len(browser.all("#runs tbody tr")) >= 3
    assert len(browser.all(".chart")) == 4
    browser.driver.back()
    browser.eventually("the table", lambda: browser.find("h1").text == "Storage consistency")
    assert browser.hash() == "#sort=orphan"


def test_a_number_opens_its_list(browser: Browser) -> None:
    browser.open(f"index.html#q={MANY}")
    link = next(a for a in browser.all("#sites tbody a") if a.text == "5,000")
    link.click()
    browser.eventually("the list", lambda: "/store/mc/a.root" in browser.find("body").text)
    assert browser.js("return location.pathname") == f"/{MANY}_compare_missing.txt"


def test_the_page_of_a_site_shows_hostile_names_as_names(browser: Browser) -> None:
    browser.open(address("sites", page_name(SCRIPT)))
    text = browser.find("main").text
    assert "/store/mc/<script>alert(1)<_script>" in text
    assert f"/store/mc/{IMAGE}" in text
    assert f"connection refused {SCRIPT}" in text
    assert browser.js("return document.querySelectorAll('img, main script').length") == 0
    assert browser.js("return document.title").startswith(SCRIPT)


def test_runs_sort(browser: Browser) -> None:
    browser.open(PAGES[2])
    started = "return [...document.querySelectorAll('#runs tbody tr')].map((r) => r.cells[0].textContent)"
    newest_first = browser.js(started)
    assert newest_first == sorted(newest_first, reverse=True)
    browser.click("#runs th[data-key=started] button")
    assert browser.js(started) == sorted(newest_first)
    browser.click("#runs th[data-key=missing] button")
    numbers = [cell.text for cell in browser.all("#runs tbody td:nth-child(8)")]
    assert numbers == ["1", "5,000", "-"]


def test_a_chart_tells_the_run_under_the_pointer(browser: Browser) -> None:
    browser.open(PAGES[2])
    browser.click("#runs th[data-key=missing] button")
    picture = browser.find("[data-chart=missing] svg")
    browser.point_at(picture, int(picture.size["width"] / 2 * 0.95))
    caption = browser.find("[data-chart=missing] figcaption")
    browser.eventually("the last run", lambda: caption.text.startswith("Missing files: 5,000 on 20"))
    browser.point_at(picture, -int(picture.size["width"] / 2 * 0.75))
    browser.eventually("the first run", lambda: caption.text.startswith("Missing files: 1 on 20"))


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("width", [1400, 390, 320])
def test_no_page_is_wider_than_its_window(browser: Browser, page: str, width: int) -> None:
    browser.resize(width, 844)
    browser.open(page)
    assert browser.js("return document.documentElement.scrollWidth") <= width
    assert browser.js("return document.body.scrollWidth") <= width


def test_on_a_phone_the_table_scrolls_in_its_box_and_the_rest_can_be_used(browser: Browser) -> None:
    browser.resize(390, 844)
    browser.open()
    assert browser.js("const b = document.querySelector('.box'); return b.scrollWidth > b.clientWidth") is True
    browser.click("button[data-view=act]")
    assert GOOD in browser.sites()
    browser.js("document.querySelector('.box').scrollLeft = 600")
    name = "return document.querySelector('tbody tr:not([hidden]) th').getBoundingClientRect().left"
    assert 0 <= browser.js(name) < 60


def test_on_a_phone_the_words_on_the_columns_are_read_without_scrolling(browser: Browser) -> None:
    browser.resize(390, 844)
    browser.open("columns.html")
    assert browser.js("const b = document.querySelector('.box'); return b.scrollWidth <= b.clientWidth") is True


def test_everything_can_be_done_with_the_keyboard(browser: Browser) -> None:
    browser.open()
    browser.type(Keys.TAB)
    assert browser.focused().text == "Skip to the content"
    assert browser.js("return document.activeElement.getBoundingClientRect().top") >= 0, "it can be seen"
    browser.type(Keys.ENTER)
    browser.type(Keys.TAB)
    assert browser.focused().text == "T1_UK_Running", "what runs comes first"
    browser.type(Keys.TAB, Keys.TAB)
    assert browser.focused().get_attribute("data-view") == "act"
    browser.type(Keys.SPACE)
    assert browser.hash() == "#view=act"
    browser.type("/")
    assert browser.focused().get_attribute("id") == "q"
    browser.type("T2", Keys.TAB)
    assert browser.focused().get_attribute("data-show") == "look"
    browser.type(Keys.ENTER)
    assert browser.hash() == "#view=act&show=look&q=T2"
    while browser.focused().get_attribute("class") != "box":
        browser.type(Keys.TAB)
    browser.type(Keys.TAB, Keys.TAB, Keys.ENTER)
    assert browser.find("th[data-key=site]").get_attribute("aria-sort") == "descending"
    while "sites/" not in (browser.focused().get_attribute("href") or ""):
        browser.type(Keys.TAB)
    browser.type(Keys.ENTER)
    browser.eventually("the page of a site", lambda: browser.js("return location.pathname").startswith("/sites/"))


def test_what_has_the_focus_is_seen(browser: Browser) -> None:
    browser.open()
    browser.type(Keys.TAB, Keys.TAB)
    outline = "const s = getComputedStyle(document.activeElement); return [s.outlineStyle, parseFloat(s.outlineWidth)]"
    style, width = browser.js(outline)
    assert style == "solid"
    assert width >= 2


def ground(browser: Browser) -> tuple[int, ...]:
    colour: str = browser.js("return getComputedStyle(document.body).backgroundColor")
    return tuple(int(part) for part in colour[4:-1].split(","))


def set_scheme(browser: Browser, scheme: str) -> None:
    browser.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])


def test_the_theme_is_that_of_the_system_until_the_reader_chooses(browser: Browser) -> None:
    set_scheme(browser, "light")
    browser.open()
    assert min(ground(browser)) > 200
    set_scheme(browser, "dark")
    assert max(ground(browser)) < 60
    button = browser.find("#theme")
    assert button.text == "Theme: auto"
    button.click()
    assert button.text == "Theme: light"
    assert min(ground(browser)) > 200
    browser.open(PAGES[2])
    assert min(ground(browser)) > 200, "it is kept"
    browser.click("#theme")
    set_scheme(browser, "light")
    assert max(ground(browser)) < 60


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES[:3])
def test_every_text_can_be_read_on_its_ground(browser: Browser, page: str, scheme: str) -> None:
    set_scheme(browser, scheme)
    browser.open(page)
    assert browser.js(CONTRAST) == []


def test_without_scripts_there_is_a_plain_table(browser: Browser) -> None:
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    browser.open()
    rows = browser.all("#sites tbody tr")
    assert len(rows) == len(STATES)
    assert all(row.is_displayed() for row in rows)
    assert browser.all("#sites th button") == []
    assert not browser.find("#views").is_displayed()
    assert not browser.find("#theme").is_displayed()
    assert "within 24 h" in next(row.text for row in rows if row.get_attribute("data-site") == GOOD)
    browser.find(f'a[href="sites/{GOOD}.html"]').click()
    browser.eventually("the page of the site", lambda: browser.find("h1").text == GOOD)
    assert len(browser.all(".chart .line")) == 4


@pytest.mark.parametrize("page", PAGES)
def test_the_page_works_from_a_disk(browser: Browser, page: str) -> None:
    browser.open(page, browser.web.as_uri() + "/")
    assert browser.js("return document.documentElement.classList.contains('js')") is True
    assert browser.js("return getComputedStyle(document.querySelector('.top')).display") == "flex"
    browser.click("#theme")
    if page == "index.html":
        browser.click("th[data-key=orphan] button")
        assert browser.hash() == "#sort=orphan"
        browser.click("button[data-view=act]")
        assert "T2_CH_Queued" not in browser.sites()
        browser.js("document.dispatchEvent(new Event('visibilitychange'))")
    browser.js("try { localStorage.clear() } catch {}")


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_loaded_from_elsewhere(browser: Browser, page: str) -> None:
    browser.open(page)
    loaded = browser.js("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert loaded
    assert all(name.startswith(browser.base) for name in loaded)


def test_every_element_that_can_be_used_has_a_name(browser: Browser) -> None:
    for page in PAGES:
        browser.open(page)
        nodes = browser.command("Accessibility.getFullAXTree")["nodes"]
        nameless = [
            node
            for node in nodes
            if not node.get("ignored")
            and node["role"]["value"] in ("button", "link", "searchbox", "image", "region", "table")
            and not node.get("name", {}).get("value", "").strip()
        ]
        assert [node["role"]["value"] for node in nameless if node["role"]["value"] != "table"] == [], page
