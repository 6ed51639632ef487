"""The store as a whole."""

from __future__ import annotations

import pytest

from tests.faults.site import FaultySite


@pytest.mark.fault("the store", "nothing", "what is missing, orphaned, empty and of another size, and nothing else")
def test_nothing_goes_wrong(site: FaultySite, runtime: str) -> None:
    for number in range(20):
        site.put(f"data/{number % 3}/kept{number}.root")
    site.know("data/1/lost.root")
    site.put("data/2/left.root", known=False)
    site.put("data/2/cut.root", 3)
    site.know("data/2/cut.root", 500)
    site.make("data/empty")
    site.prepare()
    ended = site.check()
    assert ended.code == 0, ended.err
    site.assert_found(["data/1/lost.root"], ["data/2/left.root"], ["data/2/cut.root"], ["data/empty"])
    assert site.unlisted() == {}
