import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.columns import UNKNOWN_SIZE
from engine.findings import Finding, Kind
from engine.states import Reason
from storage.history import HistoryDatabase, HistoryError, RunCounts, RunStatus, Table
from tests.storage.histories import OF_CHECKSUMS, OTHER, SITE, files, orphans, paths_of, query, run

Row = tuple[bytes, int, int]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "db" / "consistency.db"


@pytest.fixture
def history(path: Path) -> Iterator[HistoryDatabase]:
    with HistoryDatabase(path) as database:
        yield database


def test_an_orphan_that_is_missing_too_is_left_out(history: HistoryDatabase) -> None:
    both = b"both \xff"
    run(
        history,
        orphans(b"/s", both, b"dark"),
        orphans(b"/t", b"elsewhere"),
        files(Kind.MISSING, b"/s", both, b"elsewhere"),
    )
    assert paths_of(history.orphans(SITE)) == [b"/s/dark", b"/t/elsewhere"]
    assert paths_of(history.missing(SITE)) == [b"/s/" + both, b"/s/elsewhere"]


def test_what_is_staged_twice_is_stored_once(history: HistoryDatabase) -> None:
    number = history.open_run(SITE, 1.0, "threads")
    for size in (1, 2):
        history.stage(
            number, [files(Kind.ORPHAN, b"/s", b"a", b"b", size=size), Finding(Kind.EMPTY, b"/e", mtime=size)]
        )
        history.stage_unlisted(number, [(b"/u", Reason.TIMEOUT, str(size))])
    history.finish_run(number, 2.0, RunStatus.DONE, RunCounts(), keep_findings=True)
    assert list(history.orphans(SITE)) == [(b"/s/a", 2, 100), (b"/s/b", 2, 100)]
    assert list(history.empty_directories(SITE)) == [(b"/e", 2)]
    assert history.unlisted(SITE) == [(b"/u", Reason.TIMEOUT, "2")]


def test_a_batch_that_breaks_is_not_staged_in_part(history: HistoryDatabase) -> None:
    def broken() -> Iterator[Finding]:
        yield orphans(b"/s", b"half")
        yield Finding(Kind.EMPTY, b"/s/e")
        raise OSError("no more")

    number = history.open_run(SITE, 1.0, "threads")
    history.stage(number, [orphans(b"/s", b"before")])
    with pytest.raises(OSError, match="no more"):
        history.stage(number, broken())
    history.stage(number, [orphans(b"/s", b"after")])
    history.finish_run(number, 2.0, RunStatus.DONE, RunCounts(), keep_findings=True)
    assert paths_of(history.orphans(SITE)) == [b"/s/after", b"/s/before"]
    assert list(history.empty_directories(SITE)) == []


def seen(path: Path, table: str = "orphans") -> dict[str, tuple[int, float]]:
    """Give for each name in how many consecutive runs it was found, and since when."""
    return {name: (times, since) for name, times, since in query(path, f"SELECT name, seen, since FROM {table}")}


@pytest.mark.parametrize(("kind", "table"), [(Kind.MISSING, "invalid"), (Kind.ORPHAN, "orphans")])
def test_it_is_counted_in_how_many_runs_a_file_was_found(
    history: HistoryDatabase, path: Path, kind: Kind, table: str
) -> None:
    run(history, files(kind, b"/s", b"a", b"b"), finished=2.0)
    assert seen(path, table) == {"a": (1, 2.0), "b": (1, 2.0)}
    run(history, files(kind, b"/s", b"b", b"c"), files(kind, b"/t", b"a"), finished=3.0)
    assert seen(path, table) == {"a": (1, 3.0), "b": (2, 2.0), "c": (1, 3.0)}
    run(history, files(kind, b"/s", b"a", b"b", b"c"), finished=4.0)
    assert seen(path, table) == {"a": (1, 4.0), "b": (3, 2.0), "c": (2, 3.0)}
    twin = f"SELECT name, seen, since FROM {table}_history WHERE run = 2 ORDER BY name"
    assert query(path, twin) == [("a", 1, 3.0), ("b", 2, 2.0), ("c", 1, 3.0)]


@pytest.mark.parametrize("name", [b"\xff", "größe".encode(), b"007", b"a'b"])
def test_odd_names_are_counted_too(history: HistoryDatabase, path: Path, name: bytes) -> None:
    for _ in range(3):
        run(history, orphans(b"/" + name, name))
    assert query(path, "SELECT seen FROM orphans") == [(3,)]


