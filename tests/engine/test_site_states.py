"""The rules about states: what may be set, whose process is gone, and which site comes next."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.site_states import (
    ACTIONS,
    BadAction,
    Candidate,
    NoMatchingSite,
    OwnerSigns,
    Reporting,
    SiteStatus,
    action_of,
    after_interrupt,
    check_action,
    check_not_taken,
    explain_none,
    is_at_work,
    is_over,
    lock_of,
    matching,
    next_site,
    reporting_of,
    status_of,
    why_not,
)

READY, LOCKED, RUNNING = SiteStatus.READY, SiteStatus.LOCKED, SiteStatus.RUNNING
HALT, DISABLED = SiteStatus.HALT, SiteStatus.DISABLED


def test_the_numbers_are_those_of_the_database() -> None:
    assert [(status.name, int(status)) for status in SiteStatus] == [
        ("DISABLED", -2),
        ("HALT", -1),
        ("READY", 0),
        ("LOCKED", 1),
        ("RUNNING", 2),
    ]
    assert [(reporting.name, int(reporting)) for reporting in Reporting] == [("DRY", 0), ("ACT", 1)]


def test_words_stand_for_states() -> None:
    assert [action_of(word) for word in ("ready", "halt", "disable", "act", "dry")] == list(ACTIONS.values())
    assert isinstance(action_of("act"), Reporting)
    assert isinstance(action_of("ready"), SiteStatus)


@pytest.mark.parametrize("word", ["", "READY", "fly", "1", "ready ", "\n", "x" * 500])
def test_other_words_are_refused_with_the_right_ones(word: str) -> None:
    with pytest.raises(BadAction, match="expected one of ready, halt, disable, act, dry") as caught:
        action_of(word)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


def test_a_status_is_one_of_five_numbers() -> None:
    assert [status_of(value) for value in (-2, -1, 0, 1, 2)] == list(SiteStatus)
    for value in (-3, 3, 0.0, "0", "ready", None, True, [], 10**400):
        with pytest.raises(BadAction, match=r"expected one of -2 \(disabled\), -1 \(halt\), 0 \(ready\)"):
            status_of(value)


def test_a_reporting_is_one_of_two_numbers() -> None:
    assert [reporting_of(value) for value in (0, 1, False, True)] == [0, 1, 0, 1]
    for value in (-1, 2, 1.0, "act", None):
        with pytest.raises(BadAction, match=r"expected one of 0 \(dry\), 1 \(act\)"):
            reporting_of(value)


def test_a_disabled_site_is_not_halted() -> None:
    with pytest.raises(BadAction, match="set it ready"):
        check_action("T2_X", DISABLED, HALT)
    for now, action in product(SiteStatus, ACTIONS.values()):
        if (now, action) != (DISABLED, HALT) or isinstance(action, Reporting):
            check_action("T2_X", now, action)


def test_a_site_is_not_taken_from_a_process_that_is_at_work() -> None:
    for status in (READY, LOCKED, RUNNING):
        check_not_taken("T2_X", status, by_others=False)
        with pytest.raises(BadAction, match="halt that first"):
            check_not_taken("T2_X", status, by_others=True)
    for status in (HALT, DISABLED):
        check_not_taken("T2_X", status, by_others=True)


def test_an_interrupt_halts_unless_disabled() -> None:
    assert {now: after_interrupt(now) for now in SiteStatus} == {
        DISABLED: DISABLED,
        HALT: HALT,
        READY: HALT,
        LOCKED: HALT,
        RUNNING: HALT,
    }


def test_sites_that_are_listed_through_srm_share_a_lock() -> None:
    assert [lock_of(method) for method in ("SRM", "XRootD", "directx", "RAL-Reader")] == ["gfal", "", "", ""]


@pytest.mark.parametrize(
    ("signs", "over", "at_work"),
    [
        (OwnerSigns(known=True, here=True, alive=True, run_locked=False, left_behind=False), False, True),
        (OwnerSigns(known=True, here=True, alive=False, run_locked=False, left_behind=False), True, False),
        # Somebody runs it, even if it is not the one that the state names.
        (OwnerSigns(known=True, here=True, alive=False, run_locked=True, left_behind=False), False, True),
        # Nothing can be said of another machine's process …
        (OwnerSigns(known=True, here=False, alive=False, run_locked=False, left_behind=False), False, False),
        # … unless it left its name in a directory that both share, and the lock there is free.
        (OwnerSigns(known=True, here=False, alive=False, run_locked=False, left_behind=True), True, False),
        (OwnerSigns(known=True, here=False, alive=False, run_locked=True, left_behind=True), False, True),
        (OwnerSigns(known=False, here=False, alive=False, run_locked=False, left_behind=False), False, False),
    ],
)
def test_whether_the_process_of_a_state_is_gone(signs: OwnerSigns, over: bool, at_work: bool) -> None:
    assert (is_over(signs), is_at_work(signs)) == (over, at_work)


def test_a_pattern_is_contained_in_the_name() -> None:
    names = ["T2_US_MIT", "T1_US_FNAL", "T2_DE_DESY"]
    assert matching(names, None) == matching(names, "") == sorted(names)
    assert matching(names, "US") == ["T1_US_FNAL", "T2_US_MIT"]
    assert matching(names, "^T2.*Y$") == ["T2_DE_DESY"]
    assert matching(names, "XX") == []


@pytest.mark.parametrize("pattern", ["(", "*", "[a", "(?P<", "\\", "a{99999999999}", "(" * 200, "\ud800("])
def test_a_bad_pattern_is_one_line(pattern: str) -> None:
    with pytest.raises(NoMatchingSite, match="no regular expression") as caught:
        matching(["T2_X"], pattern)
    assert "\n" not in str(caught.value)
    str(caught.value).encode()


def test_never_run_first_then_the_oldest_then_by_name() -> None:
    sites = [
        Candidate("T2_B", READY, 5.0),
        Candidate("T2_A", READY, 5.0),
        Candidate("T2_C", READY, 1.0),
        Candidate("T2_E", READY),
        Candidate("T2_D", READY),
    ]
    order = []
    while (chosen := next_site(sites)) is not None:
        order.append(chosen.site)
        sites.remove(chosen)
    assert order == ["T2_D", "T2_E", "T2_C", "T2_A", "T2_B"]


def test_a_run_that_was_begun_at_the_epoch_is_not_never() -> None:
    assert next_site([Candidate("T2_A", READY, 0.0), Candidate("T2_B", READY)]) == Candidate("T2_B", READY)


@pytest.mark.parametrize(
    ("candidate", "why"),
    [
        (Candidate("T2_A", READY), ""),
        (Candidate("T2_A", READY, ready=False), "not ready, says the backend"),
        (Candidate("T2_A", DISABLED), "disabled"),
        (Candidate("T2_A", DISABLED, over=True), "disabled"),
        (Candidate("T2_A", HALT), "halted"),
        (Candidate("T2_A", HALT, over=True), ""),
        (Candidate("T2_A", LOCKED), "picked by a process"),
        (Candidate("T2_A", RUNNING), "running"),
        (Candidate("T2_A", RUNNING, over=True), ""),
    ],
)
def test_why_a_site_is_not_picked(candidate: Candidate, why: str) -> None:
    assert why_not(candidate) == why
    assert next_site([candidate]) == (None if why else candidate)


@pytest.mark.parametrize(
    ("lock", "lock_name", "held", "why"),
    [
        ("", None, (), ""),
        ("", "", ("gfal",), ""),
        ("", "gfal", (), "needs no lock"),
        ("gfal", None, (), ""),
        ("gfal", "gfal", (), ""),
        ("gfal", "", (), "needs the lock gfal"),
        ("gfal", "other", (), "needs the lock gfal"),
        ("gfal", None, ("gfal",), "the lock gfal is held"),
        ("gfal", "gfal", ("gfal",), "the lock gfal is held"),
    ],
)
def test_the_lock_that_a_site_must_use(lock: str, lock_name: str | None, held: tuple[str, ...], why: str) -> None:
    assert why_not(Candidate("T2_A", READY, lock=lock), lock_name, held) == why


def test_all_reasons_are_named_when_none_can_be_picked() -> None:
    assert explain_none([Candidate("T2_A", DISABLED), Candidate("T2_B", RUNNING)]) == "T2_A: disabled; T2_B: running"


@given(
    st.lists(
        st.builds(
            Candidate,
            st.text(min_size=1, max_size=3),
            st.sampled_from(SiteStatus),
            st.none() | st.floats(0, 1e10),
            st.booleans(),
            st.sampled_from(["", "gfal"]),
            st.booleans(),
        ),
        max_size=8,
    ),
    st.sampled_from([None, "", "gfal"]),
)
def test_what_is_picked_may_be_and_nothing_that_waited_longer_is_left(
    candidates: list[Candidate], lock_name: str | None
) -> None:
    chosen = next_site(candidates, lock_name)
    free = [candidate for candidate in candidates if not why_not(candidate, lock_name)]
    if chosen is None:
        assert free == []
    else:
        assert chosen in free
        assert all(
            chosen.last_run is None or (other.last_run is not None and other.last_run >= chosen.last_run)
            for other in free
        )
