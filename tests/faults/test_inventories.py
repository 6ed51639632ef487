"""Inventories that are damaged, and inventories that move while the store is listed."""

from __future__ import annotations

import gzip
import json
import os
import random
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

import pytest

from storage.runs.directory import RunDirectory
from storage.snapshot import part_of
from tests.cli.loaded import run
from tests.cli.program import PATIENCE, Ended, environment, eventually, wait_for
from tests.faults.site import OLD, FaultySite
from tests.servers.xrootd import XRootDServer
from tests.storage.backends.conftest import make_database


@pytest.fixture
def planted(site: FaultySite) -> FaultySite:
    """A site with one missing file and one orphan, among others that agree."""
    site.plant_few()
    site.prepare()
    return site


def assert_refused(site: FaultySite, why: str) -> None:
    ended = site.check()
    assert ended.code != 0
    assert why in ended.message
    assert [path.name for path in site.web.glob("*_compare_*")] == []


def assert_planted(site: FaultySite) -> None:
    ended = site.check()
    assert ended.code == 0, ended.err
    site.assert_found(["data/1/lost.root"], ["data/2/left.root"])


@pytest.mark.fault(
    "inventories",
    "a text cut in the middle of a line, so that it has fewer fields",
    "the run fails with one line and nothing is called missing or orphan",
)
@pytest.mark.parametrize("lost", [12, 16, 20])
def test_a_text_that_was_cut_in_a_line(planted: FaultySite, lost: int) -> None:
    planted.inventory.write_bytes(planted.inventory.read_bytes()[:-lost])
    assert_refused(planted, "inventory")


def write_names(site: FaultySite, end: str, sizes: bool = False) -> bytes:
    """Write the inventory without times, a file that is there as the last one; ``end`` is what ends it."""
    del site.known[b"data/1/lost.root"]
    site.know("data/1/lost.root", 7)
    site.know("data/3/last.root", 1234)
    site.put("data/3/last.root", 1234, known=False)
    lines = [
        f"{site.lfn}/{os.fsdecode(name)}{f' {size}' if sizes else ''}" for name, size in sorted(site.known.items())
    ]
    site.inventory.write_text("\n".join(lines) + end)
    site.configure(InventoryFormat="sizes" if sizes else "paths")
    return site.inventory.read_bytes()


@pytest.mark.fault(
    "inventories", "a list without a newline at its end, whole", "accepted; the same findings as with one"
)
@pytest.mark.parametrize("sizes", [False, True])
def test_a_list_without_a_newline_at_its_end(planted: FaultySite, sizes: bool) -> None:
    write_names(planted, "", sizes)
    assert_planted(planted)


@pytest.mark.fault(
    "inventories",
    "a list without a newline at its end, whole, whose last file is missing",
    "accepted; the file is called missing",
)
def test_the_last_file_of_a_list_without_a_newline_is_missing(planted: FaultySite) -> None:
    planted.inventory.write_bytes(planted.inventory.read_bytes()[:-1])
    assert planted.inventory.read_bytes().splitlines()[-1].startswith(f"{planted.lfn}/data/1/lost.root".encode())
    assert_planted(planted)


@pytest.mark.fault(
    "inventories",
    "a list cut in the last name, in a directory of it or in its size; the store shows it",
    "refused, `inventory-cut`; a newline, or the rest, lets the next check go on from the finished listing",
)
@pytest.mark.parametrize(("sizes", "lost"), [(False, 4), (False, 12), (True, 1), (True, 3)])
def test_a_list_that_was_cut_in_its_last_line(planted: FaultySite, sizes: bool, lost: int) -> None:
    whole = write_names(planted, "", sizes)
    planted.inventory.write_bytes(whole[:-lost])
    ended = planted.check()
    assert ended.code == 4
    assert "inventory-cut: " in ended.message
    assert "end it with a newline if it is whole" in ended.message
    assert [path.name for path in planted.web.glob("*_compare_*")] == []
    planted.inventory.write_bytes(whole)
    planted.assert_few_without_listing()