def test_a_run_that_found_nothing_breaks_the_row(history: HistoryDatabase, path: Path) -> None:
    run(history, orphans(b"/s", b"a"), finished=2.0)
    run(history, finished=3.0)
    run(history, orphans(b"/s", b"a"), finished=4.0)
    assert seen(path) == {"a": (1, 4.0)}


def test_a_run_without_findings_of_its_own_breaks_nothing(history: HistoryDatabase, path: Path) -> None:
    run(history, orphans(b"/s", b"a"), finished=2.0)
    run(history, orphans(b"/s", b"b"), finished=3.0, keep_findings=False)
    history.abandon(history.open_run(SITE, 4.0, "threads"))
    history.open_run(SITE, 4.0, "threads")
    run(history, orphans(b"/s", b"a"), finished=5.0)
    assert seen(path) == {"a": (2, 2.0)}


def test_runs_of_other_sites_count_for_themselves(history: HistoryDatabase, path: Path) -> None:
    run(history, orphans(b"/s", b"a"))
    run(history, orphans(b"/s", b"a"), site=OTHER)
    run(history, orphans(b"/s", b"a"))
    assert query(path, "SELECT site, seen FROM orphans ORDER BY site") == [(1, 2), (2, 1)]


def test_what_was_missing_and_is_an_orphan_now_starts_anew(history: HistoryDatabase, path: Path) -> None:
    run(history, files(Kind.MISSING, b"/s", b"a"), finished=2.0)
    run(history, orphans(b"/s", b"a"), finished=3.0)
    assert seen(path) == {"a": (1, 3.0)}


def test_what_somebody_acted_on_in_between_counts_on(history: HistoryDatabase, path: Path) -> None:
    run(history, orphans(b"/s", b"a", b"b"), finished=2.0)
    list(history.orphans(SITE, acting=2.5))
    run(history, orphans(b"/s", b"a"), finished=3.0)
    assert seen(path) == {"a": (2, 2.0)}


def test_what_a_run_could_not_judge_starts_anew(history: HistoryDatabase, path: Path) -> None:
    run(history, files(Kind.MISSING, b"/s", b"a"), finished=2.0)
    number = history.open_run(SITE, 2.5, "threads")
    history.stage_unlisted(number, [(b"/s", Reason.TIMEOUT, "")])
    history.finish_run(number, 3.0, RunStatus.INCOMPLETE, RunCounts(), keep_findings=True)
    run(history, files(Kind.MISSING, b"/s", b"a"), finished=4.0)
    assert seen(path, "invalid") == {"a": (1, 4.0)}


NAMES = st.sets(st.sampled_from([b"a", b"b", b"\xff", b"c"]))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(NAMES, st.booleans(), st.booleans()), max_size=6))
def test_the_counters_are_what_a_walk_back_through_the_runs_gives(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[set[bytes], bool, bool]]
) -> None:
    """Whether each run keeps its findings or reports them at once, and whether somebody acts after it."""
    kept: list[set[bytes]] = []
    path = tmp_path_factory.mktemp("any") / "h.db"
    with HistoryDatabase(path) as history:
        for names, at_once, acts in runs:
            if at_once:
                number = history.open_run(SITE, 1.0, "threads")
                history.report(number, Table.ORPHANS, [(b"/s/" + name, 1, 1) for name in names], float(len(kept)))
                history.finish_run(number, 2.0, RunStatus.DONE, RunCounts(), keep_findings=False)
            else:
                run(history, orphans(b"/s", *names), finished=float(len(kept)))
            kept.append(names)
            expected = {}
            for name in names:
                times = next((n for n, earlier in enumerate(reversed(kept)) if name not in earlier), len(kept))
                expected[name] = (times, float(len(kept) - times))
            rows = query(path, "SELECT CAST(name AS BLOB), seen, since FROM orphans")
            assert {name: (times, since) for name, times, since in rows} == expected
            for least in (1, 2, 3):
                often = sorted(b"/s/" + name for name, (times, _) in expected.items() if times >= least)
                assert paths_of(history.orphans(SITE, least=least)) == often
            if acts:
                list(history.orphans(SITE, acting=1.0))


def rows(*names: bytes, size: int = 7, mtime: int = 100) -> list[Row]:
    return [(name, size, mtime) for name in names]


