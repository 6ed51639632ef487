"""Disks that are full or cannot be written, files and databases that are damaged or locked."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.loaded import run
from tests.cli.program import Ended, eventually, wait_for
from tests.faults.large_site import WIDE, assert_next_is_fine, assert_whole_page, count_findings, fill
from tests.faults.site import FaultySite

_LISTS = ("compare_missing", "compare_orphan", "compare_size_mismatch", "empty", "unlisted")

_soak = pytest.mark.soak


def _mount(directory: Path, size: str) -> bool:
    options = ["-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs"]
    directory.mkdir(parents=True, exist_ok=True)
    return subprocess.run(["mount", *options, directory], capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Make small file systems, which only root may do."""
    mounted: list[Path] = []

    def make(name: str, size: str = "4m") -> Path:
        directory = tmp_path / name
        if os.geteuid() or not _mount(directory, size):
            pytest.skip("mounting a file system is not allowed here")
        mounted.append(directory)
        return directory

    yield make
    for directory in mounted:
        subprocess.run(["umount", "--lazy", directory], capture_output=True, check=True)


def _change(site: FaultySite, number: int) -> None:
    """Lose one more file, so that the lists of the next run are others."""
    site.know(f"data/new/lost{number}.root")
    site.write_inventory()


def _lists(site: FaultySite) -> dict[str, bytes]:
    paths = [site.web / f"{site.name}_{ending}.{form}" for ending in _LISTS for form in ("txt", "jsonl")]
    return {path.name: path.read_bytes() for path in paths}


def _assert_one_line(ended: Ended, *words: str) -> None:
    assert ended.code in (2, 4), ended
    lines = [line for line in ended.err.splitlines() if line.startswith("dynamo-consistency: ")]
    assert len(lines) == 1, ended.err
    assert any(word in lines[0] for word in words), ended.err


def _squeeze(site: FaultySite, disk: Path, rooms: tuple[int, ...]) -> set[str]:
    """Check with less and less room (bytes) on a disk; give what was said when it was too little.

    Whatever happens: the lists are all old or all new, so is the history, the page is whole, and with room again the
    next run is right.
    """
    said: set[str] = set()
    filler = disk / "filler"
    for number, room in enumerate(rooms):
        _change(site, number)
        lists, findings = _lists(site), count_findings(site)
        filler.write_bytes(b"")
        free = shutil.disk_usage(disk).free
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, free - room))
        ended = site.check()
        if ended.code:
            _assert_one_line(ended, "No space left on device", "full")
            said.add(ended.err.rpartition("dynamo-consistency: ")[2])
        filler.unlink()
        after = _lists(site)
        changed = [name for name in lists if lists[name] != after[name]]
        assert sorted(changed) in ([], [f"{site.name}_compare_missing.{form}" for form in ("jsonl", "txt")])
        assert count_findings(site) in (findings, (findings[0] + 1, findings[1]))
        assert_whole_page(site)
        assert_next_is_fine(site)
    return said


@pytest.mark.fault(
    "disks",
    "VarLocation is full: when the run starts, reads the inventory, lists, seals, records",
    "one line; lists, history and page are those before; with room again the next run is right",
)
def test_a_full_disk_below_the_run(site: FaultySite, small_disk: Callable[[str], Path]) -> None:
    fill(site)
    var = small_disk("home/var")
    assert site.check().code == 0
    said = _squeeze(site, var, (0, 12_000, 100_000, 140_000, 180_000, 300_000))
    assert len(said) > 2, said


@pytest.mark.fault(
    "disks",
    "VarLocation is filled by somebody else in the middle of a listing",
    "one line; with room again the next run goes on from what was listed",
)
def test_a_disk_that_fills_up(site: FaultySite, small_disk: Callable[[str], Path]) -> None:
    _fills_up(site, small_disk)


