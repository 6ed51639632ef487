"""What is new, still there and gone between two runs, by kind of finding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import paths
from engine.columns import FileColumns
from engine.findings import Finding, Kind
from engine.scope import Scope
from engine.states import Reason
from storage.history import HistoryDatabase, RunCounts, RunStatus, Table
from storage.history.difference import Fate, Found, Part
from storage.history.sight import scope_of
from storage.history.staging import KEPT_UNLISTED
from storage.history.two_runs import Comparison, FindingKind, NoSuchRuns, choose_runs
from tests.storage.histories import OTHER, SITE, files, orphans, query, run


@pytest.fixture
def history(tmp_path: Path) -> Iterator[HistoryDatabase]:
    with HistoryDatabase(tmp_path / "db" / "consistency.db") as database:
        yield database


def checked(
    history: HistoryDatabase,
    findings: Iterable[Finding] = (),
    unlisted: Iterable[bytes] = (),
    looked: Scope | None = None,
) -> int:
    """Enter a run as a check does."""
    unlisted = list(unlisted)
    number = history.open_run(SITE, 1.0, "threads")
    history.stage(number, findings)
    history.stage_unlisted(number, [(path, Reason.TIMEOUT, "words") for path in unlisted])
    status = RunStatus.INCOMPLETE if unlisted else RunStatus.DONE
    history.finish_run(number, 2.0, status, RunCounts(unlisted=len(unlisted)), keep_findings=True, looked=looked)
    return number


def fates(
    history: HistoryDatabase,
    kind: FindingKind,
    before: int | None = None,
    after: int | None = None,
    otherwise: Scope | None = None,
    done: frozenset[bytes] = frozenset(),
) -> dict[Fate, list[bytes]] | None:
    """Give the paths of a kind by their fate, after holding them against the counts."""
    with history.view() as connection:
        comparison = Comparison(connection, choose_runs(connection, SITE, before, after), otherwise, {kind: done})
        parts = comparison.parts(kind)
        if parts is None:
            assert list(comparison.rows(kind, Fate.NEW)) == []
            return None
        rows = {fate: [row.path for row in comparison.rows(kind, fate)] for fate in Fate}
    assert {fate: part.count for fate, part in parts.items()} == {fate: len(found) for fate, found in rows.items()}
    return {fate: found for fate, found in rows.items() if found}


def test_each_kind_has_what_came_what_stayed_and_what_went(history: HistoryDatabase) -> None:
    checked(
        history,
        [
            files(Kind.MISSING, b"/s", b"gone", b"still"),
            orphans(b"/s/\xff", b"gone", b"still"),
            files(Kind.SIZE_MISMATCH, b"/s", b"cut", b"gone"),
            Finding(Kind.EMPTY, b"/s/e/gone", mtime=5),
            Finding(Kind.EMPTY, b"/s/e/still", mtime=5),
        ],
        [b"/s/u/gone", b"/s/u/still"],
    )
    checked(
        history,
        [
            files(Kind.MISSING, b"/s", b"still", b"new"),
            orphans(b"/s/\xff", b"still", b"new"),
            files(Kind.SIZE_MISMATCH, b"/s", b"cut", b"new"),
            Finding(Kind.EMPTY, b"/s/e/new", mtime=5),
            Finding(Kind.EMPTY, b"/s/e/still", mtime=6),
        ],
        [b"/s/u/new", b"/s/u/still"],
    )
    expected = {
        FindingKind.MISSING: (b"/s/new", b"/s/still", b"/s/gone"),
        FindingKind.ORPHAN: (b"/s/\xff/new", b"/s/\xff/still", b"/s/\xff/gone"),
        FindingKind.SIZE_MISMATCH: (b"/s/new", b"/s/cut", b"/s/gone"),
        FindingKind.EMPTY: (b"/s/e/new", b"/s/e/still", b"/s/e/gone"),
        FindingKind.UNLISTED: (b"/s/u/new", b"/s/u/still", b"/s/u/gone"),
    }
    for kind, (new, still, gone) in expected.items():
        assert fates(history, kind) == {Fate.NEW: [new], Fate.STILL: [still], Fate.GONE: [gone]}, kind


def test_bytes_are_added_up_exactly_as_far_as_they_are_known(history: HistoryDatabase) -> None:
    checked(history)
    large = 2**62 + 1
    sizes = FileColumns.from_rows([(b"a", large, 1), (b"b", 2**53 + 1, 1), (b"c", -1, 1)])
    checked(history, [Finding(Kind.ORPHAN, b"/s", sizes)])
    with history.view() as connection:
        comparison = Comparison(connection, choose_runs(connection, SITE))
        parts = comparison.parts(FindingKind.ORPHAN)
        assert parts is not None
        assert parts[Fate.NEW] == Part(3, large + 2**53 + 1)
        assert [row.size for row in comparison.rows(FindingKind.ORPHAN, Fate.NEW)] == [large, 2**53 + 1, -1]
    checked(history, [Finding(Kind.ORPHAN, b"/t", FileColumns.from_rows([(b"%d" % n, large, 1) for n in range(9)]))])
    with history.view() as connection:
        parts = Comparison(connection, choose_runs(connection, SITE)).parts(FindingKind.ORPHAN)
    assert parts is not None
    assert parts[Fate.NEW] == Part(9, 2**63 - 1)


def test_a_size_mismatch_has_both_sizes(history: HistoryDatabase) -> None:
    checked(history)
    checked(history, [files(Kind.SIZE_MISMATCH, b"/s", b"cut", size=7)])
    with history.view() as connection:
        rows = Comparison(connection, choose_runs(connection, SITE)).rows(FindingKind.SIZE_MISMATCH, Fate.NEW)
        assert list(rows) == [Found(b"/s/cut", 7, 8)]


@pytest.mark.parametrize("unlisted", [b"/s/u", b"/s", b"/"])
def test_what_the_later_run_could_not_list_may_be_there_still(history: HistoryDatabase, unlisted: bytes) -> None:
    found = [files(Kind.MISSING, b"/s/u", b"a"), files(Kind.MISSING, b"/t", b"b"), Finding(Kind.EMPTY, b"/s/u/e")]
    checked(history, found, [b"/s/u/below"])
    checked(history, [], [unlisted])
    missing, empty = fates(history, FindingKind.MISSING), fates(history, FindingKind.EMPTY)
    everywhere = unlisted == b"/"
    hidden = [b"/s/u/a", b"/t/b"] if everywhere else [b"/s/u/a"]
    assert missing == {Fate.UNSEEN: hidden, **({} if everywhere else {Fate.GONE: [b"/t/b"]})}
    assert empty == {Fate.UNSEEN: [b"/s/u/e"]}
    assert fates(history, FindingKind.UNLISTED) == {Fate.NEW: [unlisted], Fate.UNSEEN: [b"/s/u/below"]}


def test_what_somebody_acted_on_did_not_go_by_itself(history: HistoryDatabase) -> None:
    first = checked(history, [orphans(b"/s", b"acted", b"in vain", b"gone"), Finding(Kind.EMPTY, b"/s/e")])
    history.mark_acted(SITE, Table.ORPHANS, [b"/s/acted", b"/s/in vain"], 3.0)
    history.mark_acted(SITE, Table.EMPTY, [b"/s/e"], 3.0)
    second = checked(history, [orphans(b"/s", b"in vain")])
    expected = {Fate.STILL: [b"/s/in vain"], Fate.GONE: [b"/s/gone"], Fate.ACTED: [b"/s/acted"]}
    assert fates(history, FindingKind.ORPHAN) == expected
    assert fates(history, FindingKind.EMPTY) == {Fate.ACTED: [b"/s/e"]}
    # What is acted on since the later run was found by it all the same.
    history.mark_acted(SITE, Table.ORPHANS, [b"/s/in vain"], 4.0)
    assert fates(history, FindingKind.ORPHAN, first, second) == expected


def test_a_directory_that_a_plan_deleted_did_not_go_by_itself(history: HistoryDatabase) -> None:
    checked(history, [Finding(Kind.EMPTY, b"/s/e"), Finding(Kind.EMPTY, b"/s/f")])
    checked(history)
    found = fates(history, FindingKind.EMPTY, done=frozenset([b"/s/e"]))
    assert found == {Fate.ACTED: [b"/s/e"], Fate.GONE: [b"/s/f"]}


def test_any_two_runs_can_be_compared_in_either_order(history: HistoryDatabase) -> None:
    first = checked(history, [orphans(b"/s", b"a")])
    second = checked(history, [orphans(b"/s", b"a", b"b")])
    failed = run(history, orphans(b"/s", b"x"), keep_findings=False)
    third = checked(history, [orphans(b"/s", b"b", b"c")])
    far = {Fate.NEW: [b"/s/b", b"/s/c"], Fate.GONE: [b"/s/a"]}
    assert fates(history, FindingKind.ORPHAN, first, third) == far
    assert fates(history, FindingKind.ORPHAN, third, first) == far
    near = {Fate.NEW: [b"/s/c"], Fate.STILL: [b"/s/b"], Fate.GONE: [b"/s/a"]}
    assert fates(history, FindingKind.ORPHAN) == fates(history, FindingKind.ORPHAN, third) == near
    assert fates(history, FindingKind.ORPHAN, second) == {Fate.NEW: [b"/s/b"], Fate.STILL: [b"/s/a"]}
    for runs, words in (
        ((first,), f"no run with findings before run {first}"),
        ((failed,), f"run {failed} has no findings"),
        ((first, 99), "no run 99"),
        ((second, second), "with itself"),
    ):
        with history.view() as connection, pytest.raises(NoSuchRuns, match=words):
            choose_runs(connection, SITE, *runs)
    with history.view() as connection, pytest.raises(NoSuchRuns, match="has no run with findings"):
        choose_runs(connection, OTHER)


def test_what_a_run_did_not_look_for_is_unknown(history: HistoryDatabase) -> None:
    checked(history, [orphans(b"/s", b"o")])
    number = history.open_run(SITE, 2.0, "front end")
    history.report(number, Table.MISSING, [(b"/s/m", 7, 100)], 3.0)
    history.finish_run(number, 4.0, RunStatus.DONE, history.counts(number), keep_findings=False)
    assert fates(history, FindingKind.MISSING) == {Fate.NEW: [b"/s/m"]}
    assert fates(history, FindingKind.ORPHAN) is None
    assert fates(history, FindingKind.UNLISTED) == {}


def test_unlisted_directories_are_kept_of_the_last_runs(history: HistoryDatabase) -> None:
    numbers = [checked(history, [], [b"/s/u%d" % n, b"/s/always"]) for n in range(KEPT_UNLISTED + 3)]
    kept = query(history.path, "SELECT DISTINCT run FROM unlisted_history ORDER BY run")
    # The last one stands in a table of its own.
    assert [number for (number,) in kept] == numbers[-KEPT_UNLISTED:-1]
    found = fates(history, FindingKind.UNLISTED, numbers[-KEPT_UNLISTED], numbers[-1])
    assert found == {
        Fate.NEW: [b"/s/u%d" % (KEPT_UNLISTED + 2)],
        Fate.STILL: [b"/s/always"],
        Fate.GONE: [b"/s/u3"],
    }
    assert fates(history, FindingKind.UNLISTED, numbers[0], numbers[-1]) is None


def test_where_nobody_knows_what_was_unlisted_nothing_is_called_gone(history: HistoryDatabase) -> None:
    first = checked(history, [orphans(b"/s", b"a")])
    second = checked(history, [], [b"/t"])
    for _ in range(KEPT_UNLISTED + 1):
        checked(history)
    assert fates(history, FindingKind.ORPHAN, first, second) == {Fate.UNSEEN: [b"/s/a"]}


PATHS = [b"/s/a", b"/s/b", b"/t/\xff", b"/t/u/c"]
SETS = st.sets(st.sampled_from(PATHS))


@settings(max_examples=40, deadline=None)
@given(SETS, SETS, SETS, SETS, SETS, st.sets(st.sampled_from([b"/s", b"/t/u", b"/t", b"/x"])))
def test_fates_are_operations_on_sets_and_agree_with_what_the_page_says(
    tmp_path_factory: pytest.TempPathFactory,
    first: set[bytes],
    acted: set[bytes],
    second: set[bytes],
    acted_later: set[bytes],
    planned: set[bytes],
    unlisted: set[bytes],
) -> None:
    def found(names: set[bytes]) -> list[Finding]:
        return [orphans(paths.parent_of(path) or b"/", paths.name_of(path)) for path in sorted(names)]

    with HistoryDatabase(tmp_path_factory.mktemp("any") / "h.db") as history:
        for names, done, hidden in ((first, acted, set()), (second, acted_later, unlisted)):
            checked(history, found(names), sorted(hidden))
            history.mark_acted(SITE, Table.ORPHANS, done, 3.0)
        by_plans = fates(history, FindingKind.ORPHAN, done=frozenset(planned)) or {}
        fate = fates(history, FindingKind.ORPHAN) or {}
        page = history.changes(SITE, 10).orphans
    left = first - second - acted
    hidden = {path for path in left if any(paths.is_under(path, directory) for directory in unlisted)}
    assert {fate: set(found) for fate, found in fate.items()} == {
        fate: found
        for fate, found in {
            Fate.NEW: second - first,
            Fate.STILL: second & first,
            Fate.GONE: left - hidden,
            Fate.ACTED: first & acted - second,
            Fate.UNSEEN: hidden,
        }.items()
        if found
    }
    # What plans did is told as what the history knows of: it did not go by itself.
    went = {Fate.GONE: left - hidden, Fate.UNSEEN: hidden}
    for each, paths_of_fate in went.items():
        assert set(by_plans.get(each, [])) == paths_of_fate - planned
    assert set(by_plans.get(Fate.ACTED, [])) == first & (acted | planned) - second
    assert (by_plans.get(Fate.NEW), by_plans.get(Fate.STILL)) == (fate.get(Fate.NEW), fate.get(Fate.STILL))
    assert [path for path, _, _ in page.new_files] == fate.get(Fate.NEW, [])
    assert [path for path, _, _ in page.gone_files] == fate.get(Fate.GONE, [])
    assert page.unseen == len(fate.get(Fate.UNSEEN, []))


ALL = Scope((b"/s",))


@pytest.mark.parametrize(
    ("looked", "seen"),
    [
        (ALL, {b"/s/a/x", b"/s/a/x.log", b"/s/q/x"}),
        (Scope((b"/s/a",)), {b"/s/a/x", b"/s/a/x.log"}),
        (Scope((b"/s",), (b"/a/",)), {b"/s/q/x"}),
        (Scope((b"/s",), (b".log",)), {b"/s/a/x", b"/s/q/x"}),
        (Scope((b"/s",), (), (b"/s/q",)), {b"/s/a/x", b"/s/a/x.log"}),
        (Scope((b"/s",), young_after=99.0), set()),
        (Scope((b"/s",), young_after=100.0), {b"/s/a/x", b"/s/a/x.log", b"/s/q/x"}),
        (Scope((b"/s",), keeps_orphans=True), set()),
    ],
)
def test_what_the_settings_of_a_run_left_alone_is_not_gone(
    history: HistoryDatabase, looked: Scope, seen: set[bytes]
) -> None:
    found = {b"/s/a/x", b"/s/a/x.log", b"/s/q/x"}
    checked(history, [orphans(b"/s/a", b"x", b"x.log"), orphans(b"/s/q", b"x")], looked=ALL)
    checked(history, looked=looked)
    fate = fates(history, FindingKind.ORPHAN) or {}
    assert (set(fate.get(Fate.GONE, [])), set(fate.get(Fate.UNSEEN, []))) == (seen, found - seen)
    page = history.changes(SITE, 10).orphans
    assert ({path for path, _, _ in page.gone_files}, page.gone) == (seen, len(seen))
    assert page.unseen == len(found - seen)


def test_orphans_that_are_kept_hide_no_missing_file(history: HistoryDatabase) -> None:
    checked(history, [files(Kind.MISSING, b"/s", b"x")], looked=ALL)
    checked(history, looked=Scope((b"/s",), keeps_orphans=True))
    assert fates(history, FindingKind.MISSING) == {Fate.GONE: [b"/s/x"]}


def test_the_settings_of_the_later_run_count_and_not_those_of_now_or_in_between(history: HistoryDatabase) -> None:
    narrow = Scope((b"/s",), (b"/a/",))
    for looked, there in ((ALL, True), (narrow, False), (ALL, False)):
        checked(history, [orphans(b"/s/a", b"x")] if there else [], looked=looked)
    for now in (None, ALL, narrow):
        # The third one looked again, and has not found it.
        assert fates(history, FindingKind.ORPHAN, 1, 3, now) == {Fate.GONE: [b"/s/a/x"]}
        assert fates(history, FindingKind.ORPHAN, 1, 2, now) == {Fate.UNSEEN: [b"/s/a/x"]}


def test_what_is_believed_counts_where_nobody_noted_where_a_run_looked(history: HistoryDatabase) -> None:
    checked(history, [orphans(b"/s/a", b"x")])
    checked(history)
    assert fates(history, FindingKind.ORPHAN) == {Fate.GONE: [b"/s/a/x"]}
    assert fates(history, FindingKind.ORPHAN, otherwise=Scope((), (b"/a/",))) == {Fate.UNSEEN: [b"/s/a/x"]}


def test_directories_that_nobody_looked_at_are_not_gone(history: HistoryDatabase) -> None:
    empty = [Finding(Kind.EMPTY, b"/s/a", mtime=100), Finding(Kind.EMPTY, b"/s/b", mtime=300)]
    checked(history, empty, [b"/s/a/u", b"/s/u"], looked=ALL)
    checked(history, looked=Scope((b"/s",), (b"/a",), young_after=200.0))
    assert fates(history, FindingKind.EMPTY) == {Fate.UNSEEN: [b"/s/a", b"/s/b"]}
    assert fates(history, FindingKind.UNLISTED) == {Fate.GONE: [b"/s/u"], Fate.UNSEEN: [b"/s/a/u"]}


def test_the_settings_that_differ_are_named(history: HistoryDatabase) -> None:
    hostile = Scope((b"/s", b"/\xff"), (b"\xfe\n",), (b"/s/q",), young_after=1.5)
    for looked in (ALL, hostile, hostile, None):
        checked(history, looked=looked)

    def between(before: int, after: int) -> tuple[str, ...] | None:
        with history.view() as connection:
            return Comparison(connection, choose_runs(connection, SITE, before, after)).other_settings

    others = ("DirectoryList", "IgnoreDirectories", "Quarantine")
    assert (between(1, 2), between(2, 3), between(3, 4)) == (others, (), None)
    assert history.changes(SITE).settings == ()
    with history.view() as connection:
        assert [scope_of(connection, run) for run in (1, 2, 4, 99)] == [ALL, hostile, None, None]
