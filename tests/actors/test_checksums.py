"""Checksums of files at real stores are compared with the inventory's, a share of the files in each run."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from actors.check_job import RunRequest
from actors.oversight import Killed, Oversight, Progress
from actors.runtime import Runtime
from actors.site_run import SiteResults, SiteRun, run_site
from engine.checksums.counts import SampleCounts
from engine.checksums.settling import SampleState
from engine.checksums.share import place_of
from storage.backends import choose
from storage.config.loading import Config
from storage.doors.source import site_source
from storage.history import HistoryDatabase
from storage.runs.directory import RunDirectory
from storage.runs.sample import read_sample
from tests.servers.webdav import ApacheServer, XRootDOverHTTP

SITE = "T2_TEST"
OLD = 1_700_000_000
SUMS = "xrootd.chksum chkcgi max 4 adler32 md5"
NAMES = [f"mc/d{at % 3}/f{at}" for at in range(12)]


def adler32(content: bytes) -> str:
    return f"{zlib.adler32(content):08x}"


@dataclass
class Site:
    """A site whose store is the directory ``store`` behind ``door``, with the program's directories in ``home``."""

    home: Path
    store: Path
    door: str
    keys: dict[str, Any] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    columns: str = "lfn,size,mtime,checksum"

    def __post_init__(self) -> None:
        for at, name in enumerate(NAMES):
            self.put(name, f"content {at:03d}".encode())
            self.checksums[name] = adler32(self.content(name))

    def put(self, name: str, content: bytes, mtime: int = OLD) -> None:
        path = self.store / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (mtime, mtime))

    def content(self, name: str) -> bytes:
        return (self.store / name).read_bytes()

    def spoil(self, name: str) -> None:
        """Change a byte, and neither size nor time."""
        content = self.content(name)
        self.put(name, bytes([content[0] ^ 1]) + content[1:])

    def write_inventory(self, names: Sequence[str] = NAMES) -> None:
        rows = [
            [f"/store/{name}", str(self.sizes.get(name, 11)), str(OLD), self.checksums.get(name, "")] for name in names
        ]
        width = self.columns.count(",") + 1
        lines = [self.columns, *(",".join(row[:width]) for row in rows)]
        (self.home / "inventory.csv").write_text("\n".join(lines) + "\n")

    def run(
        self, runtime: Runtime, oversight: Oversight | None = None, names: Sequence[str] = NAMES, **more: Any
    ) -> SiteResults:
        self.write_inventory(names)
        keys = {
            "Doors": [self.door],
            "RootPath": "/store",
            "DirectoryList": ["mc"],
            "Inventory": "inventory.csv",
            "Layout": "shared",
            "Timeout": 5,
            "Retries": 0,
            "Checksums": "1/1",
            **self.keys,
            **more,
        }
        path = self.home / "config.json"
        path.write_text(json.dumps({"Sites": {SITE: keys}}))
        config = Config.load(path, {})
        settings = config.site(SITE)
        what = SiteRun(config, settings, site_source(settings), choose(config, settings), RunRequest())
        return run_site(runtime, what, oversight or Oversight())

    def history(self) -> HistoryDatabase:
        return HistoryDatabase(self.home / "var/db/consistency.db")

    def found(self) -> list[tuple[str, str, str]]:
        with self.history() as history:
            rows = history.checksum_mismatches(SITE)
            return [(path.decode().removeprefix("/store/"), *sums) for path, _, _, *sums in rows]

    def remembered(self) -> SampleState:
        return read_sample(RunDirectory(self.home / "var", SITE).checksums, SITE)


@pytest.fixture
def summing() -> Iterator[XRootDOverHTTP]:
    """A server that works checksums out, asked over its own protocol and over HTTP."""
    with XRootDOverHTTP((SUMS,)) as server:
        yield server


@pytest.fixture(params=["wire", "bindings", "directx", "http", "posix"])
def site(request: pytest.FixtureRequest, tmp_path: Path, summing: XRootDOverHTTP) -> Site:
    """A site whose store gives checksums, asked in each way that there is."""
    if request.param == "posix":
        return posix_site(tmp_path)
    if request.param == "http":
        return Site(tmp_path, summing.store, summing.url)
    keys = {"AccessMethod": "directx"} if request.param == "directx" else {"Lister": request.param}
    return Site(tmp_path, summing.store, f"root://localhost:{summing.port}", keys)


def posix_site(home: Path, **keys: Any) -> Site:
    store = home / "data/store"
    store.mkdir(parents=True)
    return Site(home, store, f"file://{home}/data", keys)


@pytest.fixture
def own(tmp_path: Path) -> Site:
    """A site that is a directory of this machine."""
    return posix_site(tmp_path)