@pytest.mark.parametrize("table", [Table.MISSING, Table.ORPHANS, Table.UNMERGED])
def test_what_is_reported_can_be_read_before_the_run_ends(history: HistoryDatabase, path: Path, table: Table) -> None:
    read = {Table.MISSING: history.missing, Table.ORPHANS: history.orphans, Table.UNMERGED: history.unmerged}[table]
    first = history.open_run(SITE, 1.0, "threads")
    history.report(first, table, rows(b"/s/b", b"/a", b"/s/a", b"plain"), 2.0)
    assert list(read(SITE)) == rows(b"plain", b"/a", b"/s/a", b"/s/b")
    second = history.open_run(SITE, 3.0, "threads")
    assert len(list(read(SITE))) == 4
    history.report(second, table, rows(b"/s/a"), 4.0)
    history.report(second, table, rows(b"/s/c", size=8), 5.0)
    assert list(read(SITE)) == [*rows(b"/s/a"), *rows(b"/s/c", size=8)]
    assert query(path, f"SELECT DISTINCT run, acted FROM {table}_history") == [(first, None)]
    history.report(second, table, rows(b"/s/c", size=9), 6.0)
    assert list(read(SITE)) == [*rows(b"/s/a"), *rows(b"/s/c", size=9)]
    history.finish_run(second, 6.0, RunStatus.DONE, RunCounts(), keep_findings=False)
    assert list(read(SITE)) == [*rows(b"/s/a"), *rows(b"/s/c", size=9)]


def test_reporting_nothing_moves_the_older_rows_and_not_reporting_leaves_them(history: HistoryDatabase) -> None:
    run(history, files(Kind.MISSING, b"/s", b"m"), orphans(b"/s", b"o"), Finding(Kind.EMPTY, b"/s/e"))
    number = history.open_run(SITE, 3.0, "threads")
    history.report(number, Table.MISSING, [], 4.0)
    history.finish_run(number, 5.0, RunStatus.DONE, RunCounts(), keep_findings=False)
    assert list(history.missing(SITE)) == []
    assert paths_of(history.orphans(SITE)) == [b"/s/o"]
    number = history.open_run(SITE, 6.0, "threads")
    history.report_empty(number, [], 7.0)
    assert list(history.empty_directories(SITE)) == []


def test_a_run_may_report_and_stage(history: HistoryDatabase) -> None:
    run(history, orphans(b"/s", b"old"), files(Kind.MISSING, b"/s", b"old"), Finding(Kind.EMPTY, b"/s/old"))
    number = history.open_run(SITE, 3.0, "threads")
    history.report_empty(number, [(b"/s/at-once", 1)], 4.0)
    history.report(number, Table.ORPHANS, rows(b"/s/at-once", b"/s/both", b"/s/lost"), 4.0)
    history.stage(number, [orphans(b"/s", b"both", b"later"), files(Kind.MISSING, b"/s", b"lost")])
    history.stage(number, [Finding(Kind.EMPTY, b"/s/later")])
    history.finish_run(number, 5.0, RunStatus.DONE, RunCounts(), keep_findings=True)
    assert paths_of(history.orphans(SITE)) == [b"/s/at-once", b"/s/both", b"/s/later"]
    assert paths_of(history.missing(SITE)) == [b"/s/lost"]
    assert [row[0] for row in history.empty_directories(SITE)] == [b"/s/at-once", b"/s/later"]


@pytest.mark.parametrize("order", [(Table.MISSING, Table.ORPHANS), (Table.ORPHANS, Table.MISSING)])
def test_what_is_reported_missing_is_no_orphan_in_any_order(history: HistoryDatabase, order: tuple[Table, ...]) -> None:
    number = history.open_run(SITE, 1.0, "threads")
    for table in order:
        history.report(number, table, rows(b"/s/both \xff", b"/s/" + table.encode()), 2.0)
    assert paths_of(history.orphans(SITE)) == [b"/s/orphans"]
    assert paths_of(history.missing(SITE)) == [b"/s/both \xff", b"/s/invalid"]


def test_a_report_says_nothing_of_what_an_earlier_run_could_not_list(history: HistoryDatabase) -> None:
    number = history.open_run(SITE, 1.0, "threads")
    history.stage_unlisted(number, [(b"/u", Reason.TIMEOUT, "")])
    history.finish_run(number, 2.0, RunStatus.DONE, RunCounts(), keep_findings=True)
    number = history.open_run(SITE, 3.0, "threads")
    history.report(number, Table.MISSING, [], 4.0)
    assert history.unlisted(SITE) == []


def test_a_report_that_breaks_changes_nothing(history: HistoryDatabase, path: Path) -> None:
    def broken() -> Iterator[Row]:
        yield from rows(b"/s/half")
        raise OSError("no more")

    run(history, orphans(b"/s", b"old"))
    number = history.open_run(SITE, 1.0, "threads")
    with pytest.raises(OSError, match="no more"):
        history.report(number, Table.ORPHANS, broken(), 2.0)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON orphans BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(HistoryError, match="disk full"):
        history.report(number, Table.ORPHANS, rows(b"/s/new"), 3.0)
    assert paths_of(history.orphans(SITE)) == [b"/s/old"]
    assert query(path, "SELECT count(*) FROM orphans_history") == [(0,)]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TRIGGER full")
    history.report(number, Table.ORPHANS, rows(b"/s/new"), 4.0)
    assert paths_of(history.orphans(SITE)) == [b"/s/new"]


