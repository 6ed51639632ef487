import pytest

from storage.history import RunCounts, RunRow, RunStatus, Table
from storage.page.runs import merge
from storage.sites.summary import StatsRow

COMPARED = frozenset(Table) - {Table.UNMERGED}


def run(
    number: int,
    started: float,
    status: RunStatus = RunStatus.DONE,
    seconds: float = 60.0,
    reported: frozenset[Table] = COMPARED,
) -> RunRow:
    counts = RunCounts(files=10 * number, directories=number, missing=number, seconds=seconds)
    finished = None if status == RunStatus.RUNNING else started + seconds
    message = "why" if status == RunStatus.FAILED else ""
    return RunRow(number, "T2", started, finished, status, message, "threads", counts, reported)


def stats(entered: float, missing: int = 0, unmerged: int = 0) -> StatsRow:
    return StatsRow("T2", entered, 60.0, missing=missing, no_source=3, unlisted_bad=2, unmerged=unmerged)


def test_a_row_of_the_summary_belongs_to_the_run_that_entered_it() -> None:
    first, second = reversed(merge([run(1, 1000), run(2, 2000)], [stats(1061, 1), stats(2061, 2)]))
    assert (first.number, first.ended, first.missing, first.no_source) == (1, 1061, 1, 3)
    assert (second.number, second.ended, second.missing, second.no_source) == (2, 2061, 2, 3)


def test_the_newest_comes_first() -> None:
    assert [found.number for found in merge([run(2, 2000), run(3, 3000), run(1, 1000)], [])] == [3, 2, 1]


def test_rows_of_the_summary_from_before_the_history_stand_alone() -> None:
    new, old = merge([run(1, 1000)], [stats(500), stats(1061)])
    assert (old.number, old.started, old.status, old.missing) == (None, 440, RunStatus.DONE, 0)
    assert (new.number, new.no_source) == (1, 3)


def test_a_run_without_a_row_has_the_numbers_of_the_history() -> None:
    (found,) = merge([run(4, 1000)], [])
    assert (found.files, found.nodes, found.missing, found.no_source, found.seconds) == (40, 4, 4, None, 60.0)


def test_a_run_without_results_has_no_numbers_and_takes_no_row() -> None:
    failed, done = merge([run(2, 2000, RunStatus.FAILED), run(1, 1000)], [stats(2500)])
    assert (failed.counted, failed.missing, failed.message, failed.seconds) == (False, None, "why", 60.0)
    assert (done.number, done.ended) == (1, 2500)


def test_two_rows_for_one_run_are_both_shown() -> None:
    assert len(merge([run(1, 1000)], [stats(1061), stats(1070)])) == 2


def test_a_row_in_whole_seconds_still_belongs_to_a_run_that_took_less_than_one() -> None:
    (found,) = merge([run(1, 1000.7, seconds=0.2)], [stats(1000.0)])
    assert found.number == 1


def test_rows_of_runs_within_one_second_are_shared_out_in_order() -> None:
    second, first = merge([run(2, 1000.9, seconds=0.2), run(1, 1000.1, seconds=0.5)], [stats(1000, 1), stats(1001, 2)])
    assert [(found.number, found.missing) for found in (first, second)] == [(1, 1), (2, 2)]


def test_a_cleaning_says_nothing_about_the_site_and_takes_no_row() -> None:
    cleaning, check = merge([run(2, 1061, reported=frozenset({Table.UNMERGED})), run(1, 1000)], [stats(1100, 7)])
    assert (cleaning.counted, cleaning.cleaned, cleaning.files, cleaning.missing) == (False, True, None, None)
    assert (check.number, check.counted, check.missing) == (1, True, 7)


@pytest.mark.parametrize(
    ("cleanings", "unmerged", "shown"), [([], 0, None), ([1050], 0, 0), ([900, 1200], 0, None), ([], 4, 4)]
)
def test_unmerged_files_are_known_where_the_run_looked(
    cleanings: list[float], unmerged: int, shown: int | None
) -> None:
    others = [run(10 + n, start, reported=frozenset({Table.UNMERGED})) for n, start in enumerate(cleanings)]
    merged = merge([*others, run(1, 1000)], [stats(1061, unmerged=unmerged)])
    assert [found.unmerged for found in merged if found.number == 1] == [shown]


@pytest.mark.parametrize("rows", [[], [stats(1061)]], ids=["history", "summary"])
def test_what_a_run_did_not_look_for_is_not_known_to_be_none(rows: list[StatsRow]) -> None:
    (found,) = merge([run(1, 1000, reported=frozenset())], rows)
    assert found.counted
    assert found.files is not None
    sizes = (found.missing_bytes, found.orphan_bytes, found.size_mismatch, found.protected, found.empty)
    assert {found.missing, found.orphan, found.no_source, found.unrecoverable, *sizes} == {None}


def test_a_run_that_goes_on_has_neither_end_nor_numbers() -> None:
    (found,) = merge([run(1, 1000, RunStatus.RUNNING)], [])
    assert (found.ended, found.seconds, found.files, found.counted) == (None, None, None, False)
