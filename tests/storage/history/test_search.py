"""Looking for paths among the findings of the last runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.findings import Finding, Kind
from engine.states import Reason
from storage.history import HistoryDatabase, RunCounts, RunStatus, Table
from storage.history.search import Match, search
from storage.history.two_runs import FindingKind
from tests.storage.histories import OTHER, SITE, files, orphans, run


@pytest.fixture
def history(tmp_path: Path) -> Iterator[HistoryDatabase]:
    with HistoryDatabase(tmp_path / "db" / "consistency.db") as database:
        yield database


def found(history: HistoryDatabase, part: bytes = b"", site: str = SITE) -> list[Match]:
    with history.view() as connection:
        return list(search(connection, site, lambda path: part in path, FindingKind))


def test_every_kind_of_finding_is_looked_through(history: HistoryDatabase) -> None:
    number = history.open_run(SITE, 1.0, "threads")
    history.stage(
        number,
        [
            files(Kind.MISSING, b"/s", b"m"),
            orphans(b"/s/\xff", b"o"),
            files(Kind.SIZE_MISMATCH, b"/s", b"cut"),
            Finding(Kind.EMPTY, b"/s/e"),
        ],
    )
    history.stage_unlisted(number, [(b"/s/u", Reason.TIMEOUT, "")])
    history.finish_run(number, 2.0, RunStatus.INCOMPLETE, RunCounts(unlisted=1), keep_findings=True)
    assert found(history) == [
        Match(SITE, FindingKind.MISSING, b"/s/m", 7, -1, number, number, 1.0),
        Match(SITE, FindingKind.ORPHAN, b"/s/\xff/o", 7, -1, number, number, 1.0),
        Match(SITE, FindingKind.SIZE_MISMATCH, b"/s/cut", 7, 8, number, number, 1.0),
        Match(SITE, FindingKind.EMPTY, b"/s/e", -1, -1, number, number, 1.0),
        Match(SITE, FindingKind.UNLISTED, b"/s/u", -1, -1, number, number, 1.0),
    ]
    assert [match.path for match in found(history, b"\xff")] == [b"/s/\xff/o"]
    assert found(history, site=OTHER) == []


def test_a_path_without_a_directory_is_found(history: HistoryDatabase) -> None:
    number = history.open_run(SITE, 1.0, "front end")
    history.report(number, Table.MISSING, [(b"plain", 1, 1)], 2.0)
    assert [match.path for match in found(history)] == [b"plain"]


def test_only_the_last_run_counts_and_what_was_acted_on_does_not(history: HistoryDatabase) -> None:
    run(history, orphans(b"/s", b"gone"))
    run(history, orphans(b"/s", b"left", b"acted"))
    history.mark_acted(SITE, Table.ORPHANS, [b"/s/acted"], 3.0)
    assert [match.path for match in found(history)] == [b"/s/left"]


@pytest.mark.parametrize(
    ("kind", "finding"),
    [
        (FindingKind.ORPHAN, orphans(b"/s", b"x")),
        (FindingKind.MISSING, files(Kind.MISSING, b"/s", b"x")),
        (FindingKind.SIZE_MISMATCH, files(Kind.SIZE_MISMATCH, b"/s", b"x")),
        (FindingKind.EMPTY, Finding(Kind.EMPTY, b"/s/x")),
    ],
)
def test_it_says_since_which_run_one_after_the_other(
    history: HistoryDatabase, kind: FindingKind, finding: Finding
) -> None:
    run(history, finding)
    run(history)
    first = run(history, finding)
    run(history, finding, keep_findings=False)
    last = run(history, finding)
    (match,) = found(history)
    assert (match.kind, match.run, match.first_run) == (kind, last, first)


def test_unlisted_directories_say_so_as_well(history: HistoryDatabase) -> None:
    numbers = []
    for _ in range(3):
        number = history.open_run(SITE, 1.0, "threads")
        history.stage_unlisted(number, [(b"/s/u", Reason.TIMEOUT, "")])
        history.finish_run(number, 2.0, RunStatus.INCOMPLETE, RunCounts(unlisted=1), keep_findings=True)
        numbers.append(number)
    (match,) = found(history)
    assert (match.run, match.first_run) == (numbers[-1], numbers[0])
