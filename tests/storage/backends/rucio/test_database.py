"""The tables of Rucio as each kind of database has them: ids and states are of other types on each."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.dialects import oracle

from engine.columns import UNSETTLED_MTIME
from storage.backends.protocols import BackendError
from storage.backends.rucio.database import RucioDatabase
from storage.backends.rucio.replicas import RSE, Replicas
from storage.config.site import RucioSettings
from tests.storage.backends.conftest import TestDatabase, make_database

IDS = {"SITE": 0x1F, "GONE": 0x2F, "OTHER": 0x3F}
TYPES = {
    "sqlite": ("CHAR(32)", "VARCHAR(1)", "BOOLEAN", "DATETIME"),
    "postgresql": ("UUID", "replica_state", "BOOLEAN", "TIMESTAMP"),
    "mysql": ("BINARY(16)", "ENUM('A', 'U', 'C', 'B', 'D', 'T')", "BOOL", "DATETIME"),
}
MOMENT, SECONDS = "2026-01-02 03:04:05.9", 1767323045


def identity(kind: str, rse: str) -> str:
    text = f"{IDS[rse]:032x}"
    return f"X'{text}'" if kind == "mysql" else f"'{text}'"


def fill(database: TestDatabase, schema: str = "") -> None:
    """Make the tables as version 41 of Rucio does, as far as they are read."""
    guid, state, boolean, moment = TYPES[database.kind]
    key, deterministic = ("`key`", "`deterministic`") if database.kind == "mysql" else ("key", "deterministic")
    statements = [
        f"CREATE TABLE {schema}rses (id {guid}, rse VARCHAR(255), vo VARCHAR(3), {deterministic} {boolean}, "
        f"deleted {boolean})",
        f"CREATE TABLE {schema}rse_attr_map (rse_id {guid}, {key} VARCHAR(255), value VARCHAR(255))",
        f"CREATE TABLE {schema}replicas (rse_id {guid}, scope VARCHAR(25), name VARCHAR(250), bytes BIGINT, "
        f"path VARCHAR(1024), state {state}, created_at {moment}, updated_at {moment})",
        f"CREATE TABLE {schema}quarantined_replicas (rse_id {guid}, path VARCHAR(1024))",
    ]
    if database.kind == "postgresql":
        statements.insert(0, "CREATE TYPE replica_state AS ENUM ('A', 'U', 'C', 'B', 'D', 'T')")
    true, false = ("TRUE", "FALSE") if database.kind == "postgresql" else ("1", "0")
    site, gone, other = (identity(database.kind, rse) for rse in IDS)
    statements += [
        f"INSERT INTO {schema}rses VALUES ({site}, 'SITE', 'def', {true}, {false})",
        f"INSERT INTO {schema}rses VALUES ({gone}, 'GONE', 'def', {true}, {true})",
        f"INSERT INTO {schema}rses VALUES ({other}, 'SITE', 'xyz', {false}, {false})",
        f"INSERT INTO {schema}rse_attr_map VALUES ({site}, 'lfn2pfn_algorithm', 'identity')",
        f"INSERT INTO {schema}replicas VALUES ({site}, 'mc', 'a', 5, NULL, 'A', '{MOMENT}', '{MOMENT}')",
        f"INSERT INTO {schema}replicas VALUES ({site}, 'mc', 'b', 6, NULL, 'C', '{MOMENT}', '{MOMENT}')",
        f"INSERT INTO {schema}replicas VALUES ({site}, 'mc', 'c', 7, NULL, 'A', '{MOMENT}', NULL)",
        f"INSERT INTO {schema}replicas VALUES ({site}, 'mc', 'd', 8, NULL, 'A', NULL, NULL)",
        f"INSERT INTO {schema}replicas VALUES ({other}, 'mc@xyz', 'a', 5, '/p/a', 'A', '{MOMENT}', '{MOMENT}')",
        f"INSERT INTO {schema}quarantined_replicas VALUES ({site}, 'mc/dark')",
        f"INSERT INTO {schema}quarantined_replicas VALUES ({other}, 'mc/else')",
    ]
    database.execute(*statements)


def only(batches: list[Replicas]) -> list[tuple[object, ...]]:
    (replicas,) = batches
    paths = replicas.paths or [None] * len(replicas.names)
    return sorted(zip(replicas.scopes, replicas.names, replicas.sizes, replicas.mtimes, paths, strict=True))


def test_the_replicas_of_an_rse(database: TestDatabase) -> None:
    fill(database)
    rucio = RucioDatabase(database.url, RucioSettings())
    rse = rucio.rse("SITE")
    assert (rse.name, rse.deterministic, rse.algorithm) == ("SITE", True, "identity")
    assert only(list(rucio.replicas(rse, hashed=True))) == only(list(rucio.replicas(rse)))
    assert only(list(rucio.replicas(rse))) == [
        ("mc", "a", 5, SECONDS, None),
        ("mc", "b", None, UNSETTLED_MTIME, None),
        ("mc", "c", 7, SECONDS, None),
        ("mc", "d", 8, None, None),
    ]
    assert rucio.quarantined(rse, ["mc/dark", "mc/else", *(f"n{n}" for n in range(600))]) == {"mc/dark"}


def test_another_vo(database: TestDatabase) -> None:
    fill(database)
    rucio = RucioDatabase(database.url, RucioSettings(vo="xyz"))
    rse = rucio.rse("SITE")
    assert (rse.deterministic, rse.algorithm) == (False, "")
    assert only(list(rucio.replicas(rse))) == [("mc", "a", 5, SECONDS, "/p/a")]


def test_a_schema(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    database = make_database(request, "postgresql", tmp_path)
    database.execute("CREATE SCHEMA atlas_rucio")
    fill(database, "atlas_rucio.")
    rucio = RucioDatabase(database.url, RucioSettings(schema="atlas_rucio"))
    assert len(only(list(rucio.replicas(rucio.rse("SITE"))))) == 4
    with pytest.raises(BackendError, match=r"the table rses is not there; .*where Rucio\.Schema says"):
        RucioDatabase(database.url, RucioSettings()).rse("SITE")


@pytest.mark.parametrize(("name", "said"), [("SITES", "; similar: SITE"), ("GONE", " among 1 of the VO")])
def test_an_rse_that_there_is_not(database: TestDatabase, name: str, said: str) -> None:
    fill(database)
    with pytest.raises(BackendError, match=rf'no RSE "{name}".*{said}'):
        RucioDatabase(database.url, RucioSettings()).rse(name)


def test_tables_of_another_version(database: TestDatabase) -> None:
    fill(database)
    database.execute("ALTER TABLE replicas DROP COLUMN updated_at")
    with pytest.raises(BackendError, match=r"replicas has no column updated_at; expected .*as of version 41"):
        RucioDatabase(database.url, RucioSettings()).rse("SITE")


def test_what_is_no_rucio_at_all(database: TestDatabase) -> None:
    with pytest.raises(BackendError, match="the table rses is not there; expected the tables of Rucio"):
        RucioDatabase(database.url, RucioSettings()).rse("SITE")


def test_the_moments_of_oracle() -> None:
    """There is none here; what it would be asked can be read."""
    rucio = RucioDatabase("oracle://reader@db.example.org/?service_name=rucio", RucioSettings(schema="atlas_rucio"))
    query = rucio.query(RSE("SITE", b"\0" * 16, deterministic=False))
    text = " ".join(str(query.compile(dialect=oracle.dialect())).split())
    assert "floor((CAST(coalesce(atlas_rucio.replicas.updated_at, atlas_rucio.replicas.created_at) AS DATE) - " in text
    assert text.endswith("FROM atlas_rucio.replicas WHERE atlas_rucio.replicas.rse_id = :rse_id_1")
