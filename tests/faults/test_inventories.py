"""Inventories that are damaged, and inventories that move while the store is listed."""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import pytest

from storage.runs.directory import RunDirectory
from tests.cli.program import Ended, eventually, run, wait_for
from tests.faults.site import OLD, FaultySite
from tests.servers.xrootd import XRootDServer


@pytest.fixture
def planted(site: FaultySite) -> FaultySite:
    """A site with one missing file and one orphan, among others that agree."""
    for number in range(40):
        site.put(f"data/{number % 4}/kept{number:02}.root", 1000 + number)
    site.know("data/1/lost.root", 7)
    site.put("data/2/left.root", known=False)
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
    ended = planted.check()
    assert ended.code == 0, ended.err
    assert ended.json["resumed"] == ended.json["directories"]
    planted.assert_found(["data/1/lost.root"], ["data/2/left.root"])


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


@pytest.mark.fault("inventories", "an entry that says a directory of the store is a file", "nothing is called missing")
def test_a_directory_in_place_of_a_file(planted: FaultySite) -> None:
    # Whether the entry or the directory is wrong nobody can tell; that there is no such file is true.
    planted.make("data/replaced")
    planted.put("data/replaced/inside.root", known=False)
    planted.know("data/replaced", 10)
    planted.prepare()
    ended = planted.check()
    assert ended.code == 0, ended.err
    planted.assert_true()
    assert b"data/replaced/inside.root" in planted.found("compare_orphan")


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

    def start(**keys: object) -> Moving:
        site.prepare(InFlight=1, NumThreads=1, Connections=1, Timeout=30, **keys)
        # As long as its time is fresh it may change without looking so.
        os.utime(site.inventory, (OLD, OLD))
        process = site.start_check()
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


@pytest.mark.fault("inventories", "another dump of after the listing", "only what both dumps lead to is found")
def test_another_dump(start_moving: Callable[..., Moving]) -> None:
    moving = start_moving(SecondInventory="later.txt")
    site = moving.site
    before = site.inventory.read_bytes()
    move(site)
    site.write_inventory()
    site.inventory.rename(site.home / "later.txt")
    site.inventory.write_bytes(before)
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