def test_a_run_that_is_over_reports_no_more(history: HistoryDatabase, path: Path) -> None:
    number = history.open_run(SITE, 1.0, "threads")
    with HistoryDatabase(path) as other:
        other.open_run(SITE, 2.0, "threads")
    with pytest.raises(HistoryError, match="later run of its site"):
        history.report(number, Table.ORPHANS, rows(b"/s/a"), 3.0)
    history.abandon(number)
    with pytest.raises(HistoryError, match="is not open here"):
        history.report(number, Table.ORPHANS, rows(b"/s/a"), 3.0)
    assert list(history.orphans(SITE)) == []


@pytest.mark.parametrize("table", [Table.EMPTY, Table.MISMATCHES])
def test_plain_files_go_to_tables_of_files(history: HistoryDatabase, table: Table) -> None:
    number = history.open_run(SITE, 1.0, "threads")
    with pytest.raises(ValueError, match="takes no plain files"):
        history.report(number, table, rows(b"/s/a"), 3.0)


def test_a_run_counts_what_it_has_reported(history: HistoryDatabase) -> None:
    run(history, orphans(b"/s", b"old"))
    number = history.open_run(SITE, 1.0, "threads")
    assert history.counts(number) == RunCounts()
    history.report(number, Table.MISSING, rows(b"/s/a", b"/s/b", size=5), 2.0)
    history.report(number, Table.ORPHANS, [*rows(b"/s/c", size=2**62), *rows(b"/s/d", b"/s/e", size=2**62)], 2.0)
    history.report(number, Table.ORPHANS, rows(b"/s/f", size=UNKNOWN_SIZE), 2.0)
    history.report_empty(number, [(b"/s/g", 1)], 2.0)
    list(history.missing(SITE, acting=3.0))
    counts = RunCounts(missing=2, missing_bytes=10, orphan=4, orphan_bytes=2**63 - 1, empty=1)
    assert history.counts(number) == counts
    history.finish_run(number, 6.0, RunStatus.DONE, counts, keep_findings=False)
    assert history.runs()[0].counts == counts


def test_a_run_that_judges_a_listing_again_takes_the_place_of_the_one_before(history: HistoryDatabase) -> None:
    run(history, orphans(b"/s", b"always", b"before"), finished=10.0)
    dead = run(history, orphans(b"/s", b"always", b"twice", b"taken back"), finished=20.0)
    history.mark_acted(SITE, Table.ORPHANS, [b"/s/twice"], 25.0)
    last = run(history, orphans(b"/s", b"always", b"twice", b"late"), finished=30.0, replaces=dead)
    found = {least: paths_of(history.orphans(SITE, least=least)) for least in (1, 2, 3)}
    assert found == {1: [b"/s/always", b"/s/late", b"/s/twice"], 2: [b"/s/always"], 3: []}
    assert paths_of(history.orphans(SITE, before=10.0)) == [b"/s/always"]
    assert history.runs_with_findings(SITE) == 2
    assert [acted.path for acted in history.acted(SITE, Table.ORPHANS)] == [b"/s/twice"]
    after, taken_back, _ = history.runs(SITE)
    assert (after.id, after.status, after.unknown) == (last, RunStatus.DONE, OF_CHECKSUMS)
    assert (taken_back.id, taken_back.status) == (dead, RunStatus.DIED)
    assert taken_back.message == f"its listing was compared again: run {last} takes its place"
    assert taken_back.reported == frozenset()
    changed = history.changes(SITE, 5).orphans
    assert (changed.run, changed.before) == (last, 1)
    assert (paths_of(changed.new_files), paths_of(changed.gone_files)) == ([b"/s/late", b"/s/twice"], [b"/s/before"])
    # It goes on from there as if there had been one run.
    run(history, orphans(b"/s", b"always"), finished=40.0)
    assert paths_of(history.orphans(SITE, least=3)) == [b"/s/always"]


def test_only_runs_of_the_site_that_have_findings_are_those_with_findings(history: HistoryDatabase) -> None:
    found, other, nothing = run(history), run(history, site=OTHER), run(history, keep_findings=False)
    named = [(number, 1.0) for number in (found, other, nothing)]
    assert history.with_findings(SITE, [*named, (99, 1.0), (found, 1.5)]) == [found]
    assert history.with_findings("nobody", named) == []
