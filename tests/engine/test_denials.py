from __future__ import annotations

import pytest

from engine.columns import FileColumns
from engine.denials import is_denial, together
from engine.listing import Absent, Failed, Listed, NamesListed, Outcome, Present
from engine.states import Reason

GONE, FULL = Failed(Reason.NOT_FOUND), Listed(FileColumns.from_rows([(b"f", 1, 1)]))
THERE = Present(1, 1, False)
SOME, OTHERS = NamesListed(frozenset((b"a",))), NamesListed(frozenset((b"b",)))
SILENT, CLOSED = Failed(Reason.TIMEOUT), Failed(Reason.PERMISSION)


@pytest.mark.parametrize("outcome", [Absent(), GONE, Failed(Reason.NOT_A_DIRECTORY), Listed(), SOME])
def test_what_denies_something_or_may(outcome: Outcome) -> None:
    assert is_denial(outcome)


@pytest.mark.parametrize("outcome", [THERE, FULL, Listed(others=True), SILENT, CLOSED])
def test_what_denies_nothing(outcome: Outcome) -> None:
    assert not is_denial(outcome)


@pytest.mark.parametrize(
    ("denial", "other", "comes_to"),
    [
        (Absent(), THERE, THERE),
        (Absent(), Absent(), Absent()),
        (Absent(), CLOSED, CLOSED),
        (Absent(), SILENT, Absent()),
        (GONE, FULL, FULL),
        (GONE, GONE, GONE),
        (GONE, SOME, SOME),
        (Listed(), FULL, FULL),
        (Listed(), GONE, Listed()),
        (Listed(), CLOSED, CLOSED),
        (SOME, OTHERS, NamesListed(frozenset((b"a", b"b")))),
        (SOME, GONE, SOME),
        (SOME, SILENT, SOME),
    ],
)
def test_what_a_denial_comes_to(denial: Outcome, other: Outcome, comes_to: Outcome) -> None:
    assert together(denial, other) == comes_to
