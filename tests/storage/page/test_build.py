import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from engine.actions import ActionLimits
from storage.atomic import ReportError
from storage.config.defaults import Defaults
from storage.config.loading import Config
from storage.page.build import build_page
from storage.page.limits import PageLimits
from storage.sites.summary import SummaryError
from tests.storage.page.planting import DAY, HOUR, NOW, Planted
from tests.storage.page.reading import read

ROOT = Path(__file__).parents[3]


def test_a_page_is_made_in_a_directory_that_is_not_there_yet(tmp_path: Path) -> None:
    web = tmp_path / "a" / "www"
    built = build_page(web, None, PageLimits(), NOW)
    assert (built.sites, built.notices) == (0, ())
    found = {path.relative_to(web).as_posix() for path in web.rglob("*") if path.is_file()}
    assert found == {
        *("index.html", "columns.html", ".page.lock", "live/~running.json"),
        *(f"assets/{name}" for name in ("page.css", "icon.svg")),
        *(f"assets/{name}.js" for name in ("theme", "sort", "index", "site", "live", "running")),
    }


def test_only_pages_of_sites_that_changed_are_written(planted: Planted) -> None:
    for site in ("T2_A", "T2_B", "T2_C"):
        planted.run(site, NOW - DAY)
    planted.build()
    before = {path: path.stat().st_mtime_ns for path in (planted.web / "sites").iterdir()}
    planted.run("T2_B", NOW - HOUR)
    built = planted.build(now=NOW + HOUR)
    assert [p.name for p, mtime in before.items() if p.stat().st_mtime_ns != mtime] == ["T2_B.html"]
    assert built.written == 2, "the site's page and the table"


def test_a_site_that_turns_yellow_has_its_page_written(planted: Planted) -> None:
    from engine.site_states import SiteStatus

    planted.site("T2_A", SiteStatus.RUNNING, started=NOW)
    planted.build()
    planted.build(now=NOW + 2 * DAY)
    assert "running for over 24 h" in planted.page("sites/T2_A.html")


def test_the_page_of_a_site_that_is_gone_is_removed_and_foreign_ones_are_not(planted: Planted) -> None:
    planted.result("T2_A")
    planted.build()
    foreign = planted.web / "sites" / "notes.html"
    foreign.write_text("<p>mine")
    (planted.web / "stats.db").unlink()
    planted.build()
    assert [path.name for path in (planted.web / "sites").iterdir()] == ["notes.html"]


def test_files_of_others_stay_as_they_are(planted: Planted) -> None:
    planted.file("notes.txt", "mine")
    planted.lists("T2_A")
    before = {path.name: path.read_bytes() for path in planted.web.iterdir()}
    planted.build()
    assert {name: (planted.web / name).read_bytes() for name in before} == before


def test_limits_of_a_site_go_before_those_of_all(planted: Planted) -> None:
    planted.result("T2_A", files=1, missing=50)
    planted.result("T2_B", files=1, missing=50)
    planted.build(PageLimits(10, 10, {"T2_A": ActionLimits(60, 10)}))
    rows = {row.attributes.get("data-site"): row.text for row in read(planted.page()).all("tr")}
    assert "over 10" not in rows["T2_A"]
    assert "over 10" in rows["T2_B"]


def test_limits_come_from_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "sites.yaml"
    path.write_text("MaxMissing: 7\nSites:\n  T2_A: {MaxOrphan: 3}\n")
    limits = PageLimits.of_config(Config.load(path, {}))
    assert limits.of("T2_A") == ActionLimits(7, 3)
    assert limits.of("T2_B") == ActionLimits(7, 1000)
    assert PageLimits.of_config(Defaults()).of("T2_A") == ActionLimits(100, 1000)


def test_a_directory_that_cannot_be_written_is_named(unwritable: Path) -> None:
    with pytest.raises(ReportError, match=f"{unwritable}.*cannot be written"):
        build_page(unwritable, None, PageLimits(), NOW)
    with pytest.raises(ReportError, match=r"deeper.*cannot be written"):
        build_page(unwritable / "deeper", None, PageLimits(), NOW)


def test_a_file_in_the_place_of_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "www").write_text("a file")
    with pytest.raises(ReportError, match="www"):
        build_page(tmp_path / "www", None, PageLimits(), NOW)


def test_a_summary_that_cannot_be_read_leaves_the_page_as_it_was(planted: Planted) -> None:
    planted.result("T2_A")
    planted.build()
    before = planted.page()
    for path in planted.web.glob("stats.db*"):
        path.unlink()
    (planted.web / "stats.db").write_text("no database" * 50)
    with pytest.raises(SummaryError, match="damaged"):
        planted.build(now=NOW + HOUR)
    assert planted.page() == before


def test_a_page_with_a_thousand_characters_for_a_name(planted: Planted) -> None:
    planted.site("T2_" + "x" * 1000)
    planted.site("T2_" + "x" * 1000 + "y")
    assert planted.build().sites == 2
    assert len(list((planted.web / "sites").iterdir())) == 2


def test_five_hundred_sites(planted: Planted) -> None:
    from storage.sites.summary import StatsRow, SummaryDatabase

    with SummaryDatabase(planted.web / "stats.db") as summary:
        for number in range(500):
            summary.update(StatsRow(f"T2_{number:03d}", NOW - HOUR, files=number))
    assert planted.build().sites == 500
    assert len(list((planted.web / "sites").iterdir())) == 500
    assert len(read(planted.page()).all("tr")) == 501
    assert len(planted.page()) < 2_000_000


BUILD = """
import sys
from pathlib import Path
from storage.page.build import build_page
from storage.page.limits import PageLimits
for number in range(10**6):
    build_page(Path(sys.argv[1]), None, PageLimits(max_missing=number % 2), 1_780_000_000.0 + number)
    print(number, flush=True)
"""


def building(web: Path) -> subprocess.Popen[str]:
    """Start a process that builds a page that is never the same, again and again; the first one is done."""
    process = subprocess.Popen(
        [sys.executable, "-c", BUILD, str(web)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    return process


def check_whole(web: Path) -> None:
    """Read every page; one that is cut does not pass."""
    for path in [web / "index.html", web / "columns.html", *(web / "sites").glob("*.html")]:
        assert path.read_text().endswith("</html>\n") or path.read_text().endswith("</html>"), path
        read(path.read_text())


def test_a_reader_never_sees_half_a_page(planted: Planted) -> None:
    for number in range(8):
        planted.result(f"T2_{number}", missing=1)
    process = building(planted.web)
    try:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            check_whole(planted.web)
    finally:
        process.kill()
        process.communicate()


def test_a_build_that_is_killed_leaves_whole_pages_and_is_cleared_up(planted: Planted) -> None:
    for number in range(8):
        planted.result(f"T2_{number}", missing=1)
    for attempt in range(4):
        process = building(planted.web)
        time.sleep(0.01 * attempt)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        check_whole(planted.web)
    (planted.web / "sites" / ".T2_0.html.0badf00d.tmp").write_text("<html>")
    planted.build()
    assert [path.name for path in planted.web.rglob(".*")] == [".page.lock"]


def test_builds_at_the_same_time_do_not_get_into_each_others_way(planted: Planted) -> None:
    for number in range(5):
        planted.result(f"T2_{number}", missing=1)
    problems: list[BaseException] = []

    def build(turn: int) -> None:
        try:
            planted.build(PageLimits(max_missing=turn % 2), NOW + turn)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=build, args=(turn,)) for turn in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    check_whole(planted.web)