@pytest.mark.fault(
    "inventories",
    "a gzip stream that ends early",
    "the run fails with one line and nothing is called missing or orphan",
)
@pytest.mark.parametrize("lost", [1, 8, 200])
def test_a_packed_inventory_that_was_cut(planted: FaultySite, lost: int) -> None:
    packed = gzip.compress(planted.inventory.read_bytes())
    planted.inventory.write_bytes(packed[:-lost])
    assert_refused(planted, "the gzip stream is cut off")


@pytest.mark.fault("inventories", "lines in no order, and each three times", "the same findings as in order and once")
def test_lines_in_no_order_and_more_than_once(planted: FaultySite) -> None:
    lines = planted.inventory.read_bytes().splitlines(keepends=True)
    shuffled = lines[1:] * 3
    random.Random(5).shuffle(shuffled)
    planted.inventory.write_bytes(b"".join([lines[0], *shuffled]))
    assert_planted(planted)


@pytest.mark.fault("inventories", "lines that end with CR LF", "the same findings as with LF")
def test_lines_that_end_with_returns(planted: FaultySite) -> None:
    planted.inventory.write_bytes(planted.inventory.read_bytes().replace(b"\n", b"\r\n"))
    assert_planted(planted)


@pytest.mark.fault("inventories", "a byte order mark at the beginning", "the same findings as without")
def test_a_byte_order_mark(planted: FaultySite) -> None:
    planted.inventory.write_bytes(b"\xef\xbb\xbf" + planted.inventory.read_bytes())
    assert_planted(planted)


@pytest.mark.fault(
    "inventories", "an inventory without a file", "the run fails with one line and nothing is called missing or orphan"
)
def test_an_empty_inventory(planted: FaultySite) -> None:
    planted.inventory.write_bytes(b"")
    assert_refused(planted, "names no file")


@pytest.mark.fault(
    "inventories",
    "an entry in whose place the store has a directory",
    "the file is called missing, the directory stays, and what is in it is judged by itself",
)
def test_a_directory_in_place_of_a_file(planted: FaultySite) -> None:
    # Whether the entry or the directory is wrong nobody can tell; that there is no such file is true.
    planted.put("data/replaced/inside.root", known=False)
    planted.put("data/replaced/known.root")
    planted.know("data/replaced", 10)
    planted.prepare()
    ended = planted.check()
    assert ended.code == 0, ended.err
    planted.assert_found(["data/1/lost.root", "data/replaced"], ["data/2/left.root", "data/replaced/inside.root"])


@dataclass
class Moving:
    """A check that stands still in the middle of its listing, when the first inventory was read."""

    site: FaultySite
    server: XRootDServer
    process: Popen[str]

    def goes_on(self) -> Ended:
        """Write the inventory as it is known now, and let the check come to its end."""
        self.site.write_inventory()
        return self.ends()

    def ends(self) -> Ended:
        assert self.process.poll() is None
        self.server.resume()
        return wait_for(self.process)


MAIN = """
from dynamo_consistency import config, main
config.LOCATION = "consistency_config.json"
main.main("T2_FAULTY")
"""


def start_python(site: FaultySite, program: str) -> Popen[str]:
    """Start a program that uses the front end."""
    # Not through the shell, and with nothing of this process's own settings.
    return Popen(
        [sys.executable, "-c", program],
        cwd=site.home,
        env=environment(**site.env),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        text=True,
    )


