from __future__ import annotations

import json
import os
import time

import pytest

from dynamo_consistency import datatypes
from storage.snapshot import Snapshot
from tests.cli.loaded import run
from tests.cli.planted import PlantedSite

INVENTORY, REMOTE = "var/cache/T2_PLANTED/inventory.snapshot", "var/cache/T2_PLANTED/remote.snapshot"


def test_the_inventory(site: PlantedSite) -> None:
    ended = run("dump-tree", cwd=site.home)
    assert ended.code == 0, ended.err
    assert ended.out.endswith(f"written: {site.home / INVENTORY}\n")
    tree = datatypes.get_info(site.home / INVENTORY)
    assert tree.name == site.lfn
    assert set(site.missing) <= set(tree.get_files())
    assert not set(site.orphan) & set(tree.get_files())


def test_what_is_at_the_site(site: PlantedSite) -> None:
    ended = run("dump-tree", "--remote", "--site", site.name, "--json", cwd=site.home)
    assert (ended.code, ended.err) == (0, "")
    result = ended.json
    assert (result["site"], result["tree"], result["cached"]) == (site.name, "remote", False)
    assert (result["files"], result["unlisted"]) == (site.files, 1)
    assert result["path"] == str(site.home / REMOTE)
    assert datatypes.get_info(result["path"]).get_unlisted() == site.unlisted


def test_under_a_name_of_its_own(site: PlantedSite) -> None:
    for remote in ((), ("--remote",)):
        assert run("dump-tree", *remote, "../funny name", cwd=site.home).code == 0
    assert sorted(os.listdir(site.home / "var/cache/T2_PLANTED")) == ["%2e%2e%2ffunny%20name.snapshot", "lock"]


def test_a_cache_that_is_good_is_taken(site: PlantedSite) -> None:
    assert run("dump-tree", "--remote", cwd=site.home).code == 0
    again = run("dump-tree", "--remote", cwd=site.home)
    assert "remote (from the cache): " in again.out
    assert again.out.endswith(f"kept: {site.home / REMOTE}\n")
    old = time.time() - 2 * 86400
    os.utime(site.home / REMOTE, (old, old))
    assert "from the cache" not in run("dump-tree", "--remote", cwd=site.home).out


def test_the_two_can_be_compared(site: PlantedSite) -> None:
    for remote in ((), ("--remote",)):
        assert run("dump-tree", *remote, cwd=site.home).code == 0
    ended = run("compare", INVENTORY, REMOTE, "--ignore-age", "1", "--json", cwd=site.home)
    assert (ended.json["missing"], ended.json["orphan"]) == (len(site.missing), len(site.orphan))


def test_it_can_be_saved_elsewhere_as_well(site: PlantedSite) -> None:
    ended = run("dump-tree", "-o", "tree.snap", cwd=site.home)
    assert ended.out.splitlines()[-2:] == [f"written: {site.home / INVENTORY}", "written: tree.snap"]
    tables = [Snapshot(site.home / name).table for name in (INVENTORY, "tree.snap")]
    assert tables[0].paths == tables[1].paths


def test_it_can_be_printed(site: PlantedSite) -> None:
    ended = run("dump-tree", "--remote", "--display", cwd=site.home)
    assert ended.code == 0
    assert ended.out.startswith(f"{site.lfn}  [")
    assert f"\n{site.unlisted[0]}  [failed: permission denied]" in ended.out
    assert "\n  with blank.root  10 bytes" in ended.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--site", "T2_NOWHERE"], 'no site "T2_NOWHERE" under Sites; known: T2_PLANTED'),
        (["-o", "."], "is a directory"),
        (["-o", "inventory.txt/tree"], "cannot be made: "),
        (["-o", "tree.part"], "an unfinished listing is called so"),
        (["--display", "--json"], "--display and --json exclude each other"),
        (["--runtime", "fast", "--remote"], "expected ray or threads"),
    ],
)
def test_what_cannot_be_done(site: PlantedSite, arguments: list[str], message: str) -> None:
    ended = run("dump-tree", *arguments, cwd=site.home)
    assert ended.code == 2
    assert message in ended.message


def test_which_site(site: PlantedSite) -> None:
    values = json.loads(site.config.read_text())
    values["Sites"]["T2_OTHER"] = {}
    site.config.write_text(json.dumps(values))
    assert "which site? --site takes one of: T2_PLANTED, T2_OTHER" in run("dump-tree", cwd=site.home).message


def test_a_cache_that_cannot_be_written(site: PlantedSite) -> None:
    (site.home / "var").mkdir(exist_ok=True)
    (site.home / "var/cache").write_text("in the way")
    ended = run("dump-tree", "--log-level", "error", cwd=site.home)
    assert ended.code == 2
