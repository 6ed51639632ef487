"""The command ``identify``, as a user calls it."""

from __future__ import annotations

import gzip
import json
import os
import time
from pathlib import Path

import pytest

from storage.inventory.formats import Format
from tests.cli.loaded import run
from tests.storage.inventory.foreign.test_golden import FORMATS, GOLDEN

KEYS = {
    *("file", "format", "packing", "made", "made_by", "age_days", "lines", "entries", "bytes", "sizes", "times"),
    *("checksums", "unsettled", "newest", "sites", "malformed", "lost", "errors", "ended", "refused"),
    *("directories", "mixed"),
}


def test_each_format_is_told_with_what_is_in_it() -> None:
    ended = run("identify", "--json", *sorted(FORMATS), cwd=GOLDEN)
    assert ended.code == 0, ended
    found = {row["file"]: row for row in ended.json["files"]}
    assert {name: row["format"] for name, row in found.items()} == FORMATS
    assert all(set(row) == KEYS for row in found.values())
    assert {row["entries"] for row in found.values()} == {3}
    assert {(row["malformed"], row["refused"]) for row in found.values()} == {(0, None)}
    assert found["syncat_dcache"]["made_by"] == "its content"
    assert found["rucio_header"]["unsettled"] == 1
    assert found["rucio"]["sites"] == {"T2_X": 3}
    assert found["eos_plain"]["bytes"] == 12_345_679_901
    assert found["eos_plain"]["newest"] == 1_767_323_045
    counts = {name: (row["sizes"], row["times"], row["checksums"]) for name, row in found.items()}
    assert counts["paths"] == (0, 0, 0)
    assert counts["pipe"] == (3, 3, 2)
    assert counts["parquet"] == counts["avro"] == (3, 3, 3)


def test_people_are_told_what_a_file_is_and_what_does_not_fit(tmp_path: Path) -> None:
    lines = b"".join(b"/s/%d|7|1500000000|ab\n" % number for number in range(2000))
    content = lines + b"error(13): no permissions to read directory /s/x\n/s/y|na|1500000000|ab\n"
    (tmp_path / "dump_20260101.gz").write_bytes(gzip.compress(content))
    ended = run("identify", "dump_20260101.gz", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    first, made, *others = ended.out.splitlines()
    assert first == "dump_20260101.gz: pipe, packed with gzip"
    assert made.startswith("  made:      2025-12-31 10:00:00 UTC, as its name (UTC+14) says, ")
    assert others == [
        "  entries:   2,001 files (14.0 kB) in 2,002 lines",
        "  known:     sizes of 2,000, times of 2,000, checksums of 2,000; newest 2017-07-14 02:40:00 UTC",
        "  malformed: 2 lines, 1 of them of files that nobody can tell",
        '    line 2001: expected "path|size", found "error(13): no permissions to read directory /s/x"',
        '    line 2002: expected a size in bytes, found "/s/y|na|1500000000|ab"',
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"/s/a|7\n/s/b|8", "it ends here, without a newline"),
        (b"/s/a|7\n/s/b|8\nodd\n", "33.33% of its lines do not fit, and MaxMalformed lets 0.10% of them pass"),
        # All processes that run the tests have to call it the same, so it has no time in it.
        (gzip.compress(b"/s/a|7\n" * 1000, mtime=0)[:-4], "the gzip stream is cut off"),
        (b"<html></html>", "a format that is read, which XML is not"),
        (b"", "it names no file"),
    ],
)
def test_what_would_be_refused_is_told_and_ends_with_2(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "dump").write_bytes(content)
    ended = run("identify", "--json", "dump", cwd=tmp_path)
    assert ended.code == 2
    assert said in ended.json["files"][0]["refused"]


def test_a_plain_list_that_may_be_cut_off_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"lfn,size\n/s/a,7\n/s/b,8")
    ended = run("identify", "list", cwd=tmp_path)
    assert (ended.code, ended.out.splitlines()[-1].startswith("  end:       no newline is there: ")) == (0, True)
    assert run("identify", "--json", "list", cwd=tmp_path).json["files"][0]["ended"] is False
    (tmp_path / "list").write_bytes(b"lfn,size\n/s/a,7\n/s/b,8\n")
    assert "newline" not in run("identify", "list", cwd=tmp_path).out


def test_the_settings_of_a_site_say_what_would_be_refused(tmp_path: Path) -> None:
    config = {"DumpAge": 10, "Sites": {"T2_X": {"RootPath": "/site", "DumpAge": 30}, "T2_Y": {"DumpAge": 0}}}
    (tmp_path / "consistency_config.json").write_text(json.dumps(config))
    dump = tmp_path / "dump"
    dump.write_bytes((GOLDEN / "rucio").read_bytes())
    then = time.time() - 20 * 86400
    os.utime(dump, (then, then))
    assert "20.0 days ago, and DumpAge allows 10" in run("identify", "dump", cwd=tmp_path).out
    assert run("identify", "dump", "--site", "T2_X", cwd=tmp_path).code == 0
    assert "it has no entry of the RSE T2_Y" in run("identify", "dump", "--site", "T2_Y", cwd=tmp_path).out


