from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from actors.coordinator import Coordinator
from actors.messages import Assignment, Batch, ListingPlan, ListingReport
from engine.columns import DirectoryColumns, FileColumns
from engine.confirm import Verdict, unpack_verdicts
from engine.findings import Finding, Kind, pack_findings
from engine.index import Entry
from engine.listing import Failed, Listed, ListingOutcome
from engine.pace import DoorPace
from engine.record import DirectoryRecord
from engine.states import Reason, State
from engine.work import QueueLimits, TaskKind
from storage.snapshot import Snapshot, SnapshotBusy, SnapshotHeader, SnapshotWriter, directory_frame, part_of

TOP = b"/store/mc"


class Maker(Protocol):
    def __call__(self, resume: bool = False, ignored: tuple[bytes, ...] = ()) -> Coordinator: ...


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Maker]:
    """Coordinators of one journal, one after another."""
    made: list[Coordinator] = []

    def make_one(resume: bool = False, ignored: tuple[bytes, ...] = ()) -> Coordinator:
        header = SnapshotHeader("listing", "memory", 1, "SITE", (TOP,))
        limits = QueueLimits(max_attempts=2, first_delay=0.0)
        made.append(Coordinator(ListingPlan(header, tmp_path / "s", limits, ignored, resume, tmp_path / "verdicts")))
        made[-1].start()
        return made[-1]

    yield make_one
    for coordinator in made:
        coordinator.release()


def answer(path: bytes, attempt: int, outcome: ListingOutcome) -> bytes:
    record = DirectoryRecord.of(path, outcome, 1000)
    frame = directory_frame(record)
    return Batch([ListingReport(attempt, Entry.of(record, len(frame)))], frame, requests=1).pack()


def listed(files: tuple[bytes, ...] = (), directories: tuple[bytes, ...] = ()) -> Listed:
    return Listed(
        FileColumns.from_rows([(name, 5, 1) for name in files]),
        DirectoryColumns.from_rows([(name, 2) for name in directories]),
    )


def paths_of(assignment: Assignment) -> list[bytes]:
    return sorted(task.path for task in assignment.tasks)


NOTHING = Batch().pack()
TWO_CANDIDATES = pack_findings([Finding(Kind.MISSING, TOP, FileColumns.from_rows([(b"x", 1, 1), (b"y", 1, 1)]))])


def test_a_listing_is_on_disk_before_its_lister_gets_an_answer(make: Maker, tmp_path: Path) -> None:
    coordinator = make()
    assert paths_of(coordinator.exchange("one", NOTHING, 10)) == [TOP]
    given = coordinator.exchange("one", answer(TOP, 1, listed((b"f",), (b"a", b"b"))), 10)
    assert paths_of(given) == [TOP + b"/a", TOP + b"/b"]
    journal = Snapshot(part_of(tmp_path / "s"))
    assert journal.table.paths == [TOP, TOP + b"/a", TOP + b"/b"]
    assert [journal.table.state(row) for row in range(3)] == [State.LISTED, State.UNFILLED, State.UNFILLED]
    assert journal.table.load(0).name_list() == [b"f"]


def test_a_report_that_comes_twice_counts_once(make: Maker) -> None:
    coordinator = make()
    coordinator.exchange("one", NOTHING, 10)
    report = answer(TOP, 1, listed((b"f",)))
    coordinator.exchange("one", report, 10)
    coordinator.exchange("one", report, 10)
    progress = coordinator.progress()
    assert (progress.listed, progress.files, progress.idle) == (1, 1, True)


def test_a_failure_is_tried_again_and_then_written_down(make: Maker, tmp_path: Path) -> None:
    coordinator = make()
    coordinator.exchange("one", NOTHING, 10)
    again = coordinator.exchange("one", answer(TOP, 1, Failed(Reason.TIMEOUT, "30 s")), 10)
    assert [(task.path, task.attempt) for task in again.tasks] == [(TOP, 2)]
    coordinator.exchange("one", answer(TOP, 2, Failed(Reason.TIMEOUT, "30 s")), 10)
    progress = coordinator.progress()
    assert progress.idle
    assert [(path, reason) for path, reason, _ in progress.failures] == [(TOP, Reason.TIMEOUT)]
    # Each time that it was tried.
    assert progress.failed_by == ((Reason.TIMEOUT, 2),)
    coordinator.seal()
    table = Snapshot(tmp_path / "s").table
    assert [reason for _, reason, _ in table.unlisted()] == [Reason.TIMEOUT]


def test_what_the_configuration_ignores_is_never_handed_out(make: Maker) -> None:
    coordinator = make(ignored=(b"/tmp",))
    coordinator.exchange("one", NOTHING, 10)
    given = coordinator.exchange("one", answer(TOP, 1, listed((), (b"a", b"tmp"))), 10)
    assert paths_of(given) == [TOP + b"/a"]
    assert coordinator.progress().ignored == 1


