"""The command search, as an operator types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.findings import Finding, Kind
from storage.history import HistoryDatabase
from tests.cli.loaded import run
from tests.storage.histories import files, orphans
from tests.storage.histories import run as enter
from tests.test_docs import keys_of, page_of


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory with three sites, one of which has a history of its own."""
    sites = {"T2_A": {}, "T2_B": {}, "T3_C": {"VarLocation": "own"}}
    (tmp_path / "consistency_config.json").write_text(json.dumps({"Sites": sites}))
    with HistoryDatabase(tmp_path / "var/db/consistency.db") as history:
        enter(history, orphans(b"/store/data", b"a*b.root"), site="T2_A")
        enter(
            history,
            orphans(b"/store/data", b"a*b.root", b"left\n.root"),
            files(Kind.SIZE_MISMATCH, b"/store/mc", b"cut.root"),
            files(Kind.CHECKSUM_MISMATCH, b"/store/mc", b"spoilt.root"),
            Finding(Kind.EMPTY, b"/store/data/e"),
            site="T2_A",
        )
        enter(history, files(Kind.MISSING, b"/store/data", b"lost.root"), site="T2_B")
        # What is left of a site that has moved.
        enter(history, orphans(b"/store/data", b"old.root"), site="T3_C")
    with HistoryDatabase(tmp_path / "own/db/consistency.db") as history:
        enter(history, orphans(b"/store/\xff", b"own.root"), site="T3_C")
    return tmp_path


def paths(home: Path, *arguments: str) -> list[str]:
    ended = run("search", *arguments, cwd=home)
    assert (ended.code, ended.err) == (0, "")
    return [line.split("  ")[-1] for line in ended.out.splitlines()]


def test_all_sites_are_looked_through(home: Path) -> None:
    assert run("search", "/store", cwd=home).out.splitlines() == [
        "T2_A  orphan  since run 1 of 1970-01-01  7 bytes  /store/data/a*b.root",
        "T2_A  orphan  since run 2 of 1970-01-01  7 bytes  /store/data/left\\n.root",
        "T2_A  size mismatch  since run 2 of 1970-01-01  7 bytes, 8 bytes on the store  /store/mc/cut.root",
        "T2_A  checksum mismatch  since run 2 of 1970-01-01  adler32:00000001, adler32:00000002 on the store  "
        "/store/mc/spoilt.root",
        "T2_A  empty  since run 2 of 1970-01-01  -  /store/data/e",
        "T2_B  missing  since run 3 of 1970-01-01  7 bytes  /store/data/lost.root",
        "T3_C  orphan  since run 1 of 1970-01-01  7 bytes  /store/\\xff/own.root",
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["lost"], ["/store/data/lost.root"]),
        (["*lost"], ['no finding matches "*lost"']),
        (["*/lost.*"], ["/store/data/lost.root"]),
        (["*/[cl]*t.root"], ["/store/mc/cut.root", "/store/data/lost.root"]),
        (["a*b", "--plain"], ["/store/data/a*b.root"]),
        (["(cut|own)\\.root$", "--regex"], ["/store/mc/cut.root", "/store/\\xff/own.root"]),
        (["*", "--site", "^T2_B$"], ["/store/data/lost.root"]),
        (["*", "--kind", "size-mismatch"], ["/store/mc/cut.root"]),
        (["*", "--kind", "checksum_mismatch"], ["/store/mc/spoilt.root"]),
    ],
)
def test_a_pattern_is_what_it_looks_like_or_what_is_said(home: Path, arguments: list[str], expected: list[str]) -> None:
    assert paths(home, *arguments) == expected


def test_there_is_a_limit(home: Path) -> None:
    ended = run("search", "*", "--limit", "2", cwd=home)
    assert len(ended.out.splitlines()) == 2
    assert ended.err == "dynamo-consistency: the first 2 are shown; --limit 0 shows all\n"
    assert len(paths(home, "*", "--limit", "7")) == len(paths(home, "*", "--limit", "0")) == 7


def test_json_keys_are_documented(home: Path) -> None:
    ended = run("search", "*", "--json", cwd=home)
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert {key for row in rows for key in row} == {*keys_of(page_of("search")), "path_b64"}
    assert "`path_b64`" in page_of("search")
    assert rows[0] == {
        "site": "T2_A",
        "kind": "orphan",
        "path": "/store/data/a*b.root",
        "size": 7,
        "run": 2,
        "first_run": 1,
        "since": 1.0,
    }
    assert rows[-1]["path_b64"] == "L3N0b3JlL/8vb3duLnJvb3Q="
    assert run("search", "nowhere", "--json", cwd=home).out == ""


def test_what_makes_no_sense_is_told(home: Path) -> None:
    for arguments, words in (
        (["(", "--regex"], "is no regular expression"),
        ([""], "an empty one"),
        (["x", "--regex", "--plain"], "one of them"),
        (["x", "--kind", "weather"], "expected one of missing, orphan"),
        (["x", "--site", "T9"], 'no site matches "T9"; known: T2_A, T2_B, T3_C'),
    ):
        ended = run("search", *arguments, cwd=home)
        assert ended.code == 2
        assert words in ended.message
    (home / "empty").mkdir()
    assert "a check makes it" in run("search", "x", cwd=home / "empty").message


def test_one_history_that_cannot_be_read_hides_no_other(home: Path) -> None:
    (home / "own/db/consistency.db").write_bytes(b"x" * 5000)
    ended = run("search", "lost", cwd=home)
    assert (ended.code, len(ended.out.splitlines())) == (2, 1)
    assert "own/db/consistency.db: not a history database" in ended.err
    ended = run("search", "no such thing", cwd=home)
    assert ended.out == 'no finding matches "no such thing", as far as could be read\n'
    (home / "var/db/consistency.db").write_bytes(b"x" * 5000)
    ended = run("search", "lost", cwd=home)
    assert (ended.code, ended.out) == (2, "")
    assert "not a history database" in ended.message
