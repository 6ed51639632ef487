import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from engine.findings import Finding, Kind
from storage.history import Acted, HistoryDatabase, HistoryError, RunCounts, RunStatus, Table
from tests.storage.histories import OF_CHECKSUMS, OTHER, SITE, files, orphans, paths_of, query, run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "db" / "consistency.db"


@pytest.fixture
def history(path: Path) -> Iterator[HistoryDatabase]:
    with HistoryDatabase(path) as database:
        yield database


HOSTILE = [
    b"new\nline",
    b"tab\tand\rreturn",
    b'it\'s "quoted"',
    b"'; DROP TABLE orphans; --",
    b"\xff\xfe not utf-8",
    b"\xed\xa0\x80 a surrogate",
    "größe 文件 \U0001f600".encode(),
    b"%s {run} ?1 :site",
    b"007",
    b" ",
    b"\x01\x7f",
]

Row = tuple[bytes, int, int]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_come_back_as_the_same_bytes(history: HistoryDatabase, name: bytes) -> None:
    directory = b"/store/" + name
    run(
        history,
        files(Kind.MISSING, directory, name),
        orphans(directory, name + b"2", b"plain"),
        files(Kind.SIZE_MISMATCH, directory, name),
        Finding(Kind.EMPTY, directory, mtime=1),
    )
    assert paths_of(history.missing(SITE)) == [directory + b"/" + name]
    assert paths_of(history.orphans(SITE)) == sorted([directory + b"/" + name + b"2", directory + b"/plain"])
    assert [row[0] for row in history.size_mismatches(SITE)] == [directory + b"/" + name]
    assert list(history.empty_directories(SITE)) == [(directory, 1)]


NAMES = st.binary(min_size=1, max_size=6).filter(lambda name: not set(name) & {0, 0x2F})


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(NAMES, st.sets(NAMES, min_size=1, max_size=4), max_size=5))
def test_any_names_come_back_in_tree_order(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[bytes, set[bytes]]
) -> None:
    with HistoryDatabase(tmp_path_factory.mktemp("any") / "h.db") as history:
        run(history, *(orphans(b"/" + directory, *names) for directory, names in tree.items()))
        assert paths_of(history.orphans(SITE)) == [
            b"/" + directory + b"/" + name for directory in sorted(tree) for name in sorted(tree[directory])
        ]


def test_valid_utf_8_is_text_and_the_rest_a_blob(history: HistoryDatabase, path: Path) -> None:
    run(history, orphans(b"/s\xff", "grün".encode(), b"\xff"))
    assert query(path, "SELECT name FROM orphans ORDER BY typeof(name)") == [(b"\xff",), ("grün",)]
    assert query(path, "SELECT name FROM directories") == [(b"/s\xff",)]


def test_directories_come_in_tree_order_whatever_came_first(history: HistoryDatabase) -> None:
    run(history, orphans(b"/s/a-b", b"x"))
    run(history, orphans(b"/", b"x"), orphans(b"/s/a", b"x"), orphans(b"/s/a/c", b"x"), orphans(b"/s/a-b", b"x"))
    assert paths_of(history.orphans(SITE)) == [b"/x", b"/s/a/x", b"/s/a/c/x", b"/s/a-b/x"]


def test_unknown_sizes_and_times_are_null_and_come_back(history: HistoryDatabase, path: Path) -> None:
    run(history, files(Kind.ORPHAN, b"/s", b"x", size=UNKNOWN_SIZE, mtime=UNKNOWN_MTIME), Finding(Kind.EMPTY, b"/s/e"))
    assert query(path, "SELECT size, mtime FROM orphans") == [(None, None)]
    assert query(path, "SELECT mtime FROM empty_directories") == [(None,)]
    assert list(history.orphans(SITE)) == [(b"/s/x", UNKNOWN_SIZE, UNKNOWN_MTIME)]
    assert list(history.empty_directories(SITE)) == [(b"/s/e", UNKNOWN_MTIME)]


def test_a_reader_goes_on_with_what_it_began(history: HistoryDatabase) -> None:
    run(history, orphans(b"/a", b"1"), orphans(b"/b", b"2"))
    reader = history.orphans(SITE)
    assert next(reader)[0] == b"/a/1"
    run(history, orphans(b"/c", b"3"))
    assert paths_of(reader) == [b"/b/2"]
    assert paths_of(history.orphans(SITE)) == [b"/c/3"]


@pytest.mark.parametrize(
    ("kind", "table", "read"),
    [
        (Kind.MISSING, "invalid", HistoryDatabase.missing),
        (Kind.ORPHAN, "orphans", HistoryDatabase.orphans),
    ],
)
def test_acting_moves_the_rows_at_once(
    history: HistoryDatabase,
    path: Path,
    kind: Kind,
    table: str,
    read: Callable[[HistoryDatabase, str, float | None], Iterator[Row]],
) -> None:
    run(history, files(kind, b"/s", b"a", b"b"))
    assert paths_of(read(history, SITE, None)) == [b"/s/a", b"/s/b"]
    taken = read(history, SITE, 50.0)
    assert query(path, f"SELECT count(*) FROM {table}") == [(0,)]
    assert query(path, f"SELECT name, acted FROM {table}_history") == [("a", 50.0), ("b", 50.0)]
    assert list(taken) == [(b"/s/a", 7, 100), (b"/s/b", 7, 100)]
    assert list(read(history, SITE, 51.0)) == []


