"""What every lister does: the same tree in, the same outcomes out."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Protocol
from zlib import crc32

import pytest

from engine import paths
from engine.columns import UNKNOWN_MTIME, DirectoryColumns, FileColumns
from engine.listing import Absent, Failed, Listed, NamesListed, Present
from engine.states import Reason
from storage.listers import memory
from storage.listers.factory import open_lister
from storage.listers.protocol import DIRECTX, GFAL, WIRE, Ask, StoreSpec
from tests.servers import s3
from tests.servers.fixtures import ServedDirectory
from tests.servers.s3 import S3Server
from tests.servers.xrootd_cluster import XRootDCluster
from tests.storage.listers.asking import Asker, asking

NOON = 1_600_000_000
NOBODY = 65534

METHODS = {
    "wire": WIRE,
    "cluster by wire": WIRE,
    "directx": DIRECTX,
    "cluster by directx": DIRECTX,
    "gfal on disk": GFAL,
    "gfal over XRootD": GFAL,
}

SPLIT = ("split in memory", "cluster", "cluster by wire", "cluster by directx")
"""Stores of which two doors hold a part each."""

_directories = itertools.count()

ODD_NAMES = (
    b"two blanks  here",
    b" leading and trailing ",
    "größe-名前-\N{OLD ITALIC LETTER A}".encode(),
    b"tab\there",
    b"carriage\rreturn",
    b"100%25",
    b"a+b&c;d#e",
    b"""quotes'"`""",
    b"back\\slash",
    b"-l",
    b"--help",
    b"$(touch x)",
    b"*[",
    b"...",
    b"n" * 200,
    "ü".encode() * 100,
)


class Store(Protocol):
    """Something to fill and to ask; paths are LFNs below the store's door."""

    @property
    def spec(self) -> StoreSpec: ...

    @property
    def tells_all(self) -> bool:
        """Whether a listing shows everything, or else what there is besides can only be supposed."""

    @property
    def times_directories(self) -> bool:
        """Whether the directories of a listing have times."""

    def add_file(self, path: bytes, size: int = 0, mtime: int = 0) -> None: ...

    def add_directory(self, path: bytes, mtime: int = 0) -> None: ...

    def forbid(self, path: bytes, mode: int) -> None:
        """Take permissions on a directory from whoever answers; ``mode`` is what stays."""


class DiskStore:
    """A tree on disk, served by one of the listers or read by the other."""

    times_directories = True

    def __init__(self, door: str, top: Path, drop_rights: bool, method: str = "", tells_all: bool = True) -> None:
        self.tells_all = tells_all
        self.spec = StoreSpec((door,), timeout=20, method=method)
        self._top = os.fsencode(top)
        self._drop_rights = drop_rights

    def add_file(self, path: bytes, size: int = 0, mtime: int = 0) -> None:
        located = self._top + path
        os.makedirs(os.path.dirname(located), exist_ok=True)
        with open(located, "wb") as file:
            file.truncate(size)
        os.utime(located, (mtime, mtime))

    def add_directory(self, path: bytes, mtime: int = 0) -> None:
        os.makedirs(self._top + path, exist_ok=True)
        os.utime(self._top + path, (mtime, mtime))

    def forbid(self, path: bytes, mode: int) -> None:
        os.chmod(self._top + path, mode)
        if self._drop_rights and os.geteuid() == 0:
            # The real one as well: a shell goes back to that. The saved one is the way back.
            os.setresuid(NOBODY, NOBODY, 0)


class BucketStore:
    """A bucket of an S3 store, which has no directories but for keys that end with a slash."""

    tells_all = False
    times_directories = False

    def __init__(self, server: S3Server) -> None:
        self._server = server
        self._bucket = f"contract{next(_directories)}"
        server.make_bucket(self._bucket)
        self.spec = StoreSpec((f"{server.url}/{self._bucket}/door",), timeout=20)

    def add_file(self, path: bytes, size: int = 0, mtime: int = 0) -> None:
        self._server.put(self._bucket, b"door" + path, size, mtime)

    def add_directory(self, path: bytes, mtime: int = 0) -> None:
        self._server.put(self._bucket, b"door" + path + b"/", 0, mtime)

    def forbid(self, path: bytes, mode: int) -> None:
        pytest.skip("a bucket has no permissions of directories")