def test_a_snapshot_and_a_database_are_known_as_well(tmp_path: Path) -> None:
    import sqlite3

    (tmp_path / "store").mkdir()
    (tmp_path / "store/a").write_bytes(b"xy")
    assert run("list", "store", "-o", "snap", cwd=tmp_path).code == 0
    with sqlite3.connect(tmp_path / "db") as connection:
        connection.execute("CREATE TABLE files (lfn, size)")
        connection.execute("INSERT INTO files VALUES ('/a', 5)")
    connection.close()
    found = run("identify", "--json", "snap", "db", cwd=tmp_path).json["files"]
    assert [(row["format"], row["entries"], row["bytes"]) for row in found] == [("snapshot", 1, 2), ("sqlite", 1, 5)]
    assert (found[0]["sizes"], found[0]["times"]) == (1, 1)
    assert found[0]["newest"] == int((tmp_path / "store/a").stat().st_mtime)
    # A byte of the files, which are behind the header.
    content = bytearray((tmp_path / "snap").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "snap").write_bytes(content)
    assert run("identify", "snap", cwd=tmp_path).code == 2


def test_what_cannot_be_looked_at_is_one_line(tmp_path: Path) -> None:
    assert run("identify", "nothing", cwd=tmp_path).message == "nothing: no such file"
    assert run("identify", ".", cwd=tmp_path).message == ".: not a file"
    assert run("identify", ".", "--format", "odd", cwd=tmp_path).message.startswith("--format: expected auto or one of")
    (tmp_path / "names").write_bytes(b"/s/a|7\n")
    found = run("identify", "names", "--format", Format.PATHS, "--json", cwd=tmp_path).json["files"]
    assert [(row["format"], row["sizes"]) for row in found] == [("paths", 0)]


def test_what_a_check_would_refuse_is_refused_and_what_it_takes_is_not(tmp_path: Path) -> None:
    """Each file is given to a check as well, which has to agree."""
    (tmp_path / "store/mc").mkdir(parents=True)
    root = f"{tmp_path}/store"
    lines = [f"{root}/mc/{number},1,1700000000" for number in range(2000)]
    files = {
        "well.csv": ["lfn,size,mtime", *lines],
        "odd.csv": ["lfn,size,mtime", *lines, f"{root}/mc/x,na,1700000000"],
        "elsewhere.csv": ["lfn,size,mtime", "/elsewhere/mc/a,1,1"],
        "odd.pipe": [*(line.replace(",", "|") for line in lines), f"{root}/mc/x|na|1700000000|"],
    }
    refused = {}
    for name, rows in files.items():
        (tmp_path / name).write_text("\n".join(rows) + "\n")
        site = {"Doors": ["file:///"], "RootPath": root, "DirectoryList": ["mc"], "Inventory": name}
        config = {"Runtime": "threads", "VarLocation": f"var-{name}", "Sites": {"T2_X": site}}
        (tmp_path / "consistency_config.json").write_text(json.dumps(config))
        said = run("identify", "--json", "--site", "T2_X", name, cwd=tmp_path)
        refused[name] = said.json["files"][0]["refused"]
        checked = run("check", "T2_X", cwd=tmp_path)
        assert (said.code == 2) == (checked.code == 2), checked
    assert refused["well.csv"] is refused["odd.pipe"] is None
    assert refused["odd.csv"].startswith("as an inventory: all lines of a plain list have to fit")
    assert refused["elsewhere.csv"] == f"it names no file below {root}/mc"


def test_a_name_with_a_newline_is_refused_on_one_line(tmp_path: Path) -> None:
    assert run("identify", "a\nb", cwd=tmp_path).message == "a\\nb: no such file"


def test_the_rse_of_a_site_says_which_rows_are_its(tmp_path: Path) -> None:
    dump = (GOLDEN / "rucio").read_bytes()
    (tmp_path / "dump").write_bytes(dump.replace(b"T2_X", b"T2_X_DISK"))
    sites = {"T2_X": {"RootPath": "/", "DirectoryList": [], "Rucio": {"RSE": "T2_X_DISK"}}, "T2_X_DISK": {}}
    sites["T2_Y"] = {**sites["T2_X"], "Rucio": {"RSE": "T2_Y_DISK"}}
    (tmp_path / "consistency_config.json").write_text(json.dumps({"Sites": sites}))
    assert run("identify", "dump", "--site", "T2_X", cwd=tmp_path).code == 0
    told = run("identify", "dump", "--site", "T2_Y", cwd=tmp_path)
    assert "refused:   it has no entry of the RSE T2_Y_DISK" in told.out


def test_the_paths_of_a_site_follow_from_names_as_in_its_check(tmp_path: Path) -> None:
    """Where nobody says how they do, a check refuses the dump."""
    row = "T2_X\tmc\tf\tab\t7\t2020-01-01 00:00:00\t\t2020-01-01 00:00:00\tA\n"
    (tmp_path / "dump").write_text(row)
    tops = {"RootPath": "/store", "DirectoryList": ["hashed"]}
    rules = [{"DID": "mc:(.*)", "Path": "hashed/$1"}]
    sites = {"T2_X": tops, "T2_Y": {**tops, "Rucio": {"RSE": "T2_X", "PathRules": rules}}}
    (tmp_path / "consistency_config.json").write_text(json.dumps({"Sites": sites}))
    told = run("identify", "dump", "--site", "T2_X", cwd=tmp_path)
    assert told.code == 2
    assert "line 1: expected a path, or Rucio.LFN2Path to say how" in told.out
    for site in ([], ["--site", "T2_Y"]):
        assert run("identify", "dump", *site, cwd=tmp_path).code == 0

    # Nobody can be asked: what the file is can be told even so.
    rucio = {"RSE": "T2_X", "Config": str(tmp_path / "none.cfg"), "Patience": 0}
    keys = {**tops, "Backends": {"registry": "rucio"}, "Rucio": rucio}
    (tmp_path / "consistency_config.json").write_text(json.dumps({"Sites": {"T2_X": keys}}))
    told = run("identify", "dump", "--site", "T2_X", cwd=tmp_path)
    assert told.code == 2
    assert "dump: rucio\n" in told.out
    assert "  refused:   the Rucio of " in told.out
