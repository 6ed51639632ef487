from __future__ import annotations

import os
from pathlib import Path

import pytest

from storage.runs.directory import RunDirError
from storage.snapshot import part_of
from storage.unmerged.journal import UnmergedJournal

MARK = {"tops": ["b'/store/unmerged'"]}
NOW = 1_700_000_000.5


@pytest.fixture
def journal(tmp_path: Path) -> UnmergedJournal:
    return UnmergedJournal(tmp_path / "runs" / "T2_X")


def test_there_is_nothing_to_go_on_with_at_first(journal: UnmergedJournal) -> None:
    assert journal.unfinished(MARK, 0) is None


def test_a_cleaning_that_was_stopped_is_gone_on_with(journal: UnmergedJournal) -> None:
    journal.begin(MARK, NOW)
    part_of(journal.snapshot).touch()
    assert journal.unfinished(MARK, 0) == NOW
    assert part_of(journal.snapshot).exists()


def test_one_of_another_mark_or_too_old_is_not(journal: UnmergedJournal) -> None:
    journal.begin(MARK, NOW)
    assert journal.unfinished({"tops": []}, 0) is None
    for file in (journal.snapshot.parent / "unmerged.json",):
        os.utime(file, (100, 100))
    assert journal.unfinished(MARK, 101) is None
    assert journal.unfinished(MARK, 100) == NOW


def test_a_finished_listing_becomes_the_journal_again(journal: UnmergedJournal) -> None:
    journal.begin(MARK, NOW)
    journal.snapshot.write_bytes(b"whole")
    assert journal.unfinished(MARK, 0) == NOW
    assert part_of(journal.snapshot).read_bytes() == b"whole"
    assert not journal.snapshot.exists()


def test_the_listing_of_an_earlier_cleaning_does_not(journal: UnmergedJournal) -> None:
    journal.begin(MARK, NOW)
    journal.snapshot.write_bytes(b"old")
    os.utime(journal.snapshot, (100, 100))
    assert journal.unfinished(MARK, 0) == NOW
    assert journal.snapshot.read_bytes() == b"old"


def test_nor_does_one_from_the_time_before_a_clock_was_set_back(journal: UnmergedJournal) -> None:
    journal.snapshot.parent.mkdir(parents=True)
    journal.snapshot.write_bytes(b"old")
    os.utime(journal.snapshot, (5_000_000_000, 5_000_000_000))
    journal.begin(MARK, NOW)
    assert journal.unfinished(MARK, 0) == NOW
    assert journal.snapshot.read_bytes() == b"old"


def test_one_that_is_done_is_not_gone_on_with(journal: UnmergedJournal) -> None:
    journal.begin(MARK, NOW)
    journal.snapshot.write_bytes(b"whole")
    journal.done()
    assert journal.unfinished(MARK, 0) is None
    assert journal.snapshot.exists()


def test_a_new_one_drops_what_was_left(journal: UnmergedJournal) -> None:
    journal.begin(MARK, NOW)
    part_of(journal.snapshot).touch()
    journal.begin(MARK, NOW + 5)
    assert not part_of(journal.snapshot).exists()
    assert journal.unfinished(MARK, 0) == NOW + 5


def test_a_note_that_cannot_be_read_counts_as_not_there(journal: UnmergedJournal) -> None:
    journal.begin(MARK, NOW)
    (journal.snapshot.parent / "unmerged.json").write_text("{")
    assert journal.unfinished(MARK, 0) is None


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunDirError, match="cannot use"):
        UnmergedJournal(tmp_path / "file" / "runs").begin(MARK, NOW)