class HeldStore(memory.MemoryStore):
    """The store in memory, whose permissions are faults."""

    tells_all = times_directories = True

    def __init__(self, name: str) -> None:
        super().__init__()
        self.spec = StoreSpec((memory.publish(name, self),), timeout=20)

    def forbid(self, path: bytes, mode: int) -> None:
        searchless = mode & 0o444
        self.misbehave(path, memory.FALSE_EMPTY if searchless else memory.Fault.failing(Reason.PERMISSION))


class SplitStore:
    """A store in parts: what is put into it goes to one part or the other, by its name."""

    tells_all = times_directories = True

    def __init__(self, *parts: Store, method: str = "") -> None:
        doors = tuple([door for part in parts for door in part.spec.doors])
        self.spec = StoreSpec(doors, timeout=20, method=method, clustered=True)
        self._parts = parts

    def _part(self, path: bytes) -> Store:
        return self._parts[crc32(path) % len(self._parts)]

    def add_file(self, path: bytes, size: int = 0, mtime: int = 0) -> None:
        self._part(path).add_file(path, size, mtime)

    def add_directory(self, path: bytes, mtime: int = 0) -> None:
        self._part(path).add_directory(path, mtime)

    def forbid(self, path: bytes, mode: int) -> None:
        for part in self._parts:
            with suppress(FileNotFoundError):
                part.forbid(path, mode)


LISTERS = ("memory", "posix", "xrootd", "wire", "directx", "gfal on disk", "gfal over XRootD", *SPLIT)
WEBDAV = {"XRootD over HTTP": "http_directory", "Apache": "apache_directory"}


