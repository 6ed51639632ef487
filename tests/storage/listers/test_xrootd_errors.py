from __future__ import annotations

import pytest

from engine.listing import Failed
from engine.states import Reason
from storage.listers.xrootd_errors import Status, failure, is_answer, is_complete, is_denied, said_failure


def status(code: int, errno: int = 0, message: str = "[ERROR] said\n", ok: bool = False) -> Status:
    return {"ok": ok, "code": code, "errno": errno, "message": message, "fatal": False}


@pytest.mark.parametrize(
    ("code", "errno", "reason"),
    [
        (400, 3002, Reason.BAD_NAME),
        (400, 3005, Reason.SERVER),
        (400, 3007, Reason.SERVER),
        (400, 3010, Reason.PERMISSION),
        (400, 3011, Reason.NOT_FOUND),
        (400, 3030, Reason.AUTHENTICATION),
        (400, 3034, Reason.TIMEOUT),
        (101, 0, Reason.CONNECTION),
        (102, 111, Reason.CONNECTION),
        (103, 0, Reason.CONNECTION),
        (108, 0, Reason.CONNECTION),
        (110, 0, Reason.AUTHENTICATION),
        (204, 0, Reason.AUTHENTICATION),
        (206, 0, Reason.TIMEOUT),
        (303, 0, Reason.BAD_NAME),
        (306, 0, Reason.SERVER),
        (102, 3011, Reason.CONNECTION),
    ],
)
def test_each_error_has_a_reason(code: int, errno: int, reason: Reason) -> None:
    assert failure(status(code, errno)) == Failed(reason, "said")


def test_only_the_words_tell_a_file_from_a_broken_file_system() -> None:
    assert failure(status(400, 3005, "Unable to open directory /f; not a directory")).reason == Reason.NOT_A_DIRECTORY
    assert failure(status(400, 3005, "Unable to locate /f; too many levels of symbolic links")).reason == Reason.SERVER


def test_what_was_said_becomes_one_line() -> None:
    assert failure(status(400, 3007, "[ERROR] one\n two\t three\n")).detail == "one two three"


def test_an_ok_with_a_code_is_not_complete() -> None:
    assert is_complete(status(0, ok=True))
    for code in (1, 2, 3):
        assert not is_complete(status(code, ok=True))
        assert failure(status(code, ok=True)).reason == Reason.PARTIAL
    assert not is_complete(status(0))


def test_only_the_server_itself_can_deny() -> None:
    assert is_denied(status(400, 3011))
    for said in (status(400, 3010), status(304, 3011), status(204, 3011), status(400, 3011, ok=True), status(0)):
        assert not is_denied(said)


def test_only_what_the_server_said_is_an_answer() -> None:
    assert is_answer(status(0, ok=True))
    assert is_answer(status(400, 3011))
    assert not is_answer(status(206))
    assert not is_answer(status(102, 3011))


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "[ERROR] Server responded with an error: [3011] Unable to locate /a; no such file or directory",
            Reason.NOT_FOUND,
        ),
        (
            "[ERROR] Server responded with an error: [3010] Unable to open directory /a; permission denied",
            Reason.PERMISSION,
        ),
        (
            "[ERROR] Server responded with an error: [3005] Unable to locate /a/b; not a directory",
            Reason.NOT_A_DIRECTORY,
        ),
        ("[ERROR] Server responded with an error: [3005] Unable to locate /a; too many levels", Reason.SERVER),
        ("[ERROR] Invalid response", Reason.BAD_NAME),
        ("[ERROR] Operation expired", Reason.TIMEOUT),
        ("[FATAL] Connection error", Reason.CONNECTION),
        ("[FATAL] Auth failed", Reason.AUTHENTICATION),
        ("[ERROR] Command not found", Reason.SERVER),
    ],
)
def test_what_a_program_says_has_its_reason(said: str, reason: Reason) -> None:
    assert said_failure(said).reason == reason
