from __future__ import annotations

from pathlib import Path

import pytest

from engine.confirm import Verdict
from storage.frames import make_frame
from storage.verdicts import VerdictJournal, verdict_on

D = b"/store/new\nline \xff"
DENIED = Verdict(D, 2, absent=(b"a", b"\xfe"))
FOUND = Verdict(b"/store/e", 1, absent=(b"x",), present=(b"y",), others=3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "verdicts.journal"


def write(path: Path, *verdicts: Verdict, resume: bool = False) -> None:
    journal = VerdictJournal(path, resume)
    for verdict in verdicts:
        journal.keep(verdict)
    journal.close()


def test_verdicts_are_given_to_a_later_run_each_once(path: Path) -> None:
    write(path, DENIED, FOUND)
    journal = VerdictJournal(path, resume=True)
    assert journal.take(D, [b"\xfe", b"a"]) == DENIED
    assert journal.take(D, [b"\xfe", b"a"]) is None
    assert journal.take(FOUND.path, [b"x", b"y"]) == FOUND


@pytest.mark.parametrize("names", [[b"a"], [b"a", b"\xfe", b"c"], []])
def test_a_verdict_on_other_names_is_none_on_these(path: Path, names: list[bytes]) -> None:
    write(path, DENIED)
    assert VerdictJournal(path, resume=True).take(D, names) is None


def test_a_new_run_drops_those_of_the_one_before(path: Path) -> None:
    write(path, DENIED)
    assert VerdictJournal(path, resume=False).take(D, DENIED.absent) is None
    assert not path.exists()


def test_a_run_that_confirms_nothing_leaves_no_file(path: Path) -> None:
    write(path)
    assert not path.exists()
    assert VerdictJournal(path, resume=True).take(D, [b"a"]) is None


def test_what_was_flushed_is_there_before_it_is_closed(path: Path) -> None:
    journal = VerdictJournal(path, resume=False)
    journal.keep(DENIED)
    journal.flush()
    assert VerdictJournal(path, resume=True).take(D, DENIED.absent) == DENIED
    journal.close()


@pytest.mark.parametrize("lost", range(1, 31, 5))
def test_a_torn_tail_is_cut_off_and_written_over(path: Path, lost: int) -> None:
    write(path, DENIED)
    write(path, FOUND, resume=True)
    path.write_bytes(path.read_bytes()[:-lost])
    write(path, FOUND, resume=True)
    again = VerdictJournal(path, resume=True)
    assert again.take(D, DENIED.absent) == DENIED
    assert again.take(FOUND.path, [b"x", b"y"]) == FOUND
    assert again.take(FOUND.path, [b"x", b"y"]) is None


@pytest.mark.parametrize("tail", [b"\0" * 100, b"garbage", make_frame(2, b"no verdict"), make_frame(4, b"\xc1")])
def test_what_is_no_verdict_ends_it(path: Path, tail: bytes) -> None:
    write(path, DENIED)
    path.write_bytes(path.read_bytes() + tail)
    assert VerdictJournal(path, resume=True).take(D, DENIED.absent) == DENIED


def test_one_that_cannot_be_written_is_done_without(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.mkdir()
    (path / "in the way").touch()
    for resume in (False, True):
        write(path, DENIED, FOUND, resume=resume)
    assert caplog.text.count("what is confirmed is not kept for a later run") == 2


def test_one_file_is_looked_up_without_taking_the_verdict_away(path: Path) -> None:
    assert verdict_on(path, D, b"a") is None
    write(path, DENIED, FOUND, Verdict(FOUND.path, 2, absent=(b"y",)))
    assert verdict_on(path, D, b"\xfe") is False
    assert verdict_on(path, FOUND.path, b"y") is False
    assert verdict_on(path, FOUND.path, b"z") is None
    with path.open("ab") as file:
        file.write(b"torn")
    assert verdict_on(path, FOUND.path, b"x") is False