@pytest.fixture
def start_moving(
    start_xrootd: Callable[..., XRootDServer], make_site: Callable[..., FaultySite], tmp_path: Path
) -> Callable[..., Moving]:
    """Start a check of a wide site that asks for one directory at a time; gives it when it is held up."""
    server = start_xrootd()
    store = server.store / "wide"
    store.mkdir()
    site = make_site([store], "/store/wide", [server.url])
    for number in range(1500):
        site.put(f"data/d{number:04}/f.root")
    site.put("data/orphaned/left.root", known=False)
    site.know("data/lost/gone.root")
    # What will be in the inventory, and what will be no more.
    site.put("data/late/new.root", known=False)
    site.put("data/late/never.root", known=False)
    site.know("data/deleted/old.root")
    site.know("data/d0001/old.root")
    site.put("data/resized/f.root", 20)
    site.know("data/resized/f.root", 10)
    site.put("data/wrong/f.root", 20)
    site.know("data/wrong/f.root", 10)
    site.make("data/awaited/deep")
    site.make("data/empty")

    def start(
        write: Callable[[FaultySite], None] = lambda _site: None, program: str | None = None, **keys: object
    ) -> Moving:
        write(site)
        site.prepare(InFlight=1, NumThreads=1, Connections=1, Timeout=30, **keys)
        # As long as its time is fresh it may change without looking so.
        os.utime(site.inventory, (OLD, OLD))
        process = site.start_check() if program is None else start_python(site, program)
        state = RunDirectory(site.home / "var", site.name).path / "run.json"

        def is_read() -> bool:
            try:
                return bool(json.loads(state.read_text())["inventory_read"])
            except (OSError, ValueError, KeyError):
                return False

        eventually("the inventory was read", is_read, process)
        server.pause()
        return Moving(site, server, process)

    return start


def move(site: FaultySite) -> None:
    """Change the inventory, as happens in days."""
    site.know("data/late/new.root")
    site.know("data/resized/f.root", 20)
    site.know("data/awaited/deep/soon.root")
    for name in (b"data/deleted/old.root", b"data/d0001/old.root"):
        del site.known[name]


REST: dict[str, list[str]] = {
    "missing": ["data/lost/gone.root"],
    "orphan": ["data/late/never.root", "data/orphaned/left.root"],
    "mismatch": ["data/wrong/f.root"],
    "empty": ["data/empty"],
}
DROPPED = {"missing": 2, "orphan": 1, "size_mismatch": 1, "empty": 2}


@pytest.mark.quick_on("threads")
@pytest.mark.fault(
    "inventories",
    "files are added, removed and resized in the inventory while the store is listed",
    "only what both readings lead to is found, the rest counted",
)
def test_the_inventory_moves_during_the_listing(start_moving: Callable[..., Moving], runtime: str) -> None:
    moving = start_moving()
    site = moving.site
    move(site)
    ended = moving.goes_on()
    assert ended.code == 0, ended.err
    site.assert_found(**REST)
    assert ended.json["changed_meanwhile"] == DROPPED
    said = "the inventory changed meanwhile: dropped 2 missing, 1 orphan, 1 size mismatch, 2 empty"
    assert said in run("history", site.name, "--json", cwd=site.home).out


@pytest.mark.fault(
    "inventories",
    "files are removed and moved, in the inventory and the store, while the store is listed",
    "none of them is found, be their directories listed already or not",
)
def test_files_go_from_both_during_the_listing(start_moving: Callable[..., Moving]) -> None:
    moving = start_moving()
    site = moving.site
    move(site)
    # One lister asks for one directory at a time: some of these were listed, some were not.
    for number in range(0, 1500, 100):
        gone = f"data/d{number:04}/f.root"
        site.path(gone).unlink()
        del site.known[gone.encode()]
        old, new = f"data/d{number + 1:04}/f.root", f"data/d{1499 - number:04}/moved.root"
        site.path(old).rename(site.path(new))
        site.known[new.encode()] = site.known.pop(old.encode())
    ended = moving.goes_on()
    assert ended.code == 0, ended.err
    site.assert_true()
    assert (ended.json["missing"], ended.json["orphan"], ended.json["size_mismatch"]) == (1, 2, 1)


