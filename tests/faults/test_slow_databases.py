"""Inventories in databases that take their time: slow queries, and tables that somebody has locked."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, make_url, text

from storage.runs.directory import RunDirectory
from tests.cli.loaded import run
from tests.cli.program import eventually, wait_for
from tests.faults.site import OLD, FaultySite
from tests.storage.backends.conftest import TestDatabase, make_database


@pytest.fixture
def planted(site: FaultySite) -> FaultySite:
    """A site with one missing file and one orphan."""
    site.put("data/1/kept.root")
    site.know("data/1/lost.root")
    site.put("data/2/left.root", known=False)
    return site


@pytest.fixture
def in_postgres(planted: FaultySite, request: pytest.FixtureRequest, tmp_path: Path) -> TestDatabase:
    """The inventory of the site in a table of a real server."""
    database = make_database(request, "postgresql", tmp_path)
    rows = [f"('{planted.lfn}/{os.fsdecode(name)}', {size}, {OLD})" for name, size in planted.known.items()]
    database.execute(
        "CREATE TABLE replicas (lfn TEXT PRIMARY KEY, size BIGINT, mtime BIGINT)",
        f"INSERT INTO replicas VALUES {', '.join(rows)}",
    )
    return database


def read_from(site: FaultySite, database: TestDatabase, query: str) -> None:
    site.prepare(Backends={"inventory": "sql"}, SQL={"URL": database.url, "Files": query})


@contextmanager
def locked(database: TestDatabase) -> Iterator[Callable[[], None]]:
    """Lock the table, as for a change of its columns, until the function is called that this gives."""
    engine = create_engine(make_url(database.url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("LOCK TABLE replicas IN ACCESS EXCLUSIVE MODE"))
        yield connection.rollback


def waits(database: TestDatabase) -> bool:
    """Whether somebody waits for a lock in the database."""
    name = make_url(database.url).database
    return bool(
        database.execute(f"SELECT 1 FROM pg_stat_activity WHERE datname = '{name}' AND wait_event_type = 'Lock'")
    )


@pytest.mark.fault("inventories", "a database takes its time for each row that it gives", "the run waits, and is right")
def test_a_slow_database(planted: FaultySite, in_postgres: TestDatabase) -> None:
    read_from(planted, in_postgres, "SELECT lfn, size, mtime FROM replicas, pg_sleep(0.5)")
    ended = planted.check()
    assert ended.code == 0, ended.err
    planted.assert_found(["data/1/lost.root"], ["data/2/left.root"])


@pytest.mark.fault(
    "inventories",
    "the table of the inventory is locked by somebody else when a run begins, and let go after some seconds",
    "the run waits, and is right",
)
def test_a_locked_table(planted: FaultySite, in_postgres: TestDatabase) -> None:
    read_from(planted, in_postgres, "SELECT lfn, size, mtime FROM replicas")
    with locked(in_postgres) as let_go:
        process = planted.start_check()
        eventually("waits for the lock", lambda: waits(in_postgres), process)
        time.sleep(2)
        assert process.poll() is None
        let_go()
        ended = wait_for(process)
    assert ended.code == 0, ended.err
    planted.assert_found(["data/1/lost.root"], ["data/2/left.root"])


@pytest.mark.fault(
    "inventories",
    "a run is halted while it waits for a table that somebody has locked",
    "it ends within seconds, locked or not; the next one is right",
)
def test_a_run_that_waits_for_a_lock_is_halted(planted: FaultySite, in_postgres: TestDatabase) -> None:
    read_from(planted, in_postgres, "SELECT lfn, size, mtime FROM replicas")
    with locked(in_postgres):
        process = planted.start_check()
        eventually("waits for the lock", lambda: waits(in_postgres), process)
        assert run("halt", planted.name, cwd=planted.home).code == 0
        ended = wait_for(process)
        assert ended.code == 3, ended
        assert list(planted.web.glob("*_compare_*")) == []
    assert not RunDirectory(planted.home / "var", planted.name).is_locked()
    ended = planted.check()
    assert ended.code == 0, ended.err
    planted.assert_found(["data/1/lost.root"], ["data/2/left.root"])


def write_sqlite(site: FaultySite) -> Path:
    path = site.home / "inventory.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE files (lfn TEXT, size INTEGER, mtime INTEGER)")
        rows = [(f"{site.lfn}/{os.fsdecode(name)}", size, OLD) for name, size in site.known.items()]
        connection.executemany("INSERT INTO files VALUES (?, ?, ?)", rows)
        connection.commit()
    site.prepare(Inventory="inventory.db")
    return path


@pytest.mark.fault(
    "inventories",
    "an SQLite inventory is locked by another process for some seconds",
    "the run waits, and is right",
)
def test_a_locked_file(planted: FaultySite) -> None:
    with closing(sqlite3.connect(write_sqlite(planted), isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        process = planted.start_check()
        time.sleep(2)
        assert process.poll() is None
        connection.execute("ROLLBACK")
        ended = wait_for(process)
    assert ended.code == 0, ended.err
    planted.assert_found(["data/1/lost.root"], ["data/2/left.root"])


@pytest.mark.soak
@pytest.mark.fault(
    "inventories",
    "an SQLite inventory is locked by another process for longer than anybody waits",
    "the run fails with one line and nothing is called missing or orphan; the next one is right",
)
def test_a_file_that_stays_locked(planted: FaultySite) -> None:
    with closing(sqlite3.connect(write_sqlite(planted), isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        ended = planted.check()
        assert ended.code == 2, ended
        assert "the SQLite database cannot be read: database is locked" in ended.message
        assert list(planted.web.glob("*_compare_*")) == []
        connection.execute("ROLLBACK")
    ended = planted.check()
    assert ended.code == 0, ended.err
    planted.assert_found(["data/1/lost.root"], ["data/2/left.root"])
