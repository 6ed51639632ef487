"""A database with configured queries, of each kind that has a driver here."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.checksums.digest import Checksum
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from storage.backends import BackendError, Backends, choose
from storage.backends.checksums import expected_checksums
from storage.backends.database import Database
from storage.backends.into_snapshot import inventory_identity, inventory_of_backend
from storage.backends.protocols import InventoryRow, Transfers
from storage.backends.queue import RequestQueue, queue_path
from storage.config.loading import Config
from storage.config.site import SiteConfig
from storage.inventory import InventoryMalformed
from storage.snapshot import Snapshot
from tests.storage.backends.conftest import TestDatabase, make_database

SITE = "T2_A"
FILES = 'SELECT lfn, size, mtime, block, dataset, grp AS "group" FROM replicas WHERE site = :site'


def settings(directory: Path, url: str, **queries: str) -> tuple[Backends, SiteConfig]:
    path = directory / "config.yaml"
    path.write_text(json.dumps({"Backend": "sql", "SQL": {"URL": url, **queries}, "Sites": {SITE: {}, "T2_B": {}}}))
    config = Config.load(path, {})
    site = config.site(SITE)
    return choose(config, site), site


@pytest.fixture
def filled(database: TestDatabase) -> TestDatabase:
    database.execute(
        "CREATE TABLE replicas (site VARCHAR(50), lfn VARCHAR(500), size BIGINT, mtime BIGINT, "
        "block VARCHAR(100), dataset VARCHAR(100), grp VARCHAR(50), tape INTEGER DEFAULT 0)",
        "INSERT INTO replicas VALUES ('T2_A', '/store/mc/a/one', 5, 1700000000, '/p/e-v1/t#1', '/p/e-v1/t', 'us', 0)",
        "INSERT INTO replicas VALUES ('T2_A', '/store/data/b/two', NULL, NULL, NULL, NULL, NULL, 0)",
        "INSERT INTO replicas VALUES ('T2_A', '/store/mc/a/a quote'' and 100%', 7, 1, '', '', '', 0)",
        "INSERT INTO replicas VALUES ('T2_B', '/store/mc/a/one', 5, 1, '', '', '', 0)",
        "INSERT INTO replicas VALUES ('T1_C_MSS', '/store/data/b/two', 5, 1, '', '', '', 1)",
    )
    return database


def files_query(database: TestDatabase) -> str:
    return FILES.replace('"', "`") if database.kind == "mysql" else FILES


def test_the_files_of_a_site(filled: TestDatabase, tmp_path: Path, room_beside_the_snapshot_alone: None) -> None:
    backends, site = settings(tmp_path, filled.url, Files=files_query(filled))
    rows = sorted(backends.inventory.list_files(SITE), key=lambda row: row.lfn)
    assert rows == [
        InventoryRow("/store/data/b/two"),
        InventoryRow("/store/mc/a/a quote' and 100%", 7, 1),
        InventoryRow("/store/mc/a/one", 5, 1700000000, "/p/e-v1/t#1", "/p/e-v1/t", "us"),
    ]
    counts = inventory_of_backend(backends, site, tmp_path / "s", (b"/store/mc",))
    assert (counts.files, counts.skipped, counts.bytes, counts.has_sizes, counts.format) == (2, 1, 12, True, "sql")
    with closing(Snapshot(tmp_path / "s")) as snapshot:
        assert snapshot.header.source == inventory_identity(backends, site).label
        assert snapshot.table.paths == [b"/", b"/store", b"/store/mc", b"/store/mc/a"]


def test_every_question_has_its_query(filled: TestDatabase, tmp_path: Path) -> None:
    backends, _ = settings(
        tmp_path,
        filled.url,
        Files=files_query(filled),
        ProtectedDatasets="SELECT dataset FROM replicas WHERE site = :site AND dataset <> ''",
        PendingDeletions="SELECT '/gone/e-v1/t' WHERE :site = 'T2_A'",
        Sites="SELECT DISTINCT site FROM replicas ORDER BY site",
        ReadySites="SELECT 'T2_B'",
    )
    assert backends.inventory.protected_datasets(SITE) == {"/p/e-v1/t"}
    assert backends.deletions.deletion_requests(SITE) == {"/gone/e-v1/t"}
    assert backends.deletions.deletion_requests("T2_B") == set()
    assert backends.sites.site_list() == ["T1_C_MSS", "T2_A", "T2_B"]
    assert backends.sites.ready_sites() == {"T2_B"}
    assert backends.blocks.filelist_to_blocklist(SITE, ["/store/mc/a/one", "/store/data/b/two"]) == [
        ("", "", "/store/data/b", 1, 0),
        ("us", "/p/e-v1/t", "/p/e-v1/t#1", 1, 5),
    ]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT site, lfn, tape FROM replicas WHERE site <> :site AND lfn IN :lfns",
        "SELECT lfn, site FROM replicas WHERE lfn = :lfn",
        "SELECT lfn, site, tape FROM replicas",
    ],
)
def test_other_copies(filled: TestDatabase, tmp_path: Path, query: str) -> None:
    backends, site = settings(tmp_path, filled.url, OtherCopies=query, Files=files_query(filled))
    lfns = ["/store/mc/a/one", "/store/data/b/two", "/store/mc/a/a quote' and 100%", "/store/mc/é\udcff"]
    lost = ["/store/mc/a/a quote' and 100%", "/store/mc/é\udcff"]
    if filled.kind != "sqlite":
        # Other databases hold no names that are not text.
        lfns, lost = lfns[:3], lost[:1]
    expected = Transfers(lfns[:2], lfns[1:], lost)
    assert backends.registry.sources(SITE, lfns) == expected
    queue = RequestQueue(queue_path(site.var_location))
    assert queue.requests("transfers") == []
    assert backends.registry.transfer(SITE, lfns) == expected
    assert [request.lfn.decode() for request in queue.requests("transfers", SITE)] == lfns[:2]


def test_what_no_query_answers_is_left_to_the_default(filled: TestDatabase, tmp_path: Path) -> None:
    backends, _ = settings(tmp_path, filled.url, Files=files_query(filled))
    assert backends.sites.site_list() == (SITE, "T2_B")
    assert backends.deletions.deletion_requests(SITE) == frozenset()
    assert backends.inventory.protected_datasets(SITE) == frozenset()
    assert backends.registry.transfer(SITE, ["/store/mc/a"]) == Transfers(["/store/mc/a"])


def test_names_of_any_kind(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    database = make_database(request, "sqlite", tmp_path)
    database.execute("CREATE TABLE t (path, size)")
    for name in (b"/store/mc/\xff", b"/store/mc/a\nb", "/store/mc/<é>".encode()):
        database.execute("INSERT INTO t VALUES (:name, '7')", name=name)
    database.execute("INSERT INTO t VALUES (CAST(x'2f73746f72652f6d632f62ff' AS TEXT), NULL)")
    backends, site = settings(tmp_path, database.url, Files="SELECT * FROM t")
    inventory_of_backend(backends, site, tmp_path / "s")
    with closing(Snapshot(tmp_path / "s")) as snapshot:
        files = snapshot.table.load(snapshot.table.paths.index(b"/store/mc"))
    assert files.rows() == [
        ("<é>".encode(), 7, UNKNOWN_MTIME),
        (b"a\nb", 7, UNKNOWN_MTIME),
        (b"b\xff", UNKNOWN_SIZE, UNKNOWN_MTIME),
        (b"\xff", 7, UNKNOWN_MTIME),
    ]


def test_names_that_are_bytes_in_postgresql(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    database = make_database(request, "postgresql", tmp_path)
    database.execute("CREATE TABLE t (name bytea, size numeric, mtime timestamptz)")
    database.execute("INSERT INTO t VALUES (:name, 7, '2023-11-14 22:13:20+00')", name=b"/store/mc/\xff")
    backends, _ = settings(
        tmp_path, database.url, Files="SELECT * FROM t", OtherCopies="SELECT name AS lfn FROM t WHERE name IN :lfns"
    )
    assert list(backends.inventory.list_files(SITE)) == [InventoryRow("/store/mc/\udcff", 7, 1700000000)]
    assert backends.registry.sources(SITE, ["/store/mc/\udcff"]).no_disk == ()


def test_a_column_of_sites_chooses_the_rows(filled: TestDatabase, tmp_path: Path) -> None:
    backends, _ = settings(tmp_path, filled.url, Files="SELECT lfn, site FROM replicas")
    assert len(list(backends.inventory.list_files(SITE))) == 3
    assert len(list(backends.inventory.list_files("T2_B"))) == 1


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        (
            {"Files": "SELECT size AS bytes, mtime FROM replicas"},
            r"SQL\.Files: no column of paths .*columns: bytes, mtime$",
        ),
        ({"Files": "SELECT lfn FROM nowhere"}, r"^SQL\.Files: \S+: .*nowhere"),
        ({"Files": "SELEC lfn"}, r"^SQL\.Files: \S+: .*SELEC"),
        (
            {"Files": "SELECT lfn FROM replicas WHERE site = :sight"},
            r"SQL\.Files: unknown parameter :sight; known: :site",
        ),
        ({"Files": "SELECT lfn, lfn FROM replicas"}, r"SQL\.Files: expected each column once"),
        ({}, r"set SQL\.Files"),
    ],
)
def test_a_wrong_query(filled: TestDatabase, tmp_path: Path, queries: dict[str, str], message: str) -> None:
    backends, site = settings(tmp_path, filled.url, **queries)
    with pytest.raises(BackendError, match=message) as caught:
        inventory_of_backend(backends, site, tmp_path / "s")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "s").exists()


def test_a_query_that_would_write(filled: TestDatabase, tmp_path: Path) -> None:
    backends, site = settings(tmp_path, filled.url, Files="DELETE FROM replicas")
    with pytest.raises(BackendError, match=r"SQL\.Files"):
        inventory_of_backend(backends, site, tmp_path / "s")
    assert filled.execute("SELECT count(*) FROM replicas") == [(5,)]


def test_a_value_that_makes_no_sense(filled: TestDatabase, tmp_path: Path) -> None:
    backends, _ = settings(tmp_path, filled.url, Files="SELECT lfn, -5 AS size FROM replicas WHERE site = :site")
    with pytest.raises(InventoryMalformed, match=r"SQL.Files of T2_A, row 1: expected a size in bytes, found -5"):
        list(backends.inventory.list_files(SITE))


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        ("sqlite", "SELECT lfn FROM replicas WHERE lfn LIKE '%100\\%' ESCAPE '\\' AND '\\:site' <> :site"),
        (
            "postgresql",
            "SELECT lfn, size::numeric FROM replicas WHERE lfn LIKE '%100!%' ESCAPE '!' AND site = :site::text",
        ),
        ("mysql", "SELECT lfn FROM replicas WHERE lfn LIKE '%100!%' ESCAPE '!' AND site = :site AND '12:30' <> '';"),
    ],
)
def test_percent_signs_and_colons_in_a_query(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, query: str
) -> None:
    database = make_database(request, kind, tmp_path)
    database.execute("CREATE TABLE replicas (site VARCHAR(50), lfn VARCHAR(500), size BIGINT)")
    database.execute("INSERT INTO replicas VALUES ('T2_A', '/store/mc/100%', 5), ('T2_A', '/store/mc/100', 6)")
    backends, _ = settings(tmp_path, database.url, Files=query)
    assert [row.lfn for row in backends.inventory.list_files(SITE)] == ["/store/mc/100%"]


def test_an_inventory_without_rows_is_empty(filled: TestDatabase, tmp_path: Path) -> None:
    backends, site = settings(tmp_path, filled.url, Files="SELECT lfn FROM replicas WHERE 1 = 0")
    assert inventory_of_backend(backends, site, tmp_path / "s").files == 0


@pytest.mark.parametrize("driver", ["postgresql", "mysql", "mysql+pymysql"])
def test_a_database_that_cannot_be_reached(tmp_path: Path, driver: str) -> None:
    backends, site = settings(tmp_path, f"{driver}://me:sesame!@127.0.0.1:1/inventory", Files="SELECT 1 AS lfn")
    with pytest.raises(BackendError, match=r"SQL\.Files: .*me:\*\*\*@127.0.0.1:1/inventory: .*refused") as caught:
        inventory_of_backend(backends, site, tmp_path / "s")
    assert "sesame" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "sesame" not in json.dumps(dict(inventory_identity(backends, site).mark))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense://sesame@host/db", r"SQL\.URL: no database of the kind nonsense is known"),
        ("sesame", r"SQL\.URL: not a database URL"),
        ("oracle://me:sesame@host/db", r"SQL\.URL: the driver .* is not installed; install the package"),
        ("sqlite:////nowhere/sesame?x=1", r"SQL\.Files: sqlite:////nowhere/.*unable to open"),
    ],
)
def test_an_address_that_makes_no_sense(tmp_path: Path, url: str, message: str) -> None:
    backends, site = settings(tmp_path, url, Files="SELECT 1 AS lfn")
    with pytest.raises(BackendError, match=message):
        inventory_of_backend(backends, site, tmp_path / "s")


def test_a_missing_driver_says_which_extra_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "psycopg", None)
    backends, site = settings(tmp_path, "postgresql://host/db", Files="SELECT 1 AS lfn")
    with pytest.raises(BackendError, match=r"psycopg is not installed; install dynamo-consistency\[postgresql\]"):
        inventory_of_backend(backends, site, tmp_path / "s")


def test_a_mistyped_file_is_not_made(tmp_path: Path) -> None:
    backends, site = settings(tmp_path, f"sqlite:///{tmp_path}/typo.db", Files="SELECT 1 AS lfn")
    with pytest.raises(BackendError, match=r"typo\.db"):
        inventory_of_backend(backends, site, tmp_path / "s")
    assert not (tmp_path / "typo.db").exists()


def test_without_the_key_it_cannot_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps({"Backend": "sql", "Sites": {SITE: {}}}))
    config = Config.load(path, {})
    with pytest.raises(BackendError, match="needs the key SQL"):
        choose(config, config.site(SITE))


def test_the_mark_changes_with_the_query(filled: TestDatabase, tmp_path: Path) -> None:
    def mark(query: str) -> dict[str, Any]:
        return dict(inventory_identity(*settings(tmp_path, filled.url, Files=query)).mark)

    assert mark("SELECT lfn FROM replicas") == mark("SELECT lfn FROM replicas")
    assert mark("SELECT lfn FROM replicas") != mark("SELECT lfn, size FROM replicas")


def test_a_server_of_postgresql_that_is_gone_without_a_word_is_noticed(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The connection of a read is open for hours; by itself the system looks after it every two."""
    url = make_database(request, "postgresql", tmp_path).url
    own = f"{url}{'&' if '?' in url else '?'}keepalives_idle=7"
    for given, idle in ((url, "60"), (own, "7")):
        with Database(given).connect("a test") as connection:
            driver: Any = connection.connection.driver_connection
            assert driver.info.get_parameters()["keepalives_idle"] == idle


