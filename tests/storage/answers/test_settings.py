"""Everything that is wrong with a configuration, each thing once, by the rules of those who go by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from storage.answers.places import why_not_writable
from storage.answers.settings import problems_of
from storage.config.problems import Problem


def _found(directory: Path, values: Any, **environment: str) -> list[Problem]:
    path = directory / "sites.json"
    path.write_text(json.dumps(values))
    path.chmod(0o600)
    return problems_of(path, environment)[0]


def _site(directory: Path, **keys: Any) -> dict[str, Any]:
    """Give a configuration with one site, of which nothing is wrong but what the keys change."""
    (directory / "inventory.txt").touch()
    own = {"Doors": ["root://door.example"], "Inventory": "inventory.txt", **keys}
    return {"Sites": {"T2_A": {key: value for key, value in own.items() if value != "left out"}}}


def test_nothing_is_wrong(tmp_path: Path) -> None:
    assert _found(tmp_path, _site(tmp_path)) == []


@pytest.mark.parametrize(
    ("keys", "key", "wrong", "advice"),
    [
        ({"Doors": "left out"}, "Doors", "the site T2_A has no doors", "set Sites.T2_A.Doors to a list of URLs"),
        ({"AccessMethod": "RAL-Reader"}, "Dump", "the site T2_A has no dump", "set Sites.T2_A.Dump to its file"),
        ({"AccessMethod": "RAL-Reader", "Dump": "no.txt"}, "Dump", "no.txt does not exist", "name the file"),
        (
            {"Doors": ["gsiftp://door.example"]},
            "Doors",
            "gsiftp://door.example is for gfal-ls",
            "set AccessMethod.T2_A to SRM",
        ),
        ({"AccessMethod": "directx", "Doors": ["file:///x"]}, "AccessMethod", "asks XRootD doors", "docs/doors.md"),
        ({"BannedDoors": ["door.example"]}, "BannedDoors", "BannedDoors has all of its Doors", "take one of them out"),
        ({"Inventory": "left out"}, "Inventory", "there is none", "set Sites.T2_A.Inventory"),
        ({"Inventory": "no.txt"}, "Inventory", "no.txt does not exist", "name the file"),
        ({"Inventory": "."}, "Inventory", "is not a file", "name the file"),
        ({"SecondInventory": "no.txt"}, "SecondInventory", "no.txt does not exist", "name the file"),
        (
            {"Backend": "weather"},
            "Backend",
            'no backend "weather"; valid: dynamo-v1, files, rucio, sql',
            "docs/backends.md",
        ),
        ({"Backends": {"sites": "weather"}}, "Backends.sites", 'no backend "weather"', "docs/backends.md"),
        ({"Backend": "sql"}, "Backend", "needs the key SQL", "docs/backends.md"),
        ({"WebDir": "inventory.txt/www"}, "WebDir", "inventory.txt is no directory", "name another directory"),
        ({"IgnoreDirectories": ["/mc"]}, "IgnoreDirectories", "it leaves out all of /store/mc", "take that part out"),
        ({"Unmerged": True}, "ListDeletable.PROTECTED_LIST", "the key is missing", "docs/unmerged.md"),
        ({"Doors": ["root://***@x"]}, "Doors[0]", "found", "write root://"),
        (
            {"ListDeletable": {"PROTECTED_LIST": "https://x?***"}},
            "Sites.T2_A.ListDeletable.PROTECTED_LIST",
            "***",
            "--config",
        ),
    ],
)
def test_each_fault_says_what_to_do(tmp_path: Path, keys: dict[str, Any], key: str, wrong: str, advice: str) -> None:
    (found,) = [problem for problem in _found(tmp_path, _site(tmp_path, **keys)) if problem.key == key]
    assert wrong in found.wrong
    assert advice in found.advice
    assert found.site == ("" if key.startswith("Sites.") else "T2_A")
    assert not found.minor


def test_what_the_program_writes_must_not_be_listed(tmp_path: Path) -> None:
    values = _site(tmp_path, Doors=[f"file://{tmp_path}"], VarLocation=str(tmp_path / "store/mc/var"))
    (found,) = _found(tmp_path, values)
    assert (found.key, found.site) == ("VarLocation", "T2_A")
    assert "lies in" in found.wrong


def test_what_sites_share_is_said_once_and_what_follows_from_a_fault_is_not(tmp_path: Path) -> None:
    values = _site(tmp_path)
    values["Sites"]["T2_B"] = values["Sites"]["T2_A"]
    (found,) = _found(tmp_path, {**values, "Backend": "weather"})
    assert (found.key, found.site) == ("Backend", "")
    values["Sites"]["T2_A"] = {**values["Sites"]["T2_A"], "Doors": ["x"]}
    (found,) = _found(tmp_path, values)
    assert (found.key, found.site, found.wrong) == ("Doors[0]", "T2_A", 'found "x" (not a URL)')


def test_a_backend_that_does_not_answer_for_the_sites_is_said_with_one_advice(tmp_path: Path) -> None:
    values = {**_site(tmp_path), "Backends": {"sites": "sql"}, "SQL": {"URL": "sqlite:///x", "Files": "SELECT 1"}}
    (problem,) = _found(tmp_path, values)
    assert problem.wrong == 'the backend "sql" does not answer this'
    assert problem.advice == "name another one, or leave it out to have files"


def test_doors_may_be_those_that_a_backend_knows(tmp_path: Path) -> None:
    """An RSE has an attribute for them; nobody is asked here for its value."""
    bare = _site(tmp_path, Doors="left out")
    assert [problem.key for problem in _found(tmp_path, bare)] == ["Doors"]
    of_rse = {"Backends": {"sites": "rucio"}, "Rucio": {"RSE": "X"}}
    assert _found(tmp_path, {**bare, **of_rse}) == []
    # A dump is no door, and no attribute of an RSE.
    dumped = _site(tmp_path, Doors="left out", AccessMethod="RAL-Reader")
    assert [problem.key for problem in _found(tmp_path, {**dumped, **of_rse})] == ["Dump"]


def test_everything_is_said_in_one_go(tmp_path: Path) -> None:
    values = {**_site(tmp_path, Inventory="no.txt", MaxDepth=0), "Timeout": "soon", "Retrys": 1}
    found = _found(tmp_path, values, NumThreads="[")
    assert {problem.key for problem in found} == {"Timeout", "Retrys", "NumThreads", "MaxDepth", "Inventory"}


def test_warnings_stop_nothing(tmp_path: Path) -> None:
    values = {
        **_site(tmp_path),
        "Timeout": 5,
        "PathPrefix": {"T2_B": "/cms"},
        "Unmerged": ["T2_C"],
        "SQL": {"URL": "sqlite://me:secret@host/x"},
    }
    path = tmp_path / "sites.json"
    path.write_text(json.dumps(values))
    path.chmod(0o644)
    found, sites = problems_of(path, {"Timeout": "7", "ListAge": "3"})
    assert sites == ("T2_A",)
    assert all(problem.minor for problem in found)
    assert [problem.key for problem in found] == ["", "Timeout", "PathPrefix", "Unmerged"]
    assert not any("secret" in str(problem) for problem in found)
    path.chmod(0o600)
    assert len(problems_of(path, {})[0]) == 2


def test_a_file_that_cannot_be_read_is_one_problem(tmp_path: Path) -> None:
    ((found,), sites) = problems_of(tmp_path / "none.yaml", {})
    assert sites == ()
    assert "none.yaml: cannot be read" in found.wrong
    ((found,), _) = problems_of(None, {})
    assert (found.key, found.minor) == ("Sites", True)


def test_a_place_may_still_have_to_be_made(tmp_path: Path) -> None:
    assert why_not_writable(tmp_path / "a" / "b") == ""
    (tmp_path / "file").touch()
    assert why_not_writable(tmp_path / "file" / "b") == f"{tmp_path}/file is no directory"
