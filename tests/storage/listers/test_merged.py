from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from engine.columns import UNKNOWN_SIZE, DirectoryColumns, FileColumns
from engine.listing import Absent, Failed, Listed, NamesListed, Outcome, Present
from engine.outage import OutageLimits
from engine.states import Reason
from storage.listers import memory
from storage.listers.factory import open_lister
from storage.listers.memory import Fault, MemoryStore
from storage.listers.merged import MergedLister
from storage.listers.protocol import DIRECTX, GFAL, Ask, Lister, Request, Sink, StoreSpec
from tests.storage.listers.asking import asking


@pytest.fixture
def parts() -> tuple[MemoryStore, MemoryStore]:
    return MemoryStore(), MemoryStore()


def spec_of(*parts: MemoryStore, timeout: float = 20) -> StoreSpec:
    doors = [memory.publish(f"part{number}", part) for number, part in enumerate(parts)]
    return StoreSpec(tuple(doors), timeout, clustered=True)


def test_every_member_is_asked_once_and_one_outcome_comes(parts: tuple[MemoryStore, MemoryStore]) -> None:
    for number, part in enumerate(parts):
        part.add_file(b"/d/f%d" % number, number, 1)
    with asking(partial(open_lister, spec_of(*parts))) as asker:
        assert isinstance(asker.lister, MergedLister)
        assert asker.list(b"/d") == Listed(FileColumns.from_rows([(b"f0", 0, 1), (b"f1", 1, 1)]))
        assert asker.names(b"/d") == NamesListed(frozenset((b"f0", b"f1")))
        assert [asker.stat(b"/d/f%d" % number) for number in (0, 1, 2)] == [
            Present(0, 1, False),
            Present(1, 1, False),
            Absent(),
        ]
        assert asker.lister.requests == 10
        assert [len(outcomes) for outcomes in asker.outcomes.values()] == [1] * 5


def test_the_slowest_member_ends_a_request(parts: tuple[MemoryStore, MemoryStore]) -> None:
    parts[0].add_file(b"/d/f", 1, 1)
    parts[1].add_file(b"/d/g", 1, 1)
    parts[1].misbehave(b"/d", Fault(delay=0.3))
    with asking(partial(open_lister, spec_of(*parts))) as asker:
        slow = asker.send(Ask.LIST, b"/d")
        assert asker.list(b"/") == Listed(FileColumns(), asker.list(b"/").directories)  # type: ignore[union-attr]
        assert slow not in asker.outcomes
        assert asker.wait([slow]) == [Listed(FileColumns.from_rows([(b"f", 1, 1), (b"g", 1, 1)]))]


def test_a_member_that_is_silent_leaves_the_directory_unlisted(parts: tuple[MemoryStore, MemoryStore]) -> None:
    parts[0].add_file(b"/d/f", 1, 1)
    parts[1].misbehave(b"/d", Fault(delay=9))
    parts[1].misbehave(b"/d/f", Fault(delay=9))
    parts[1].misbehave(b"/d/g", Fault(delay=9))
    with asking(partial(open_lister, spec_of(*parts, timeout=0.2))) as asker:
        for outcome in (asker.list(b"/d"), asker.names(b"/d"), asker.stat(b"/d/g")):
            assert isinstance(outcome, Failed)
            assert (outcome.reason, outcome.reason.retryable) == (Reason.TIMEOUT, True)
            assert outcome.detail.startswith("part1: ")
        assert asker.stat(b"/d/f") == Present(1, 1, False)


def test_nothing_comes_after_the_end(parts: tuple[MemoryStore, MemoryStore]) -> None:
    parts[1].misbehave(b"/", Fault(silent=True))
    with asking(partial(open_lister, spec_of(*parts))) as asker:
        number = asker.send(Ask.LIST, b"/")
        asker.lister.close()
    assert number not in asker.outcomes


def test_members_that_were_opened_are_closed_when_another_cannot_be(parts: tuple[MemoryStore, MemoryStore]) -> None:
    door = memory.publish("part", parts[0])
    with pytest.raises(ValueError, match="nowhere"):
        open_lister(StoreSpec((door, "memory://nowhere"), clustered=True), lambda _n, _o: None)


def test_one_member_needs_no_merging(parts: tuple[MemoryStore, MemoryStore]) -> None:
    with asking(partial(open_lister, spec_of(parts[0]))) as asker:
        assert not isinstance(asker.lister, MergedLister)


def test_the_window_is_that_of_each_member() -> None:
    doors = ("root://a", "root://b")

    assert StoreSpec(doors, clustered=True).window(64) == 64
    assert StoreSpec(doors, connections=3, method=DIRECTX).window(64) == 12
    assert StoreSpec(doors, connections=3, method=DIRECTX, clustered=True).window(64) == 6
    assert StoreSpec(doors, connections=8, method=GFAL, clustered=True).window(64) == 8


def test_nothing_is_proved_absent_where_further_members_may_be_unknown(parts: tuple[MemoryStore, MemoryStore]) -> None:
    parts[0].add_file(b"/d/f", 1, 1)
    for members in (parts, parts[:1]):
        with asking(partial(open_lister, replace(spec_of(*members), open_ended=True))) as asker:
            assert asker.list(b"/d") == Listed(FileColumns.from_rows([(b"f", 1, 1)]))
            assert asker.stat(b"/d/f") == Present(1, 1, False)
            for outcome in (asker.stat(b"/d/lost"), asker.names(b"/d")):
                assert isinstance(outcome, Failed)
                assert not outcome.reason.retryable
                assert outcome.reason != Reason.NOT_FOUND