@pytest.fixture
def threads(start_threads: Callable[[], Runtime]) -> Runtime:
    return start_threads()


def sampled(done: SiteResults) -> SampleCounts:
    counts = done.results.comparison.checksums
    assert counts is not None
    return counts


def test_what_differs_twice_is_found(site: Site, threads: Runtime) -> None:
    site.spoil(NAMES[3])
    done = site.run(threads)
    pair = f"adler32:{site.checksums[NAMES[3]]}", f"adler32:{adler32(site.content(NAMES[3]))}"
    assert site.found() == [(NAMES[3], *pair)]
    assert done.results.comparison.checksum_mismatch == 1
    assert sampled(done) == SampleCounts(compared=12)
    lists = site.home / f"www/{SITE}_compare_checksum_mismatch.txt"
    assert lists.read_text() == "\t".join([f"/store/{NAMES[3]}", *pair]) + "\n"
    (exact,) = map(json.loads, lists.with_suffix(".jsonl").read_text().splitlines())
    assert (exact["checksum"], exact["remote_checksum"]) == pair
    with site.history() as history:
        (run,) = history.runs(SITE)
        assert (run.counts.checksum_mismatch, run.counts.checksums, run.counts.checksums_unchecked) == (1, 12, 0)
        assert "checksums: 12 compared" in run.message


def test_md5_in_the_inventory(site: Site, threads: Runtime) -> None:
    site.spoil(NAMES[5])
    good = {name: hashlib.md5(site.content(name)).hexdigest().upper() for name in NAMES}
    site.spoil(NAMES[5])
    good[NAMES[5]] = hashlib.md5(site.content(NAMES[5])).hexdigest()
    site.checksums = good
    assert sampled(site.run(threads)).compared == 12
    assert site.found() == []
    site.spoil(NAMES[5])
    os.utime(site.store / NAMES[5], (OLD + 1, OLD + 1))
    site.run(threads)
    assert [name for name, _, _ in site.found()] == [NAMES[5]]


def test_on_ray(runtime: Runtime, tmp_path: Path, summing: XRootDOverHTTP) -> None:
    site = Site(tmp_path, summing.store, f"root://localhost:{summing.port}")
    site.spoil(NAMES[0])
    assert sampled(site.run(runtime)).compared == 12
    assert [name for name, _, _ in site.found()] == [NAMES[0]]


def test_servers_that_give_no_checksums(threads: Runtime, tmp_path: Path) -> None:
    with XRootDOverHTTP() as plain, ApacheServer() as apache:
        doors = [f"root://localhost:{plain.port}", plain.url, apache.url]
        for at, (store, door) in enumerate(zip((plain.store, plain.store, apache.store), doors, strict=True)):
            home = tmp_path / str(at)
            home.mkdir()
            site = Site(home, store, door)
            site.spoil(NAMES[0])
            done = site.run(threads)
            assert sampled(done).unchecked == {"no such checksum at the store": 12}
            assert sampled(done).compared == done.results.comparison.checksum_mismatch == 0
            assert site.found() == []


def test_a_store_that_has_none_is_not_asked_for_all(threads: Runtime, tmp_path: Path, start_xrootd: Any) -> None:
    server = start_xrootd()
    site = Site(tmp_path, server.store, server.url)
    more = [f"mc/more/{at:03d}" for at in range(100)]
    for name in more:
        site.put(name, b"content abc")
    site.checksums |= dict.fromkeys(more, "0a1b2c3d")
    counts = sampled(site.run(threads, names=[*NAMES, *more]))
    assert counts.unchecked_files < 30
    assert "the store gives no checksums: query chksum is not supported" in counts.why
    assert counts.left == 112 - counts.unchecked_files


def test_an_inventory_without_checksums(own: Site, threads: Runtime) -> None:
    own.columns = "lfn,size,mtime"
    counts = sampled(own.run(threads))
    assert (counts.compared, counts.left) == (0, 12)
    assert counts.why == f"inventory {own.home}/inventory.csv has no checksums to compare with"
    own.columns, own.checksums = "lfn,size,mtime,checksum", {NAMES[0]: own.checksums[NAMES[0]], NAMES[1]: "sha1:1234"}
    assert sampled(own.run(threads)).unchecked == {"no checksum in the inventory": 11}


def test_a_store_that_cannot_be_asked(own: Site, threads: Runtime) -> None:
    rows = [f"/store/{name} 11 19000" for name in NAMES]
    (own.home / "dump.txt").write_text("\n".join(rows) + "\n")
    counts = sampled(own.run(threads, AccessMethod="RAL-Reader", Dump="dump.txt", Doors=[]))
    assert (counts.compared, counts.left) == (0, 12)
    assert "the store cannot be asked: a store behind dump://" in counts.why


