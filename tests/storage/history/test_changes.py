from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.findings import Finding, Kind
from engine.scope import Scope
from engine.states import Reason
from storage.history import Changed, Changes, HistoryDatabase, RunCounts, RunStatus, Table
from tests.storage.histories import OTHER, SITE, files, orphans, run


@pytest.fixture
def history(tmp_path: Path) -> Iterator[HistoryDatabase]:
    with HistoryDatabase(tmp_path / "db" / "consistency.db") as database:
        yield database


def missing(directory: bytes, *names: bytes) -> Finding:
    return files(Kind.MISSING, directory, *names)


def row(path: bytes) -> tuple[bytes, int, int]:
    return (path, 7, 100)


def test_without_a_run_nothing_has_changed(history: HistoryDatabase) -> None:
    assert history.changes(SITE) == history.changes(SITE, 10) == Changes()
    history.open_run(SITE, 1.0, "threads")
    assert history.changes(SITE) == Changes()
    assert history.runs_with_findings(SITE) == 0
    assert history.runs_with_findings(SITE) == 0


def test_nothing_is_new_in_a_first_run(history: HistoryDatabase) -> None:
    number = run(history, missing(b"/s", b"a"), orphans(b"/s", b"b"))
    assert history.changes(SITE, 10) == Changes(Changed(number), Changed(number))


def test_everything_is_new_after_a_first_run_that_found_nothing(history: HistoryDatabase) -> None:
    first = run(history)
    second = run(history, orphans(b"/s", b"b"))
    assert history.changes(SITE, 10) == Changes(
        Changed(second, first), Changed(second, first, new=1, new_files=(row(b"/s/b"),))
    )


def test_new_and_gone_since_the_run_before(history: HistoryDatabase) -> None:
    run(history, missing(b"/s", b"earlier"), orphans(b"/s", b"earlier"))
    first = run(history, missing(b"/s", b"a", b"b"), missing(b"/t", b"x"), orphans(b"/s", b"o", b"p"))
    second = run(history, missing(b"/s", b"b", b"c"), missing(b"/s/d", b"\xff"), orphans(b"/s", b"o"))
    assert history.changes(SITE, 10) == Changes(
        Changed(second, first, 2, 2, (row(b"/s/c"), row(b"/s/d/\xff")), (row(b"/s/a"), row(b"/t/x"))),
        Changed(second, first, 0, 1, (), (row(b"/s/p"),)),
    )
    assert history.changes(OTHER) == Changes()


def test_the_lists_are_as_long_as_asked_for_and_the_numbers_whole(history: HistoryDatabase) -> None:
    run(history, *(orphans(b"/s/%d" % n, b"old1", b"old2") for n in range(3)))
    run(history, *(orphans(b"/s/%d" % n, b"new1", b"new2") for n in range(3)))
    found = history.changes(SITE, 3).orphans
    assert (found.new, found.gone) == (6, 6)
    assert found.new_files == (row(b"/s/0/new1"), row(b"/s/0/new2"), row(b"/s/1/new1"))
    assert found.gone_files == (row(b"/s/0/old1"), row(b"/s/0/old2"), row(b"/s/1/old1"))
    found = history.changes(SITE).orphans
    assert (found.new, found.gone, found.new_files, found.gone_files) == (6, 6, (), ())


def test_what_somebody_acted_on_is_not_gone(history: HistoryDatabase) -> None:
    run(history, orphans(b"/s", b"a", b"b"))
    history.mark_acted(SITE, Table.ORPHANS, [b"/s/a"], 3.0)
    run(history)
    assert history.changes(SITE, 10).orphans.gone_files == (row(b"/s/b"),)


def test_acting_after_a_run_changes_nothing_about_it(history: HistoryDatabase) -> None:
    run(history, missing(b"/s", b"a", b"gone"))
    run(history, missing(b"/s", b"a", b"new"))
    before = history.changes(SITE, 10)
    assert (before.missing.new, before.missing.gone) == (1, 1)
    history.mark_acted(SITE, Table.MISSING, [b"/s/new"], 3.0)
    assert history.changes(SITE, 10) == before
    list(history.missing(SITE, acting=4.0))
    assert history.changes(SITE, 10) == before