@pytest.fixture(params=[*LISTERS, *WEBDAV, "S3"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    match request.param:
        case "memory":
            yield HeldStore(request.node.name)
        case "posix" | "gfal on disk" as kind:
            top = Path(tempfile.mkdtemp())
            top.chmod(0o755)
            yield DiskStore(f"file://{top}", top, drop_rights=True, method=METHODS.get(kind, ""))
            if os.getresuid()[2] == 0:
                os.setresuid(0, 0, 0)
            shutil.rmtree(top)
        case "split in memory":
            yield SplitStore(HeldStore(f"{request.node.name}1"), HeldStore(f"{request.node.name}2"))
        case "cluster" | "cluster by wire" | "cluster by directx" as kind:
            cluster: XRootDCluster = request.getfixturevalue("xrootd_cluster")
            name = f"contract{next(_directories)}"
            parts = []
            for number in (0, 1):
                (cluster.store(number) / name).mkdir()
                door = f"root://{cluster.server(number)}//store/{name}"
                parts.append(DiskStore(door, cluster.store(number) / name, drop_rights=False))
            yield SplitStore(*parts, method=METHODS.get(kind, ""))
        case "S3":
            monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
            server: S3Server = request.getfixturevalue("s3_server")
            for name, value in s3.ENVIRONMENT.items():
                monkeypatch.setenv(name, value)
            yield BucketStore(server)
        case "XRootD over HTTP" | "Apache" as kind:
            web: ServedDirectory = request.getfixturevalue(WEBDAV[kind])
            yield DiskStore(f"{web.url}{paths.decode(web.lfn)}", web.path, drop_rights=False, tells_all=False)
        case _:
            served: ServedDirectory = request.getfixturevalue("xrootd_directory")
            door = f"{served.url}/{paths.decode(served.lfn)}"
            yield DiskStore(door, served.path, drop_rights=False, method=METHODS.get(request.param, ""))


@pytest.fixture
def asker(store: Store) -> Iterator[Asker]:
    with asking(partial(open_lister, store.spec)) as asker:
        yield asker


def test_a_directory_is_listed_with_sizes_and_times(store: Store, asker: Asker) -> None:
    store.add_file(b"/data/b", 7, NOON)
    store.add_file(b"/data/a", 5 * 2**30, NOON + 1)
    store.add_file(b"/data/empty", 0, 0)
    store.add_file(b"/data/old", 1, -86400)
    store.add_directory(b"/data/sub", NOON + 2)

    assert asker.list(b"/data") == Listed(
        FileColumns.from_rows([(b"a", 5 * 2**30, NOON + 1), (b"b", 7, NOON), (b"empty", 0, 0), (b"old", 1, -86400)]),
        DirectoryColumns.from_rows([(b"sub", NOON + 2 if store.times_directories else UNKNOWN_MTIME)]),
    )


def test_a_tree_is_walked_from_the_root_of_the_door(store: Store, asker: Asker) -> None:
    store.add_file(b"/one/two/three/file", 3, NOON)
    seen = []
    path = b"/"
    for _ in range(4):
        outcome = asker.list(path)
        assert isinstance(outcome, Listed)
        seen.append((outcome.files.name_list(), outcome.directories.name_list()))
        path = paths.join(path, outcome.directories.name_list()[0]) if outcome.directories else path

    assert seen == [([], [b"one"]), ([], [b"two"]), ([], [b"three"]), ([b"file"], [])]


def test_an_empty_directory_is_listed_as_empty(store: Store, asker: Asker) -> None:
    store.add_directory(b"/hollow")

    # What a server may leave out is no proof that a directory is empty.
    assert asker.list(b"/hollow") == Listed(others=not store.tells_all)
    assert asker.names(b"/hollow") == NamesListed(frozenset())


def test_names_come_back_as_the_same_bytes(store: Store, asker: Asker) -> None:
    for name in ODD_NAMES:
        store.add_file(b"/odd/" + name, len(name), NOON)

    assert asker.list(b"/odd") == Listed(FileColumns.from_rows([(name, len(name), NOON) for name in ODD_NAMES]))
    assert asker.names(b"/odd") == NamesListed(frozenset(ODD_NAMES))
    assert [asker.stat(b"/odd/" + name) for name in ODD_NAMES] == [
        Present(len(name), NOON, False) for name in ODD_NAMES
    ]


def test_odd_directories_can_be_entered(store: Store, asker: Asker) -> None:
    for name in ODD_NAMES:
        store.add_file(b"/odd/" + name + b"/inside", 1, NOON)

    outcome = asker.list(b"/odd")
    assert isinstance(outcome, Listed)
    assert outcome.directories.name_list() == sorted(ODD_NAMES)
    for name in ODD_NAMES:
        assert asker.list(b"/odd/" + name) == Listed(FileColumns.from_rows([(b"inside", 1, NOON)]))


def test_names_cover_files_and_directories(store: Store, asker: Asker) -> None:
    store.add_file(b"/mixed/file")
    store.add_directory(b"/mixed/directory")

    assert asker.names(b"/mixed") == NamesListed(frozenset((b"file", b"directory")))


def test_a_path_is_present_or_absent(store: Store, asker: Asker) -> None:
    store.add_file(b"/data/file", 12, NOON)
    store.add_directory(b"/data/sub", NOON)

    assert asker.stat(b"/data/file") == Present(12, NOON, False)
    sub = asker.stat(b"/data/sub")
    assert isinstance(sub, Present)
    assert (sub.is_directory, sub.mtime) == (True, NOON)
    assert asker.stat(b"/data/other") == Absent()
    assert asker.stat(b"/nowhere/file") == Absent()


def test_a_path_below_a_file_is_not_denied(store: Store, asker: Asker) -> None:
    store.add_file(b"/data/file", 1, NOON)

    outcome = asker.stat(b"/data/file/below")
    assert isinstance(outcome, Failed)
    assert outcome.reason == Reason.NOT_A_DIRECTORY


def test_a_missing_directory_is_not_found(asker: Asker) -> None:
    for ask in (Ask.LIST, Ask.NAMES):
        outcome = asker.ask(ask, b"/missing")
        assert isinstance(outcome, Failed)
        assert outcome.reason == Reason.NOT_FOUND


def test_a_file_is_not_a_directory(store: Store, asker: Asker) -> None:
    store.add_file(b"/file", 1, NOON)

    for ask in (Ask.LIST, Ask.NAMES):
        outcome = asker.ask(ask, b"/file")
        assert isinstance(outcome, Failed)
        assert outcome.reason == Reason.NOT_A_DIRECTORY


def test_a_forbidden_directory_is_not_empty(store: Store, asker: Asker) -> None:
    store.add_file(b"/closed/file", 1, NOON)
    store.forbid(b"/closed", 0o000)

    outcome = asker.list(b"/closed")
    assert isinstance(outcome, Failed)
    assert outcome.reason == Reason.PERMISSION
    assert not outcome.reason.retryable


def test_a_directory_that_may_not_be_searched_is_not_empty(store: Store, asker: Asker) -> None:
    store.add_file(b"/unsearchable/file", 1, NOON)
    store.forbid(b"/unsearchable", 0o444)

    outcome = asker.list(b"/unsearchable")
    assert isinstance(outcome, Failed)
    assert outcome.reason in (Reason.FALSE_EMPTY, Reason.PERMISSION)
    if store.tells_all:
        assert asker.names(b"/unsearchable") == NamesListed(frozenset((b"file",)))
    else:
        outcome = asker.names(b"/unsearchable")
        assert isinstance(outcome, Failed)
        assert outcome.reason == Reason.PERMISSION


def test_many_questions_at_once_are_each_answered_once(store: Store, asker: Asker) -> None:
    # A question to gfal-ls is a process, of which it has 32 at a time.
    directories, turns = (12, 1) if store.spec.method == GFAL else (40, 5)
    for i in range(directories):
        for j in range(5):
            store.add_file(b"/many/%03d/%d" % (i, j), j, NOON)
    numbers = {}
    for turn in range(turns):
        for i in range(directories):
            numbers[asker.send(Ask.LIST, b"/many/%03d" % i)] = b"list"
            numbers[asker.send(Ask.STAT, b"/many/%03d/%d" % (i, turn))] = b"stat"
            numbers[asker.send(Ask.NAMES, b"/missing/%d" % i)] = b"names"

    expected = {
        b"list": Listed(FileColumns.from_rows([(b"%d" % j, j, NOON) for j in range(5)])),
        b"stat": Present,
        b"names": Failed,
    }
    outcomes = asker.wait(numbers)
    for kind, outcome in zip(numbers.values(), outcomes, strict=True):
        wanted = expected[kind]
        assert isinstance(outcome, wanted) if isinstance(wanted, type) else outcome == wanted
    assert asker.lister.requests >= len(numbers)
    asker.lister.close()
    assert {len(answers) for answers in asker.outcomes.values()} == {1}


def test_closing_drops_what_is_in_flight(store: Store, asker: Asker) -> None:
    store.add_file(b"/data/file", 1, NOON)
    for _ in range(200):
        asker.send(Ask.LIST, b"/data")
    asker.lister.close()
    answered = dict(asker.outcomes)
    asker.lister.close()

    with asking(partial(open_lister, store.spec)) as another:
        assert isinstance(another.list(b"/data"), Listed)
    # What was in a call to the sink when the lister was closed may still arrive, a question a thread.
    assert len(asker.outcomes) - len(answered) <= 8
    assert all(len(answers) == 1 for answers in asker.outcomes.values())


def test_two_listers_do_not_disturb_each_other(store: Store, asker: Asker) -> None:
    store.add_file(b"/data/file", 1, NOON)
    with asking(partial(open_lister, store.spec)) as another:
        assert asker.list(b"/data") == another.list(b"/data")
    assert isinstance(asker.list(b"/data"), Listed)
