"""Dumps of a store whose transfer was cut off: what came behind the cut looks as if it were missing."""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.loaded import run
from tests.cli.program import PATIENCE
from tests.faults.site import OLD, FaultySite
from tests.faults.test_inventories import start_python

FILES = 120
LOST = ["data/1/lost.root", "data/8/lost.root"]
LEFT = ["data/2/left.root"]

_soak = pytest.mark.soak


@pytest.fixture
def dumped(make_site: Callable[..., FaultySite], tmp_path: Path) -> FaultySite:
    """A site that is read from a dump, with two missing files and an orphan."""
    site = make_site([tmp_path / "disk"], "/store/dumped", [])
    for number in range(FILES):
        site.put(f"data/{number % 10}/kept{number:03}.root", 1000 + number)
    for name in LOST:
        site.know(name)
    for name in LEFT:
        site.put(name, known=False)
    site.prepare(AccessMethod="RAL-Reader", Dump="dump", MaxMissing=1000)
    return site


def lines_of(site: FaultySite, in_order: bool = True) -> list[bytes]:
    """Write down what the site has, by the bytes of the paths or in the order of no matter what."""
    files = sorted(path for path in site.stores[0].rglob("*") if path.is_file())
    names = [os.fsencode(path.relative_to(site.stores[0])) for path in files]
    lines = [
        b"%s/%s %d %d\n" % (os.fsencode(site.lfn), name, path.stat().st_size, OLD)
        for name, path in zip(names, files, strict=True)
    ]
    if not in_order:
        random.Random(7).shuffle(lines)
    return lines


def publish(site: FaultySite, content: bytes, packed: bool) -> None:
    """Put a dump of now where the site is read from."""
    (site.home / "dump").write_bytes(gzip.compress(content) if packed else content)


def assert_whole(site: FaultySite, packed: bool, in_order: bool = True) -> None:
    publish(site, b"".join(lines_of(site, in_order)), packed)
    ended = site.check()
    assert ended.code == 0, ended.err
    site.assert_found(LOST, LEFT)


@pytest.mark.fault("dumps", "none: a whole dump, with its lines in order or not", "what is found is exact")
@pytest.mark.parametrize("in_order", [True, False])
def test_a_whole_dump(dumped: FaultySite, in_order: bool) -> None:
    assert_whole(dumped, packed=True, in_order=in_order)


@pytest.mark.fault(
    "dumps",
    "cut in the middle of a line, in a path, a size or a time, or before a newline; plain, or packed afterwards",
    "refused, in one line that names the gate or the line; the findings before stay, and the whole one is right",
)
@pytest.mark.parametrize(
    ("lost", "packed"),
    [
        (1, True),
        (4, False),
        (21, False),
        *(pytest.param(*case, marks=_soak) for case in ((1, False), (4, True), (13, False), (13, True), (21, True))),
    ],
)
def test_a_dump_that_was_cut_in_a_line(dumped: FaultySite, lost: int, packed: bool) -> None:
    assert_whole(dumped, packed)
    lines = lines_of(dumped)
    publish(dumped, b"".join(lines[: FILES - 2])[:-lost], packed)
    ended = dumped.check()
    assert ended.code == 4
    assert "dump-cut: " in ended.message or "expected" in ended.message
    dumped.assert_found(LOST, LEFT)
    if "dump-cut: " in ended.message:
        told = run("history", dumped.name, "--json", cwd=dumped.home)
        assert "dump-cut" in str(json.loads(told.out)["runs"][0]["gates"])
    assert_whole(dumped, packed)


@pytest.mark.fault("dumps", "a gzip stream that ends early", "the run fails in one line; the findings before stay")
@pytest.mark.parametrize("lost", [1, pytest.param(8, marks=_soak), pytest.param(300, marks=_soak)])
def test_a_packed_dump_that_ends_early(dumped: FaultySite, lost: int) -> None:
    assert_whole(dumped, packed=True)
    packed = gzip.compress(b"".join(lines_of(dumped)))
    (dumped.home / "dump").write_bytes(packed[:-lost])
    ended = dumped.check()
    assert ended.code == 4
    assert "the gzip stream is cut off" in ended.message
    dumped.assert_found(LOST, LEFT)


