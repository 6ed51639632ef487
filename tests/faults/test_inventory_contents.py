"""Inventories whose lines each can be read, and which together make no sense."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cli.loaded import run
from tests.faults.site import FaultySite


@pytest.fixture
def planted(site: FaultySite) -> FaultySite:
    """A site with one missing file and one orphan, among others that agree."""
    site.plant_few()
    site.prepare(InventoryFormat="auto")
    return site


@pytest.mark.fault(
    "inventories",
    "sizes of missing files that add up to more than 64 bits hold",
    "the run is recorded and shown with the largest size there is, which is too many to act on",
)
def test_sizes_that_add_up_to_too_much(planted: FaultySite) -> None:
    planted.know("data/1/lost.root", 2**63 - 1)
    planted.know("data/3/lost.root", 2**63 - 1)
    planted.prepare(MaxMissingSize=2**63 - 1)
    ended = planted.check()
    assert ended.code == 0, ended.err
    planted.assert_found(["data/1/lost.root", "data/3/lost.root"], ["data/2/left.root"])
    assert ended.json["missing_bytes"] == 2**63 - 1
    assert [gate["gate"] for gate in ended.json["gates"]] == ["too-many"]
    for command in ("check", "history", "sites"):
        again = run(command, *([] if command == "sites" else [planted.name]), cwd=planted.home)
        assert again.code == 0, again.err


def lines_of(site: FaultySite) -> list[bytes]:
    """Give path and size of what the inventory knows, a line each."""
    return [f"{site.lfn}/{name.decode()} {size}".encode() for name, size in site.known.items()]


def bare(line: bytes) -> bytes:
    return line.rpartition(b" ")[0]


MISREAD: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "only the first line has no CR": lambda lines: [bare(lines[0]), *(bare(line) + b"\r" for line in lines[1:])],
    "one line has a CR": lambda lines: [*map(bare, lines[1:]), bare(lines[0]) + b"\r"],
    "one line has a size": lambda lines: [*map(bare, lines[1:]), lines[0]],
    "a blank behind each name": lambda lines: [bare(line) + b" " for line in lines],
    "a table without a header": lambda lines: [line.replace(b" ", b",") + b",ad1e" for line in lines],
    "a checksum behind the size": lambda lines: [line + b" ad1e" for line in lines],
}


@pytest.mark.fault(
    "inventories",
    "a list in two formats, or with more than a name in its lines, that is taken for a list of names",
    "refused, `inventory-format`; put right, the next check goes on from the finished listing",
)
@pytest.mark.parametrize("how", MISREAD)
def test_more_than_a_name_is_taken_for_one(planted: FaultySite, how: str) -> None:
    lines = lines_of(planted)
    planted.inventory.write_bytes(b"\n".join([*MISREAD[how](lines), b""]))
    ended = planted.check()
    assert ended.code == 4
    assert "inventory-format: " in ended.message
    assert [path.name for path in planted.web.glob("*_compare_*")] == []
    planted.inventory.write_bytes(b"\n".join([*lines, b""]))
    planted.assert_few_without_listing()


@pytest.mark.fault(
    "inventories",
    "the same file with two sizes, of which one is right",
    "it is said how often that is so, and none of these sizes is called wrong",
)
@pytest.mark.parametrize("right", ["first", "last"])
def test_a_file_with_two_sizes(planted: FaultySite, right: str) -> None:
    planted.put("data/3/short.root", 5)
    planted.know("data/3/short.root", 6)
    lines = lines_of(planted)
    wrong = [bare(line) + b" 77" for line in lines[:20]]
    planted.inventory.write_bytes(b"\n".join([*lines, *wrong, b""] if right == "first" else [*wrong, *lines, b""]))
    ended = planted.check()
    assert ended.code == 0, ended.err
    assert "20 lines name a file again, 20 of them with another size" in ended.err
    planted.assert_found(["data/1/lost.root"], ["data/2/left.root"], ["data/3/short.root"])