@pytest.mark.fault(
    "inventories",
    "what comes into the inventory meanwhile is in a directory that has a second name by a link",
    "it is no orphan under that name either",
)
def test_what_comes_into_the_inventory_is_behind_a_link(start_moving: Callable[..., Moving]) -> None:
    def link(site: FaultySite) -> None:
        site.put("data/new/come.root", known=False)
        site.put("data/new/left.root", known=False)
        # It is the one that an orphan would be reported under.
        site.path("data/anew").symlink_to("new")

    moving = start_moving(link)
    site = moving.site
    site.know("data/new/come.root")
    ended = moving.goes_on()
    assert ended.code == 0, ended.err
    orphans = site.found("compare_orphan")
    assert b"data/anew/left.root" in orphans
    assert not [name for name in orphans if b"come.root" in name]
    site.assert_true()


@pytest.mark.fault("inventories", "another dump of after the listing", "only what both dumps lead to is found")
def test_another_dump(start_moving: Callable[..., Moving]) -> None:
    moving = start_moving(SecondInventory="later.txt")
    site = moving.site
    move(site)
    write_later(site)
    ended = moving.ends()
    assert ended.code == 0, ended.err
    site.assert_found(**REST)
    assert ended.json["changed_meanwhile"] == DROPPED


@pytest.mark.fault("inventories", "the inventory is written anew with the same content", "the same findings")
def test_the_inventory_is_rewritten(start_moving: Callable[..., Moving]) -> None:
    moving = start_moving()
    ended = moving.goes_on()
    assert ended.code == 0, ended.err
    moving.site.assert_true()
    assert ended.json["changed_meanwhile"] == dict.fromkeys(DROPPED, 0)
    assert (ended.json["missing"], ended.json["orphan"]) == (3, 3)


@pytest.mark.fault(
    "inventories",
    "the second inventory is cut short, empty or gone",
    "the run fails and records no finding; the next one goes on from the finished listing",
)
@pytest.mark.parametrize("damage", ["cut", "empty", "gone"])
def test_a_second_inventory_that_cannot_be_used(start_moving: Callable[..., Moving], damage: str) -> None:
    moving = start_moving()
    site = moving.site
    move(site)
    site.write_inventory()
    whole = site.inventory.read_bytes()
    if damage == "gone":
        site.inventory.unlink()
    else:
        site.inventory.write_bytes(whole[:-16] if damage == "cut" else b"")
    failed = moving.ends()
    assert failed.code != 0
    assert "the second inventory: " in failed.message
    assert [path.name for path in site.web.glob("*_compare_*")] == []

    site.inventory.write_bytes(whole)
    ended = site.check()
    assert ended.code == 0, ended.err
    assert ended.json["resumed"] == ended.json["directories"]
    site.assert_found(**REST)
    assert ended.json["changed_meanwhile"] == DROPPED


def write_database(site: FaultySite) -> None:
    """Write what the inventory knows into an SQLite database, as of long ago."""
    path = site.home / "inventory.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS files (lfn TEXT, size INTEGER, mtime INTEGER)")
        connection.execute("DELETE FROM files")
        rows = [(f"{site.lfn}/{os.fsdecode(name)}", size, OLD) for name, size in site.known.items()]
        connection.executemany("INSERT INTO files VALUES (?, ?, ?)", rows)
        connection.commit()
    os.utime(path, (OLD, OLD))


@pytest.mark.fault(
    "inventories", "an SQLite inventory moves during the listing", "only what both readings lead to is found"
)
def test_a_database_file_moves(start_moving: Callable[..., Moving]) -> None:
    moving = start_moving(write_database, Inventory="inventory.db")
    site = moving.site
    move(site)
    write_database(site)
    # As it is after a commit: the time of a change, and not that of the rows.
    os.utime(site.home / "inventory.db", (OLD + 1, OLD + 1))
    ended = moving.ends()
    assert ended.code == 0, ended.err
    site.assert_found(**REST)
    assert ended.json["changed_meanwhile"] == DROPPED