def test_each_file_has_its_turn(own: Site, threads: Runtime) -> None:
    asked = [sampled(own.run(threads, Checksums="1/4")).compared for _ in range(4)]
    assert sum(asked) == 12
    assert own.remembered().place.number == 0


def test_no_more_are_asked_for_than_a_run_may(own: Site, threads: Runtime) -> None:
    places = []
    for _ in range(3):
        assert sampled(own.run(threads, MaxChecksums=5)).compared == 5
        places.append(own.remembered().place)
    in_order = sorted(place_of(f"/store/{name}".encode()) for name in NAMES)
    # The third run comes round to the first files.
    assert places == [in_order[4], in_order[9], in_order[2]]


def test_a_mismatch_stays_until_it_is_put_right(own: Site, threads: Runtime) -> None:
    own.spoil(NAMES[7])
    own.run(threads)
    assert len(own.found()) == 1
    for _ in range(3):
        own.run(threads, Checksums="1/1000000")
        assert [name for name, _, _ in own.found()] == [NAMES[7]]
    own.run(threads, Checksums=None)
    assert len(own.found()) == 1
    own.spoil(NAMES[7])
    own.run(threads, Checksums="1/1000000")
    assert own.found() == []


def test_where_most_files_differ_none_is_believed_to(own: Site, threads: Runtime) -> None:
    own.checksums = dict.fromkeys(NAMES[:8], "0a1b2c3d") | {name: own.checksums[name] for name in NAMES[8:]}
    done = own.run(threads)
    assert sampled(done).why.startswith(
        "8 of 12 files have another checksum than the inventory says, which is too many"
    )
    assert sampled(done).unchecked == {"different answers": 8}
    assert own.found() == []


def test_a_single_file_that_differs_waits_for_others(own: Site, threads: Runtime) -> None:
    own.spoil(NAMES[7])
    own.run(threads, MaxChecksums=1, names=[NAMES[7]])
    assert own.found() == []
    own.run(threads)
    assert [name for name, _, _ in own.found()] == [NAMES[7]]


def test_what_changes_meanwhile_is_no_mismatch(own: Site, threads: Runtime) -> None:
    own.spoil(NAMES[2])
    own.spoil(NAMES[4])

    def watch(phase: str, _progress: Progress) -> None:
        if phase == "choosing files for their checksums":
            os.utime(own.store / NAMES[2], (OLD + 5, OLD + 5))
            own.put(NAMES[4], b"of another size")

    done = own.run(threads, Oversight(watch=watch))
    assert sampled(done).unchecked == {"changed since the listing": 2}
    assert own.found() == []


def test_what_the_inventory_puts_right_meanwhile_is_no_mismatch(own: Site, threads: Runtime) -> None:
    own.spoil(NAMES[2])

    def watch(phase: str, _progress: Progress) -> None:
        if phase == "comparing checksums":
            own.checksums[NAMES[2]] = adler32(own.content(NAMES[2]))
            own.write_inventory()

    own.run(threads, Oversight(watch=watch))
    assert own.found() == []
    assert own.remembered().known == ()


def test_what_the_inventory_cannot_confirm_is_no_mismatch_yet(own: Site, threads: Runtime) -> None:
    own.spoil(NAMES[2])

    def watch(phase: str, _progress: Progress) -> None:
        if phase == "comparing checksums":
            (own.home / "inventory.csv").unlink(missing_ok=True)

    counts = sampled(own.run(threads, Oversight(watch=watch)))
    assert counts.why.startswith("the inventory cannot be asked again for checksums: ")
    assert (counts.compared, counts.unchecked, own.found()) == (11, {"different answers": 1}, [])
    own.run(threads)
    assert [name for name, _, _ in own.found()] == [NAMES[2]]
    # What was confirmed once stays.
    own.run(threads, Oversight(watch=watch))
    assert [name for name, _, _ in own.found()] == [NAMES[2]]


