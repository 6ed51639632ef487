import socket
import subprocess
from pathlib import Path

import pytest

from engine.site_states import Reporting, SiteStatus
from engine.states import Reason
from storage.history import RunStatus
from storage.page.facts import RUNS, SiteFacts, gather, group
from storage.runs.directory import RunDirectory, RunInfo
from storage.sites.process import Owner
from storage.sites.summary import SummaryDatabase, SummaryError
from tests.storage.page.planting import DAY, HOUR, NOW, Planted

SITE = "T2_XX_Site"


def facts(planted: Planted) -> SiteFacts:
    (found,) = gather(planted.web, planted.history).sites
    return found


def test_nothing_is_there_and_nothing_is_made(planted: Planted) -> None:
    assert gather(planted.web, planted.history).sites == ()
    assert list(planted.base.rglob("*.db")) == []


def test_sites_of_both_databases_are_there_by_name(planted: Planted) -> None:
    planted.site("T2_B")
    planted.run("T2_A", NOW - DAY)
    planted.result("T2_C")
    assert [found.row.site for found in gather(planted.web, planted.history).sites] == ["T2_A", "T2_B", "T2_C"]


def test_without_a_summary_the_history_alone_has_the_results(planted: Planted) -> None:
    planted.run(SITE, NOW - DAY, missing=[b"/store/mc/a"])
    found = facts(planted)
    assert found.latest is not None
    assert (found.latest.missing, found.latest.files) == (1, 1000)


def test_without_a_history_the_summary_alone_has_the_results(planted: Planted) -> None:
    planted.result(SITE, NOW - DAY, missing=5)
    planted.result(SITE, NOW - HOUR, missing=6)
    (found,) = gather(planted.web, None).sites
    assert found.latest is not None
    assert found.latest.missing == 6
    assert [run.missing for run in found.runs] == [6, 5]


def test_the_latest_results_are_not_those_of_a_run_that_failed(planted: Planted) -> None:
    planted.run(SITE, NOW - DAY, missing=[b"/store/mc/a"])
    planted.run(SITE, NOW - HOUR, RunStatus.FAILED, message="refused")
    found = facts(planted)
    assert found.latest is not None
    assert found.latest.missing == 1
    assert [run.status for run in found.runs] == [RunStatus.FAILED, RunStatus.DONE]


def test_what_is_new_and_gone_is_known_with_names(planted: Planted) -> None:
    planted.run(SITE, NOW - DAY, missing=[b"/s/a", b"/s/b"], orphans=[b"/s/o"])
    planted.run(SITE, NOW - HOUR, missing=[b"/s/b", b"/s/c"], orphans=[b"/s/o"])
    changes = facts(planted).changes
    assert ([row[0] for row in changes.missing.new_files], changes.missing.new) == ([b"/s/c"], 1)
    assert ([row[0] for row in changes.missing.gone_files], changes.missing.gone) == ([b"/s/a"], 1)
    assert (changes.orphans.new, changes.orphans.gone) == (0, 0)


def test_unlisted_directories_are_grouped_by_reason_the_most_frequent_first() -> None:
    rows = [(b"/s/%d" % n, Reason.TIMEOUT, "expired") for n in range(9)] + [(b"/s/\xff\n", Reason.PERMISSION, "\ud800")]
    first, second = group(rows)
    assert (first.reason, first.count, len(first.examples)) == (Reason.TIMEOUT, 9, 5)
    assert first.examples[0] == ("/s/0", "expired")
    assert second.examples == (("/s/\\xff\\n", "\\\\ud800"),)


def test_a_page_has_the_last_runs_only(planted: Planted) -> None:
    for number in range(RUNS + 3):
        planted.result(SITE, NOW - DAY + number, missing=number)
    runs = facts(planted).runs
    assert len(runs) == RUNS
    assert runs[0].missing == RUNS + 2


def test_a_history_that_cannot_be_read_leaves_a_notice(planted: Planted, caplog: pytest.LogCaptureFixture) -> None:
    planted.result(SITE, missing=5)
    planted.history.parent.mkdir(parents=True)
    planted.history.write_text("this is no database, and longer than a hundred bytes, so that it is looked at" * 3)
    found = gather(planted.web, planted.history)
    (notice,) = found.notices
    assert str(planted.history) in notice
    assert found.sites[0].latest is not None
    assert "without the history" in caplog.text


def test_a_summary_that_cannot_be_read_is_an_error(planted: Planted) -> None:
    (planted.web / "stats.db").write_text("this is no database, and longer than a hundred bytes" * 3)
    with pytest.raises(SummaryError, match=r"stats\.db"):
        gather(planted.web, None)


def test_a_killed_run_is_not_shown_as_running(planted: Planted) -> None:
    planted.site(SITE)
    planted.run(SITE, NOW - HOUR, RunStatus.RUNNING)
    assert facts(planted).runs[0].status == RunStatus.DIED


def test_a_run_that_somebody_runs_is_shown_as_running(planted: Planted) -> None:
    planted.site(SITE)
    planted.run(SITE, NOW - HOUR, RunStatus.RUNNING)
    directory = RunDirectory(planted.base / "var", SITE)
    directory.acquire(RunInfo(1, "here", NOW, "threads"))
    with directory:
        assert facts(planted).runs[0].status == RunStatus.RUNNING
    planted.site(SITE, SiteStatus.RUNNING, started=NOW)
    assert facts(planted).runs[0].status == RunStatus.RUNNING, "the summary says so"


def test_a_state_that_a_dead_process_left_is_not_shown(planted: Planted) -> None:
    process = subprocess.Popen(["sleep", "60"])
    owner = Owner(process.pid, socket.gethostname())
    planted.site(SITE)
    planted.run(SITE, NOW - HOUR, RunStatus.RUNNING)
    with SummaryDatabase(planted.web / "stats.db") as summary:
        summary.running(SITE, owner, NOW - HOUR)
    try:
        found = facts(planted)
        assert (found.row.status, found.runs[0].status) == (SiteStatus.RUNNING, RunStatus.RUNNING)
    finally:
        process.kill()
        process.wait()
    found = facts(planted)
    assert (found.row.status, found.runs[0].status) == (SiteStatus.READY, RunStatus.DIED)


def test_a_fingerprint_changes_with_everything_that_a_page_shows(planted: Planted) -> None:
    prints = []

    def take() -> None:
        prints.append(facts(planted).fingerprint())

    planted.site(SITE)
    take()
    planted.site(SITE, SiteStatus.HALT)
    take()
    planted.site(SITE, SiteStatus.HALT, Reporting.ACT)
    take()
    planted.run(SITE, NOW - HOUR, missing=[b"/s/a"])
    take()
    planted.result(SITE, NOW - HOUR + 601)
    take()
    planted.file(f"{SITE}_empty.txt", "a\n")
    take()
    planted.file(f"{SITE}_empty.txt", "a\nb\n")
    take()
    planted.run(SITE, NOW, RunStatus.FAILED, message="why")
    take()
    assert len(set(prints)) == len(prints)
    take()
    assert prints[-1] == prints[-2]


def test_facts_are_read_though_nothing_may_be_written(planted: Planted, tmp_path: Path) -> None:
    planted.result(SITE, missing=5)
    before = sorted((path.name, path.stat().st_mtime_ns) for path in planted.web.iterdir())
    gather(planted.web, None)
    after = sorted((path.name, path.stat().st_mtime_ns) for path in planted.web.iterdir())
    assert [entry for entry in after if not entry[0].endswith(("-wal", "-shm"))] == [
        entry for entry in before if not entry[0].endswith(("-wal", "-shm"))
    ]
