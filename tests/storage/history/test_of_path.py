"""What the history knows of one path, and of what is below a directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.findings import Finding, Kind
from engine.states import Reason
from storage.history import HistoryDatabase, RunCounts, RunStatus, Table
from storage.history.of_path import CountBelow, PastFinding, counts_below, findings_of, is_deletable
from storage.history.two_runs import FindingKind
from tests.storage.histories import OTHER, SITE, files, orphans, run


@pytest.fixture
def history(tmp_path: Path) -> Iterator[HistoryDatabase]:
    with HistoryDatabase(tmp_path / "db" / "consistency.db") as database:
        yield database


def found(history: HistoryDatabase, path: bytes, site: str = SITE) -> list[PastFinding]:
    with history.view() as connection:
        return findings_of(connection, site, path)


def test_each_run_that_has_found_a_path_is_there_the_newest_first(history: HistoryDatabase) -> None:
    run(history, orphans(b"/s/\xff", b"o"), finished=2.0)
    run(history, orphans(b"/s/\xff", b"o"), finished=3.0)
    history.mark_acted(SITE, Table.ORPHANS, [b"/s/\xff/o"], 4.0)
    run(history, orphans(b"/s/\xff", b"other"), finished=5.0)
    run(history, files(Kind.SIZE_MISMATCH, b"/s/\xff", b"o"), finished=6.0)
    assert found(history, b"/s/\xff/o") == [
        PastFinding(FindingKind.SIZE_MISMATCH, 4, 6.0, 7, 8, current=True),
        PastFinding(FindingKind.ORPHAN, 2, 3.0, 7, None, False, 2, 2.0, 4.0),
        PastFinding(FindingKind.ORPHAN, 1, 2.0, 7, None, False, 1, 2.0),
    ]
    assert found(history, b"/s/\xff/o", OTHER) == found(history, b"/s/none") == []


def test_directories_are_found_as_well(history: HistoryDatabase) -> None:
    number = history.open_run(SITE, 1.0, "threads")
    history.stage(number, [Finding(Kind.EMPTY, b"/s/e")])
    history.stage_unlisted(number, [(b"/s/u", Reason.TIMEOUT, "after 30 s")])
    history.finish_run(number, 2.0, RunStatus.INCOMPLETE, RunCounts(unlisted=1), keep_findings=True)
    run(history)
    assert found(history, b"/s/e") == [PastFinding(FindingKind.EMPTY, 1, 2.0)]
    assert found(history, b"/s/u") == [PastFinding(FindingKind.UNLISTED, 1, 2.0, detail="timeout (after 30 s)")]


def test_what_was_acted_on_and_reported_once_more_is_there_once(history: HistoryDatabase) -> None:
    number = history.open_run(SITE, 1.0, "front end")
    history.report(number, Table.MISSING, [(b"/s/m", 7, 100)], 2.0)
    history.mark_acted(SITE, Table.MISSING, [b"/s/m"], 3.0)
    history.report(number, Table.MISSING, [(b"/s/m", 7, 100)], 4.0)
    (finding,) = found(history, b"/s/m")
    assert (finding.current, finding.acted) == (True, 3.0)


def test_findings_below_a_directory_are_counted_by_whole_components(history: HistoryDatabase) -> None:
    run(
        history,
        orphans(b"/s/a", b"1"),
        orphans(b"/s/a/\xff", b"2", b"3"),
        orphans(b"/s/a-b", b"4"),
        orphans(b"/s/a0", b"5"),
        orphans(b"/s", b"6"),
        Finding(Kind.EMPTY, b"/s/a"),
        Finding(Kind.EMPTY, b"/s/a/b"),
        Finding(Kind.EMPTY, b"/s/ab"),
    )
    with history.view() as connection:
        below = {path: counts_below(connection, SITE, path) for path in (b"/s/a", b"/s/a/\xff", b"/", b"/none")}
        assert counts_below(connection, OTHER, b"/s") == []
    assert CountBelow(FindingKind.ORPHAN, 3, 21) in below[b"/s/a"]
    assert CountBelow(FindingKind.EMPTY, 2, 0) in below[b"/s/a"]
    assert CountBelow(FindingKind.ORPHAN, 2, 14) in below[b"/s/a/\xff"]
    assert CountBelow(FindingKind.ORPHAN, 6, 42) in below[b"/"]
    assert all(count.count == 0 for count in below[b"/none"])


def test_what_a_cleaning_would_delete_goes_with_its_directory(history: HistoryDatabase) -> None:
    number = history.open_run(SITE, 1.0, "front end")
    history.report(number, Table.UNMERGED, [(b"/store/unmerged/f", 7, 100), (b"/store/unmerged/d", 7, 100)], 2.0)
    with history.view() as connection:
        for path, deletable in (
            (b"/store/unmerged/f", True),
            (b"/store/unmerged/d/below", True),
            (b"/store/unmerged/g", False),
            (b"/store/unmerged", False),
        ):
            assert is_deletable(connection, SITE, path) == deletable
        assert not is_deletable(connection, OTHER, b"/store/unmerged/f")


def test_both_checksums_are_told(history: HistoryDatabase) -> None:
    run(history, files(Kind.CHECKSUM_MISMATCH, b"/s", b"f"))
    (finding,) = found(history, b"/s/f")
    assert (finding.kind, finding.size, finding.current) == (FindingKind.CHECKSUM_MISMATCH, 7, True)
    assert finding.detail == "adler32:00000002 at the store, adler32:00000001 in the inventory"
