"""Lists that ``find`` has written with directories among the files, as an operator gives them to the program."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.loaded import run
from tests.cli.program import Ended

LARGE = 1 << 17


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory beside a store with two directories that hold files, and an empty one."""
    for name, size in (("mc/kept", LARGE), ("mc/large", LARGE), ("mc/small", 5), ("data/kept", 5)):
        path = tmp_path / "store" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(size)
    (tmp_path / "store/mc/empty").mkdir()
    (tmp_path / "inventory").write_text("/store/mc/kept\n/store/mc/lost\n/store/data/kept\n")
    return tmp_path


def find(home: Path, name: str, *arguments: str) -> None:
    """Write what the program ``find`` says of the store, with its paths as LFNs."""
    found = subprocess.run(["find", "store", *arguments], cwd=home, capture_output=True, text=True, check=True).stdout
    (home / name).write_text("".join(f"/{line}\n" for line in found.splitlines()))


def compare(home: Path, inventory: str, store: str) -> tuple[Ended, list[str], list[str]]:
    ended = run("compare", inventory, store, "-o", "base", cwd=home)
    assert ended.code == 0, ended
    return (ended, *((home / f"base_{kind}.txt").read_text().splitlines() for kind in ("missing", "orphan")))


def test_files_alone_are_judged_as_ever(home: Path) -> None:
    find(home, "dump", "-type", "f")
    _, missing, orphan = compare(home, "inventory", "dump")
    assert (missing, orphan) == (["/store/mc/lost"], ["/store/mc/large", "/store/mc/small"])


@pytest.mark.parametrize("printed", ["%p %s\\n", "%p|%s|%Ts\\n"], ids=["sizes", "pipe"])
def test_what_may_be_an_empty_directory_of_a_store_by_its_size_is_no_orphan(home: Path, printed: str) -> None:
    (home / "store/mc/block").write_bytes(b"x" * (home / "store/mc/empty").stat().st_size)
    find(home, "dump", "-printf", printed)
    ended, missing, orphan = compare(home, "inventory", "dump")
    assert (missing, orphan) == (["/store/mc/lost"], ["/store/mc/large", "/store/mc/small"])
    words = "3 entries have others below them and are not judged: a directory, it seems; 2 more may be empty ones"
    assert words in ended.err
    assert ended.err.count("have files alone listed, as find -type f does") == 1
    told = run("identify", "dump", cwd=home)
    assert "  mixed:     3 entries have others below, so that " in told.out
    assert run("identify", "dump", "--json", cwd=home).json["files"][0]["mixed"] == 3


def test_what_does_not_fit_in_the_list_of_a_store_is_said_once_and_of_missing_files(home: Path) -> None:
    find(home, "dump", "-printf", "%p|%s|%Ts\\n")
    with (home / "dump").open("a") as dump:
        dump.writelines(f"/store/mc/more/{n}|7|1500000000\n" for n in range(1000))
        dump.write("garbage\n")
    ended, missing, _ = compare(home, "inventory", "dump")
    assert ended.err.count("1 line does not fit") == 1
    assert "it may be of any file, so that none is called missing" in ended.err
    assert missing == []


def test_where_there_are_no_sizes_it_is_said_that_nothing_tells(home: Path) -> None:
    find(home, "dump")
    ended, missing, orphan = compare(home, "inventory", "dump")
    assert missing == ["/store/mc/lost"]
    assert orphan == [f"/store/mc/{name}" for name in ("empty", "large", "small")]
    words = "3 entries have others below them and are not judged: a directory, it seems; empty ones look like files"
    assert words in ended.err
    assert "  mixed:     3 entries have others below, so that " in run("identify", "dump", cwd=home).out


@pytest.mark.parametrize("small", [[], [" 4096"]], ids=["paths", "sizes"])
def test_a_slash_at_the_end_says_what_is_a_directory(home: Path, small: list[str]) -> None:
    size = " %s" if small else ""
    find(home, "dump", "-type", "d", "-printf", f"%p/{size}\n", "-o", "-printf", f"%p{size}\n")
    ended, missing, orphan = compare(home, "inventory", "dump")
    assert (missing, orphan, ended.err) == (["/store/mc/lost"], ["/store/mc/large", "/store/mc/small"], "")
    told = run("identify", "dump", cwd=home)
    assert (told.code, "  passed:    4 lines of directories" in told.out, "mixed" in told.out) == (0, True, False)


def test_a_last_line_that_may_be_cut_off_behind_a_slash_is_no_directory(home: Path) -> None:
    (home / "inventory").write_text("/store/mc/kept\n/store/mc/large\n/store/mc/")
    find(home, "dump", "-type", "f")
    ended = run("compare", "inventory", "dump", cwd=home)
    assert ended.code == 2
    assert 'line 3: expected the path of a file, not of a directory, found "/store/mc/"' in ended.message


def test_directories_that_an_inventory_shows_are_not_missing(home: Path) -> None:
    find(home, "inventory")
    find(home, "dump", "-type", "f")
    ended, missing, orphan = compare(home, "inventory", "dump")
    # Of the empty one nothing tells that it is none.
    assert (missing, orphan) == (["/store/mc/empty"], [])
    assert "inventory inventory: 3 entries have others below them and are not judged" in ended.err


def test_a_site_that_is_read_from_such_a_list_has_no_empty_directory_deleted(home: Path) -> None:
    find(home, "dump", "-printf", "%p %s\n")
    os.utime(home / "dump", (1_700_000_000, 1_700_000_000))
    site = {"AccessMethod": "RAL-Reader", "Dump": "dump", "Inventory": "inventory", "RootPath": "/store"}
    keys = {"Sites": {"T2_LIST": {**site, "DirectoryList": ["mc", "data"], "IgnoreAge": 0, "Runtime": "threads"}}}
    (home / "consistency_config.json").write_text(json.dumps(keys))
    ended = run("check", "T2_LIST", "--json", cwd=home)
    assert (ended.code, ended.json["orphan"], ended.json["missing"]) == (0, 2, 1), ended
    assert (home / "www/T2_LIST_compare_orphan.txt").read_text() == "/store/mc/large\n/store/mc/small\n"
    assert "have others below them and are not judged" in ended.err
