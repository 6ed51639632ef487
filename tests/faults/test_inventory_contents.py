"""Inventories whose lines each can be read, and which together make no sense."""

from __future__ import annotations

import pytest

from tests.cli.program import run
from tests.faults.site import FaultySite


@pytest.fixture
def planted(site: FaultySite) -> FaultySite:
    """A site with one missing file and one orphan, among others that agree."""
    for number in range(40):
        site.put(f"data/{number % 4}/kept{number:02}.root", 1000 + number)
    site.know("data/1/lost.root", 7)
    site.put("data/2/left.root", known=False)
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