def _leave_no_room(disk: Path) -> None:
    """Fill a disk to its last byte, whoever else writes to it meanwhile."""
    with (disk / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        file.writelines(itertools.repeat(bytes(1 << 16)))


def _fills_up(site: FaultySite, small_disk: Callable[..., Path]) -> None:
    fill(site)
    var = small_disk("home/var")
    assert site.check().code == 0
    _change(site, 1)
    site.configure(InFlight=1, Connections=1)
    lists, findings = _lists(site), count_findings(site)
    process = site.start_check()
    eventually("begun to list", lambda: site.journal_size > 20_000, process)
    process.send_signal(signal.SIGSTOP)
    _leave_no_room(var)
    process.send_signal(signal.SIGCONT)
    ended = wait_for(process)
    _assert_one_line(ended, "No space left on device")
    assert site.journal.name in ended.err
    assert (_lists(site), count_findings(site)) == (lists, findings)
    (var / "filler").unlink()
    ended = site.check()
    assert ended.code == 0, ended.err
    assert 0 < ended.json["resumed"] < ended.json["directories"]
    assert len(site.found("compare_missing")) == count_findings(site)[0] == findings[0] + 1
    site.assert_true()


@pytest.mark.fault(
    "disks",
    "WebDir is full: when the run starts, writes its lists, its page, the summary",
    "one line; lists, history and page are all old or all new; with room again the next run is right",
)
def test_a_full_disk_below_the_page(site: FaultySite, small_disk: Callable[[str], Path]) -> None:
    fill(site)
    web = small_disk("home/www")
    assert site.check().code == 0
    _squeeze(site, web, (0, 40_000, 120_000, 200_000, 300_000))


@pytest.mark.fault(
    "disks",
    "VarLocation or WebDir turns read-only, before a run",
    "one line that names the file; what was there is whole; the next run is right",
)
def test_a_disk_that_turns_read_only(site: FaultySite, small_disk: Callable[[str], Path]) -> None:
    fill(site)
    disks = [small_disk("home/var"), small_disk("home/www")]
    assert site.check().code == 0
    for number, disk in enumerate(disks):
        _change(site, number)
        lists = _lists(site)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        ended = site.check()
        _assert_one_line(ended, "Read-only file system", "readonly")
        assert str(disk.name) in ended.err
        assert _lists(site) == lists
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        assert_next_is_fine(site)


@pytest.mark.fault(
    "disks",
    "a directory or file of a run may not be written: runs, logs, db, the history, WebDir, the summary, a list",
    "one line that names it; what was there is whole; the next run is right",
)
@pytest.mark.parametrize(
    "place",
    [
        "var",
        pytest.param("var/runs/T2_FAULTY", marks=_soak),
        pytest.param("var/logs/T2_FAULTY", marks=_soak),
        pytest.param("var/db", marks=_soak),
        "var/db/consistency.db",
        pytest.param("www", marks=_soak),
        "www/stats.db",
        "www/sites",
    ],
)
def test_what_may_not_be_written(site: FaultySite, place: str) -> None:
    site.put("data/a/kept.root")
    site.know("data/a/lost.root")
    site.prepare()
    assert site.check().code == 0
    lists = _lists(site)
    path = site.home / place
    mode = path.stat().st_mode
    inside = [path, *(p for p in path.rglob("*") if path.name == "var")] if path.is_dir() else [path]
    for each in inside:
        each.chmod(0o555 if each.is_dir() else 0o444)
    # A run that begins in the same second as the one before goes on with its log.
    time.sleep(1.0)
    ended = site.check_without_privileges()
    for each in inside:
        each.chmod(mode if each == path else 0o755 if each.is_dir() else 0o644)
    if place == "www/sites":
        # The page is not what a run is for.
        assert ended.code == 0, ended
    else:
        _assert_one_line(ended, "ermission denied", "readonly", "cannot be opened")
        assert place.split("/")[0] in ended.err
    assert _lists(site) == lists
    ended = site.check()
    assert ended.code == 0, ended.err
    site.assert_found(["data/a/lost.root"])


_DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "nonsense": lambda data: b"nonsense\n" * (len(data) // 9),
    "half": lambda data: data[: len(data) // 2 + 100],
    "zeros": lambda data: data[:4096] + b"\0" * (len(data) - 4096),
}


@pytest.mark.fault(
    "disks",
    "the history or the summary is nonsense, cut in half or full of zeros",
    "one line that names it and says what to do; it stays as it is, so do the lists; moved away, the next run is right",
)
@pytest.mark.parametrize("database", ["var/db/consistency.db", "www/stats.db"])
@pytest.mark.parametrize("damage", ["half", pytest.param("nonsense", marks=_soak), pytest.param("zeros", marks=_soak)])
def test_a_damaged_database(site: FaultySite, database: str, damage: str) -> None:
    for number in range(200):
        site.know(f"data/a/lost{number:03d}.root")
    site.put("data/a/kept.root")
    site.prepare()
    assert site.check().code == 0
    lists = _lists(site)
    path = site.home / database
    for log in path.parent.glob(f"{path.name}-*"):
        log.unlink()
    damaged = _DAMAGE[damage](path.read_bytes())
    path.write_bytes(damaged)
    ended = site.check()
    _assert_one_line(ended, "damaged", "changed by hand", "not a")
    assert database in ended.err
    assert path.read_bytes() == damaged
    assert _lists(site) == lists
    assert run("sites", cwd=site.home, env=site.env).code in (0, 2)
    path.rename(path.with_suffix(".bad"))
    ended = site.check()
    assert ended.code == 0, ended.err
    assert len(site.found("compare_missing")) == 200
    site.assert_true()


@pytest.mark.fault(
    "disks",
    "journal, listing, inventory, notes of a run that was stopped: nonsense, cut in half, zeros or empty",
    "what cannot be used is made again; the run is right",
)
@pytest.mark.parametrize(
    "damage", ["half", *(pytest.param(damage, marks=_soak) for damage in ("nonsense", "zeros", "empty"))]
)
def test_damaged_files_of_a_run(site: FaultySite, damage: str) -> None:
    fill(site)
    site.configure(InFlight=1, Connections=1)
    directory = site.home / "var/runs" / site.name
    spoil = _DAMAGE.get(damage, lambda _data: b"")
    for name in ("listing.snapshot.part", "inventory.snapshot", "datasets.json", "run.json"):
        process = site.start_check("--fresh")
        eventually("begun to list", lambda: site.journal_size > 20_000, process)
        process.kill()
        process.communicate()
        path = directory / name
        path.write_bytes(spoil(path.read_bytes()))
        ended = site.check()
        assert ended.code == 0, (name, ended.err)
        assert len(site.found("compare_orphan")) == WIDE
        assert len(site.found("compare_missing")) == WIDE
        site.assert_true()


class _Holding:
    """Another process that keeps a database locked."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> _Holding:
        self._connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._connection.execute("BEGIN IMMEDIATE")
        return self

    def __exit__(self, *_error: object) -> None:
        self._connection.close()


@pytest.mark.fault(
    "disks",
    "another process keeps the history or the summary locked for some seconds",
    "the run waits, and is right",
)
@pytest.mark.parametrize("database", ["var/db/consistency.db", "www/stats.db"])
def test_a_lock_for_a_while(site: FaultySite, database: str) -> None:
    site.put("data/a/kept.root")
    site.know("data/a/lost.root")
    site.prepare()
    assert site.check().code == 0
    with _Holding(site.home / database):
        process = site.start_check()
        time.sleep(2)
        assert process.poll() is None
    ended = wait_for(process)
    assert ended.code == 0, ended.err
    site.assert_found(["data/a/lost.root"])


@pytest.fixture
def acting(site: FaultySite) -> FaultySite:
    """A site that acts, with a registry that has requests of it already."""
    site.put("data/a/kept.root")
    site.put("data/a/left.root", known=False)
    site.prepare()
    assert site.check().code == 0
    assert run("set-status", site.name, "act", cwd=site.home, env=site.env).code == 0
    assert site.check().code == 0
    assert _requests(site) == 1
    site.put("data/b/other.root", 20, known=False)
    return site


def _requests(site: FaultySite) -> int:
    with sqlite3.connect(site.home / "var/db/registry.db") as database:
        (count,) = database.execute("SELECT count(*) FROM deletions").fetchone()
    database.close()
    return int(count)


def _assert_recorded(site: FaultySite, ended: Ended, *words: str) -> None:
    """What was found is recorded and listed; what it was not possible to ask for is said in one line."""
    assert ended.code == 2, ended
    assert ended.json["orphan"] == 2
    last = ended.err.splitlines()[-1]
    assert "what was found is recorded" in last
    assert "registry.db" in last
    assert any(word in last for word in words), last
    site.assert_found([], ["data/a/left.root", "data/b/other.root"])
    assert count_findings(site) == (0, 2)


@pytest.mark.fault(
    "disks",
    "the registry's queue is damaged when requests are to be made",
    "what was found is recorded, nothing is asked for, one line says so; moved away, the next run asks",
)
def test_a_damaged_registry(acting: FaultySite) -> None:
    site = acting
    path = site.home / "var/db/registry.db"
    damaged = _DAMAGE["nonsense"](path.read_bytes())
    path.write_bytes(damaged)
    _assert_recorded(site, site.check(), "damaged")
    assert path.read_bytes() == damaged
    path.rename(path.with_suffix(".bad"))
    ended = site.check()
    assert ended.code == 0, ended.err
    assert _requests(site) == 2


@pytest.mark.soak
@pytest.mark.fault(
    "disks",
    "another process keeps the registry's queue locked for longer than anybody waits",
    "what was found is recorded, nothing is asked for, one line says so; the next run asks",
)
def test_a_registry_that_is_locked(acting: FaultySite) -> None:
    site = acting
    with _Holding(site.home / "var/db/registry.db"):
        ended = site.check()
    _assert_recorded(site, ended, "locked for over 30 seconds")
    assert _requests(site) == 1
    ended = site.check()
    assert ended.code == 0, ended.err
    assert _requests(site) == 2


@pytest.mark.soak
@pytest.mark.fault(
    "disks",
    "VarLocation is filled in the middle of a listing, with the coordinator in this process or in one of Ray's",
    "one line; with room again the next run goes on from what was listed",
)
def test_a_disk_that_fills_up_on_each_runtime(
    site: FaultySite, small_disk: Callable[[str], Path], runtime: str
) -> None:
    _fills_up(site, small_disk)


@pytest.mark.soak
@pytest.mark.fault(
    "disks",
    "another process keeps the history or the summary locked for longer than anybody waits",
    "one line that says so; lists and history are whole; the next run is right and lists nothing again",
)
@pytest.mark.parametrize("database", ["var/db/consistency.db", "www/stats.db"])
def test_a_lock_for_long(site: FaultySite, database: str) -> None:
    fill(site)
    assert site.check().code == 0
    lists = _lists(site)
    _change(site, 1)
    with _Holding(site.home / database):
        ended = site.check()
    _assert_one_line(ended, "locked for over 30 seconds")
    assert _lists(site) == lists
    assert_next_is_fine(site)


@pytest.mark.soak
@pytest.mark.fault(
    "disks",
    "the history is locked when the listing is over, for longer than anybody waits",
    "one line; the old lists; the next run takes the listing over and asks for no directory again",
)
def test_a_lock_at_the_end(site: FaultySite) -> None:
    fill(site)
    assert site.check().code == 0
    lists = _lists(site)
    _change(site, 1)
    site.configure(InFlight=1, Connections=1)
    process = site.start_check()
    eventually("begun to list", lambda: site.journal_size > 500, process)
    process.send_signal(signal.SIGSTOP)
    with _Holding(site.home / "var/db/consistency.db"):
        process.send_signal(signal.SIGCONT)
        ended = wait_for(process)
    _assert_one_line(ended, "locked for over 30 seconds")
    assert _lists(site) == lists
    ended = site.check()
    assert ended.code == 0, ended.err
    assert ended.json["resumed"] == ended.json["directories"]
    site.assert_true()
