from __future__ import annotations

from engine.record import DirectorySummary
from engine.states import Reason, State
from engine.table import DirectoryTable
from engine.usage import Usage, usage


def row(path: bytes, files: int = 0, size: int = 0, state: State = State.LISTED) -> DirectorySummary:
    reason = Reason.NONE if state == State.LISTED else Reason.TIMEOUT
    return DirectorySummary(path, state, reason, files=files, size=size)


TABLE = DirectoryTable.from_summaries(
    [
        row(b"/store/data", 1, 10),
        row(b"/store/data/a", 2, 20),
        row(b"/store/mc", 3, 30),
        row(b"/store/mc/broken", state=State.FAILED),
        row(b"/store/mc/ignored", state=State.IGNORED),
        row(b"/store/mc/unfilled", state=State.UNFILLED),
        row(b"/store/mc2", 7, 70),
    ]
)


def test_each_top_is_summed_up_with_all_below_it() -> None:
    assert list(usage(TABLE, [b"/store/data", b"/store/mc"])) == [
        Usage(b"/store/data", 3, 30, 0),
        Usage(b"/store/mc", 3, 30, 2),
    ]


def test_a_name_that_goes_on_is_another_directory() -> None:
    assert list(usage(TABLE, [b"/store/mc2"])) == [Usage(b"/store/mc2", 7, 70, 0)]


def test_a_top_without_a_row_still_has_what_is_below_it() -> None:
    assert list(usage(TABLE, [b"/store"])) == [Usage(b"/store", 13, 130, 2)]


def test_what_was_never_heard_of_is_left_out() -> None:
    assert list(usage(TABLE, [b"/store/himc"])) == []
