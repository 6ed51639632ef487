from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from engine.columns import DirectoryColumns, FileColumns
from engine.listing import Absent, Failed, Listed, NamesListed, Present
from engine.states import Reason
from storage.listers.doors import Door
from storage.listers.factory import open_lister
from storage.listers.posix import PosixLister
from storage.listers.protocol import Ask, StoreSpec
from storage.listers.watchdog import Flight, Watchdog
from tests.storage.listers.asking import Asker, asking

NOON = 1_600_000_000


@pytest.fixture
def asker(tmp_path: Path) -> Iterator[Asker]:
    with asking(partial(open_lister, StoreSpec((f"file://{tmp_path}",), timeout=10))) as asker:
        yield asker


def put(path: Path | bytes, size: int = 1) -> None:
    with open(path, "wb") as file:
        file.truncate(size)
    os.utime(path, (NOON, NOON))


def test_every_byte_may_stand_in_a_name(tmp_path: Path, asker: Asker) -> None:
    names = [b"a\nb", b"what?", b"\xff\xfe", b"n" * 255, b"m" * 254]
    for name in names:
        put(os.fsencode(tmp_path) + b"/" + name)

    assert asker.list(b"/") == Listed(FileColumns.from_rows([(name, 1, NOON) for name in names]))
    assert asker.names(b"/") == NamesListed(frozenset(names))
    assert [asker.stat(b"/" + name) for name in names] == [Present(1, NOON, False)] * 5


def test_a_link_to_a_file_is_a_file(tmp_path: Path, asker: Asker) -> None:
    put(tmp_path / "file", 9)
    (tmp_path / "link").symlink_to("file")

    assert asker.list(b"/") == Listed(FileColumns.from_rows([(b"file", 9, NOON), (b"link", 9, NOON)]))


def test_a_link_to_a_directory_is_not_followed(tmp_path: Path, asker: Asker) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "up").symlink_to("..")
    os.utime(tmp_path / "sub", (NOON, NOON))

    assert asker.list(b"/") == Listed(directories=DirectoryColumns.from_rows([(b"sub", NOON)]))
    assert asker.list(b"/sub") == Listed(others=True)
    assert asker.names(b"/sub") == NamesListed(frozenset((b"up",)))
    assert isinstance(asker.stat(b"/sub/up"), Present)


def test_a_dangling_link_is_absent(tmp_path: Path, asker: Asker) -> None:
    (tmp_path / "link").symlink_to("nowhere")

    assert asker.list(b"/") == Listed(others=True)
    assert asker.names(b"/") == NamesListed(frozenset((b"link",)))
    assert asker.stat(b"/link") == Absent()


def test_an_entry_that_cannot_be_read_fails_the_directory(tmp_path: Path, asker: Asker) -> None:
    put(tmp_path / "file")
    (tmp_path / "loop").symlink_to("loop")

    outcome = asker.list(b"/")
    assert isinstance(outcome, Failed)
    assert outcome.reason == Reason.PARTIAL
    assert outcome.detail.startswith("'loop': ")
    looped = asker.stat(b"/loop")
    assert isinstance(looped, Failed)
    assert looped.reason == Reason.SERVER


def test_what_is_neither_file_nor_directory_is_left_out(tmp_path: Path, asker: Asker) -> None:
    os.mkfifo(tmp_path / "pipe")
    put(tmp_path / "file")

    assert asker.list(b"/") == Listed(FileColumns.from_rows([(b"file", 1, NOON)]), others=True)


def test_directories_have_their_inodes(tmp_path: Path, asker: Asker) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()

    listed = asker.list(b"/")
    assert isinstance(listed, Listed)
    assert listed.directories.id_list() == [(tmp_path / name).stat().st_ino for name in "ab"]


@pytest.mark.parametrize("changes", [False, True])
def test_an_entry_that_a_file_system_gives_twice_counts_once(
    tmp_path: Path, asker: Asker, monkeypatch: pytest.MonkeyPatch, changes: bool
) -> None:
    put(tmp_path / "file")
    (tmp_path / "sub").mkdir()
    once = asker.list(b"/")
    scandir = os.scandir

    @contextmanager
    def twice(path: bytes) -> Iterator[Iterator[os.DirEntry[bytes]]]:
        def entries() -> Iterator[os.DirEntry[bytes]]:
            yield from scandir(path)
            if changes:
                put(tmp_path / "file", 2)
            yield from scandir(path)

        yield entries()

    monkeypatch.setattr("storage.listers.posix.os.scandir", twice)
    again = asker.list(b"/")
    if changes:
        assert isinstance(again, Failed)
        assert again.reason == Reason.PARTIAL
    else:
        assert again == once


