from __future__ import annotations

import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.columns import DirectoryColumns
from engine.record import DirectoryRecord
from engine.states import State
from storage.snapshot import SnapshotHeader, SnapshotWriter
from tests.cli.loaded import run
from tests.cli.planted import OLD, PlantedSite

KEYS = [
    "missing",
    "missing_bytes",
    "orphan",
    "orphan_bytes",
    "size_mismatch",
    "protected",
    "seconds",
    "changed_meanwhile",
]


def read(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_an_inventory_and_a_store(site: PlantedSite) -> None:
    ended = run("compare", "inventory.txt", site.source, "-o", "base", "--ignore-age", "1", "--json", cwd=site.home)
    assert (ended.code, ended.err) == (0, "")
    assert list(ended.json) == KEYS
    expected = {key: count for key, count in site.expected().items() if key in KEYS}
    assert {key: ended.json[key] for key in expected} == expected
    assert read(site.home / "base_missing.txt") == site.missing
    assert read(site.home / "base_orphan.txt") == site.orphan
    assert read(site.home / "base_size_mismatch.txt") == site.mismatch


def test_without_an_age_limit_young_files_count(site: PlantedSite) -> None:
    ended = run("compare", "inventory.txt", site.source, "--json", cwd=site.home)
    assert ended.json["orphan"] == len(site.orphan) + 1


def test_the_text_for_people_says_what_was_not_judged(site: PlantedSite) -> None:
    ended = run("compare", "inventory.txt", site.source, "--ignore-age", "1", "-o", "lists/base", cwd=site.home)
    assert ended.out.splitlines() == [
        "unlisted:      1 directory",
        "missing:       3 files (300 bytes)",
        "orphan:        3 files (21 bytes)",
        "size mismatch: 1 file",
        "not judged:    1 file (could not be seen: permission denied 1)",
        "too young:     1 file",
        "written:       lists/base_missing.txt",
        "written:       lists/base_orphan.txt",
        "written:       lists/base_size_mismatch.txt",
    ]


def test_snapshots_text_and_packed_lists_say_the_same(site: PlantedSite) -> None:
    run("list", site.source, "-o", "site.snap", cwd=site.home)
    (site.home / "inventory.gz").write_bytes(gzip.compress(site.inventory.read_bytes()))
    results = []
    for inventory in ("inventory.txt", "inventory.gz"):
        result = run("compare", inventory, "site.snap", "--ignore-age", "1", "--json", cwd=site.home).json
        results.append({key: value for key, value in result.items() if key not in ("seconds", "changed_meanwhile")})
    assert results[0] == results[1] == {key: count for key, count in site.expected().items() if key in KEYS}


def test_lists_without_sizes_compare_by_name(site: PlantedSite) -> None:
    site.write_inventory(with_sizes=False)
    ended = run("compare", "inventory.txt", site.source, "--ignore-age", "1", cwd=site.home)
    assert "missing:       3 files\n" in ended.out
    assert "orphan:        3 files (21 bytes)\n" in ended.out
    assert "size mismatch: 0 files\n" in ended.out


def test_two_stores(site: PlantedSite) -> None:
    ended = run("compare", site.source, f"{site.source}/data", "--json", cwd=site.home)
    assert ended.code == 0
    # The second one was only looked at below data, so nothing is known of what the first has elsewhere.
    assert (ended.json["missing"], ended.json["orphan"]) == (0, 0)
    assert ended.json["protected"] == site.files - 5


def test_what_an_unfinished_listing_lacks_is_not_judged(site: PlantedSite) -> None:
    top = site.lfn.encode()
    writer = SnapshotWriter(site.home / "site.snap", SnapshotHeader("listing", "", OLD, "", (top,)))
    children = DirectoryColumns.from_rows([(b"data", OLD), (b"mc", OLD)])
    writer.append(DirectoryRecord(top, State.LISTED, listed_at=OLD, directories=children))
    writer.flush()
    writer.close()
    ended = run("compare", "inventory.txt", "site.snap.part", cwd=site.home)
    assert ended.code == 0
    assert ended.err == (
        f"dynamo-consistency: warning: {site.home}/site.snap.part is an unfinished listing; "
        "what it lacks is not judged\n"
    )
    expected = len(read(site.inventory))
    assert "missing:       0 files\n" in ended.out
    assert f"not judged:    {expected} files (could not be seen: never reached {expected})\n" in ended.out


@pytest.mark.parametrize(("ignore_age", "code"), [("1", 1), ("100000", 5)])
def test_exit_code(site: PlantedSite, ignore_age: str, code: int) -> None:
    ended = run(
        "compare", "inventory.txt", site.source, "--exit-code", "--json", "--ignore-age", ignore_age, cwd=site.home
    )
    assert ended.code == code


def test_equal_lists_exit_with_0(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("/store/x 5\n")
    assert run("compare", "a", "b", "--exit-code", cwd=tmp_path).code == 0


def test_a_store_without_files_is_refused(site: PlantedSite) -> None:
    ended = run("compare", "inventory.txt", f"{site.source}/mc/empty", "-o", "base", cwd=site.home)
    assert ended.code == 4
    lines = len(read(site.inventory))
    figures = f"the store lists 0 files where the inventory has {lines}"
    assert ended.message == f"{site.source}/mc/empty: zero-files: {figures}"
    assert not list(site.home.glob("base*"))


def test_a_store_where_nobody_answers_leaves_no_lists(site: PlantedSite) -> None:
    ended = run(
        "compare", "inventory.txt", "root://localhost:1//store", "-o", "base", cwd=site.home, env={"Retries": "0"}
    )
    assert ended.code == 4
    assert ended.message.startswith("root://localhost:1//store: root: no top directory could be listed (/store: ")
    assert not list(site.home.glob("base*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["good", "nowhere"], '"nowhere" is neither a site nor a path on disk'),
        (["malformed", "good"], 'inventory malformed line 2: expected "path size" as in most lines, found "/b six"'),
        (["good", "cut.snap"], "cut.snap: damaged snapshot: "),
        (["good", "cut.gz"], "inventory cut.gz: "),
        (["good", "good", "-o", ""], "-o: expected how the names of the lists begin"),
        (["good", "good", "-o", "lists/"], "-o: expected how the names of the lists begin"),
        (["good", "good", "-o", "good/base"], "good: cannot be written: "),
        (["good", "good", "--ignore-age", "-1"], "Invalid value for '--ignore-age': expected 0 or more; see "),
        (["good", "good", "--ignore-age", "old"], "Invalid value for '--ignore-age': expected a number; see "),
        (["good"], "Missing argument 'REMOTE'; see dynamo-consistency compare --help"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "good").write_text("/a 5\n/b 6\n/c 7\n")
    (tmp_path / "malformed").write_text("/a 5\n/b six\n/c 7\n/d 8\n")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"/a 5\n" * 9)[:-9])
    SnapshotWriter(tmp_path / "cut.snap", SnapshotHeader("listing", "", 0, "", (b"/",))).finish()
    (tmp_path / "cut.snap").write_bytes((tmp_path / "cut.snap").read_bytes()[:-1])
    before = {path.name for path in tmp_path.iterdir()}
    ended = run("compare", *arguments, cwd=tmp_path)
    assert ended.code == 2
    assert said in ended.message
    assert {path.name for path in tmp_path.iterdir()} == before


def test_an_inventory_may_be_a_database_with_the_rows_of_several_sites(tmp_path: Path) -> None:
    store = tmp_path / "store" / "mc"
    store.mkdir(parents=True)
    (store / "kept").write_bytes(b"12345")
    with closing(sqlite3.connect(tmp_path / "inventory")) as database, database:
        database.execute("CREATE TABLE replicas (lfn, size, site)")
        rows = [("kept", 5, "T2_A"), ("lost", 5, "T2_A"), ("elsewhere", 5, "T2_B")]
        for name, size, site in rows:
            database.execute("INSERT INTO replicas VALUES (?, ?, ?)", (f"{store}/{name}", size, site))
    site = {"Doors": ["file:///"], "RootPath": str(tmp_path / "store"), "DirectoryList": ["mc"]}
    config = {"InventoryTable": "replicas", "Runtime": "threads", "Sites": {"T2_A": site}}
    (tmp_path / "consistency_config.json").write_text(json.dumps(config))
    of_all = run("compare", "inventory", "store", "--json", cwd=tmp_path).json
    assert (of_all["missing"], of_all["orphan"]) == (2, 0)
    of_one = run("compare", "inventory", "T2_A", "--json", cwd=tmp_path).json
    assert (of_one["missing"], of_one["orphan"]) == (1, 0)


def test_names_alone_that_end_in_numbers_are_not_taken_for_sizes(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    for number in range(5):
        (store / f"run{number} {number}").write_bytes(b"x")
    (tmp_path / "names.txt").write_text("".join(f"{store}/run{number} {number}\n" for number in range(5)))
    ended = run("compare", "names.txt", "store", "-o", "found", cwd=tmp_path)
    assert ended.code == 4
    assert ended.message.endswith("set InventoryFormat to paths")
    assert not list(tmp_path.glob("found*"))
    ended = run("compare", "names.txt", "store", "--json", cwd=tmp_path, env={"InventoryFormat": "paths"})
    assert (ended.code, ended.json["missing"], ended.json["orphan"]) == (0, 0, 0)


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """A list of what is there, and two of what should be: of before it was made, and of after."""
    (tmp_path / "before.txt").write_text("/s/a 1\n/s/gone 1\n/s/lost 1\n")
    (tmp_path / "there.txt").write_text("/s/a 1\n/s/come 1\n/s/left 1\n/s/left.root 5\n")
    (tmp_path / "after.txt").write_text("/s/a 1\n/s/come 1\n/s/lost 1\n")
    return tmp_path


def test_a_second_inventory_has_to_agree(lists: Path) -> None:
    command = ("compare", "before.txt", "there.txt", "-o", "base", "--second-inventory", "after.txt")
    ended = run(*command, "--json", cwd=lists)
    assert (ended.code, ended.err) == (0, "")
    assert {key: ended.json[key] for key in ("missing", "orphan", "changed_meanwhile")} == {
        "missing": 1,
        "orphan": 2,
        "changed_meanwhile": 2,
    }
    assert read(lists / "base_missing.txt") == ["/s/lost"]
    assert read(lists / "base_orphan.txt") == ["/s/left", "/s/left.root"]
    assert "dropped:       1 missing, 1 orphan (the inventory changed meanwhile)" in run(*command, cwd=lists).out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "--second-inventory: expected a file, found 'after.txt'"),
        ("", "--second-inventory: after.txt names no file, so there is nothing to compare"),
        ("/s/a\n/s/b 5\n/s/c 5\n", "after.txt line 1"),
    ],
)
def test_a_second_inventory_that_cannot_be_used(lists: Path, content: str | None, message: str) -> None:
    if content is None:
        (lists / "after.txt").unlink()
    else:
        (lists / "after.txt").write_text(content)
    ended = run("compare", "before.txt", "there.txt", "-o", "base", "--second-inventory", "after.txt", cwd=lists)
    assert ended.code == 2
    assert message in ended.message
    assert list(lists.glob("base*")) == []


