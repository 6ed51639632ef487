from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE, FileColumns
from engine.states import Reason
from engine.unmerged import JudgedFiles, Kept
from storage.atomic import AtomicFile, ReportError
from storage.unmerged.search import APPLICATION_ID, KeptError, KeptFiles, KeptRow, find_kept

GOLDEN = Path(__file__).parents[1] / "golden" / "unmerged-kept-0001.db"
ABOUT: dict[str, str | float] = {"site": "T2_X", "listed": 5.5}
HOSTILE = b"\xff bad'\"<script>"

ROWS = [
    KeptRow(b"/store/unmerged/a/\xff bad'\"<script>", None, None, "age unknown"),
    KeptRow(b"/store/unmerged/a/z/x", 1, 10, "too young"),
    KeptRow(b"/store/unmerged/ab/y", 3, 30, "protected"),
    KeptRow(b"/store/unmerged/locked", None, None, "unlisted: permission denied"),
]
"""What `write` puts in of what stays."""


def judged(directory: bytes, *rows: tuple[bytes, int, int, int]) -> JudgedFiles:
    files = FileColumns.from_rows((name, size, mtime) for name, size, mtime, _ in rows)
    return JudgedFiles(directory, files, bytes(verdict for _, _, _, verdict in sorted(rows)))


def write(path: Path) -> None:
    with KeptFiles(path, ABOUT) as kept:
        kept.add(
            judged(
                b"/store/unmerged/a",
                (HOSTILE, UNKNOWN_SIZE, UNKNOWN_MTIME, Kept.NO_AGE),
                (b"deletable", 2, 20, 0),
            )
        )
        kept.add(judged(b"/store/unmerged/a/z", (b"x", 1, 10, Kept.YOUNG)))
        kept.add(judged(b"/store/unmerged/ab", (b"y", 3, 30, Kept.PROTECTED)))
        kept.add(judged(b"/store/unmerged/gone", (b"x", 1, 10, 0)))
        kept.add_unlisted([(b"/store/unmerged/locked", Reason.PERMISSION, "no \udcff")])
        # The page, for one, which another site's run builds.
        AtomicFile.clear_up(path)
        kept.prepare()
        AtomicFile.clear_up(path)
        kept.publish()


def test_what_stays_is_found_again(tmp_path: Path) -> None:
    write(tmp_path / "kept.db")
    assert list(find_kept(tmp_path / "kept.db")) == ROWS
    assert [path.name for path in tmp_path.iterdir()] == ["kept.db"]


@pytest.mark.parametrize(
    ("below", "rows"),
    [
        (b"/store/unmerged/a", [ROWS[0], ROWS[1]]),
        (b"/store/unmerged/ab", [ROWS[2]]),
        (b"/store/unmerged/ab/y", [ROWS[2]]),
        (b"/store/unmerged/locked", [ROWS[3]]),
        (b"/store/unmerged/gone", []),
        (b"/store/unmerged/a/deletable", []),
    ],
)
def test_the_search_is_by_whole_components(tmp_path: Path, below: bytes, rows: list[KeptRow]) -> None:
    write(tmp_path / "kept.db")
    assert list(find_kept(tmp_path / "kept.db", below)) == rows


def test_users_can_search_with_sql(tmp_path: Path) -> None:
    write(tmp_path / "kept.db")
    with closing(sqlite3.connect(tmp_path / "kept.db")) as db:
        by_reason = "SELECT path FROM kept WHERE reason = 'protected'"
        assert db.execute(by_reason).fetchall() == [("/store/unmerged/ab/y",)]
        assert dict(db.execute("SELECT key, value FROM about")) == ABOUT
        plan = db.execute("EXPLAIN QUERY PLAN SELECT id FROM directories WHERE path = '/store/unmerged/ab'").fetchall()
        assert "USING COVERING INDEX" in plan[0][3]
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_nothing_appears_before_it_is_published(tmp_path: Path) -> None:
    file = tmp_path / "kept.db"
    write(file)
    before = file.read_bytes()
    with KeptFiles(file, ABOUT) as kept:
        kept.add(judged(b"/d", (b"x", 1, 1, Kept.YOUNG)))
        assert file.read_bytes() == before
        kept.prepare()
        assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["kept.db"]
    assert file.read_bytes() == before


def test_what_a_killed_process_left_goes(tmp_path: Path) -> None:
    left = tmp_path / ".kept.db.0123abcd.tmp"
    left.write_bytes(b"half")
    write(tmp_path / "kept.db")
    assert not left.exists()


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"kept\.db: cannot be written: "):
        KeptFiles(tmp_path / "nowhere" / "kept.db", ABOUT)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    for name, content in (("text", b"no database, whatever its name says"), ("empty", b"")):
        file = tmp_path / name
        file.write_bytes(content)
        with pytest.raises(KeptError, match="not a database of kept files"):
            list(find_kept(file))
    with pytest.raises(KeptError, match="nowhere"):
        list(find_kept(tmp_path / "nowhere"))


def test_another_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "kept.db"
    write(file)
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA user_version = 2")
    with pytest.raises(KeptError, match="version 2 of a database of kept files; this program reads 1"):
        list(find_kept(file))


def test_the_golden_file_stays_readable() -> None:
    assert list(find_kept(GOLDEN)) == ROWS
    assert int.from_bytes(GOLDEN.read_bytes()[68:72]) == APPLICATION_ID
