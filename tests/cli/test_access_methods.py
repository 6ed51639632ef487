"""A check of a site through each access method finds the same, and refuses what it cannot trust."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.loaded import run
from tests.servers.fixtures import ServedDirectory
from tests.servers.xrootd_cluster import XRootDCluster

OLD = 1_700_000_000
THERE = ("mc/a/one", "mc/a/two blanks  here", "mc/b/100%25", "data/c/-l")
EXTRA = ("mc/a/extra",)
LOST = ("mc/a/lost", *[f"data/c/lost{number}" for number in range(5)])


def fill(store: Path) -> None:
    for name in (*THERE, *EXTRA):
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_bytes(b"xy")
        os.utime(store / name, (OLD, OLD))


def configure(home: Path, lfn: str, **keys: Any) -> Path:
    (home / "inventory.txt").write_text("".join(f"{lfn}/{name} 2\n" for name in (*THERE, *LOST)))
    settings = {
        "RootPath": lfn,
        "Timeout": 20,
        "Runtime": "threads",
        "Inventory": "inventory.txt",
        "Sites": {"T2_X": keys},
    }
    (home / "site.json").write_text(json.dumps(settings))
    return home / "site.json"


def checked(home: Path, config: Path) -> dict[str, list[str]]:
    ended = run("--config", config, "check", "T2_X", "--json", cwd=home)
    assert ended.code == 0, ended
    assert ended.json["unlisted"] == ended.json["protected"] == 0
    return {
        kind: (home / "www" / f"T2_X_compare_{kind}.txt").read_text().splitlines() for kind in ("missing", "orphan")
    }


@pytest.mark.parametrize("method", ["XRootD", "directx", "SRM"])
def test_a_site_behind_xrootd(tmp_path: Path, xrootd_directory: ServedDirectory, method: str) -> None:
    fill(xrootd_directory.path)
    lfn = xrootd_directory.lfn.decode()
    config = configure(tmp_path, lfn, Doors=[xrootd_directory.url], AccessMethod=method, GFALThreads=4)

    assert checked(tmp_path, config) == {
        "missing": sorted(f"{lfn}/{name}" for name in LOST),
        "orphan": [f"{lfn}/{name}" for name in EXTRA],
    }


def test_a_site_on_disk_with_gfal(tmp_path: Path) -> None:
    fill(tmp_path / "disk" / "store")
    doors = [f"file://{tmp_path}/disk"]
    config = configure(tmp_path, "/store", Doors=doors, AccessMethod="SRM", GFALThreads=4)

    assert checked(tmp_path, config) == {
        "missing": sorted(f"/store/{name}" for name in LOST),
        "orphan": [f"/store/{name}" for name in EXTRA],
    }


def test_a_site_from_a_dump(tmp_path: Path) -> None:
    dump = tmp_path / "dump_20260101"
    dump.write_text("".join(f"/store/{name} 2 18500\n" for name in (*THERE, *EXTRA)))
    config = configure(tmp_path, "/store", AccessMethod="RAL-Reader", Dump=dump.name)

    assert checked(tmp_path, config) == {
        "missing": sorted(f"/store/{name}" for name in LOST),
        "orphan": [f"/store/{name}" for name in EXTRA],
    }


def test_an_empty_dump_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "dump").write_text("")
    config = configure(tmp_path, "/store", AccessMethod="RAL-Reader", Dump="dump")

    ended = run("--config", config, "check", "T2_X", cwd=tmp_path)
    assert ended.code == 4
    assert "it names no file below /store" in ended.message


@pytest.mark.parametrize("command", ["check", "list"])
def test_a_cluster_called_shared_is_refused_in_one_line(
    tmp_path: Path, xrootd_cluster: XRootDCluster, command: str
) -> None:
    for number, name in enumerate(("mc/first", "mc/second")):
        (xrootd_cluster.store(number) / "refused/mc").mkdir(parents=True, exist_ok=True)
        (xrootd_cluster.store(number) / "refused" / name).touch()
    config = configure(tmp_path, "/store/refused", Redirectors=xrootd_cluster.redirector, Layout="shared")

    ended = run("--config", config, command, "T2_X", cwd=tmp_path)
    assert ended.code == 4
    assert "its doors do not show the same store" in ended.message
    assert not list((tmp_path / "www").glob("*missing*")) if (tmp_path / "www").exists() else True


def test_doors_that_are_found_list_the_site(tmp_path: Path, xrootd_pair: XRootDCluster) -> None:
    fill(xrootd_pair.store(0) / "found")
    config = configure(tmp_path, "/store/found", Redirectors=xrootd_pair.redirector)

    assert checked(tmp_path, config)["missing"] == sorted(f"/store/found/{name}" for name in LOST)
