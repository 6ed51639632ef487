from __future__ import annotations

from pathlib import Path

import pytest

from actors.listing import ListingFailed, Refused
from actors.messages import Killed
from actors.runtime import ActorLost, RuntimeUnavailable
from cli.exits import CommandError, ExitCode, as_command_error, of_result
from engine.gates import Refusal
from engine.unmerged import OutsideUnmerged
from storage.config.loading import ConfigError
from storage.doors.source import SourceError
from storage.history import HistoryError
from storage.inventory import InventoryError
from storage.runs.directory import AlreadyRunning, RunDirError
from storage.runs.reports import ReportError
from storage.snapshot import SnapshotError
from storage.unmerged.protected_list import ProtectedListError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandError("words", ExitCode.INCOMPLETE), ExitCode.INCOMPLETE),
        (KeyboardInterrupt(), ExitCode.HALTED),
        (Killed("words"), ExitCode.HALTED),
        (Refused(Refusal("gate", "words")), ExitCode.NOT_LISTED),
        (OutsideUnmerged("words"), ExitCode.NOT_LISTED),
        (ProtectedListError("words"), ExitCode.USAGE),
        (ListingFailed("words"), ExitCode.NOT_LISTED),
        (ActorLost("words"), ExitCode.NOT_LISTED),
        (ConfigError("words"), ExitCode.USAGE),
        (SourceError("words"), ExitCode.USAGE),
        (InventoryError("words"), ExitCode.USAGE),
        (ReportError("words"), ExitCode.USAGE),
        (HistoryError("words"), ExitCode.USAGE),
        (AlreadyRunning("words"), ExitCode.USAGE),
        (RunDirError("words"), ExitCode.USAGE),
        (SnapshotError("words"), ExitCode.USAGE),
        (RuntimeUnavailable("words"), ExitCode.USAGE),
        (PermissionError(13, "words", "file"), ExitCode.USAGE),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_expected_error_has_its_code_and_keeps_its_words(error: BaseException, code: ExitCode) -> None:
    known = as_command_error(error)
    assert known is not None
    assert known.code == code
    assert "words" in str(known) or isinstance(error, KeyboardInterrupt)


@pytest.mark.parametrize("error", [ValueError("a fault"), AssertionError(), OSError("no number")])
def test_a_fault_of_the_program_is_not_dressed_up(error: BaseException) -> None:
    assert as_command_error(error) is None


def test_a_system_error_names_the_file() -> None:
    with pytest.raises(FileNotFoundError) as caught:
        Path("/nowhere/at/all").read_text()
    assert str(as_command_error(caught.value)) == "/nowhere/at/all: No such file or directory"


@pytest.mark.parametrize(
    ("asked", "findings", "unseen", "code"),
    [
        (False, 5, 5, ExitCode.DONE),
        (True, 0, 0, ExitCode.DONE),
        (True, 5, 0, ExitCode.FINDINGS),
        (True, 0, 5, ExitCode.INCOMPLETE),
        (True, 5, 5, ExitCode.FINDINGS),
    ],
)
def test_a_result_is_told_by_the_code_only_when_asked(asked: bool, findings: int, unseen: int, code: ExitCode) -> None:
    assert of_result(asked, findings, unseen) == code