def test_a_list_without_a_newline_at_its_end_is_whole_until_the_other_side_shows_more(lists: Path) -> None:
    command = ("compare", "before.txt", "there.txt", "-o", "base", "--json")
    for end in ("/s/missing 5", "/s/left 1", "/s/left.root 5"):
        (lists / "before.txt").write_text(f"/s/a 1\n{end}")
        assert run(*command, cwd=lists).code == 0
    for path in lists.glob("base*"):
        path.unlink()
    (lists / "before.txt").write_text("/s/a\n/s/lef")
    ended = run(*command, cwd=lists)
    assert ended.code == 4
    assert "inventory-cut: before.txt: line 2, '/s/lef', " in ended.message
    assert list(lists.glob("base*")) == []
    # Made anew, or ended by whoever knows that it is whole.
    (lists / "before.txt").write_text("/s/a\n/s/lef\n")
    assert run(*command, cwd=lists).code == 0


def test_a_list_of_what_is_there_can_be_cut_as_well(lists: Path) -> None:
    (lists / "there.txt").write_text("/s/a\n/s/los")
    ended = run("compare", "before.txt", "there.txt", "-o", "base", cwd=lists)
    assert ended.code == 4
    assert "inventory-cut: there.txt: line 2, '/s/los', " in ended.message