@pytest.mark.fault(
    "dumps",
    "cut at the end of a line, with a tenth less or more than that gone; plain or packed, in order or not",
    "refused, `fewer-files`; the findings before stay, and the whole one is right",
)
@pytest.mark.parametrize(
    ("kept", "packed", "in_order"),
    [(0.3, True, True), (0.85, False, False), pytest.param(0.3, False, False, marks=_soak)],
)
def test_a_dump_that_was_cut_at_a_line(dumped: FaultySite, kept: float, packed: bool, in_order: bool) -> None:
    assert_whole(dumped, packed, in_order)
    publish(dumped, b"".join(lines_of(dumped, in_order)[: int(kept * FILES)]), packed)
    ended = dumped.check()
    assert ended.code == 4
    assert "fewer-files: " in ended.message
    dumped.assert_found(LOST, LEFT)
    assert_whole(dumped, packed, in_order)


@pytest.mark.fault(
    "dumps",
    "as many files gone from the dump as from the inventory, as after a deletion campaign",
    "accepted: it is no cut",
)
def test_a_dump_that_shrinks_with_the_inventory(dumped: FaultySite) -> None:
    assert_whole(dumped, packed=False)
    for number in range(0, FILES, 4):
        name = f"data/{number % 10}/kept{number:03}.root"
        dumped.path(name).unlink()
        del dumped.known[os.fsencode(name)]
    dumped.write_inventory()
    assert_whole(dumped, packed=False)


@pytest.mark.fault(
    "dumps",
    "the first dump of a site, its lines in order, cut at the end of one",
    "nothing behind the last line is called missing; what is missing before it is found",
)
@pytest.mark.parametrize("kept", [0.5, *(pytest.param(kept, marks=_soak) for kept in (0.3, 0.97))])
def test_the_first_dump_was_cut_at_a_line(dumped: FaultySite, kept: float) -> None:
    lines = lines_of(dumped)[: int(kept * FILES)]
    publish(dumped, b"".join(lines), packed=False)
    ended = dumped.check()
    assert ended.code == 0, ended.err
    last = lines[-1].removeprefix(dumped.lfn.encode() + b"/").decode()
    left = [name for name in LEFT if name <= last]
    dumped.assert_found([name for name in LOST if name < last], left)
    there = len(lines) - len(left)
    assert there + ended.json["missing"] + ended.json["protected"] == len(dumped.known)
    assert_whole(dumped, packed=False)


LISTING = """
from dynamo_consistency import config, inventorylister, remotelister, datatypes
config.LOCATION = "consistency_config.json"
datatypes.compare(inventorylister.listing("T2_FAULTY"), remotelister.listing("T2_FAULTY"), "found")
"""


@pytest.mark.fault(
    "dumps",
    "cut in the middle of a line, listed or compared with the front end",
    "an exception that names the gate; nothing is written",
)
def test_a_cut_dump_of_the_front_end(dumped: FaultySite) -> None:
    publish(dumped, b"".join(lines_of(dumped))[:-3], packed=False)
    process = start_python(dumped, LISTING)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "DoorsError: the site T2_FAULTY: dump-cut: " in err.splitlines()[-1]
    assert list(dumped.home.glob("found*")) == []


@pytest.mark.fault(
    "dumps", "cut in the middle of a line, as a side of `compare` or `list`", "refused; nothing is written"
)
def test_a_cut_dump_of_other_commands(dumped: FaultySite) -> None:
    publish(dumped, b"".join(lines_of(dumped))[:-3], packed=False)
    for arguments in (("compare", "inventory.txt", dumped.name, "-o", "found"), ("list", dumped.name, "-o", "found")):
        ended = run(*arguments, cwd=dumped.home)
        assert ended.code == 4
        assert "dump-cut: " in ended.message
    assert list(dumped.home.glob("found*")) == []


@pytest.mark.fault(
    "dumps",
    "lines in two formats, or with more than a name, that are taken for names",
    "refused, `inventory-format`, by `check` and `compare`; put right, what is found is exact",
)
@pytest.mark.parametrize("how", ["returns", "one size", "no header"])
def test_a_dump_that_is_taken_for_names(dumped: FaultySite, how: str) -> None:
    lines = lines_of(dumped)
    names = [line.split(b" ")[0] + b"\n" for line in lines]
    damaged = {
        "returns": [*names[:50], *(name.replace(b"\n", b"\r\n") for name in names[50:])],
        "one size": [*names[:-1], lines[-1].rpartition(b" ")[0] + b"\n"],
        "no header": [line.replace(b" ", b",") for line in lines],
    }
    publish(dumped, b"".join(damaged[how]), packed=False)
    for command in (("check",), ("compare", "inventory.txt")):
        ended = run(*command, dumped.name, cwd=dumped.home)
        assert ended.code == 4
        assert "inventory-format: one of the two lists" in ended.message
    assert list(dumped.web.glob("*_compare_*")) == []
    assert_whole(dumped, packed=False)