def test_after_a_kill_everyone_goes_home_and_the_journal_can_be_gone_on_with(make: Maker) -> None:
    coordinator = make()
    coordinator.exchange("one", NOTHING, 10)
    coordinator.exchange("one", answer(TOP, 1, listed((b"f",), (b"a", b"b"))), 10)
    coordinator.kill("by hand")
    late = coordinator.exchange("one", answer(TOP + b"/a", 1, listed((b"g",), (b"deep",))), 10)
    assert late == Assignment(go_home=True)
    assert coordinator.progress().killed == "by hand"
    coordinator.release()

    again = make(resume=True)
    assert again.progress().resumed == 2
    assert again.progress().files == 2
    assert paths_of(again.exchange("two", NOTHING, 10)) == [TOP + b"/a/deep", TOP + b"/b"]


def test_a_journal_of_directories_that_are_alike_can_be_gone_on_with(make: Maker) -> None:
    coordinator = make()
    coordinator.exchange("one", NOTHING, 10)
    coordinator.exchange("one", answer(TOP, 1, listed((), (b"a", b"b"))), 10)
    for name in (b"/a", b"/b"):
        coordinator.exchange("one", answer(TOP + name, 1, listed((b"f",), (b"deep",))), 10)
    coordinator.release()
    again = make(resume=True)
    assert again.progress().resumed == 3
    assert paths_of(again.exchange("two", NOTHING, 10)) == [TOP + b"/a/deep", TOP + b"/b/deep"]
    # What it has seen before is known to it: this is a loop.
    again.exchange("two", answer(TOP + b"/a/deep", 1, listed((b"f",), (b"deep",))), 10)
    assert again.progress().failures[-1][:2] == (TOP + b"/a/deep", Reason.LINK)


def test_failed_directories_are_asked_again_on_resume(make: Maker, tmp_path: Path) -> None:
    coordinator = make()
    coordinator.exchange("one", NOTHING, 10)
    coordinator.exchange("one", answer(TOP, 1, listed((), (b"a",))), 10)
    coordinator.exchange("one", answer(TOP + b"/a", 1, Failed(Reason.PERMISSION)), 10)
    coordinator.release()
    again = make(resume=True)
    assert paths_of(again.exchange("two", NOTHING, 10)) == [TOP + b"/a"]
    again.exchange("two", answer(TOP + b"/a", 1, listed((b"f",))), 10)
    assert again.progress().failed == 0
    again.seal()
    table = Snapshot(tmp_path / "s").table
    assert list(table.unlisted()) == []
    assert table.total_files() == 1


def test_the_work_of_a_lost_lister_goes_to_another(make: Maker) -> None:
    coordinator = make()
    assert paths_of(coordinator.exchange("one", NOTHING, 10)) == [TOP]
    assert coordinator.exchange("two", NOTHING, 10).wait > 0
    coordinator.lister_lost("one")
    assert paths_of(coordinator.exchange("two", NOTHING, 10)) == [TOP]


def test_its_log_says_once_a_minute_how_far_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "actors.coordinator")
    moment = [0.0]
    header = SnapshotHeader("listing", "memory", 1, "SITE", (TOP,))
    coordinator = Coordinator(ListingPlan(header, tmp_path / "s", QueueLimits()), lambda: moment[0])
    coordinator.start()
    for moment[0] in (0.0, 1.0, 59.0, 60.0, 61.0):
        coordinator.progress()
        coordinator.exchange("one", answer(TOP, 1, listed((b"f",))), 10)
    coordinator.release()
    assert [record.getMessage() for record in caplog.records] == [
        "0 directories, 0 files, 1 in the queue, 0 in flight, 0 failed, 0 requests",
        "1 directories, 1 files, 0 in the queue, 0 in flight, 0 failed, 1 requests",
    ]


def test_what_a_lost_lister_has_counted_stays_counted(make: Maker) -> None:
    coordinator = make()
    coordinator.exchange("one", Batch(requests=9, paces=[DoorPace("door", 8, 2, 3, 0.5, 9, 4)]).pack(), 10)
    coordinator.lister_lost("one")
    coordinator.exchange("two", Batch(requests=1, paces=[DoorPace("door", 6, 1, 1, 0.1, 1, 0)]).pack(), 10)
    progress = coordinator.progress()
    assert progress.requests == 10
    assert progress.doors == (DoorPace("door", 6, 1, 1, 0.1, 10, 4),)


def test_missing_candidates_are_asked_for_and_the_verdicts_handed_on(make: Maker) -> None:
    coordinator = make()
    coordinator.exchange("one", NOTHING, 10)
    coordinator.exchange("one", answer(TOP, 1, listed((b"f",))), 10)
    coordinator.confirm(
        pack_findings([Finding(Kind.MISSING, TOP, FileColumns.from_rows([(b"x", 1, 1), (b"y", 1, 1)]))])
    )
    assert not coordinator.progress().idle
    (task,) = coordinator.exchange("one", NOTHING, 10).tasks
    assert (task.kind, task.path, task.names) == (TaskKind.CONFIRM, TOP, (b"x", b"y"))
    verdict = Verdict(TOP, task.attempt, absent=(b"x",), present=(b"y",))
    coordinator.exchange("one", Batch(verdicts=[verdict], requests=3).pack(), 10)
    assert unpack_verdicts(coordinator.take_verdicts()) == [verdict]
    assert unpack_verdicts(coordinator.take_verdicts()) == []
    assert coordinator.progress().idle