def test_fractions_of_seconds_are_cut_off(tmp_path: Path, asker: Asker) -> None:
    put(tmp_path / "file")
    for nanoseconds, second in ((NOON * 10**9 + 999_999_999, NOON), (-1, -1)):
        os.utime(tmp_path / "file", ns=(0, nanoseconds))
        assert asker.stat(b"/file") == Present(1, second, False)
        assert asker.list(b"/") == Listed(FileColumns.from_rows([(b"file", 1, second)]))


def test_a_name_that_is_too_long_is_a_failure(asker: Asker) -> None:
    for ask in Ask:
        outcome = asker.ask(ask, b"/" + b"n" * 256)
        assert isinstance(outcome, Failed)
        assert outcome.reason == Reason.BAD_NAME


class Impatient(Watchdog):
    """Gives up what hangs at its next look, and nothing else ever."""

    def _missed(self, now: float) -> list[Flight]:
        return [flight for flight in list(self._flights) if b"/hung" in flight.request.path]


class Hang:
    """A file system on which the directories ``hung…`` answer when they are let go; counts who waits for one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waiting = 0
        self.let_go = threading.Event()
        self._lock = threading.Lock()
        self._scandir = os.scandir
        monkeypatch.setattr("storage.listers.posix.os.scandir", self.scandir)
        monkeypatch.setattr("storage.listers.posix.Watchdog", Impatient)

    def scandir(self, path: bytes) -> Iterator[os.DirEntry[bytes]]:
        if b"/hung" in path:
            with self._lock:
                self.waiting += 1
            self.let_go.wait()
        return self._scandir(path)


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hang]:
    hang = Hang(monkeypatch)
    yield hang
    hang.let_go.set()


class GivenUpOnTheWay(PosixLister):
    """A lister of which every request is given up just before a thread asks for it."""

    def _serve(self, flight: Flight) -> bool:
        self._replace(flight)
        self._watchdog.end(flight, Failed(Reason.TIMEOUT, "given up"))
        return super()._serve(flight)


def test_what_was_given_up_on_the_way_to_a_thread_hangs_none(tmp_path: Path, hang: Hang) -> None:
    with asking(lambda sink: GivenUpOnTheWay(Door.parse(f"file://{tmp_path}"), sink)) as asker:
        outcomes = [asker.list(b"/hung%d" % number) for number in range(20)]
    assert {outcome.reason for outcome in outcomes if isinstance(outcome, Failed)} == {Reason.TIMEOUT}
    assert hang.waiting == 0


def test_calls_that_hang_do_not_keep_others_from_being_made(tmp_path: Path, hang: Hang, asker: Asker) -> None:
    put(tmp_path / "file")
    hung = [asker.send(Ask.LIST, b"/hung%d" % number) for number in range(20)]
    healthy = [asker.send(Ask.LIST, b"/") for _ in range(20)]

    assert asker.wait(healthy) == [Listed(FileColumns.from_rows([(b"file", 1, NOON)]))] * 20
    assert {outcome.reason for outcome in asker.wait(hung) if isinstance(outcome, Failed)} == {Reason.TIMEOUT}

    assert isinstance(asker.list(b"/"), Listed)
    hang.let_go.set()
    assert asker.wait(asker.send(Ask.LIST, b"/") for _ in range(100)) == [asker.list(b"/")] * 100
    assert {len(asker.outcomes[number]) for number in hung} == {1}


def test_no_more_than_so_many_threads_are_left_hanging(
    hang: Hang, asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.listers.posix._MOST_THREADS", 10)
    for _ in range(4):
        outcomes = asker.wait([asker.send(Ask.LIST, b"/hung") for _ in range(8)])
        assert [outcome.reason for outcome in outcomes if isinstance(outcome, Failed)] == [Reason.TIMEOUT] * 8
    assert hang.waiting == 10
