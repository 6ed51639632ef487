from dataclasses import replace

from engine.scope import Scope
from engine.site_states import SiteStatus
from engine.states import Reason
from storage.history import RunCounts, RunRow, RunStatus, Table
from storage.page.facts import NAMES
from storage.page.limits import PageLimits
from storage.page.runs import of_run
from storage.page.site_page import RUN_COLUMNS, run_line
from tests.storage.page.planting import DAY, HOUR, NOW, Planted
from tests.storage.page.reading import Element, read

SITE = "T2_XX_Site"


def page(planted: Planted, limits: PageLimits | None = None) -> Element:
    planted.build(limits)
    return read(planted.page(f"sites/{SITE}.html"))


def section(root: Element, title: str) -> Element:
    (found,) = [part for part in root.all("section") if [h.text for h in part.all("h2")] == [title]]
    return found


def test_a_site_without_runs_has_a_page(planted: Planted) -> None:
    planted.site(SITE, SiteStatus.DISABLED)
    root = page(planted)
    assert "disabled" in root.text
    assert "No runs yet." in root.text
    assert "None are there." in root.text
    assert root.all("figure") == []


def test_every_run_is_a_row_with_all_its_columns(planted: Planted) -> None:
    planted.run(SITE, NOW - DAY, missing=[b"/s/a"])
    planted.run(SITE, NOW - HOUR, RunStatus.FAILED, message="door: connection refused")
    rows = section(page(planted), "Runs").all("tr")
    assert [head.text for head in rows[0].all("th")] == [label for _, label in RUN_COLUMNS]
    failed, done = ([cell.text for cell in row.all("td")] for row in rows[1:])
    assert failed[:3] == ["2026-05-28 19:26", "faileddoor: connection refused", "10.0"]
    assert set(failed[3:]) == {"-"}
    assert done[1:8] == ["done", "10.0", "1,000", "100", "0", "0", "1"]
    assert {len(failed), len(done)} == {len(RUN_COLUMNS)}


def test_what_checksums_say_stands_in_the_last_column() -> None:
    assert RUN_COLUMNS[-1] == ("checksum", "Other checksum")
    row = RunRow(1, SITE, 1.0, 2.0, RunStatus.DONE, "", "ray", RunCounts(checksum_mismatch=3), frozenset(Table))
    assert run_line(of_run(row)).numbers[-1] == "3"
    assert run_line(of_run(replace(row, reported=frozenset(Table) - {Table.CHECKSUMS}))).numbers[-1] == "-"


def test_what_is_new_and_gone_has_counts_names_and_a_list(planted: Planted) -> None:
    many = [b"/s/new%03d" % number for number in range(NAMES + 5)]
    planted.run(SITE, NOW - DAY, missing=[b"/s/old"])
    planted.run(SITE, NOW - HOUR, missing=many)
    planted.lists(SITE)
    missing = section(page(planted), "Since the run before").all("section")[0]
    assert [heading.text for heading in missing.all("h4")] == [f"New {NAMES + 5}", "Gone 1"]
    names = [code.text for code in missing.all("code")]
    assert names == [*(name.decode() for name in many[:NAMES]), "/s/old"]
    assert "and 5 more" in missing.text
    assert {link.attributes["href"] for link in missing.all("a")} == {f"../{SITE}_compare_missing.txt"}


def test_what_the_last_run_did_not_look_at_is_not_called_gone(planted: Planted) -> None:
    everywhere = Scope((b"/s",))
    planted.run(SITE, NOW - 2 * DAY, missing=[b"/s/a/1"], orphans=[b"/s/a/2", b"/s/a/3", b"/s/b"], looked=everywhere)
    planted.run(SITE, NOW - DAY, looked=Scope((b"/s",), (b"/a/",)))
    found = section(page(planted), "Since the run before")
    assert "By other settings (IgnoreDirectories), the last run looked elsewhere than the run before." in found.text
    missing, orphans = found.all("section")
    assert [heading.text for heading in missing.all("h4")] == ["New 0", "Gone 0"]
    assert [heading.text for heading in orphans.all("h4")] == ["New 0", "Gone 1"]
    why = "not seen: the last run could not list where {}, or its settings left that alone. {} may be there still."
    assert f"1 {why.format('it was', 'It')}" in missing.text
    assert f"2 {why.format('they were', 'They')}" in orphans.text
    planted.run(SITE, NOW - HOUR, looked=everywhere)
    assert "elsewhere" in section(page(planted), "Since the run before").text
    planted.run(SITE, NOW, looked=everywhere)
    found = section(page(planted), "Since the run before")
    assert "elsewhere" not in found.text
    assert "not seen" not in found.text


def test_a_first_run_has_nothing_to_compare_with(planted: Planted) -> None:
    planted.run(SITE, NOW - DAY, missing=[b"/s/a"])
    assert section(page(planted), "Since the run before").text.count("No run before to compare with.") == 2


def test_why_directories_are_unlisted(planted: Planted) -> None:
    unlisted = [(b"/s/%d" % number, Reason.TIMEOUT, "operation expired") for number in range(7)]
    planted.run(SITE, NOW, RunStatus.INCOMPLETE, unlisted=[*unlisted, (b"/t", Reason.PERMISSION, "")])
    first, second = section(page(planted), "Why directories are unlisted").all("tbody")[0].all("tr")
    assert (first.all("th")[0].text, first.all("td")[0].text) == ("timeout", "7")
    assert [item.text for item in first.all("li")] == [f"/s/{number} operation expired" for number in range(5)]
    assert (second.all("th")[0].text, second.all("td")[0].text) == ("permission denied", "1")


def test_lists_are_there_with_size_and_first_lines(planted: Planted) -> None:
    planted.site(SITE)
    planted.file(f"{SITE}_compare_orphan.txt", "".join(f"/s/{number}\n" for number in range(50)))
    planted.file(f"{SITE}_compare_orphan.jsonl")
    planted.file(f"{SITE}_empty.txt", "")
    orphans, empty = section(page(planted), "Lists of the last results").all("ul")[0].inside
    assert "orphans 290 bytes" in " ".join(orphans.text.split())
    assert [code.text for code in orphans.all("code")] == [f"/s/{number}" for number in range(NAMES)]
    assert "These are the first 20" in orphans.text
    assert f"../{SITE}_compare_orphan.jsonl" in [link.attributes["href"] for link in orphans.all("a")]
    assert "0 bytes, empty" in empty.text


def test_a_list_of_a_million_names_makes_no_large_page(planted: Planted) -> None:
    planted.result(SITE, orphan=10**6)
    planted.file(f"{SITE}_compare_orphan.txt", "/store/data/user/dark/file.root\n" * 10**6)
    page(planted)
    assert (planted.web / "sites" / f"{SITE}.html").stat().st_size < 50_000
    assert (planted.web / "index.html").stat().st_size < 50_000


def test_what_needs_a_look_is_said_first(planted: Planted) -> None:
    planted.site(SITE)
    planted.result(SITE, files=1, missing=11)
    root = page(planted, PageLimits(max_missing=10))
    assert "more missing files than MaxMissing, 10" in section(root, "▲ Needs a look").text


def test_the_charts_say_in_words_what_they_show(planted: Planted) -> None:
    planted.run(SITE, NOW - DAY, missing=[b"/s/a"])
    planted.run(SITE, NOW, missing=[b"/s/a", b"/s/b"])
    labels = [svg.attributes["aria-label"] for svg in section(page(planted), "Over its runs").all("svg")]
    assert labels[0] == "Missing files over 2 runs: last 2, lowest 1, highest 2"
    assert len(labels) == 4