def test_acting_on_empty_directories(history: HistoryDatabase, path: Path) -> None:
    run(history, *(Finding(Kind.EMPTY, name, mtime=1) for name in (b"/a", b"/a/b", b"/a/b/c", b"/a/d", b"/z")))
    order = [b"/a/b/c", b"/a/b", b"/a/d", b"/a", b"/z"]
    assert [row[0] for row in history.empty_directories(SITE)] == order
    assert [row[0] for row in history.empty_directories(SITE, acting=9.0)] == order
    assert list(history.empty_directories(SITE)) == []
    assert query(path, "SELECT DISTINCT acted FROM empty_directories_history") == [(9.0,)]


READERS = [(Table.MISSING, HistoryDatabase.missing), (Table.ORPHANS, HistoryDatabase.orphans)]


@pytest.mark.parametrize(("table", "read"), READERS)
def test_only_what_was_found_often_enough_is_given_and_moved(
    history: HistoryDatabase, path: Path, table: Table, read: Callable[..., Iterator[Row]]
) -> None:
    kind = {Table.MISSING: Kind.MISSING, Table.ORPHANS: Kind.ORPHAN}[table]
    run(history, files(kind, b"/s", b"twice", b"gone"))
    run(history, files(kind, b"/s", b"twice", b"once"), files(kind, b"/t", b"once"))
    assert paths_of(read(history, SITE)) == [b"/s/once", b"/s/twice", b"/t/once"]
    assert paths_of(read(history, SITE, least=2)) == [b"/s/twice"]
    assert paths_of(read(history, SITE, least=3)) == []
    assert paths_of(read(history, SITE, acting=9.0, least=2)) == [b"/s/twice"]
    assert query(path, f"SELECT name, seen, acted FROM {table}_history WHERE acted") == [("twice", 2, 9.0)]
    assert paths_of(read(history, SITE)) == [b"/s/once", b"/t/once"]
    assert paths_of(read(history, SITE, acting=9.0, least=2)) == []


@pytest.mark.parametrize("table", [Table.MISSING, Table.ORPHANS, Table.UNMERGED, Table.EMPTY])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_part_can_be_marked_as_acted_on(history: HistoryDatabase, path: Path, table: Table, name: bytes) -> None:
    all_of_them = [b"/s/" + name, b"/s/other", b"/t/" + name, name]
    number = history.open_run(SITE, 1.0, "threads")
    if table == Table.EMPTY:
        history.report_empty(number, [(path, 5) for path in all_of_them], 2.0)
    else:
        history.report(number, table, [(path, 4, 5) for path in all_of_them], 2.0)
    assert history.mark_acted(SITE, table, [b"/s/" + name, b"/nowhere", name, b"/s"], 3.0) == 2
    assert history.mark_acted(SITE, table, [b"/s/" + name], 4.0) == 0
    assert history.mark_acted(OTHER, table, all_of_them, 4.0) == 0
    assert history.mark_acted(SITE, table, [], 4.0) == 0
    assert query(path, f"SELECT count(*), count(acted), max(acted) FROM {table}_history") == [(2, 2, 3.0)]
    assert history.mark_acted(SITE, table, iter([b"/s/other"]), 5.0) == 1
    size = UNKNOWN_SIZE if table == Table.EMPTY else 4
    latest, *earlier = history.acted(SITE, table)
    assert latest == Acted(b"/s/other", size, 5, number, 5.0)
    assert sorted(row.path for row in earlier) == sorted([name, b"/s/" + name])
    assert [(row.size, row.mtime, row.run, row.acted) for row in earlier] == [(size, 5, number, 3.0)] * 2
    assert list(history.acted(OTHER, table)) == list(history.acted("T0_NOWHERE", table)) == []


def test_what_was_acted_on_is_read_over_all_runs(history: HistoryDatabase) -> None:
    first = run(history, orphans(b"/s", b"a", b"b"))
    history.mark_acted(SITE, Table.ORPHANS, [b"/s/a"], 3.0)
    second = run(history, orphans(b"/s", b"a"))
    list(history.orphans(SITE, acting=4.0))
    run(history, orphans(b"/s", b"c"))
    assert list(history.acted(SITE, Table.ORPHANS)) == [
        Acted(b"/s/a", 7, 100, second, 4.0),
        Acted(b"/s/a", 7, 100, first, 3.0),
    ]


