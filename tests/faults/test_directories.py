"""Directories that cannot be read, change while they are listed, or are very many, very deep or very large."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.program import Ended, eventually, wait_for
from tests.faults.site import FaultySite
from tests.servers.faulty_proxy import LISTING, Fault, FaultyProxy
from tests.servers.fixtures import ServedDirectory

Make = Callable[..., FaultySite]


class Between:
    """Does something once, when the server has listed a directory and nobody has seen the answer yet."""

    def __init__(self, entry: bytes, act: Callable[[], object]) -> None:
        self._entry = entry
        self._act = act
        self.done = False

    def __call__(self, body: bytes) -> bytes:
        """Take the body of an answer; acts when it is a listing with the entry."""
        if not self.done and body.startswith(LISTING) and b"\n" + self._entry + b"\n" in body:
            self.done = True
            self._act()
        return body


@pytest.fixture
def proxy(xrootd_directory: ServedDirectory) -> Iterator[FaultyProxy]:
    with FaultyProxy(xrootd_directory.server.port) as door:
        yield door


@pytest.fixture
def watched(xrootd_directory: ServedDirectory, proxy: FaultyProxy, make_site: Make) -> FaultySite:
    """A site whose answers pass a proxy, with two files in each of some directories."""
    site = make_site([xrootd_directory.path], xrootd_directory.lfn.decode(), [proxy.url])
    for number in range(6):
        site.put(f"data/{number}/a.root")
        site.put(f"data/{number}/b.root")
    return site


def _when_listed(site: FaultySite, proxy: FaultyProxy, entry: bytes, act: Callable[[], object]) -> Ended:
    """Check the site, acting on the store when the answer with an entry is on its way."""
    site.prepare()
    between = Between(entry, act)
    proxy.fault = Fault(rewrite=between)
    ended = site.check()
    assert between.done
    assert ended.code == 0, ended.err
    return ended


@pytest.mark.parametrize(
    ("mode", "method"),
    [
        (0o311, ""),
        (0o644, ""),
        (0o311, "directx"),
        (0o644, "directx"),
        (0o644, "SRM"),
        pytest.param(0o311, "SRM", marks=pytest.mark.soak),
        pytest.param(0o000, "SRM", marks=pytest.mark.soak),
        pytest.param(0o000, "directx", marks=pytest.mark.soak),
        pytest.param(0o000, "", marks=pytest.mark.soak),
    ],
)
@pytest.mark.fault(
    "directories",
    "one may not be read, may not be searched, or neither",
    "it is unlisted, with a reason; what the inventory has below is not judged, and the rest is",
)
def test_closed_directories(site: FaultySite, mode: int, method: str) -> None:
    for number in range(4):
        site.put(f"data/{number}/kept.root")
    site.put("data/closed/kept.root")
    site.put("data/closed/deeper/kept.root")
    site.know("data/closed/perhaps.root")
    site.know("data/1/lost.root")
    site.prepare(**({"AccessMethod": method} if method else {}))
    closed = site.path("data/closed")
    closed.chmod(mode)
    try:
        ended = site.check()
    finally:
        closed.chmod(0o755)
    assert ended.code == 0, ended.err
    site.assert_found(["data/1/lost.root"])
    assert set(site.unlisted()) == {b"data/closed"}
    assert site.unlisted()[b"data/closed"] in ("permission denied", "empty with stat, not without")
    assert ended.json["protected"] == 3


@pytest.mark.fault(
    "directories",
    "one is removed between its parent's listing and its own",
    "its files are missing, or not judged; nothing else is",
)
def test_a_directory_is_removed(watched: FaultySite, proxy: FaultyProxy) -> None:
    _when_listed(watched, proxy, b"3", lambda: shutil.rmtree(watched.path("data/3")))
    gone = [b"data/3/a.root", b"data/3/b.root"]
    watched.assert_true()
    assert set(watched.found("compare_missing")) <= set(gone)
    assert watched.found("compare_orphan") == []


@pytest.mark.fault(
    "directories", "one is created, with files, when its parent has been listed", "nothing is said of what nobody saw"
)
def test_a_directory_is_created(watched: FaultySite, proxy: FaultyProxy) -> None:
    _when_listed(watched, proxy, b"3", lambda: watched.put("data/new/c.root"))
    watched.assert_true()
    assert watched.found("compare_missing") == []


@pytest.mark.fault(
    "directories",
    "files are created, removed and replaced when their directory has been listed",
    "the new ones are not missing, for the store is asked again; what is gone is not called an orphan",
)
def test_files_change(watched: FaultySite, proxy: FaultyProxy) -> None:
    marker = watched.put("data/3/left.root", known=False)
    watched.know("data/3/late.root")

    def change() -> None:
        watched.put("data/3/late.root")
        watched.path("data/3/a.root").unlink()
        watched.put("data/3/b.root", 10)
        marker.unlink()

    _when_listed(watched, proxy, b"left.root", change)
    # It was there when it was listed; it is asked for once more before anything is done about it.
    watched.assert_true(gone=["data/3/left.root"])
    assert watched.found("compare_missing") == []


@pytest.mark.fault(
    "directories",
    "one is renamed when its parent has been listed",
    "under the old name its files are gone, which is so; under the new one nobody saw them: no orphan",
)
def test_a_directory_is_renamed(watched: FaultySite, proxy: FaultyProxy) -> None:
    _when_listed(watched, proxy, b"3", lambda: watched.path("data/3").rename(watched.path("data/new")))
    watched.assert_true()
    assert set(watched.found("compare_missing")) <= {b"data/3/a.root", b"data/3/b.root"}
    assert watched.found("compare_orphan") == []


@pytest.mark.quick_on("threads")
@pytest.mark.fault(
    "directories",
    "a link to itself in the middle of one, before and behind files, and dangling links",
    "no file behind the link is called missing",
)
def test_links_that_lead_nowhere(site: FaultySite, runtime: str) -> None:
    for number in range(40):
        site.put(f"data/links/f{number}.root")
    for name in ("a", "f20", "z"):
        site.path(f"data/links/{name}").symlink_to(name)
        site.path(f"data/links/{name}.dangling").symlink_to("nowhere")
    site.put("data/other/kept.root")
    site.know("data/other/lost.root")
    site.prepare()
    ended = site.check()
    assert ended.code == 0, ended.err
    site.assert_true()
    assert site.found("compare_missing") == [b"data/other/lost.root"]
    assert site.found("compare_orphan") == []
    assert set(site.unlisted()) <= {b"data/links"}


@pytest.mark.fault("directories", "one has 20,000 files", "all are seen, with one request")
def test_a_large_directory(site: FaultySite) -> None:
    _large(site, 20_000)


@pytest.mark.soak
@pytest.mark.fault("directories", "one has 200,000 files", "all are seen, with one request and below 780 MB of memory")
def test_a_very_large_directory(site: FaultySite) -> None:
    # The bindings take 647 MB for the answer in a program that does nothing else; 734 were measured.
    assert _large(site, 200_000) < 780_000


def _large(site: FaultySite, count: int) -> int:
    """Check a site with so many files in one directory; gives the most memory that the program had, in kB."""
    directory = site.make("data/large")
    for number in range(count):
        (directory / f"file{number:06d}.root").touch()
        site.know(f"data/large/file{number:06d}.root", 0)
    site.know("data/large/lost.root")
    site.put("data/large/left.root", known=False)
    # What was just written is younger than the inventory allows for.
    site.prepare(Timeout=30)
    process = site.start_check()
    peaks = [0]

    def ended() -> bool:
        status = Path(f"/proc/{process.pid}/status").read_text()
        peaks.extend(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        return "\nState:\tZ" in status

    eventually("ended", ended, process) if process.poll() is None else None
    done = wait_for(process)
    assert done.code == 0, done.err
    site.assert_found(["data/large/lost.root"], ["data/large/left.root"])
    assert done.json["files"] == count + 1
    assert done.json["requests"] <= 6
    return max(peaks)


@pytest.mark.soak
@pytest.mark.fault("directories", "10,000 are empty", "all are said to be empty, with two requests each")
def test_many_empty_directories(site: FaultySite) -> None:
    _empty(site, 10_000)


@pytest.mark.fault("directories", "1,000 are empty", "all are said to be empty, with two requests each")
def test_empty_directories(site: FaultySite) -> None:
    _empty(site, 1_000)


def _empty(site: FaultySite, count: int) -> None:
    site.put("data/kept.root")
    names = [f"data/empty{number}" for number in range(count)]
    for name in names:
        site.make(name)
    site.prepare(Timeout=30)
    ended = site.check()
    assert ended.code == 0, ended.err
    site.assert_found(empty=names)
    assert ended.json["requests"] <= 2 * count + 5


_DEEPEST = "data/" + "/".join(f"d{number % 10}" for number in range(200))


@pytest.mark.fault("directories", "they are 200 deep", "all are listed, to the last file, where MaxDepth allows it")
def test_deep_directories(site: FaultySite) -> None:
    site.put(f"{_DEEPEST}/kept.root")
    site.put(f"{_DEEPEST}/left.root", known=False)
    site.know(f"{_DEEPEST}/lost.root")
    site.prepare(MaxDepth=250)
    ended = site.check()
    assert ended.code == 0, ended.err
    site.assert_found([f"{_DEEPEST}/lost.root"], [f"{_DEEPEST}/left.root"])
    assert ended.json["directories"] == 201


@pytest.mark.fault(
    "directories", "they are deeper than MaxDepth", "the first one too deep is unlisted; nothing below it is judged"
)
def test_directories_that_are_too_deep(site: FaultySite) -> None:
    site.put("data/kept.root")
    site.put(f"{_DEEPEST}/kept.root")
    site.know(f"{_DEEPEST}/lost.root")
    site.prepare()
    ended = site.check()
    assert ended.code == 0, ended.err
    site.assert_found()
    assert list(site.unlisted().values()) == ["too deep"]
    assert ended.json["protected"] == 2


@pytest.mark.fault(
    "directories",
    "on a file system: 200 deep, a link to itself, a dangling link",
    "all is listed, and nothing is called missing that is there",
)
def test_directories_of_this_machine(tmp_path: Path, make_site: Make) -> None:
    store = tmp_path / "store"
    store.mkdir()
    site = make_site([store], str(store), ["file:///"])
    site.put(f"{_DEEPEST}/kept.root")
    site.know(f"{_DEEPEST}/lost.root")
    site.put("data/links/kept.root")
    os.symlink("loop", site.path("data/links/loop"))
    os.symlink("nowhere", site.path("data/links/dangling"))
    site.prepare(MaxDepth=250)
    ended = site.check()
    assert ended.code == 0, ended.err
    site.assert_found([f"{_DEEPEST}/lost.root"])


@pytest.mark.parametrize("becomes", ["file", "directory"])
@pytest.mark.fault(
    "directories",
    "one becomes a file of the same name, or a file a directory, after the inventory was read and it was listed",
    "nothing is called missing or orphan that is not",
)
def test_directories_and_files_that_change_places(watched: FaultySite, proxy: FaultyProxy, becomes: str) -> None:
    watched.put("data/3/both")

    def change() -> None:
        if becomes == "file":
            shutil.rmtree(watched.path("data/5"))
            watched.put("data/5", known=False)
        else:
            watched.path("data/3/both").unlink()
            watched.put("data/3/both/c.root", known=False)

    _when_listed(watched, proxy, b"5" if becomes == "file" else b"both", change)
    gone = [b"data/5/a.root", b"data/5/b.root"] if becomes == "file" else [b"data/3/both"]
    watched.assert_true(gone=gone)
    assert set(watched.found("compare_missing")) <= set(gone)
    assert watched.found("compare_orphan") == []


@pytest.mark.fault(
    "directories",
    "before the listing one was renamed, one became a file, and a file became a directory",
    "files of old names are missing, those of new names orphans; no name is both a directory and a file",
)
def test_what_changed_before_the_listing(site: FaultySite) -> None:
    for name in ("kept", "renamed", "directory"):
        site.put(f"data/{name}/a.root")
    site.put("data/file")
    site.write_inventory()
    site.path("data/renamed").rename(site.path("data/new"))
    shutil.rmtree(site.path("data/directory"))
    site.put("data/directory", known=False)
    site.path("data/file").unlink()
    site.put("data/file/a.root", known=False)
    site.configure()
    ended = site.check()
    assert ended.code == 0, ended.err
    site.assert_true()
    assert {b"data/renamed/a.root"} <= set(site.found("compare_missing"))
    assert {b"data/new/a.root"} <= set(site.found("compare_orphan"))


@pytest.mark.fault(
    "directories",
    "on a file system: one may not be read, may not be searched, or neither, by whoever runs the check",
    "it is unlisted, with a reason; what the inventory has below is not judged, and the rest is",
)
def test_closed_directories_of_this_machine(tmp_path: Path, make_site: Make) -> None:
    store = tmp_path / "store"
    store.mkdir()
    site = make_site([store], str(store), ["file:///"])
    modes = {"unread": 0o311, "unsearched": 0o644, "closed": 0o000}
    for name in modes:
        site.put(f"data/{name}/kept.root")
        site.put(f"data/{name}/deeper/kept.root")
        site.know(f"data/{name}/perhaps.root")
    site.put("data/open/kept.root")
    site.know("data/open/lost.root")
    site.prepare()
    for name, mode in modes.items():
        site.path(f"data/{name}").chmod(mode)
    try:
        ended = site.check_without_privileges()
    finally:
        for name in modes:
            site.path(f"data/{name}").chmod(0o755)
    assert ended.code == 0, ended.err
    site.assert_found(["data/open/lost.root"])
    assert set(site.unlisted()) == {os.fsencode(f"data/{name}") for name in modes}
    assert set(site.unlisted().values()) <= {"permission denied", "listing cut short", "empty with stat, not without"}
    assert ended.json["protected"] == 9
