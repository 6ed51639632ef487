from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from engine.columns import DirectoryColumns, FileColumns
from engine.listing import Absent, Failed, Listed, NamesListed, Present
from engine.states import Reason
from storage.listers import memory
from storage.listers.factory import open_lister
from storage.listers.memory import Fault, MemoryStore
from storage.listers.protocol import Ask, StoreSpec
from tests.storage.listers.asking import Asker, asking


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    for name in (b"a", b"b", b"c"):
        store.add_file(b"/data/" + name, 1, 100)
    store.add_directory(b"/data/sub", 50)
    return store


@pytest.fixture
def asker(store: MemoryStore) -> Iterator[Asker]:
    door = memory.publish("store", store)
    with asking(partial(open_lister, StoreSpec((door,), timeout=0.5))) as asker:
        yield asker


def test_what_is_put_in_is_listed(asker: Asker) -> None:
    assert asker.list(b"/data") == Listed(
        FileColumns.from_rows([(name, 1, 100) for name in (b"a", b"b", b"c")]),
        DirectoryColumns.from_rows([(b"sub", 50)]),
    )


def test_what_is_removed_is_gone(store: MemoryStore, asker: Asker) -> None:
    store.remove(b"/data/b")
    assert asker.stat(b"/data/b") == Absent()
    store.remove(b"/data")
    assert asker.list(b"/") == Listed()
    assert asker.stat(b"/data/sub") == Absent()
    with pytest.raises(KeyError):
        store.remove(b"/data/b")


def test_a_file_can_change(store: MemoryStore, asker: Asker) -> None:
    store.add_file(b"/data/a", 2, 200)

    assert asker.stat(b"/data/a") == Present(2, 200, False)


def test_a_failure_may_pass(store: MemoryStore, asker: Asker) -> None:
    store.misbehave(b"/data", Fault.failing(Reason.SERVER, "overloaded", times=2))

    assert [asker.list(b"/data") for _ in range(2)] == [Failed(Reason.SERVER, "overloaded")] * 2
    assert isinstance(asker.list(b"/data"), Listed)


def test_a_failure_stays_until_it_is_mended(store: MemoryStore, asker: Asker) -> None:
    store.misbehave(b"/data", memory.PARTIAL)
    outcomes = [asker.list(b"/data") for _ in range(3)]
    store.misbehave(b"/data", None)

    assert outcomes == [memory.PARTIAL.outcome] * 3
    assert isinstance(asker.list(b"/data"), Listed)


def test_a_listing_can_be_cut_short_without_a_word(store: MemoryStore, asker: Asker) -> None:
    store.misbehave(b"/data", Fault(keep=2))

    assert asker.list(b"/data") == Listed(FileColumns.from_rows([(b"a", 1, 100), (b"b", 1, 100)]))
    assert asker.names(b"/data") == NamesListed(frozenset((b"a", b"b", b"c", b"sub")))
    assert asker.stat(b"/data/c") == Present(1, 100, False)


def test_a_false_empty_has_names(store: MemoryStore, asker: Asker) -> None:
    store.misbehave(b"/data", memory.FALSE_EMPTY)

    outcome = asker.list(b"/data")
    assert isinstance(outcome, Failed)
    assert outcome.reason == Reason.FALSE_EMPTY
    assert isinstance(asker.names(b"/data"), NamesListed)


def test_a_stat_can_lie(store: MemoryStore, asker: Asker) -> None:
    store.misbehave(b"/data/a", Fault(Absent(), times=1, asks=frozenset((Ask.STAT,))))

    assert asker.stat(b"/data/a") == Absent()
    assert asker.stat(b"/data/a") == Present(1, 100, False)


def test_a_slow_answer_does_not_hold_up_others(store: MemoryStore) -> None:
    store.misbehave(b"/data/a", Fault(delay=3600))
    store.misbehave(b"/data/b", Fault(delay=0.1))
    with asking(partial(open_lister, StoreSpec((memory.publish("store", store),), timeout=7200))) as asker:
        slow = asker.send(Ask.STAT, b"/data/a")
        assert asker.stat(b"/data/b") == Present(1, 100, False)
        assert asker.stat(b"/data/c") == Present(1, 100, False)
        assert slow not in asker.outcomes


def test_an_answer_that_is_too_slow_is_a_timeout(store: MemoryStore, asker: Asker) -> None:
    store.misbehave(b"/data", Fault(delay=3600))

    assert asker.list(b"/data") == Failed(Reason.TIMEOUT, "no answer within 0.5 s")


def test_a_silent_path_is_never_answered(store: MemoryStore, asker: Asker) -> None:
    store.misbehave(b"/data", memory.SILENT)
    silent = asker.send(Ask.LIST, b"/data")
    asker.stat(b"/data/a")
    asker.lister.close()

    assert silent not in asker.outcomes


def test_a_door_may_have_a_prefix(store: MemoryStore) -> None:
    door = memory.publish("store", store)
    with asking(partial(open_lister, StoreSpec((door + "/data",)))) as asker:
        assert asker.stat(b"/a") == Present(1, 100, False)