@pytest.mark.parametrize("unlisted", [b"/s/u", b"/s", b"/"])
def test_what_could_not_be_judged_is_not_gone(history: HistoryDatabase, unlisted: bytes) -> None:
    run(history, missing(b"/s/u", b"a"), missing(b"/s/u/below", b"b"), missing(b"/s-u", b"c"), orphans(b"/s/u", b"o"))
    number = history.open_run(SITE, 2.5, "threads")
    history.stage_unlisted(number, [(unlisted, Reason.TIMEOUT, "")])
    history.finish_run(number, 3.0, RunStatus.INCOMPLETE, RunCounts(), keep_findings=True)
    found = history.changes(SITE, 10)
    assert found.missing.gone_files == (() if unlisted == b"/" else (row(b"/s-u/c"),))
    assert (found.missing.gone, found.orphans.gone) == (len(found.missing.gone_files), 0)


def test_settings_that_are_others_are_named_by_the_last_two_runs(history: HistoryDatabase) -> None:
    def checked(looked: Scope | None) -> None:
        number = history.open_run(SITE, 1.0, "threads")
        history.finish_run(number, 2.0, RunStatus.DONE, RunCounts(), True, looked=looked)

    checked(Scope((b"/s",)))
    assert history.changes(SITE).settings == ()
    checked(Scope((b"/s",), (b"/tmp",)))
    assert history.changes(SITE).settings == ("IgnoreDirectories",)
    checked(Scope((b"/s",), (b"/tmp",), young_after=5.0))
    assert history.changes(SITE).settings == ()


def test_runs_that_kept_no_findings_are_passed_over(history: HistoryDatabase) -> None:
    first = run(history, orphans(b"/s", b"a"))
    run(history, orphans(b"/s", b"b"), keep_findings=False)
    second = run(history, orphans(b"/s", b"c"))
    run(history, orphans(b"/s", b"d"), keep_findings=False)
    assert history.changes(SITE, 10).orphans == Changed(second, first, 1, 1, (row(b"/s/c"),), (row(b"/s/a"),))
    assert history.runs_with_findings(SITE) == 2
    assert history.runs_with_findings(SITE) > 0


def test_each_kind_has_the_runs_that_reported_it(history: HistoryDatabase) -> None:
    first = run(history, missing(b"/s", b"a"), orphans(b"/s", b"o"))
    second = history.open_run(SITE, 2.0, "threads")
    history.report(second, Table.MISSING, [row(b"/s/b")], 3.0)
    found = history.changes(SITE, 10)
    assert found.missing == Changed(second, first, 1, 1, (row(b"/s/b"),), (row(b"/s/a"),))
    assert found.orphans == Changed(first)
    assert history.runs_with_findings(SITE) == 2


PATHS = [b"/s/a", b"/s/b", b"/t/\xff", b"/t/u/c"]


@settings(max_examples=30, deadline=None)
@given(*[st.sets(st.sampled_from(PATHS))] * 5)
def test_new_and_gone_are_differences_of_sets(
    tmp_path_factory: pytest.TempPathFactory,
    old: set[bytes],
    first: set[bytes],
    acted: set[bytes],
    second: set[bytes],
    acted_later: set[bytes],
) -> None:
    with HistoryDatabase(tmp_path_factory.mktemp("any") / "h.db") as history:
        for found, done in ((old, set()), (first, acted), (second, acted_later)):
            number = history.open_run(SITE, 1.0, "threads")
            history.report(number, Table.MISSING, [row(path) for path in found], 2.0)
            history.mark_acted(SITE, Table.MISSING, done, 3.0)
        changed = history.changes(SITE, 10).missing
    new, gone = second - first, first - second - acted
    assert {path for path, _, _ in changed.new_files} == new
    assert {path for path, _, _ in changed.gone_files} == gone
    assert (changed.new, changed.gone) == (len(new), len(gone))
