from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from actors.comparison import ComparisonPlan, ComparisonResult
from actors.history_store import StorePlan
from actors.listing import ListingFailed, Refused
from actors.messages import (
    Assignment,
    Batch,
    Killed,
    ListerSettings,
    ListingPlan,
    ListingReport,
    Progress,
)
from actors.runtime import ActorLost, RuntimeUnavailable
from engine.columns import DirectoryColumns, FileColumns
from engine.confirm import Verdict
from engine.gates import Refusal
from engine.index import Entry
from engine.record import DirectoryRecord
from engine.states import Reason, State
from engine.work import QueueLimits, Task, TaskKind
from storage.history import HistoryError, RunCounts
from storage.inventory import InventoryError
from storage.listers.protocol import StoreSpec
from storage.runs.directory import AlreadyRunning
from storage.runs.reports import ReportError
from storage.snapshot import SnapshotBusy, SnapshotError, SnapshotHeader

HOSTILE = b"/store/new\nline/\xff\xfe b"


def report() -> ListingReport:
    files = FileColumns.from_rows([(b"a b", 5, 10), (b"\xff", 7, 20)])
    record = DirectoryRecord(HOSTILE, State.LISTED, listed_at=99, files=files)
    return ListingReport(3, Entry.of(record, 1234))


EVERYTHING = [
    Assignment((Task(TaskKind.CONFIRM, HOSTILE, 2, (b"x", b"y")),), 0.5, True),
    Batch([report()], b"frames", [Verdict(HOSTILE, 1, (b"a",))], 17),
    ListerSettings(StoreSpec(("root://localhost:1094//prefix",), 5.0, 3), 8, 4),
    ListingPlan(SnapshotHeader("listing", "here", 1, "SITE", (b"/store",)), Path("x"), QueueLimits(), (b"tmp",), True),
    Progress(1, 2, 3, 4, 5, 6, 7, 8, 9, True, "why", ((HOSTILE, Reason.TIMEOUT, "30 s"),)),
    Verdict(HOSTILE, 1, (b"a",), (b"b",), (b"c",), Reason.TIMEOUT, "late"),
    ComparisonPlan(Path("a"), Path("b"), 1.5, (b"/store",), (b"x",), True, False),
    ComparisonResult(missing=3, reasons={"timeout": 2}, refusal=Refusal("root", "no")),
    StorePlan(Path("www"), "SITE", Path("db")),
    RunCounts(files=7),
]

ERRORS = [
    Killed("by hand"),
    Refused(Refusal("zero-files", "0 of 3")),
    ListingFailed("all listers are lost"),
    ActorLost("gone"),
    RuntimeUnavailable("no Ray"),
    SnapshotError("x: damaged"),
    SnapshotBusy("x: another process"),
    HistoryError("x: locked"),
    ReportError("x: full"),
    InventoryError("x line 1"),
    AlreadyRunning("SITE"),
    OSError(28, "No space left on device", "x"),
]


@pytest.mark.parametrize("value", EVERYTHING, ids=lambda value: type(value).__name__)
def test_what_crosses_actors_pickles(value: object) -> None:
    assert pickle.loads(pickle.dumps(value)) == value


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_pickle_with_their_words(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)


def test_a_batch_is_read_back_as_it_was_packed() -> None:
    children = DirectoryColumns.from_rows([(b"sub dir", 7), (b"\xfe", 8)])
    failed = Entry.of(DirectoryRecord(b"/f", State.FAILED, Reason.TIMEOUT, "30 s, \udcff"))
    listed = Entry.of(DirectoryRecord(b"/l", State.LISTED, listed_at=5, directories=children), 77)
    batch = Batch(
        [ListingReport(1, failed), ListingReport(2, listed), report()],
        b"\x00frames\xff",
        [Verdict(HOSTILE, 1, (b"a", b"\xff"), (b"b",), (), Reason.NONE, "")],
        12,
    )
    copy = Batch.unpack(batch.pack())
    # Words that are not text are for people and may be mended; everything else is exact.
    assert copy.reports[0].entry.detail == "30 s, ?"
    assert list(copy.reports[1:]) == list(batch.reports[1:])
    assert (copy.frames, list(copy.verdicts), copy.requests) == (batch.frames, list(batch.verdicts), 12)