@pytest.mark.parametrize("at", ["file_inventory.FileInventory.checksums", "choose"])
def test_whatever_goes_wrong_the_run_is_as_good_as_it_was(
    own: Site, threads: Runtime, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    own.spoil(NAMES[2])
    own.run(threads)
    before = own.remembered()

    def fail(*_: object) -> None:
        raise KeyError("what nobody has thought of")

    name = "engine.checksums.choice.Choosing.choose" if at == "choose" else f"storage.backends.{at}"
    monkeypatch.setattr(name, fail)
    (own.store / NAMES[5]).unlink()
    done = own.run(threads)
    assert sampled(done).why == "checksums could not be compared: KeyError: 'what nobody has thought of'"
    assert done.results.comparison.missing == 1
    assert own.remembered() == before
    monkeypatch.undo()
    own.run(threads)
    assert [name for name, _, _ in own.found()] == [NAMES[2]]


def test_no_more_is_read_than_may_be(own: Site, threads: Runtime) -> None:
    own.put(NAMES[0], b"larger than the others")
    own.sizes[NAMES[0]] = 22
    counts = [sampled(own.run(threads, MaxChecksumSize=21)) for _ in range(12)]
    assert sum(count.compared for count in counts) >= 11
    assert max(count.compared for count in counts) == 1
    assert any(count.unchecked == {"larger than what a run may read": 1} for count in counts)


def test_mismatches_that_are_known_keep_no_other_file_back(own: Site, threads: Runtime) -> None:
    for name in NAMES[2:5]:
        own.spoil(name)
    own.run(threads)
    assert len(own.found()) == 3
    # Two files are what may be read, and one is what may be asked for.
    for limits in ({"MaxChecksumSize": 22}, {"MaxChecksums": 1}):
        places = set()
        for _ in range(4):
            own.run(threads, **limits)
            places.add(own.remembered().place)
        assert len(places) == 4
    assert len(own.found()) == 3


def test_a_file_that_may_not_be_read(own: Site, threads: Runtime, tmp_path: Path, summing: XRootDOverHTTP) -> None:
    site = Site(tmp_path, summing.store, f"root://localhost:{summing.port}")
    (site.store / NAMES[6]).chmod(0)
    counts = sampled(site.run(threads))
    assert counts.compared == 11
    assert counts.unchecked == {"refused by the store": 1}


SLOW = """#!/bin/sh
case "$1" in *{slow}) sleep {seconds};; esac
sleep {each}
exec {python} -c 'import sys, zlib; print("%08x" % zlib.adler32(open(sys.argv[1], "rb").read()))' "$(cat $0.root)$1"
"""


@pytest.fixture
def slow_site(tmp_path: Path, start_xrootd: Any) -> Iterator[Callable[[str, float, float], Site]]:
    """Make a site whose server runs a program for each checksum, which takes its time."""
    with tempfile.TemporaryDirectory() as directory:
        # The server runs as another user.
        Path(directory).chmod(0o755)
        program = Path(directory, "sum")

        def make(slow: str, seconds: float, each: float) -> Site:
            program.write_text(SLOW.format(slow=slow, seconds=seconds, each=each, python="/usr/bin/python3"))
            program.chmod(0o755)
            server = start_xrootd(f"xrootd.chksum max 4 adler32 {program}")
            # The program is given the name that the server was asked for.
            Path(f"{program}.root").write_text(str(server.root))
            return Site(tmp_path, server.store, server.url)

        yield make


def test_a_file_that_takes_too_long(
    slow_site: Callable[[str, float, float], Site], threads: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.checksums._LEAST_TIMEOUT", 2.0)
    site = slow_site(NAMES[1], 6, 0)
    counts = sampled(site.run(threads, Timeout=2))
    assert (counts.compared, counts.unchecked) == (11, {"no answer": 1})
    assert list(site.remembered().owed) == [f"/store/{NAMES[1]}".encode()]
    assert site.found() == []


def test_what_was_compared_before_a_halt_is_not_asked_for_again(
    slow_site: Callable[[str, float, float], Site], threads: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.checksums._SAVE_EVERY", 0.0)
    site = slow_site("-", 0, 0.2)
    site.spoil(NAMES[9])

    def stop() -> str:
        return "enough" if site.remembered().place.path else ""

    with pytest.raises(Killed):
        site.run(threads, Oversight(stop))
    assert site.found() == []
    counts = sampled(site.run(threads, Checksums="1/1"))
    assert 0 < counts.compared <= 12
    assert [name for name, _, _ in site.found()] == [NAMES[9]]


def test_a_file_that_takes_its_time_is_no_store_that_does_not_answer(
    slow_site: Callable[[str, float, float], Site], threads: Runtime
) -> None:
    site = slow_site(NAMES[1], 4.5, 0)
    counts = sampled(site.run(threads, names=NAMES[1:2], Timeout=1, StallMinutes=0.01))
    assert (counts.compared, counts.why) == (1, "")


def test_there_is_an_end_to_asking(slow_site: Callable[[str, float, float], Site], threads: Runtime) -> None:
    site = slow_site("-", 0, 0.5)
    first = sampled(site.run(threads, ChecksumMinutes=0.02))
    assert 0 < first.compared < 12
    assert first.why == "stopped after 0.02 minutes"
    assert first.left == 12 - first.compared
    assert sampled(site.run(threads)).compared == 12