def test_names_that_nobody_can_confirm_stay_unknown_and_the_others_keep_their_verdict(make: Maker) -> None:
    coordinator = make()
    coordinator.exchange("one", NOTHING, 10)
    coordinator.exchange("one", answer(TOP, 1, listed()), 10)
    coordinator.exchange("one", NOTHING, 10)
    coordinator.confirm(
        pack_findings([Finding(Kind.MISSING, TOP, FileColumns.from_rows([(b"x", 1, 1), (b"y", 1, 1)]))])
    )
    for attempt in (1, 2):
        (task,) = coordinator.exchange("one", NOTHING, 10).tasks
        assert task.attempt == attempt
        unsure = Verdict(TOP, attempt, absent=(b"x",), unknown=(b"y",), reason=Reason.TIMEOUT, detail="late")
        coordinator.exchange("one", Batch(verdicts=[unsure]).pack(), 0)
    (verdict,) = unpack_verdicts(coordinator.take_verdicts())
    assert (verdict.absent, verdict.unknown, verdict.reason) == ((b"x",), (b"y",), Reason.TIMEOUT)
    assert coordinator.progress().idle


def test_a_journal_that_cannot_be_read_is_replaced(make: Maker, tmp_path: Path) -> None:
    part_of(tmp_path / "s").write_bytes(b"not a journal at all")
    coordinator = make(resume=True)
    assert coordinator.progress().resumed == 0
    assert coordinator.progress().note.startswith("starting over: ")
    assert paths_of(coordinator.exchange("one", NOTHING, 10)) == [TOP]


def test_there_is_nothing_to_note_about_a_journal_that_is_gone_on_with(make: Maker) -> None:
    coordinator = make()
    coordinator.release()
    assert make(resume=True).progress().note == ""


def test_a_journal_that_another_process_writes_is_left_to_it(
    make: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coordinator = make()
    coordinator.exchange("one", NOTHING, 10)
    monkeypatch.setattr("storage.snapshot.writer._LOCK_SECONDS", 0.2)
    with pytest.raises(SnapshotBusy):
        make(resume=True)
    coordinator.exchange("one", answer(TOP, 1, listed((b"f",))), 10)
    coordinator.seal()
    assert Snapshot(tmp_path / "s").table.total_files() == 1


def test_a_journal_that_may_not_be_opened_is_kept() -> None:
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as where:
        header = SnapshotHeader("listing", "memory", 1, "SITE", (TOP,))
        SnapshotWriter(Path(where, "s"), header).close()
        part = part_of(Path(where, "s"))
        content = part.read_bytes()
        # Everybody may replace the journal, and nobody, not even root without its rights, may go on with it.
        Path(where).chmod(0o777)
        part.chmod(0o444)
        if user == 0:
            os.seteuid(65534)
        try:
            with pytest.raises(PermissionError):
                Coordinator(ListingPlan(header, Path(where, "s"), QueueLimits(), resume=True)).start()
        finally:
            os.seteuid(user)
        assert part.read_bytes() == content


def test_a_verdict_that_a_killed_run_had_is_not_asked_for_again(make: Maker, tmp_path: Path) -> None:
    first = make()
    first.exchange("one", NOTHING, 10)
    first.exchange("one", answer(TOP, 1, listed((b"f",))), 10)
    first.confirm(TWO_CANDIDATES)
    (task,) = first.exchange("one", NOTHING, 10).tasks
    verdict = Verdict(TOP, task.attempt, absent=(b"y", b"x"))
    first.exchange("one", Batch(verdicts=[verdict]).pack(), 0)
    # Killed now: what it said is on the disk before the lister has its answer.
    first.release()
    again = make(resume=True)
    again.confirm(TWO_CANDIDATES)
    assert again.progress().idle
    assert unpack_verdicts(again.take_verdicts()) == [verdict]
    again.confirm(pack_findings([Finding(Kind.MISSING, TOP, FileColumns.from_rows([(b"x", 1, 1)]))]))
    assert not again.progress().idle
    again.release()
    assert (tmp_path / "verdicts").exists()
    # What is listed anew is asked for anew.
    make().confirm(TWO_CANDIDATES)
    assert not (tmp_path / "verdicts").exists()


def test_a_name_without_an_answer_is_asked_for_again_by_the_next_run(make: Maker) -> None:
    first = make()
    first.exchange("one", NOTHING, 10)
    first.exchange("one", answer(TOP, 1, listed((b"f",))), 10)
    first.confirm(TWO_CANDIDATES)
    for attempt in (1, 2):
        (task,) = first.exchange("one", NOTHING, 10).tasks
        assert task.attempt == attempt
        unsure = Verdict(TOP, attempt, absent=(b"x",), unknown=(b"y",), reason=Reason.TIMEOUT)
        first.exchange("one", Batch(verdicts=[unsure]).pack(), 0)
    first.release()
    again = make(resume=True)
    again.confirm(TWO_CANDIDATES)
    assert not again.progress().idle