@pytest.mark.fault(
    "inventories",
    "the tables behind the backend sql move during the listing",
    "only what both readings lead to is found",
)
def test_a_database_moves(start_moving: Callable[..., Moving], request: pytest.FixtureRequest, tmp_path: Path) -> None:
    database = make_database(request, "postgresql", tmp_path)
    database.execute("CREATE TABLE replicas (lfn TEXT PRIMARY KEY, size BIGINT, mtime BIGINT)")

    def write(site: FaultySite) -> None:
        rows = [f"('{site.lfn}/{os.fsdecode(name)}', {size}, {OLD})" for name, size in site.known.items()]
        database.execute("DELETE FROM replicas", f"INSERT INTO replicas VALUES {', '.join(rows)}")

    queries = {"URL": database.url, "Files": "SELECT lfn, size, mtime FROM replicas"}
    moving = start_moving(write, Backends={"inventory": "sql"}, SQL=queries)
    site = moving.site
    move(site)
    write(site)
    ended = moving.ends()
    assert ended.code == 0, ended.err
    site.assert_found(**REST)
    assert ended.json["changed_meanwhile"] == DROPPED


LONG = 6_000_000
"""Lines that take seconds to read."""


def write_later(site: FaultySite, more: int = 0) -> None:
    """Write the inventory as it is known now as a second one, with more lines behind it that are of no account."""
    before = site.inventory.read_bytes()
    site.write_inventory()
    block = b"".join(b"/elsewhere/another/site/file%06d.root 12345 1700000000\n" % number for number in range(100_000))
    with gzip.open(site.home / "later.txt", "wb", compresslevel=1) as file:
        file.write(site.inventory.read_bytes())
        for _ in range(more // 100_000):
            file.write(block)
    site.inventory.write_bytes(before)
    os.utime(site.inventory, (OLD, OLD))


@pytest.mark.fault(
    "inventories",
    "the run is halted, or killed with kill -9, while the inventory is read again",
    "a halt is heeded within 2 s; no list is written; the next check goes on from the finished listing and is right",
)
@pytest.mark.parametrize("how", ["halt", "kill"])
def test_stopped_while_the_inventory_is_read_again(start_moving: Callable[..., Moving], how: str) -> None:
    stop_while_the_inventory_is_read_again(start_moving, how)


@pytest.mark.soak
@pytest.mark.fault(
    "inventories",
    "the run is halted, or killed with kill -9, while the inventory is read again, on both runtimes",
    "a halt is heeded within 2 s; no list is written; the next check goes on from the finished listing and is right",
)
@pytest.mark.parametrize("how", ["halt", "kill"])
def test_stopped_while_the_inventory_is_read_again_on_both(
    start_moving: Callable[..., Moving], how: str, runtime: str
) -> None:
    stop_while_the_inventory_is_read_again(start_moving, how)


def stop_while_the_inventory_is_read_again(start_moving: Callable[..., Moving], how: str) -> None:
    moving = start_moving(SecondInventory="later.txt")
    site, process = moving.site, moving.process
    move(site)
    write_later(site, LONG)
    directory = RunDirectory(site.home / "var", site.name)
    moving.server.resume()
    eventually("the inventory was read again", lambda: part_of(directory.second_inventory).exists(), process)
    if how == "kill":
        process.kill()
        process.communicate()
    else:
        assert directory.request_halt(2.0)
        ended = wait_for(process)
        assert ended.code == 3, ended.err
    assert [path.name for path in site.web.glob("*_compare_*")] == []

    write_later(site)
    ended = site.check()
    assert ended.code == 0, ended.err
    assert ended.json["resumed"] == ended.json["directories"]
    assert ended.json["requests"] < 50
    site.assert_found(**REST)
    assert ended.json["changed_meanwhile"] == DROPPED


@pytest.mark.fault(
    "inventories", "files are added and removed in the inventory during `main` of the front end", "as in a check"
)
def test_the_inventory_moves_during_the_main_of_the_front_end(start_moving: Callable[..., Moving]) -> None:
    moving = start_moving(program=MAIN)
    move(moving.site)
    moving.site.write_inventory()
    moving.server.resume()
    out, err = moving.process.communicate(timeout=PATIENCE)
    assert moving.process.returncode == 0, (out, err)
    moving.site.assert_found(**REST)