def test_checksums_are_those_of_the_files(filled: TestDatabase, tmp_path: Path) -> None:
    filled.execute(
        "ALTER TABLE replicas ADD adler32 VARCHAR(8)", "UPDATE replicas SET adler32 = 'a1b2c3d' WHERE size = 5"
    )
    sizes = {b"/store/mc/a/one": 5, b"/store/data/b/two": 5, b"/store/mc/a/none": 1}
    backends, _ = settings(tmp_path, filled.url, Files=files_query(filled))
    assert expected_checksums(backends, SITE, sizes, lambda: None) is None
    with_sums = files_query(filled).replace("SELECT lfn", "SELECT adler32, lfn")
    backends, _ = settings(tmp_path, filled.url, Files=with_sums)
    found = expected_checksums(backends, SITE, sizes, lambda: None)
    assert found == {b"/store/mc/a/one": (Checksum("adler32", "0a1b2c3d"),), b"/store/data/b/two": ()}
    # Where the database answers for the protected datasets alone, the file has them.
    (tmp_path / "inventory.csv").write_text("lfn,size,checksum\n/store/mc/a/one,5,0a1b2c3e\n")
    path = tmp_path / "config.yaml"
    sql = {"URL": filled.url, "ProtectedDatasets": "SELECT dataset FROM replicas"}
    path.write_text(json.dumps({"Backend": "sql", "Inventory": "inventory.csv", "SQL": sql, "Sites": {SITE: {}}}))
    config = Config.load(path, {})
    found = expected_checksums(choose(config, config.site(SITE)), SITE, sizes, lambda: None)
    assert found == {b"/store/mc/a/one": (Checksum("adler32", "0a1b2c3e"),)}
