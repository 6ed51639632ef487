from __future__ import annotations

import pytest

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from engine.confirm import ConfirmLimits
from engine.findings import Kind
from engine.listing import Absent, Failed, NamesListed, Outcome, Present
from engine.recheck import Candidates, Dropped, Recheck, Rechecked, orphan_fate
from engine.states import Reason

LIMIT = 1000.0


def answered(candidates: Candidates, store: dict[bytes, Outcome], names: dict[bytes, set[bytes]]) -> Rechecked:
    """Let a store answer; what it says nothing of it does not answer."""
    recheck = Recheck(candidates, LIMIT, ConfirmLimits(254))
    queries = recheck.begin()
    while queries:
        query = queries.pop()
        if query.name is not None:
            outcome = store.get(query.path)
        else:
            outcome = NamesListed(frozenset(names[query.path])) if query.path in names else store.get(query.path)
        if outcome is not None:
            queries += recheck.take(query, outcome)
    return recheck.result()


@pytest.mark.parametrize(
    ("outcome", "fate"),
    [
        (Present(10, 500, False), ""),
        (Present(11, 500, False), "changed"),
        (Present(10, 501, False), "changed"),
        (Present(10, 499, False), "changed"),
        (Present(10, 1001, False), "young"),
        (Present(10, 500, True), "changed"),
        (Present(10, UNKNOWN_MTIME, False), ""),
        (Absent(), "gone"),
        (Failed(Reason.NOT_FOUND), "gone"),
        (Failed(Reason.TIMEOUT), "uncertain"),
        (Failed(Reason.PERMISSION), "uncertain"),
        (NamesListed(frozenset()), "uncertain"),
    ],
)
def test_an_orphan_stays_one_only_while_it_is_what_was_listed(outcome: Outcome, fate: str) -> None:
    assert orphan_fate(outcome, 10, 500, LIMIT) == fate


def test_what_the_listing_did_not_know_of_an_orphan_may_be_anything() -> None:
    assert orphan_fate(Present(77, 500, False), UNKNOWN_SIZE, 500, LIMIT) == ""
    assert orphan_fate(Present(10, 600, False), 10, UNKNOWN_MTIME, LIMIT) == ""
    assert orphan_fate(Present(10, 1001, False), 10, UNKNOWN_MTIME, LIMIT) == "young"
    assert orphan_fate(Present(10, 2000, False), 10, 2000, None) == ""


def test_missing_files_are_asked_for_one_by_one_or_by_the_names_of_their_directory() -> None:
    many = [b"/a/%d" % number for number in range(6)]
    store: dict[bytes, Outcome] = {b"/b/x": Absent(), b"/b/y": Present(1, 1, False), b"/a/3": Present(1, 1, False)}
    still = answered(Candidates([*many, b"/b/x", b"/b/y", b"/b/z"]), store, {b"/a": {b"3", b"other"}})
    assert still.missing == (b"/a/0", b"/a/1", b"/a/2", b"/a/4", b"/a/5", b"/b/x")
    assert still.dropped == Dropped(back=2, uncertain=1)
    assert still.dropped.words == "2 missing before and there now, 1 without a certain answer"


def test_a_listing_that_fails_leaves_its_missing_files_uncertain() -> None:
    many = [b"/a/%d" % number for number in range(6)]
    still = answered(Candidates(many), {b"/a": Failed(Reason.TIMEOUT)}, {})
    assert (still.missing, still.dropped) == ((), Dropped(uncertain=6))
    gone = answered(Candidates(many), {b"/a": Failed(Reason.NOT_FOUND)}, {})
    assert gone.missing == tuple(many)


def test_a_directory_is_empty_only_if_all_in_it_is() -> None:
    empty = [b"/d/full/in", b"/d/full", b"/d/in", b"/d", b"/e", b"/f", b"/g"]
    names: dict[bytes, set[bytes]] = {
        b"/d": {b"full", b"in"},
        b"/d/full": {b"in", b"new"},
        b"/d/full/in": set(),
        b"/d/in": set(),
        b"/e": set(),
    }
    store: dict[bytes, Outcome] = {b"/f": Failed(Reason.NOT_FOUND), b"/g": Failed(Reason.PERMISSION)}
    still = answered(Candidates(empty=empty), store, names)
    assert still.empty == (b"/d/full/in", b"/d/in", b"/e")
    assert still.dropped == Dropped(filled=2, gone=1, uncertain=1)
    assert still.dropped.total == 4


def test_the_order_is_that_of_the_candidates_and_nothing_dropped_has_no_words() -> None:
    rows = [(b"/z", 1, 1), (b"/a", 1, 1)]
    recheck = Recheck(Candidates(orphans=rows), LIMIT, ConfirmLimits(254))
    for query in recheck.begin():
        assert query.kind == Kind.ORPHAN
        recheck.take(query, Present(1, 1, False))
    still = recheck.result()
    assert (still.orphans, still.dropped.words) == ((b"/z", b"/a"), "")
