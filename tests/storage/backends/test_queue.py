"""Requests that wait for other programs."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from storage.backends import BackendError
from storage.backends.queue import REGISTRY, RequestQueue

GOLDEN = Path(__file__).parents[1] / "golden" / "registry-0001.db"
NAMES_AS_BYTES = [b"/store/mc/b", b"/store/mc/\xff", b"/store/mc/a\nb", b"/store/mc/\xc3\xa9"]
NAMES = ["/store/mc/b", "/store/mc/\udcff", "/store/mc/a\nb", "/store/mc/\xe9"]


@pytest.fixture
def queue(tmp_path: Path) -> RequestQueue:
    return RequestQueue(tmp_path / "db" / "registry.db")


def test_asking_twice_changes_nothing(queue: RequestQueue) -> None:
    assert queue.requests("deletions") == []
    assert queue.take("deletions", "T2_A", 5) == []
    assert not queue.path.exists()
    before = time.time()
    assert queue.enter("deletions", "T2_A", NAMES) == 4
    first = queue.requests("deletions")
    assert queue.enter("deletions", "T2_A", NAMES[::-1]) == 0
    assert queue.requests("deletions") == first
    assert [request.lfn for request in first] == NAMES_AS_BYTES
    assert all(before <= request.requested <= time.time() for request in first)
    assert queue.enter("deletions", "T2_A", []) == 0


def test_sites_and_tables_are_apart(queue: RequestQueue) -> None:
    assert queue.enter("deletions", "T2_A", NAMES) == 4
    assert queue.enter("deletions", "T2_B", NAMES[:1]) == 1
    assert queue.enter("transfers", "T2_A", NAMES[:2]) == 2
    assert [len(queue.requests("deletions", site)) for site in ("T2_A", "T2_B", "T2_C")] == [4, 1, 0]


def test_what_has_ended_can_be_asked_for_again(queue: RequestQueue) -> None:
    queue.enter("transfers", "T2_A", NAMES)
    taken = queue.take("transfers", "T2_A", 2)
    assert [request.lfn for request in taken] == [b"/store/mc/b", b"/store/mc/\xff"]
    assert [request.lfn for request in queue.take("transfers", "T2_A", 9)] == [
        b"/store/mc/a\nb",
        "/store/mc/\xe9".encode(),
    ]
    assert queue.take("transfers", "T2_A", 9) == []
    assert queue.enter("transfers", "T2_A", NAMES) == 0
    queue.settle("transfers", [taken[0].id], "done")
    queue.settle("transfers", [taken[1].id], "failed")
    assert queue.enter("transfers", "T2_A", NAMES) == 2
    assert [request.status for request in queue.requests("transfers")] == [
        "done",
        "failed",
        "taken",
        "taken",
        "new",
        "new",
    ]


def test_all_requests_for_one_name_are_found(queue: RequestQueue) -> None:
    assert queue.of_file("deletions", "T2_A", NAMES_AS_BYTES[1]) == []
    queue.enter("deletions", "T2_A", NAMES)
    (first,) = queue.take("deletions", "T2_A", 4)[1:2]
    queue.settle("deletions", [first.id], "failed")
    queue.enter("deletions", "T2_A", NAMES)
    found = queue.of_file("deletions", "T2_A", NAMES_AS_BYTES[1])
    assert [(request.lfn, request.status) for request, _ in found] == [
        (NAMES_AS_BYTES[1], "failed"),
        (NAMES_AS_BYTES[1], "new"),
    ]
    assert all(changed >= request.requested for request, changed in found)
    assert queue.of_file("transfers", "T2_A", NAMES_AS_BYTES[1]) == []


def test_two_programs_are_never_given_the_same(queue: RequestQueue) -> None:
    queue.enter("deletions", "T2_A", [f"/store/{number}" for number in range(400)])
    taken: list[list[int]] = [[], [], []]

    def work(mine: list[int]) -> None:
        while found := RequestQueue(queue.path).take("deletions", "T2_A", 7):
            mine += [request.id for request in found]

    workers = [threading.Thread(target=work, args=(mine,)) for mine in taken]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    together = [number for mine in taken for number in mine]
    assert sorted(together) == [request.id for request in queue.requests("deletions")]
    assert len(set(together)) == 400


def test_a_process_that_is_killed_has_entered_all_or_nothing(queue: RequestQueue) -> None:
    code = (
        "import sys; from pathlib import Path; from storage.backends.queue import RequestQueue\n"
        "queue = RequestQueue(Path(sys.argv[1])); turn = 0\n"
        "while True:\n"
        "    queue.enter('deletions', 'T2_A', [f'/store/{turn}/{n}' for n in range(1000)])\n"
        "    turn += 1; print(turn, flush=True)"
    )
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", code, str(queue.path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.stdout.readline()
            os.kill(process.pid, signal.SIGKILL)
        assert len(queue.requests("deletions")) % 1000 == 0
    assert queue.requests("deletions") != []


def test_a_database_of_another_program_is_left_alone(queue: RequestQueue) -> None:
    queue.path.parent.mkdir()
    with closing(sqlite3.connect(queue.path)) as database, database:
        database.execute("CREATE TABLE deletions (x)")
    before = queue.path.read_bytes()
    with pytest.raises(BackendError, match=r"registry .*registry\.db: an SQLite database, but not a registry database"):
        queue.enter("deletions", "T2_A", NAMES)
    assert queue.path.read_bytes() == before


def test_one_of_a_newer_version_is_left_alone(queue: RequestQueue) -> None:
    queue.enter("deletions", "T2_A", NAMES)
    with closing(sqlite3.connect(queue.path)) as database, database:
        database.execute(
            "INSERT INTO _sqlite_migrations(migration_set, name, applied_at) VALUES ('registry', '0002_later', 'now')"
        )
    before = queue.path.read_bytes()
    for attempt in (
        lambda: queue.enter("deletions", "T2_A", ["/store/x"]),
        lambda: queue.requests("deletions"),
        lambda: queue.take("deletions", "T2_A", 1),
    ):
        with pytest.raises(BackendError, match="written by a newer version of this program"):
            attempt()
    assert queue.path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"no database at all, but long enough" * 100, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_damaged_one_says_what_to_do(queue: RequestQueue, content: bytes) -> None:
    queue.path.parent.mkdir()
    queue.path.write_bytes(content)
    with pytest.raises(BackendError, match=r"restore a copy, or move it away"):
        queue.enter("deletions", "T2_A", NAMES)
    assert queue.path.read_bytes() == content


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BackendError, match="cannot make its directory"):
        RequestQueue(tmp_path / "file" / "registry.db").enter("deletions", "T2_A", NAMES)
    (tmp_path / "registry.db").mkdir()
    with pytest.raises(BackendError, match="cannot be opened"):
        RequestQueue(tmp_path / "registry.db").enter("deletions", "T2_A", NAMES)


def test_the_first_version_stays_readable(tmp_path: Path) -> None:
    assert [name for name, _ in REGISTRY.steps] == ["0001_requests"]
    path = tmp_path / "registry.db"
    shutil.copy(GOLDEN, path)
    queue = RequestQueue(path)
    assert [(r.id, r.site, r.lfn, r.requested, r.status) for r in queue.requests("deletions")] == [
        (1, "T2_A", b"/store/mc/b", 1700000000.5, "done"),
        (2, "T2_A", b"/store/mc/\xff", 1700000000.5, "taken"),
        (3, "T2_A", b"/store/mc/b", 1700000100.0, "new"),
    ]
    assert [(r.id, r.site, r.lfn, r.status) for r in queue.requests("transfers")] == [
        (1, "T2_B", b"/store/mc/a\nb", "failed")
    ]
    assert queue.enter("deletions", "T2_A", ["/store/mc/b", "/store/mc/\udcff", "/store/mc/new"]) == 1


def test_what_the_page_of_formats_says_can_be_done_with_sql(queue: RequestQueue) -> None:
    queue.enter("deletions", "T2_A", NAMES)
    page = (Path(__file__).parents[3] / "docs" / "formats.md").read_text()
    section = page.partition("\n## Registry\n")[2].partition("\n## ")[0]
    taking, settling = section.partition("```sql\n")[2].partition("```")[0].strip().rstrip(";").split(";\n")
    with closing(sqlite3.connect(queue.path)) as database, database:
        taken = database.execute(taking, {"site": "T2_A", "now": 5}).fetchall()
        assert [name for _, name in taken] == [
            b"/store/mc/b",
            b"/store/mc/\xff",
            b"/store/mc/a\nb",
            "/store/mc/\xe9".encode(),
        ]
        database.execute(settling, {"id": taken[0][0], "now": 6})
    assert [request.status for request in queue.requests("deletions")] == ["done", "taken", "taken", "taken"]