def test_no_directory_is_empty_where_further_members_may_be_unknown(parts: tuple[MemoryStore, MemoryStore]) -> None:
    for store in parts:
        store.add_directory(b"/empty/inner", 1)
    for open_ended in (False, True):
        with asking(partial(open_lister, replace(spec_of(*parts), open_ended=open_ended))) as asker:
            for path in (b"/empty", b"/empty/inner"):
                outcome = asker.list(path)
                assert isinstance(outcome, Listed)
                assert outcome.others == open_ended


def test_an_only_door_that_may_show_a_part_is_not_named_twice(parts: tuple[MemoryStore, MemoryStore]) -> None:
    parts[0].misbehave(b"/d", Fault(Failed(Reason.TIMEOUT, "at the door")))
    with asking(partial(open_lister, replace(spec_of(parts[0]), clustered=False, open_ended=True))) as asker:
        assert isinstance(asker.lister, MergedLister)
        assert asker.list(b"/d") == Failed(Reason.TIMEOUT, "at the door")


class Switched:
    """A member that answers at once: with a listing, or that it cannot be reached."""

    def __init__(self, outcome: Outcome, sink: Sink) -> None:
        self.outcome = outcome
        self.requests = 0
        self._sink = sink

    def submit(self, request: Request) -> None:
        self.requests += 1
        self._sink(request.number, self.outcome)

    def close(self) -> None:
        return


def test_a_member_that_was_given_up_costs_the_others_nothing() -> None:
    members: list[Switched] = []

    def opener(sink: Sink) -> Lister:
        members.append(Switched(Listed(FileColumns.from_rows([(b"f", 1, 1)])), sink))
        return members[-1]

    limits = OutageLimits(0.1, patience=0.1, timeouts=True)
    names = ["first", "second", "third"]
    with asking(lambda sink: MergedLister(names, [opener] * 3, sink, limits=limits)) as asker:
        assert asker.list(b"/d") == Listed(FileColumns.from_rows([(b"f", 1, 1)]), note="1 file is on several servers")
        members[1].outcome = Failed(Reason.CONNECTION, "refused")
        # The others are heard again when it is held no longer.
        while "given up" not in (outcome := _failed(asker.list(b"/d"))).detail:
            assert outcome.detail == "second: refused"
        sent = [member.requests for member in members]
        for number in range(500):
            assert _failed(asker.list(b"/d/%d" % number)).detail.startswith("second: given up after ")
            assert _failed(asker.names(b"/d/%d" % number)).detail.startswith("second: given up after ")
        # One request tries it now and then, and goes to all.
        assert all(member.requests <= before + 5 for member, before in zip(members, sent, strict=True))

        for member in members:
            member.outcome = Present(1, 1, False)
        members[1].outcome = Failed(Reason.CONNECTION, "refused")
        # Whoever has it may say so.
        assert asker.stat(b"/d/f") == Present(1, 1, False)

        for member in members:
            member.outcome = Listed()
        while isinstance(asker.list(b"/d"), Failed):
            pass
        assert asker.list(b"/d") == Listed()


def _failed(outcome: Outcome) -> Failed:
    assert isinstance(outcome, Failed)
    return outcome


class Part:
    """A member that holds paths with what it says of them, denies all others, and can be switched off."""

    def __init__(self, said: dict[bytes, Outcome], sink: Sink) -> None:
        self.is_up = True
        self.asked: list[bytes] = []
        self._said = said
        self._sink = sink

    @property
    def requests(self) -> int:
        return len(self.asked)

    def submit(self, request: Request) -> None:
        self.asked.append(request.path)
        denied = Failed(Reason.NOT_FOUND) if request.ask == Ask.LIST else Absent()
        answer = self._said.get(request.path, denied)
        self._sink(request.number, answer if self.is_up else Failed(Reason.CONNECTION, "refused"))

    def close(self) -> None:
        return


def test_what_a_member_lacked_is_listed_without_it_once_it_is_given_up() -> None:
    members: list[Part] = []

    def directories(*names: bytes) -> Listed:
        return Listed(directories=DirectoryColumns.from_rows([(name, 1) for name in names]))

    file = Listed(FileColumns.from_rows([(b"f", 5, 1)]))
    first = {b"/": directories(b"both", b"first"), b"/both": file, b"/first": directories(b"deep")}
    second = {b"/": directories(b"both", b"second"), b"/both": Listed(), b"/second": file}

    def opener(said: dict[bytes, Outcome], sink: Sink) -> Lister:
        members.append(Part(said, sink))
        return members[-1]

    openers = [partial(opener, {**first, b"/first/deep": file}), partial(opener, {**second})]
    limits = OutageLimits(0.1, patience=0.1, timeouts=True)
    with asking(lambda sink: MergedLister(["one", "two"], openers, sink, limits=limits)) as asker:
        assert asker.list(b"/") == directories(b"both", b"first", b"second")
        members[1].is_up = False
        while "given up" not in _failed(asker.list(b"/both")).detail:
            pass

        above, below = asker.list(b"/first"), asker.list(b"/first/deep")
        note = "without two, away, which lacked it in the directory above"
        assert above == replace(directories(b"deep"), note=note, others=True)
        # A copy of another size may be where nobody can look.
        assert below == Listed(FileColumns.from_rows([(b"f", UNKNOWN_SIZE, 1)]), note=note)
        # Neither what it had, nor what nobody asked about when it was there, nor what would prove an absence.
        for said in (asker.list(b"/second"), asker.list(b"/new"), asker.names(b"/first"), asker.stat(b"/first/lost")):
            assert _failed(said).reason == Reason.CONNECTION

        members[1].is_up = True
        while isinstance(asker.list(b"/second"), Failed):
            pass
        assert asker.list(b"/first/deep") == file
