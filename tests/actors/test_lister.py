"""How a lister asks whether missing candidates are really missing, on a store in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from actors.lister import ListerActor, ListerStuck, Pump, overdue_after
from actors.messages import Assignment, Batch, ListerSettings
from actors.runtime import ActorRef
from actors.threads import ThreadRuntime
from engine.confirm import Verdict
from engine.listing import Absent, Outcome
from engine.states import Reason, State
from engine.work import Task, TaskKind
from storage.listers.factory import open_lister
from storage.listers.memory import Fault, MemoryStore, publish
from storage.listers.protocol import GFAL, Ask, Lister, Request, Sink, StoreSpec
from tests.servers.fixtures import ServedDirectory

D = b"/store/d"


class Desk:
    """Hands out given tasks, and keeps what comes back until everything has."""

    def __init__(self, tasks: list[Task], done: threading.Event) -> None:
        self._tasks = tasks
        self._open = len(tasks)
        self._done = done
        self.batches: list[Batch] = []

    def exchange(self, _lister: str, packed: bytes, want: int) -> Assignment:
        batch = Batch.unpack(packed)
        self.batches.append(batch)
        self._open -= len(batch.reports) + len(batch.verdicts)
        given, self._tasks = tuple(self._tasks[:want]), self._tasks[want:]
        if not self._open:
            self._done.set()
            return Assignment(go_home=True)
        return Assignment(given, wait=0.0 if given else 0.01)

    def handed_in(self) -> list[Batch]:
        return self.batches


@pytest.fixture
def threads() -> Iterator[ThreadRuntime]:
    runtime = ThreadRuntime()
    yield runtime
    runtime.shutdown()


def work(threads: ThreadRuntime, store: MemoryStore, tasks: list[Task]) -> list[Batch]:
    return work_at(threads, publish("lister-test", store), tasks)


def work_at(threads: ThreadRuntime, door: str, tasks: list[Task], method: str = "") -> list[Batch]:
    done = threading.Event()
    desk: ActorRef = threads.spawn("desk", Desk, tasks, done)
    settings = ListerSettings(StoreSpec((door,), method=method), in_flight=4, batch=8)
    lister = threads.spawn("lister", ListerActor, "lister", settings, desk)
    lister.ask("start").result(10)
    assert done.wait(60), lister.ask("trouble").result(10)
    assert lister.ask("trouble").result(10) == ""
    batches: list[Batch] = desk.ask("handed_in").result(10)
    return batches


def confirm(threads: ThreadRuntime, store: MemoryStore, *names: bytes) -> Verdict:
    (verdict,) = [v for b in work(threads, store, [Task(TaskKind.CONFIRM, D, 1, names)]) for v in b.verdicts]
    return verdict


def test_a_tree_is_listed_with_many_requests_in_flight(threads: ThreadRuntime) -> None:
    store = MemoryStore()
    directories = [f"/store/{number:03d}".encode() for number in range(50)]
    for directory in directories:
        store.add_file(directory + b"/f", 7)
    batches = work(threads, store, [Task(TaskKind.LIST, directory, 1) for directory in directories])
    reports = [report for batch in batches for report in batch.reports]
    assert sorted(report.entry.path for report in reports) == directories
    assert {report.entry.state for report in reports} == {State.LISTED}
    assert batches[-1].requests == 50


def test_a_directory_that_cannot_be_listed_is_reported_with_its_reason(threads: ThreadRuntime) -> None:
    store = MemoryStore()
    store.add_directory(D)
    store.misbehave(D, Fault.failing(Reason.PERMISSION, "no"))
    (report,) = [r for b in work(threads, store, [Task(TaskKind.LIST, D, 1)]) for r in b.reports]
    assert (report.entry.state, report.entry.reason, report.entry.detail) == (State.FAILED, Reason.PERMISSION, "no")


def test_a_few_candidates_are_asked_for_one_by_one(threads: ThreadRuntime) -> None:
    store = MemoryStore()
    store.add_file(D + b"/here")
    # Listing the names would fail; asking for each does not.
    store.misbehave(D, Fault(Fault.failing(Reason.TIMEOUT).outcome, asks=frozenset((Ask.NAMES,))))
    verdict = confirm(threads, store, b"here", b"gone")
    assert (verdict.absent, verdict.present, verdict.unknown) == ((b"gone",), (b"here",), ())


def test_many_candidates_are_looked_up_in_one_listing_of_the_names(threads: ThreadRuntime) -> None:
    store = MemoryStore()
    store.add_file(D + b"/here")
    names = [f"gone{number}".encode() for number in range(20)]
    tasks = [Task(TaskKind.CONFIRM, D, 1, (*names, b"here"))]
    batches = work(threads, store, tasks)
    (verdict,) = [v for b in batches for v in b.verdicts]
    assert (verdict.absent, verdict.present) == (tuple(names), (b"here",))
    # One listing, and a question after the only name that it has.
    assert batches[-1].requests == 2


def test_where_a_listing_proves_nothing_each_candidate_is_asked_for(
    threads: ThreadRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    store.add_file(D + b"/here")
    # The store itself is asked; of the method only what it is believed is under test.
    monkeypatch.setattr("actors.lister.open_lister", lambda spec, sink: open_lister(StoreSpec(spec.doors), sink))
    names = [f"gone{number}".encode() for number in range(20)]
    tasks = [Task(TaskKind.CONFIRM, D, 1, (*names, b"here"))]
    batches = work_at(threads, publish("lister-test", store), tasks, GFAL)
    (verdict,) = [v for b in batches for v in b.verdicts]
    assert (sorted(verdict.absent), verdict.present) == (sorted(names), (b"here",))
    assert batches[-1].requests == 21


DANGLING = Fault(Absent(), asks=frozenset((Ask.STAT,)))


@pytest.mark.parametrize("others", [0, 1, 2, 3, 20])
def test_a_name_without_a_file_is_absent_however_many_are_asked_for(threads: ThreadRuntime, others: int) -> None:
    store = MemoryStore()
    store.add_file(D + b"/here")
    store.add_file(D + b"/dangling")
    store.misbehave(D + b"/dangling", DANGLING)
    gone = [f"gone{number}".encode() for number in range(others)]
    verdict = confirm(threads, store, b"dangling", b"here", *gone)
    assert sorted(verdict.absent) == [b"dangling", *sorted(gone)]
    assert (verdict.present, verdict.unknown) == ((b"here",), ())


@pytest.mark.parametrize("others", [0, 20])
def test_a_dangling_link_on_a_real_server_is_absent_however_many_are_asked_for(
    threads: ThreadRuntime, xrootd_directory: ServedDirectory, others: int
) -> None:
    (xrootd_directory.path / "here").touch()
    (xrootd_directory.path / "link").symlink_to("here")
    (xrootd_directory.path / "dangling").symlink_to("nowhere")
    gone = [f"gone{number}".encode() for number in range(others)]
    task = Task(TaskKind.CONFIRM, xrootd_directory.lfn, 1, (b"dangling", b"here", b"link", *gone))
    (verdict,) = [v for b in work_at(threads, xrootd_directory.url, [task]) for v in b.verdicts]
    assert sorted(verdict.absent) == [b"dangling", *sorted(gone)]
    assert (sorted(verdict.present), verdict.unknown) == ([b"here", b"link"], ())


class CountingStore(MemoryStore):
    """Knows how many questions were open at most."""

    def __init__(self) -> None:
        super().__init__()
        self.open: set[int] = set()
        self.most = 0

    def fault(self, request: Request) -> Fault | None:
        self.open.add(request.number)
        self.most = max(self.most, len(self.open))
        return super().fault(request)

    def answer(self, request: Request) -> Outcome:
        outcome = super().answer(request)
        self.open.discard(request.number)
        return outcome


@pytest.mark.parametrize("name", ["short%d", "x" * 254 + "%d"])
def test_a_confirmation_keeps_to_the_requests_that_may_be_in_flight(threads: ThreadRuntime, name: str) -> None:
    store = CountingStore()
    names = [(name % number).encode() for number in range(20)]
    for one in names:
        store.add_file(D + b"/" + one)
        store.misbehave(D + b"/" + one, Fault(delay=0.01))
    verdict = confirm(threads, store, *names)
    assert sorted(verdict.present) == sorted(names)
    assert 1 <= store.most <= 4


def test_a_directory_that_is_not_there_has_none_of_its_files(threads: ThreadRuntime) -> None:
    store = MemoryStore()
    store.add_directory(b"/store")
    names = tuple(f"gone{number}".encode() for number in range(20))
    assert confirm(threads, store, *names).absent == names


def test_what_the_store_does_not_answer_stays_unknown(threads: ThreadRuntime) -> None:
    store = MemoryStore()
    store.add_directory(D)
    store.misbehave(D, Fault.failing(Reason.TIMEOUT, "30 s"))
    names = tuple(f"gone{number}".encode() for number in range(20))
    verdict = confirm(threads, store, *names)
    assert (verdict.unknown, verdict.reason, verdict.detail) == (names, Reason.TIMEOUT, "30 s")


def test_a_listing_of_names_is_not_asked_about_names_that_it_cannot_carry(threads: ThreadRuntime) -> None:
    store = MemoryStore()
    long_name, two_lines = b"x" * 255, b"two\nlines"
    # What a server that cuts long names and splits others at a newline would make of these two.
    for name in (b"x" * 254, b"two", b"lines"):
        store.add_file(D + b"/" + name)
    for name in (long_name, two_lines):
        store.misbehave(D + b"/" + name, Fault.failing(Reason.BAD_NAME, "cannot be asked for"))
    names = tuple(f"gone{number}".encode() for number in range(20))
    verdict = confirm(threads, store, *names, long_name, two_lines)
    assert verdict.absent == names
    assert set(verdict.unknown) == {long_name, two_lines}
    assert verdict.reason == Reason.BAD_NAME


def test_a_name_with_a_question_mark_is_looked_up_in_a_listing(threads: ThreadRuntime) -> None:
    store = MemoryStore()
    store.add_file(D + b"/what?")
    # Asked for by themselves, a server would cut them at the question mark.
    for name in (b"/what?", b"/gone?"):
        store.misbehave(D + name, Fault(Fault.failing(Reason.BAD_NAME).outcome, asks=frozenset((Ask.STAT,))))
    verdict = confirm(threads, store, b"what?", b"gone?", b"gone")
    assert (sorted(verdict.absent), verdict.present) == ([b"gone", b"gone?"], ())
    assert (verdict.unknown, verdict.reason) == ((b"what?",), Reason.BAD_NAME)


def test_a_lister_without_a_store_says_what_its_trouble_is(threads: ThreadRuntime) -> None:
    desk = threads.spawn("desk", Desk, [], threading.Event())
    settings = ListerSettings(StoreSpec(("gopher://nowhere",)))
    lister = threads.spawn("lister", ListerActor, "lister", settings, desk)
    lister.ask("start").result(10)
    while not (trouble := lister.ask("trouble").result(10)):
        pass
    assert "gopher" in trouble


class Seconds:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def step(threads: ThreadRuntime, store: MemoryStore, tasks: list[Task], in_flight: int) -> list[Batch]:
    """Have a pump do the tasks, with a clock that says that half a second passes at each of its turns."""
    desk: ActorRef = threads.spawn("desk", Desk, tasks, threading.Event())
    spec = StoreSpec((publish("forgetful", store),), timeout=5.0)
    clock, opened = Seconds(), list[Lister]()

    def open_store(spec: StoreSpec, sink: Sink) -> Lister:
        opened.append(open_lister(spec, sink))
        return opened[0]

    pump = Pump("lister", ListerSettings(spec, in_flight, batch=8), desk, clock, open_store)
    while not pump.stopped:
        pump.turn(opened[0])
        pump.collect(0.01)
        clock.now += 0.5
    pump.close()
    batches: list[Batch] = desk.ask("handed_in").result(10)
    return batches


def test_a_request_that_never_gets_an_outcome_ends_as_a_timeout(threads: ThreadRuntime) -> None:
    store = MemoryStore()
    store.add_file(b"/store/well/f", 7)
    store.add_directory(b"/store/mute")
    store.misbehave(b"/store/mute", Fault(silent=True))
    tasks = [Task(TaskKind.LIST, path, 1) for path in (b"/store/mute", b"/store/well")]
    batches = step(threads, store, tasks, in_flight=4)
    entries = {report.entry.path: report.entry for batch in batches for report in batch.reports}
    assert entries[b"/store/well"].state == State.LISTED
    mute = entries[b"/store/mute"]
    assert (mute.state, mute.reason) == (State.FAILED, Reason.TIMEOUT)
    assert mute.detail == f"no outcome within {overdue_after(5.0):g} s"


def test_a_lister_that_gives_no_outcomes_any_more_is_given_up(threads: ThreadRuntime) -> None:
    store = MemoryStore()
    paths = [f"/store/{number}".encode() for number in range(8)]
    for path in paths:
        store.add_directory(path)
        store.misbehave(path, Fault(silent=True))
    with pytest.raises(ListerStuck, match="no outcome of 4 requests"):
        step(threads, store, [Task(TaskKind.LIST, path, 1) for path in paths], in_flight=4)
