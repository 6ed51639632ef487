from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from engine.states import Reason
from storage.doors import layout
from storage.doors.layout import Panel, answering, find_difference, find_gap, is_there, panel
from storage.listers import memory
from storage.listers.memory import Fault, MemoryStore
from storage.listers.protocol import Ask, Request, StoreSpec

ROOT = b"/store"
TOPS = (b"/store/mc", b"/store/data")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "_PAUSE", 0.0)


def store(*files: bytes) -> MemoryStore:
    made = MemoryStore()
    for file in files:
        made.add_file(file, 1)
    return made


@contextmanager
def asked(*stores: MemoryStore, timeout: float = 10) -> Iterator[Panel]:
    doors = tuple([memory.publish(f"door{number}", made) for number, made in enumerate(stores)])
    with panel(StoreSpec(doors, timeout=timeout)) as opened:
        yield opened


def test_doors_with_the_same_tree_agree() -> None:
    files = (b"/store/mc/a/b/f", b"/store/mc/a/c/g", b"/store/data/x")
    with asked(store(*files), store(*files)) as doors:
        assert find_difference(doors, [0, 1], ROOT, TOPS, True) is None


@pytest.mark.parametrize(
    ("first", "second", "path", "said"),
    [
        (b"/store/mc/f", b"/store/data/f", b"/store", "A has mc in /store; B has data in /store"),
        (b"/store/mc/f", b"/store/mc/g", b"/store/mc", "A has f in /store/mc; B has g in /store/mc"),
        (b"/store/mc/a/b/c/f", b"/store/mc/a/b/c/g", b"/store/mc/a/b/c", "A has f in /store/mc/a/b/c; B has g in"),
    ],
)
def test_doors_with_parts_of_a_tree_disagree(first: bytes, second: bytes, path: bytes, said: str) -> None:
    with asked(store(first), store(second)) as doors:
        found = find_difference(doors, [0, 1], ROOT, TOPS, False)
    assert found is not None
    assert found.path == path
    assert said in found.describe(["A", "B"])


def test_a_door_that_lacks_everything_disagrees() -> None:
    with asked(store(b"/store/mc/f"), store(b"/elsewhere/f")) as doors:
        found = find_difference(doors, [0, 1], ROOT, TOPS, False)
    assert found is not None
    assert found.describe(["A", "B"]) == "A has mc in /store, which B has not"


def test_a_thorough_look_goes_down_on_several_ways() -> None:
    common = [b"/store/mc/a/f", b"/store/mc/m/f", b"/store/mc/z/f"]
    with asked(store(*common, b"/store/mc/z/only"), store(*common)) as doors:
        assert find_difference(doors, [0, 1], ROOT, TOPS, False) is None
        found = find_difference(doors, [0, 1], ROOT, TOPS, True)
    assert found is not None
    assert (found.path, found.only_first) == (b"/store/mc/z", {b"only"})


def test_many_names_are_counted() -> None:
    with asked(store(*[b"/store/mc/%d" % i for i in range(7)]), store(b"/store/mc/0")) as doors:
        found = find_difference(doors, [0, 1], ROOT, TOPS, False)
    assert found is not None
    assert found.describe(["A", "B"]) == "A has 1, 2, 3 and 3 more in /store/mc, which B has not"


def test_a_file_that_comes_while_doors_are_compared_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = store(b"/store/mc/f", b"/store/mc/new"), store(b"/store/mc/f")
    monkeypatch.setattr(layout.time, "sleep", lambda seconds: second.add_file(b"/store/mc/new", 1))
    with asked(first, second) as doors:
        assert find_difference(doors, [0, 1], ROOT, TOPS, False) is None


def test_what_a_door_may_not_show_is_not_compared() -> None:
    first, second = store(b"/store/mc/f"), store(b"/store/mc/f")
    second.misbehave(b"/store/mc", Fault.failing(Reason.PERMISSION))
    with asked(first, second) as doors:
        assert find_difference(doors, [0, 1], ROOT, TOPS, True) is None


def test_only_doors_that_answer_are_heard() -> None:
    good, dead, mute, closed = (store(b"/store/mc/f") for _ in range(4))
    for path in (ROOT, *TOPS):
        dead.misbehave(path, Fault.failing(Reason.CONNECTION))
        mute.misbehave(path, memory.SILENT)
        closed.misbehave(path, Fault.failing(Reason.PERMISSION))
    with asked(good, dead, mute, closed, timeout=0.1) as doors:
        doors._patience = 1.0
        assert answering(doors, (ROOT, *TOPS)) == [0, 3]


def test_a_prefix_is_missing_only_where_everything_is_denied() -> None:
    cms, dead = store(b"/cms/store/mc/f"), store()
    dead.misbehave(ROOT, Fault.failing(Reason.TIMEOUT))
    with asked(cms, dead) as doors:
        assert is_there(doors, 0, (ROOT, *TOPS)) is False
        assert is_there(doors, 0, (b"/cms/store", b"/cms/store/data")) is True
        assert is_there(doors, 1, (ROOT, *TOPS)) is None


def test_a_whole_has_all_that_its_parts_have() -> None:
    whole = store(b"/store/mc/a/f", b"/store/mc/a/g")
    with asked(whole, store(b"/store/mc/a/f"), store(b"/store/mc/a/g")) as doors:
        assert find_gap(doors, 0, [1, 2], ROOT, TOPS) is None
    with asked(store(b"/store/mc/a/f"), store(b"/store/mc/a/f"), store(b"/store/mc/a/g")) as doors:
        found = find_gap(doors, 0, [1, 2], ROOT, TOPS)
    assert found is not None
    assert found.describe(["R", "A", "B"]) == "B has g in /store/mc/a, which R has not"


def test_a_door_that_cannot_be_opened_leaves_no_lister() -> None:
    threads = threading.active_count()
    held = store()
    with pytest.raises(ValueError, match="scheme"), panel(StoreSpec((memory.publish("a", held), "gopher://x"))):
        pass
    assert threading.active_count() <= threads + 1


def test_an_answer_that_comes_late_is_no_answer() -> None:
    mute = store(b"/store/mc/f")
    mute.misbehave(ROOT, memory.SILENT)
    with asked(mute) as doors:
        doors._patience = 0.1
        (outcome,) = doors.ask([(0, Ask.NAMES, ROOT)])
    assert getattr(outcome, "reason", None) == Reason.TIMEOUT
    assert Request(1, Ask.NAMES, ROOT).path == ROOT


def test_whoever_waits_for_a_door_can_give_up() -> None:
    class Enough(Exception):
        pass

    def enough() -> None:
        raise Enough

    deaf = store()
    deaf.misbehave(ROOT, memory.SILENT)
    doors = (memory.publish("deaf", deaf),)
    with panel(StoreSpec(doors, timeout=600), enough) as opened, pytest.raises(Enough):
        answering(opened, (ROOT,))
