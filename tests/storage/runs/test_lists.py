from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.usage import Usage
from storage.atomic import ReportError
from storage.runs.lists import SiteLists


def test_files_without_a_source_are_listed_one_a_line(tmp_path: Path) -> None:
    SiteLists(tmp_path, "T2_X").write_sources(["/store/a b", "/store/new\nline"], ["/store/lost"])
    assert (tmp_path / "T2_X_missing_nosite.txt").read_text() == "/store/a b\n/store/new\\nline\n"
    assert (tmp_path / "T2_X_unrecoverable.txt").read_text() == "/store/lost\n"


def test_a_list_is_there_when_nothing_is_in_it_and_replaces_the_one_before(tmp_path: Path) -> None:
    lists = SiteLists(tmp_path, "T2_X")
    lists.write_sources(["/store/a"], ["/store/b"])
    lists.write_sources([], [])
    assert (tmp_path / "T2_X_missing_nosite.txt").read_text() == ""
    assert (tmp_path / "T2_X_unrecoverable.txt").read_text() == ""


def test_missing_files_are_summed_up_by_block(tmp_path: Path) -> None:
    SiteLists(tmp_path, "T2_X").write_blocks([("group", "/A/B/C", "/A/B/C#1", 2, 30), ("", "odd\tname", "", 1, 0)])
    assert (tmp_path / "T2_X_missing_datasets.txt").read_text().splitlines() == [
        "group\tdataset\tblock\tfiles\tbytes",
        "group\t/A/B/C\t/A/B/C#1\t2\t30",
        "\todd\\tname\t\t1\t0",
    ]


def test_used_storage_has_the_shape_of_storage_resource_reporting(tmp_path: Path) -> None:
    SiteLists(tmp_path, "T2_X").write_storage("T2_X", [Usage(b"/store/mc", 3, 50, 1)], 1_700_000_000.7)
    service = json.loads((tmp_path / "T2_X_storage.json").read_text())["storageservice"]
    assert (service["name"], service["latestupdate"]) == ("T2_X", 1_700_000_000)
    (share,) = service["storageshares"]
    assert share == {
        "name": "/store/mc",
        "path": ["/store/mc"],
        "timestamp": 1_700_000_000,
        "totalsize": 50,
        "usedsize": 50,
        "numberoffiles": 3,
        "unlisteddirectories": 1,
        "vos": [],
    }


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"T2_X_missing_nosite\.txt: cannot be written"):
        SiteLists(tmp_path / "nowhere", "T2_X").write_sources([], [])