def test_a_finding_that_is_reported_again_after_somebody_acted_keeps_the_time(
    history: HistoryDatabase, path: Path
) -> None:
    number = history.open_run(SITE, 1.0, "threads")
    for _ in range(2):
        history.report(number, Table.ORPHANS, [(b"/s/a", 4, 5)], 2.0)
        history.mark_acted(SITE, Table.ORPHANS, [b"/s/a"], 3.0)
    history.report(number, Table.ORPHANS, [(b"/s/a", 4, 5)], 2.0)
    run(history)
    assert query(path, "SELECT run, acted FROM orphans_history") == [(number, 3.0)]


def test_a_run_tells_what_it_said_something_about(history: HistoryDatabase) -> None:
    run(history)
    run(history, keep_findings=False)
    cleaning = history.open_run(SITE, 1.0, "threads")
    history.report(cleaning, Table.UNMERGED, [], 2.0)
    history.finish_run(cleaning, 2.0, RunStatus.DONE, RunCounts(), keep_findings=False)
    cleaned, refused, compared = history.runs(SITE)
    assert (compared.unknown, compared.cleaned) == (OF_CHECKSUMS, False)
    assert {"missing", "orphan", "empty", "size_mismatch", "protected"} < refused.unknown == cleaned.unknown
    assert "files" not in refused.unknown
    assert (refused.cleaned, cleaned.cleaned) == (False, True)


def test_only_what_is_known_for_long_enough(history: HistoryDatabase) -> None:
    """Found first at 10, 20 and 30 s; the youngest in one run, the oldest in three."""
    for finished, names in ((10.0, (b"a",)), (20.0, (b"a", b"b")), (30.0, (b"a", b"b", b"c"))):
        number = history.open_run(SITE, finished - 5, "threads")
        history.stage(number, [files(Kind.MISSING, b"/s", *names), orphans(b"/o", *names)])
        history.finish_run(number, finished, RunStatus.DONE, RunCounts(), keep_findings=True)
    assert paths_of(history.missing(SITE, before=20.0)) == [b"/s/a", b"/s/b"]
    assert paths_of(history.missing(SITE, least=3, before=30.0)) == [b"/s/a"]
    assert paths_of(history.orphans(SITE, least=2, before=19.9)) == [b"/o/a"]
    assert paths_of(history.orphans(SITE, before=9.9)) == []
    assert paths_of(history.missing(SITE, acting=40.0, before=20.0)) == [b"/s/a", b"/s/b"]
    assert paths_of(history.missing(SITE)) == [b"/s/c"]


@pytest.mark.parametrize(
    "change",
    ["status = 'paused'", "gates = '[1]'", "gates = '[['", "reasons = '7'", "started = 'noon'", "started = 1e300"],
)
def test_a_run_that_makes_no_sense_is_said_with_what_to_do(history: HistoryDatabase, path: Path, change: str) -> None:
    number = run(history)
    assert history.runs(SITE)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE runs SET {change}")
    with pytest.raises(
        HistoryError, match=rf"consistency\.db: what it has of run {number} makes no sense .*: written by "
    ):
        history.runs(SITE)


def test_checksums_are_of_the_runs_that_compare_some(history: HistoryDatabase) -> None:
    differing = files(Kind.CHECKSUM_MISMATCH, b"/s/\xff", b"a", b"\xfe")
    first = history.open_run(SITE, 1.0, "threads")
    history.replaces_checksums(first)
    history.stage(first, [differing])
    counts = RunCounts(checksum_mismatch=2, checksums=9, checksums_unchecked=3)
    history.finish_run(first, 2.0, RunStatus.DONE, counts, keep_findings=True)
    rows = [
        (b"/s/\xff/a", 7, 100, "adler32:00000001", "adler32:00000002"),
        (b"/s/\xff/\xfe", 7, 100, "adler32:00000001", "adler32:00000002"),
    ]
    assert list(history.checksum_mismatches(SITE)) == rows
    # One that compares none says nothing of them.
    run(history)
    assert list(history.checksum_mismatches(SITE)) == rows
    last, before = history.runs(SITE)
    assert (before.counts, before.unknown, last.unknown) == (counts, frozenset(), OF_CHECKSUMS)
    third = history.open_run(SITE, 5.0, "threads")
    history.replaces_checksums(third)
    history.finish_run(third, 6.0, RunStatus.DONE, RunCounts(), keep_findings=True)
    assert list(history.checksum_mismatches(SITE)) == []


def test_checksums_of_a_run_that_failed_are_dropped(history: HistoryDatabase) -> None:
    number = history.open_run(SITE, 1.0, "threads")
    history.replaces_checksums(number)
    history.stage(number, [files(Kind.CHECKSUM_MISMATCH, b"/s", b"a")])
    history.finish_run(number, 2.0, RunStatus.FAILED, RunCounts(), keep_findings=False)
    assert list(history.checksum_mismatches(SITE)) == []
    with pytest.raises(ValueError, match="takes no plain files"):
        history.report(history.open_run(SITE, 3.0, "threads"), Table.CHECKSUMS, [], 4.0)
