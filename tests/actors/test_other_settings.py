"""What a run with other settings than the one before says about what that one has found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.runtime import Runtime
from storage.history.difference import Fate
from storage.history.two_runs import Comparison, FindingKind, choose_runs
from tests.actors.small_site import SITE, Site, run


@pytest.fixture
def threads(start_threads: Callable[[], Runtime]) -> Runtime:
    return start_threads()


def fates(site: Site, before: int, after: int) -> dict[Fate, list[str]]:
    """The orphans of two runs by what became of them."""
    with site.history() as history, history.view() as connection:
        comparison = Comparison(connection, choose_runs(connection, SITE, before, after))
        found = {fate: [row.path.decode() for row in comparison.rows(FindingKind.ORPHAN, fate)] for fate in Fate}
    return {fate: [path.removeprefix(site.lfn("")) for path in paths] for fate, paths in found.items() if paths}


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"DirectoryList": ["data"]}, "DirectoryList"),
        ({"IgnoreDirectories": ["/mc/orp"]}, "IgnoreDirectories"),
        ({"DeleteOrphans": False}, "DeleteOrphans"),
        ({"IgnoreAge": 100_000}, ""),
    ],
)
def test_what_it_did_not_look_at_is_not_gone_also_when_the_settings_are_changed_back(
    threads: Runtime, tmp_path: Path, keys: dict[str, Any], named: str
) -> None:
    site = Site(tmp_path, keys={"MinFiles": 0})
    assert run(threads, site).results.comparison.orphan == 1
    site.keys = {"MinFiles": 0, **keys}
    assert run(threads, site).results.comparison.orphan == 0
    site.keys = {"MinFiles": 0}
    assert fates(site, 1, 2) == {Fate.UNSEEN: ["mc/orphan"]}
    with site.history() as history:
        changes = history.changes(SITE)
    assert (changes.orphans.gone, changes.orphans.unseen, ",".join(changes.settings)) == (0, 1, named)
    shown = (site.www / "sites" / f"{SITE}.html").read_text()
    assert "not seen: the last run could not list where it was" in shown
    assert (f"By other settings ({named})" in shown) == bool(named)

    # The next one looks again, and sees that it is gone.
    (tmp_path / "store/mc/orphan").unlink()
    run(threads, site)
    site.keys = {"MinFiles": 0, **keys}
    assert fates(site, 1, 3) == {Fate.GONE: ["mc/orphan"]}
