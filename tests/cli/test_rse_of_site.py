"""Dumps of replicas of an RSE that is called otherwise than the site: in a check, and in a comparison."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.loaded import run

HEAD = "rse\tscope\tname\tchecksum\tsize\tcreation_date\tpath\tupdate_date\tstate\n"


def replicas(*rows: tuple[str, str]) -> str:
    return HEAD + "".join(
        f"{rse}\tmc\t{name}\t0a1b2c3d\t5\t2020-01-01 00:00:00\tmc/{name}\t2020-01-01 00:00:00\tA\n"
        for rse, name in rows
    )


def prepare(home: Path, rse: str) -> None:
    site = {"Doors": ["file:///"], "DirectoryList": ["mc"], "Inventory": "replicas"}
    keys = {"IgnoreAge": 0, "Runtime": "threads", "SecondInventory": "replicas", "Rucio": {"RSE": rse}}
    (home / "consistency_config.json").write_text(
        json.dumps({"RootPath": f"{home}/store", "Sites": {"T2_X": {**site, **keys}}})
    )


def test_the_rows_of_its_rse_are_those_of_the_site(tmp_path: Path) -> None:
    (tmp_path / "store/mc").mkdir(parents=True)
    for name in ("kept", "dark"):
        (tmp_path / "store/mc" / name).write_bytes(b"12345")
    # Another RSE is called as the site is.
    rows = [("T2_X_DISK", "kept"), ("T2_X_DISK", "lost"), ("T2_X", "dark"), ("T2_X", "other")]
    (tmp_path / "replicas").write_text(replicas(*rows))
    prepare(tmp_path, "T2_X_DISK")
    ended = run("check", "T2_X", "--json", cwd=tmp_path)
    assert (ended.code, ended.json["missing"], ended.json["orphan"]) == (0, 1, 1), ended
    assert (tmp_path / "www/T2_X_compare_missing.txt").read_text() == f"{tmp_path}/store/mc/lost\n"
    compared = run("compare", "replicas", "T2_X", "--json", cwd=tmp_path).json
    assert (compared["missing"], compared["orphan"]) == (1, 1)

    prepare(tmp_path, "T2_X_TAPE")
    ended = run("check", "T2_X", cwd=tmp_path)
    assert ended.code == 2
    assert "no row of the RSE T2_X_TAPE; its column of RSEs has: T2_X, T2_X_DISK; Rucio.RSE names" in ended.message


def test_paths_are_made_as_the_site_has_them_also_in_a_comparison(tmp_path: Path) -> None:
    for name in ("mc/kept", "own/list/kept"):
        (tmp_path / "store" / name).parent.mkdir(parents=True)
        (tmp_path / "store" / name).write_bytes(b"12345")
    (tmp_path / "replicas").write_text(replicas(("T2_X", "kept")).replace("mc/kept", ""))
    (tmp_path / "list").write_text("list/kept\n")
    keys = {"Doors": ["file:///"], "IgnoreAge": 0, "Runtime": "threads"}
    sites = {
        "T2_X": {**keys, "DirectoryList": ["mc"], "Inventory": "replicas", "Rucio": {"LFN2Path": "identity"}},
        "T2_Y": {**keys, "DirectoryList": ["list"], "Inventory": "list", "RootPath": f"{tmp_path}/store/own"},
    }
    top = {"RootPath": f"{tmp_path}/store", "Rucio": {"LFN2Path": "hash"}}
    (tmp_path / "consistency_config.json").write_text(json.dumps({**top, "Sites": sites}))
    for site, file in (("T2_X", "replicas"), ("T2_Y", "list")):
        for arguments in (("check", site), ("compare", file, site)):
            found = run(*arguments, "--json", cwd=tmp_path).json
            assert (found["missing"], found["orphan"]) == (0, 0), arguments