def test_a_cut_second_inventory(lists: Path) -> None:
    (lists / "after.txt").write_text("/s/a\n/s/lost\n/s/lef")
    ended = run("compare", "before.txt", "there.txt", "--second-inventory", "after.txt", cwd=lists)
    assert ended.code == 4
    assert "inventory-cut: after.txt: line 3, '/s/lef', " in ended.message


@pytest.mark.parametrize("line", ["{}\n", "{} 7\n", "{}|7|1500000000|\n"])
def test_directories_among_the_lines_of_a_list_are_no_files(tmp_path: Path, line: str) -> None:
    """As ``find`` lists them where it is not told to list files alone."""
    files = [f"/store/d{number // 5}/f{number}" for number in range(50)]
    others = ["/store", *(f"/store/d{number}" for number in range(10))]
    (tmp_path / "files").write_text("".join(map(line.format, [*files, "/store/d0/lost"])))
    directory = line.replace("7", "4096", 1)
    lines = [*map(line.format, [*files, "/store/d1/dark"]), *map(directory.format, others)]
    (tmp_path / "all").write_text("".join(sorted(lines)))
    found = run("compare", "files", "all", "--json", cwd=tmp_path)
    assert (found.json["missing"], found.json["orphan"]) == (1, 1)
    assert "11 entries have others below them and are not judged" in found.err
    # Nor is one missing that the inventory itself has files below.
    found = run("compare", "all", "files", "--json", cwd=tmp_path)
    assert (found.json["missing"], found.json["orphan"]) == (1, 1)
