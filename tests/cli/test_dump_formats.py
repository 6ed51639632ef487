"""Sites whose store or inventory is the dump of another program: what a check and a comparison make of them."""

from __future__ import annotations

import bz2
import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from engine.lfn2path import hash_path
from tests.cli.loaded import run
from tests.cli.program import Ended
from tests.storage.inventory.foreign import writers
from tests.storage.inventory.foreign.test_round_trips import JSON, LENGTHS, LINES, TEXTS
from tests.storage.inventory.foreign.writers import File, Write, lines

OLD = 1_600_000_000
FORMS: dict[str, Write] = {
    **{name: write for name, (_, write) in {**LINES, **TEXTS, **JSON, "lengths": LENGTHS}.items()},
    "ral": lines(writers.ral),
}
COUNT = 2000
"""So many files that one line in them may be spoilt."""

KEPT = [File(b"/store/mc/d%d/kept.%04d" % (n // 100, n), n, OLD + n) for n in range(COUNT)]
LOST = [File(b"/store/mc/a/lost", 6, OLD), File(b"/store/mc/d3/lost", 5, OLD)]
LEFT = [File(b"/store/mc/d1/left", 7, OLD)]
ERROR = b"error(13): no permissions to read directory /store/mc/x\n"


def in_order(*files: File) -> list[File]:
    return sorted(files, key=lambda file: (file.directory, file.name))


KNOWN, THERE = in_order(*KEPT, *LOST), in_order(*KEPT, *LEFT)


def configure(home: Path, **keys: Any) -> None:
    settings = {
        "RootPath": "/store",
        "DirectoryList": ["mc"],
        "Runtime": "threads",
        "MaxMissing": 10,
        "Sites": {"T2_X": keys},
    }
    (home / "consistency_config.json").write_text(json.dumps(settings))


def checked(home: Path) -> tuple[list[str], list[str]]:
    ended = run("check", "T2_X", cwd=home)
    assert ended.code == 0, ended
    return found(home)


def found(home: Path) -> tuple[list[str], list[str]]:
    missing, orphan = (
        (home / "www" / f"T2_X_compare_{kind}.txt").read_text().splitlines() for kind in ("missing", "orphan")
    )
    return missing, orphan


def named(files: list[File]) -> list[str]:
    return [file.path.decode() for file in files]


@pytest.mark.parametrize("form", ["pipe", "ral", "dcache", "syncat", "lengths", "xrdfs", "rclone"])
def test_a_store_that_is_known_by_a_dump(tmp_path: Path, form: str) -> None:
    configure(tmp_path, AccessMethod="RAL-Reader", Dump="dump.bz2", Inventory="inventory")
    (tmp_path / "dump.bz2").write_bytes(bz2.compress(FORMS[form](THERE)))
    (tmp_path / "inventory").write_bytes(b"".join(b"%b %d\n" % (file.path, file.size) for file in KNOWN))
    if form == "rclone":
        # Paths begin at what was listed.
        stripped = [File(file.path.removeprefix(b"/store"), file.size, file.mtime) for file in THERE]
        (tmp_path / "dump.bz2").write_bytes(bz2.compress(FORMS[form](stripped)))
    assert checked(tmp_path) == (named(LOST), named(LEFT))


@pytest.mark.parametrize("prefix", ["", "/pool"])
def test_paths_of_replicas_in_the_dump_of_a_store_are_made_as_the_rse_does(tmp_path: Path, prefix: str) -> None:
    def of(files: list[File]) -> bytes:
        row = b"T2_X\tmc\t%b\tab\t%d\t2020-01-01 00:00:00\t\t2020-01-01 00:00:00\tA\n"
        return b"".join(row % (file.name, file.size) for file in files)

    def path_of(file: File) -> bytes:
        return b"/store/" + hash_path(b"mc", file.name)

    store: dict[str, Any] = {"AccessMethod": "RAL-Reader", "Dump": "dump", "Inventory": "inventory"}
    store = {**store, "PathPrefix": prefix} if prefix else store
    kept = KEPT[:100]
    (tmp_path / "dump").write_bytes(of([*kept, *LEFT]))
    known = [b"%b %d\n" % (path_of(file), file.size) for file in [*kept, LOST[0]]]
    (tmp_path / "inventory").write_bytes(b"".join(known))
    configure(tmp_path, **store)
    refused = run("check", "T2_X", cwd=tmp_path)
    assert refused.code == 4, refused
    assert "Rucio.LFN2Path to say how the RSE makes paths" in refused.message
    configure(tmp_path, **store, Rucio={"LFN2Path": "hash"})
    assert checked(tmp_path) == ([path_of(LOST[0]).decode()], [path_of(LEFT[0]).decode()])
    # What was made of it by another rule is not read again.
    configure(tmp_path, **store, Rucio={"LFN2Path": "identity"})
    left = run("check", "T2_X", "--json", cwd=tmp_path)
    assert left.json["missing"] == 101


@pytest.mark.parametrize("form", ["pipe", "rucio", "eos, quoted", "xrdfs, old", "eos, pretty"])
def test_an_inventory_that_is_a_dump(tmp_path: Path, form: str) -> None:
    for file in THERE:
        path = tmp_path / "disk" / file.path.decode().lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.truncate(path, file.size)
        os.utime(path, (OLD, OLD))
    configure(tmp_path, Doors=[f"file://{tmp_path}/disk"], Inventory="dump")
    (tmp_path / "dump").write_bytes(FORMS[form](KNOWN))
    assert checked(tmp_path) == (named(LOST), named(LEFT))


def spoilt(files: list[File]) -> bytes:
    written = lines(writers.pipe)(files).splitlines(keepends=True)
    written.insert(1000, ERROR)
    return b"".join(written)


def test_with_a_line_that_nobody_can_read_nothing_in_a_dump_is_missing(tmp_path: Path) -> None:
    configure(tmp_path, AccessMethod="RAL-Reader", Dump="dump", Inventory="inventory")
    (tmp_path / "dump").write_bytes(spoilt(THERE))
    (tmp_path / "inventory").write_bytes(b"".join(b"%b %d\n" % (file.path, file.size) for file in KNOWN))
    for _ in range(2):
        ended = run("check", "T2_X", "--json", cwd=tmp_path)
        assert ended.code == 0, ended
        assert "1 line does not fit; the first is line 1001" in ended.err
        assert "it may be of any file, so that none is called missing" in ended.err
        assert (ended.json["missing"], ended.json["orphan"], ended.json["protected"]) == (0, 1, 2)
    assert found(tmp_path) == ([], named(LEFT))

    # What was listed of it says so, too.
    listed = run("list", "T2_X", "-o", "snap", cwd=tmp_path)
    assert listed.code == 0, listed
    assert compared(tmp_path, "inventory", "snap")[:3] == (0, 1, 2)
    assert "without it the listing is not whole" in run("dump-tree", "--remote", cwd=tmp_path).err


def test_with_a_line_that_nobody_can_read_nothing_is_an_orphan(tmp_path: Path) -> None:
    configure(tmp_path, AccessMethod="RAL-Reader", Dump="dump", Inventory="inventory")
    (tmp_path / "dump").write_bytes(FORMS["pipe"](THERE))
    (tmp_path / "inventory").write_bytes(spoilt(KNOWN))
    ended = run("check", "T2_X", "--json", cwd=tmp_path)
    assert ended.code == 0, ended
    assert "it may be of any file, so that none is called an orphan" in ended.err
    assert (ended.json["missing"], ended.json["orphan"], ended.json["protected"]) == (2, 0, 1)
    assert found(tmp_path) == (named(LOST), [])
    assert "without it the inventory is not whole" in run("dump-tree", cwd=tmp_path).err


def test_above_the_limit_the_run_is_refused_with_the_line(tmp_path: Path) -> None:
    configure(tmp_path, AccessMethod="RAL-Reader", Dump="dump", Inventory="inventory", MaxMalformed=0.0001)
    (tmp_path / "dump").write_bytes(spoilt(THERE))
    (tmp_path / "inventory").write_bytes(FORMS["pipe"](KNOWN))
    ended = run("check", "T2_X", cwd=tmp_path)
    assert ended.code == 4
    assert (
        "1 of 2,002 lines do not fit, and MaxMalformed lets 0.0001 of them pass; the first is line 1001"
        in ended.message
    )
    (tmp_path / "dump").write_bytes(FORMS["pipe"](THERE))
    (tmp_path / "inventory").write_bytes(spoilt(KNOWN))
    ended = run("check", "T2_X", cwd=tmp_path)
    assert ended.code == 2
    assert "the first is line 1001" in ended.message


@pytest.mark.parametrize("side", ["Dump", "Inventory"])
def test_a_dump_that_is_too_old_is_refused(tmp_path: Path, side: str) -> None:
    configure(tmp_path, AccessMethod="RAL-Reader", Dump="there", Inventory="known", DumpAge=30)
    then = time.strftime("%Y%m%d", time.gmtime(time.time() - 40 * 86400))
    for name, files, key in (("there", THERE, "Dump"), ("known", KNOWN, "Inventory")):
        (tmp_path / name).write_bytes(FORMS["pipe"](files))
        if key == side:
            (tmp_path / name).rename(tmp_path / f"{name}_{then}")
            (tmp_path / name).symlink_to(f"{name}_{then}")
    configure(
        tmp_path,
        AccessMethod="RAL-Reader",
        Dump=f"there_{then}" if side == "Dump" else "there",
        Inventory=f"known_{then}" if side == "Inventory" else "known",
        DumpAge=30,
    )
    ended = run("check", "T2_X", cwd=tmp_path)
    assert ended.code == (4 if side == "Dump" else 2)
    # The day began fourteen hours earlier somewhere.
    assert re.search(r"as its name \(UTC\+14\) says, 4[01]\.", ended.message)
    assert "DumpAge allows 30" in ended.message
    assert ("dump-old: " in ended.message) == (side == "Dump")


def test_the_age_in_a_name_bounds_what_an_inventory_can_judge(tmp_path: Path) -> None:
    """A file of after the dump was made is in no dump, be the copy as young as it may."""
    then = time.time() - 20 * 86400
    name = f"known_{time.strftime('%Y%m%d', time.gmtime(then))}"
    young = File(b"/store/mc/d1/young", 7, int(then + 10 * 86400))
    configure(tmp_path, AccessMethod="RAL-Reader", Dump="there", Inventory=name)
    (tmp_path / "there").write_bytes(FORMS["pipe"](in_order(*THERE, young)))
    (tmp_path / name).write_bytes(FORMS["pipe"](KNOWN))
    assert checked(tmp_path) == (named(LOST), named(LEFT))


def compared(home: Path, *sides: str) -> tuple[int, int, int, str]:
    ended: Ended = run("compare", *sides, "--json", cwd=home)
    assert ended.code == 0, ended
    return ended.json["missing"], ended.json["orphan"], ended.json["protected"], ended.err


@pytest.mark.parametrize("form", FORMS)
def test_any_two_dumps_are_compared(tmp_path: Path, form: str) -> None:
    (tmp_path / "known").write_bytes(FORMS["eos"](KNOWN))
    there = THERE
    if form in ("rclone", "rucio without paths"):
        # Paths that begin nowhere begin at RootPath.
        there = [File(file.path.removeprefix(b"/store"), file.size, file.mtime) for file in THERE]
    (tmp_path / "there").write_bytes(FORMS[form](there))
    if form == "rucio without paths":
        refused = run("compare", "known", "there", cwd=tmp_path)
        assert refused.code == 2
        assert "line 1: expected a path, or Rucio.LFN2Path to say how the RSE makes paths" in refused.message
        (tmp_path / "consistency_config.json").write_text(json.dumps({"Rucio": {"LFN2Path": "identity"}}))
    assert compared(tmp_path, "known", "there") == (2, 1, 0, "")
    assert compared(tmp_path, "there", "known") == (1, 2, 0, "")


def test_a_spoilt_line_on_either_side_of_a_comparison_of_dumps(tmp_path: Path) -> None:
    (tmp_path / "known").write_bytes(spoilt(KNOWN))
    (tmp_path / "there").write_bytes(FORMS["pipe"](THERE))
    assert compared(tmp_path, "known", "there")[:3] == (2, 0, 1)
    assert compared(tmp_path, "there", "known")[:3] == (0, 2, 1)
    (tmp_path / "both").write_bytes(spoilt(THERE))
    assert compared(tmp_path, "known", "both")[:3] == (0, 0, 3)
    # A second inventory that cannot be read in full agrees with no orphan.
    ended = run("compare", "inventory", "there", "--second-inventory", "known", "--json", cwd=tmp_path)
    assert ended.code == 2
    (tmp_path / "inventory").write_bytes(FORMS["pipe"](KNOWN))
    ended = run("compare", "inventory", "there", "--second-inventory", "known", "--json", cwd=tmp_path)
    assert (ended.json["missing"], ended.json["orphan"], ended.json["protected"]) == (2, 0, 1)


def test_replicas_on_their_way_are_neither_missing_nor_orphans(tmp_path: Path) -> None:
    row = b"T2_X\tmc\t%b\tab\t7\t2020-01-01 00:00:00\tmc/%b\t2020-01-01 00:00:00\t%b\n"
    states = {b"a": b"A", b"c": b"C", b"d": b"B", b"e": b"A"}
    (tmp_path / "known").write_bytes(b"".join(row % (name, name, state) for name, state in states.items()))
    (tmp_path / "there").write_bytes(b"/store/mc/a|7\n/store/mc/c|3\n/store/mc/x|7\n")
    ended = run("compare", "known", "there", "-o", "found", cwd=tmp_path)
    assert ended.code == 0, ended
    assert (tmp_path / "found_missing.txt").read_text() == "/store/mc/e\n"
    assert (tmp_path / "found_orphan.txt").read_text() == "/store/mc/x\n"
    assert (tmp_path / "found_size_mismatch.txt").read_text() == ""
