import pytest

from engine.states import Reason, State


def test_the_values_are_those_of_the_snapshot_format() -> None:
    assert {state.name: state.value for state in State} == {"UNFILLED": 0, "LISTED": 1, "FAILED": 2, "IGNORED": 3}
    assert {reason.name: reason.value for reason in Reason} == {
        "NONE": 0,
        "PERMISSION": 1,
        "NOT_FOUND": 2,
        "NOT_A_DIRECTORY": 3,
        "TIMEOUT": 4,
        "CONNECTION": 5,
        "AUTHENTICATION": 6,
        "PARTIAL": 7,
        "FALSE_EMPTY": 8,
        "CUT_SHORT": 9,
        "BAD_NAME": 10,
        "DEPTH": 11,
        "IGNORED": 12,
        "LISTER_LOST": 13,
        "NEVER_REACHED": 14,
        "SERVER": 15,
        "LINK": 16,
        "OTHERS": 17,
        "UNREAD": 18,
    }


def test_only_what_may_pass_is_worth_another_try() -> None:
    assert {reason for reason in Reason if reason.retryable} == {
        Reason.TIMEOUT,
        Reason.CONNECTION,
        Reason.PARTIAL,
        Reason.FALSE_EMPTY,
        Reason.LISTER_LOST,
        Reason.SERVER,
    }


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason])
def test_every_reason_has_words_of_its_own(reason: Reason) -> None:
    assert [other for other in Reason if other.label == reason.label] == [reason]
    assert reason.label.isprintable()
    assert "\t" not in reason.label


def test_no_reason_has_no_words() -> None:
    assert Reason.NONE.label == ""
