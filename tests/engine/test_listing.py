import pickle

import pytest

from engine.columns import NO_DIRECTORIES, NO_FILES, DirectoryColumns, FileColumns
from engine.listing import Absent, Failed, Listed, NamesListed, Outcome, Present
from engine.states import Reason


def test_an_empty_directory_is_a_complete_listing() -> None:
    assert Listed() == Listed(NO_FILES, NO_DIRECTORIES)


def test_a_failure_knows_whether_another_try_is_worth_it() -> None:
    assert Failed(Reason.TIMEOUT, "after 30 s").reason.retryable
    assert not Failed(Reason.PERMISSION).reason.retryable


@pytest.mark.parametrize(
    "outcome",
    [
        Listed(FileColumns.from_rows([(b"f", 1, 2)]), DirectoryColumns.from_rows([(b"d", 3)])),
        NamesListed(frozenset((b"a", b"\xff"))),
        Present(5, 6, False),
        Absent(),
        Failed(Reason.SERVER, "overload"),
    ],
)
def test_every_outcome_travels(outcome: Outcome) -> None:
    assert pickle.loads(pickle.dumps(outcome)) == outcome
