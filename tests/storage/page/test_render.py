"""What stands in the pages: everything escaped, nothing from outside, and the same said without colours."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from engine.site_states import Reporting, SiteStatus
from engine.states import Reason
from storage.history import RunStatus
from storage.page import render
from storage.page.words import page_name
from tests.storage.page.planting import DAY, HOUR, NOW, Planted
from tests.storage.page.reading import Element, read

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><b>",
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }} {% raw %}",
    "&lt;b&gt; &amp;",
    "javascript:alert(1)",
    "..",
    "new\nline\x00\x1b[31m\u2028",
    "größe 文件 \U0001f600",
]
NAMES = [name.encode() for name in HOSTILE if name != ".."] + [b"\xff\xfe not utf-8"]
ALLOWED = {
    *("html", "head", "meta", "title", "link", "script", "body", "a", "header", "div", "nav", "button", "main", "p"),
    *("h1", "h2", "h3", "h4", "b", "label", "span", "input", "table", "caption", "thead", "tbody", "tr", "th", "td"),
    *("small", "svg", "path", "code", "time", "section", "ul", "li", "dl", "dt", "dd", "figure", "figcaption", "text"),
    *("circle", "details", "summary", "kbd", "progress", "document"),
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """Sites, files, directories, reasons and messages with names that want to be more; tests only read the pages."""
    planted = Planted(tmp_path_factory.mktemp("hostile"))
    for number, site in enumerate(HOSTILE):
        if "\x00" in site:
            site = site.replace("\x00", "")
        planted.site(site, reporting=Reporting(number % 2))
        paths = [b"/store/" + name.replace(b"/", b"_").replace(b"\x00", b"") for name in NAMES]
        planted.run(site, NOW - DAY, missing=paths[:3], orphans=paths[:2])
        planted.run(
            *(site, NOW - HOUR, RunStatus.INCOMPLETE, paths[3:], paths[2:]),
            unlisted=[(path, Reason.SERVER, detail) for path, detail in zip(paths, HOSTILE, strict=False)],
        )
        planted.run(site, NOW, RunStatus.FAILED, message=site)
        planted.result(site, NOW - HOUR + 601, missing=10**6, files=5)
        planted.lists(site)
    planted.build()
    return planted


def pages(web: Path) -> list[Path]:
    return [web / "index.html", web / "columns.html", *sorted((web / "sites").glob("*.html"))]


def everything(root: Element) -> list[Element]:
    return [root, *(found for child in root.inside for found in everything(child))]


def test_no_name_becomes_an_element_or_an_attribute(hostile: Planted) -> None:
    for page in pages(hostile.web):
        for element in everything(read(page.read_text())):
            assert element.tag in ALLOWED, page
            assert not [name for name in element.attributes if name.startswith("on") or name == "style"], page


def test_no_script_is_written_into_a_page(hostile: Planted) -> None:
    for page in pages(hostile.web):
        for script in read(page.read_text()).all("script"):
            assert script.text == ""
            assert re.search(r"assets/\w+\.js\?", script.attributes["src"] or ""), page


def test_the_policy_allows_a_pages_own_files_and_nothing_else(hostile: Planted) -> None:
    for page in pages(hostile.web):
        (policy,) = [
            meta.attributes["content"]
            for meta in read(page.read_text()).all("meta")
            if meta.attributes.get("http-equiv") == "Content-Security-Policy"
        ]
        assert policy == render.POLICY
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


def test_names_are_shown_as_they_are(hostile: Planted) -> None:
    shown = [link.text for link in read(hostile.page()).all("a")]
    for site in HOSTILE[:-2]:
        assert site in shown, site
    text = read(hostile.page(f"sites/{page_name(HOSTILE[0])}")).text
    assert "/store/<script>alert(1)<_script>" in text
    assert '/store/"><img src=x onerror=alert(1)>' in text
    assert "/store/\\xff\\xfe not utf-8" in text
    assert "/store/new\\nline\\x1b[31m\\u2028" in text
    assert "{{ 7 * 7 }}" in text


def test_no_control_character_gets_into_a_page(hostile: Planted) -> None:
    for page in pages(hostile.web):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]", page.read_text()), page


def test_every_link_leads_to_a_file_that_is_there(hostile: Planted) -> None:
    count = 0
    for page in pages(hostile.web):
        root = read(page.read_text())
        links = [a.attributes["href"] for a in root.all("a")] + [link.attributes["href"] for link in root.all("link")]
        links += [script.attributes["src"] for script in root.all("script")]
        for link in links:
            parts = urlsplit(link or "")
            assert (parts.scheme, parts.netloc) == ("", ""), link
            if parts.path:
                count += 1
                assert (page.parent / unquote(parts.path)).is_file(), f"{page}: {link}"
    assert count > 300


def test_a_template_that_misses_a_value_does_not_pass() -> None:
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        render._environment().get_template("index.html").render()


def row_of(planted: Planted, site: str) -> Element:
    (row,) = [row for row in read(planted.page()).all("tr") if row.attributes.get("data-site") == site]
    return row


def test_colours_are_said_in_words_too(planted: Planted) -> None:
    planted.site("T2_A", SiteStatus.RUNNING, Reporting.ACT, started=NOW - 2 * DAY)
    planted.result("T2_A", missing=101, unlisted=3, unlisted_bad=1, files=7)
    planted.site("T2_B", SiteStatus.LOCKED)
    planted.build()
    row = row_of(planted, "T2_A")
    assert "running for over 24 h · acting" in row.text
    assert "needs a look: running for over 24 h;" in row.text
    assert "▲ over 100" in row.text
    assert "▲ errors" in row.text
    assert "within 24 h" in row.text
    assert "queued · dry run" in row_of(planted, "T2_B").text


def test_the_views_and_states_say_how_many_sites_they_hold(planted: Planted) -> None:
    planted.site("T2_A", SiteStatus.RUNNING, Reporting.ACT, started=NOW - HOUR)
    planted.site("T2_B", SiteStatus.DISABLED)
    planted.site("T2_C")
    planted.site("T2_D", SiteStatus.LOCKED)
    planted.result("T2_A", files=1)
    planted.result("T2_C", files=1, missing=500)
    planted.build()
    buttons = [" ".join(button.text.split()) for button in read(planted.page()).all("button")]
    assert buttons[1:4] == ["Acted on 1", "Dry runs 3", "All sites 4"]
    assert buttons[4:10] == ["1 need a look", "1 running", "1 queued", "2 fresh", "1 not updated", "1 off"]


def test_without_sites_the_page_says_how_to_get_one(planted: Planted) -> None:
    planted.build()
    assert "No sites yet" in planted.page()


def test_a_notice_is_on_every_page(planted: Planted) -> None:
    planted.result("T2_A")
    planted.history.parent.mkdir(parents=True)
    planted.history.write_text("no database <b>" * 20)
    planted.build()
    for page in pages(planted.web):
        assert "The history could not be read" in page.read_text()


def test_the_configuration_is_a_link_when_it_is_there(planted: Planted) -> None:
    planted.build()
    assert "Configuration" not in planted.page()
    planted.file("consistency_config.yaml", "IgnoreAge: 2\n")
    planted.build()
    assert 'href="consistency_config.yaml"' in planted.page()


def test_the_columns_page_explains_every_column(planted: Planted) -> None:
    planted.build()
    index, columns = read(planted.page()), read(planted.page("columns.html"))
    explained = [row.all("th")[0].text for row in columns.all("tbody")[0].all("tr")]
    assert explained == [head.text for head in index.all("thead")[0].all("th")]
