"""The tables of dynamo's first version, in each kind of database; MariaDB is what dynamo itself uses."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from engine.columns import UNSETTLED_MTIME
from storage.backends import BackendError, Backends, choose
from storage.backends.into_snapshot import inventory_of_backend
from storage.backends.protocols import InventoryRow, Transfers
from storage.config.loading import Config
from storage.config.site import SiteConfig
from tests.storage.backends.conftest import TestDatabase, make_database

SITE = "T2_A"
LFN = "/store/mc/Era/Primary/TIER/v1/00/"

TABLES = (
    "CREATE TABLE sites (id INTEGER PRIMARY KEY, name VARCHAR(32), storage_type VARCHAR(10), status VARCHAR(10))",
    "CREATE TABLE datasets (id INTEGER PRIMARY KEY, name VARCHAR(512), status VARCHAR(20))",
    "CREATE TABLE blocks (id INTEGER PRIMARY KEY, dataset_id INTEGER, name VARCHAR(128))",
    "CREATE TABLE files (id INTEGER PRIMARY KEY, block_id INTEGER, size BIGINT, name VARCHAR(512))",
    "CREATE TABLE block_replicas (block_id INTEGER, site_id INTEGER, group_id INTEGER, is_complete INTEGER)",
    "CREATE TABLE dataset_replicas (dataset_id INTEGER, site_id INTEGER)",
    "CREATE TABLE {groups} (id INTEGER PRIMARY KEY, name VARCHAR(64))",
    "CREATE TABLE file_subscriptions (file_id INTEGER, site_id INTEGER, status VARCHAR(10), {delete} INTEGER)",
)
QUEUES = (
    "CREATE TABLE deletion_queue (reqid INTEGER NOT NULL DEFAULT 0, file VARCHAR(512) NOT NULL, "
    "site VARCHAR(32) NOT NULL, status VARCHAR(10) NOT NULL, UNIQUE (file, site))",
    "CREATE TABLE transfer_queue (reqid INTEGER NOT NULL, file VARCHAR(512) NOT NULL, site_from VARCHAR(32) NOT NULL, "
    "site_to VARCHAR(32) NOT NULL, status VARCHAR(10) NOT NULL, UNIQUE (file, site_from, site_to))",
)
ROWS = (
    "INSERT INTO sites VALUES (1, 'T2_A', 'disk', 'ready'), (2, 'T2_B', 'disk', 'ready'), "
    "(3, 'T1_C_MSS', 'mss', 'ready'), (4, 'T2_D', 'disk', 'morgue')",
    "INSERT INTO datasets VALUES (1, '/Primary/Era-v1/TIER', 'VALID'), (2, '/Old/Era-v1/TIER', 'IGNORED'), "
    "(3, '/Coming/Era-v1/TIER', 'VALID'), (4, '/Going/Era-v1/TIER', 'VALID'), (5, '/Else/Era-v1/TIER', 'VALID')",
    "INSERT INTO blocks VALUES (1, 1, '/Primary/Era-v1/TIER#1'), (2, 1, '/Primary/Era-v1/TIER#2'), "
    "(3, 3, '/Coming/Era-v1/TIER#1'), (4, 4, '/Going/Era-v1/TIER#1'), (5, 5, '/Else/Era-v1/TIER#1')",
    "INSERT INTO {groups} VALUES (1, 'AnalysisOps')",
    f"INSERT INTO files VALUES (1, 1, 10, '{LFN}a'), (2, 1, -1, '{LFN}b'), (3, 2, 30, '{LFN}c'), "
    "(4, 3, 1, '/store/mc/Era/Coming/TIER/v1/00/x'), (5, 4, 1, '/store/mc/Era/Going/TIER/v1/00/y'), "
    f"(6, 5, 1, '/store/mc/Era/Else/TIER/v1/00/z')",
    "INSERT INTO block_replicas VALUES (1, 1, 1, 1), (2, 1, 0, 1), (1, 2, 1, 1), (2, 3, 1, 1), "
    "(1, 3, 1, 1), (5, 4, 1, 1)",
    "INSERT INTO dataset_replicas VALUES (1, 1), (5, 4)",
    "INSERT INTO file_subscriptions VALUES (4, 1, 'new', 0), (5, 1, 'retry', 1), (6, 1, 'done', 0), "
    "(6, 1, 'cancelled', 1)",
)


def fill(database: TestDatabase, *statements: str) -> None:
    quote = "`" if database.kind == "mysql" else '"'
    database.execute(*(s.format(groups=f"{quote}groups{quote}", delete=f"{quote}delete{quote}") for s in statements))


@pytest.fixture
def dynamo(database: TestDatabase) -> TestDatabase:
    fill(database, *TABLES, *QUEUES, *ROWS)
    return database


def settings(directory: Path, url: str) -> tuple[Backends, SiteConfig]:
    path = directory / "config.yaml"
    path.write_text(json.dumps({"Backend": "dynamo-v1", "SQL": {"URL": url}, "Sites": {SITE: {}}}))
    config = Config.load(path, {})
    return choose(config, config.site(SITE)), config.site(SITE)


def test_what_is_settled_is_judged_and_the_rest_is_not(
    dynamo: TestDatabase, tmp_path: Path, room_beside_the_snapshot_alone: None
) -> None:
    backends, site = settings(tmp_path, dynamo.url)
    rows = sorted(backends.inventory.list_files(SITE), key=lambda row: row.lfn)
    block = "/Primary/Era-v1/TIER#"
    dataset = block[:-1]
    assert rows[:2] == [
        InventoryRow(f"{LFN}a", 10, None, f"{block}1", dataset, "AnalysisOps"),
        InventoryRow(f"{LFN}b", None, None, f"{block}1", dataset, "AnalysisOps"),
    ]
    (young,) = rows[2:]
    assert (young.lfn, young.size, young.block, young.group) == (f"{LFN}c", 30, f"{block}2", "")
    assert young.mtime == UNSETTLED_MTIME
    assert inventory_of_backend(backends, site, tmp_path / "s", (b"/store/mc",)).files == 3


def test_datasets(dynamo: TestDatabase, tmp_path: Path) -> None:
    backends, _ = settings(tmp_path, dynamo.url)
    assert backends.inventory.protected_datasets(SITE) == {
        "/Primary/Era-v1/TIER",
        "/Old/Era-v1/TIER",
        "/Coming/Era-v1/TIER",
    }
    assert backends.deletions.deletion_requests(SITE) == {"/Going/Era-v1/TIER"}
    assert backends.datasets.filter({"/Primary/Era-v1/TIER"}).protected(f"{LFN}orphan")


def test_an_older_dynamo_has_no_subscriptions(dynamo: TestDatabase, tmp_path: Path) -> None:
    dynamo.execute("DROP TABLE file_subscriptions")
    backends, _ = settings(tmp_path, dynamo.url)
    assert backends.deletions.deletion_requests(SITE) == set()
    assert backends.inventory.protected_datasets(SITE) == {"/Primary/Era-v1/TIER", "/Old/Era-v1/TIER"}


def test_sites(dynamo: TestDatabase, tmp_path: Path) -> None:
    backends, _ = settings(tmp_path, dynamo.url)
    assert backends.sites.site_list() == ["T1_C_MSS", "T2_A", "T2_B", "T2_D"]
    assert backends.sites.ready_sites() == {"T1_C_MSS", "T2_A", "T2_B"}


def test_blocks(dynamo: TestDatabase, tmp_path: Path) -> None:
    backends, _ = settings(tmp_path, dynamo.url)
    assert backends.blocks.filelist_to_blocklist(SITE, [f"{LFN}a", f"{LFN}b", f"{LFN}c"]) == [
        ("", "/Primary/Era-v1/TIER", "/Primary/Era-v1/TIER#2", 1, 30),
        ("AnalysisOps", "/Primary/Era-v1/TIER", "/Primary/Era-v1/TIER#1", 2, 10),
    ]


def test_transfers_are_asked_for_once(dynamo: TestDatabase, tmp_path: Path) -> None:
    registry = settings(tmp_path, dynamo.url)[0].registry
    lost = "/store/mc/Era/Else/TIER/v1/00/z"
    lfns = [f"{LFN}a", f"{LFN}c", lost, "/store/mc/nobody/knows"]
    expected = Transfers(lfns[:2], lfns[1:], lfns[2:])
    assert registry.sources(SITE, lfns) == expected
    assert dynamo.execute("SELECT * FROM transfer_queue") == []
    for _ in range(2):
        assert registry.transfer(SITE, lfns) == expected
        assert sorted(dynamo.execute("SELECT * FROM transfer_queue")) == [
            (0, f"{LFN}a", "T2_B", SITE, "new"),
            (0, f"{LFN}c", "T1_C_MSS", SITE, "new"),
        ]


def test_deletions_are_asked_for_once_until_they_have_ended(dynamo: TestDatabase, tmp_path: Path) -> None:
    registry = settings(tmp_path, dynamo.url)[0].registry
    lfns = [f"/store/mc/o'{number}%" for number in range(1200)]
    assert registry.delete(SITE, lfns) == 1200
    assert registry.delete(SITE, lfns) == 0
    assert registry.delete("T2_B", lfns[:1]) == 1
    dynamo.execute("UPDATE deletion_queue SET status = 'done' WHERE file = :file", file=lfns[0])
    assert registry.delete(SITE, [*lfns[:2], "/store/mc/new"]) == 2
    assert dynamo.execute("SELECT status, count(*) FROM deletion_queue GROUP BY status ORDER BY 1") == [
        ("done", 1),
        ("new", 1201),
    ]


def test_names_that_the_queues_cannot_hold(
    dynamo: TestDatabase, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = settings(tmp_path, dynamo.url)[0].registry
    with caplog.at_level(logging.WARNING):
        assert registry.delete(SITE, ["/store/mc/é", "/store/mc/\udcff", "/" + "x" * 512, "/store/mc/good"]) == 1
    assert dynamo.execute("SELECT file FROM deletion_queue") == [("/store/mc/good",)]
    assert "3 names are longer than 512 characters or not ASCII" in caplog.text


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_queues_in_the_database_of_the_registry(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    database = make_database(request, kind, tmp_path)
    database.execute("CREATE SCHEMA IF NOT EXISTS dynamoregister")
    fill(database, *TABLES, *(s.replace("TABLE ", "TABLE dynamoregister.") for s in QUEUES), *ROWS)
    try:
        registry = settings(tmp_path, database.url)[0].registry
        assert registry.delete(SITE, ["/store/mc/a"]) == 1
        assert registry.transfer(SITE, [f"{LFN}a"]).requested == (f"{LFN}a",)
        assert database.execute("SELECT file, site FROM dynamoregister.deletion_queue") == [("/store/mc/a", SITE)]
    finally:
        # In MariaDB it stands beside the databases of other tests.
        database.execute("DROP SCHEMA dynamoregister" + ("" if database.kind == "mysql" else " CASCADE"))


def test_without_queues_nothing_is_entered(database: TestDatabase, tmp_path: Path) -> None:
    fill(database, *TABLES, *ROWS)
    registry = settings(tmp_path, database.url)[0].registry
    with pytest.raises(BackendError, match=r"dynamo-v1: no table deletion_queue, neither .* nor in dynamoregister"):
        registry.delete(SITE, ["/store/mc/a"])


def test_another_database(database: TestDatabase, tmp_path: Path) -> None:
    backends, _ = settings(tmp_path, database.url)
    with pytest.raises(BackendError, match=r"^dynamo-v1, sites: .*sites"):
        backends.sites.site_list()


def test_without_the_address_it_cannot_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps({"Backend": "dynamo-v1", "Sites": {SITE: {}}}))
    config = Config.load(path, {})
    with pytest.raises(BackendError, match=r"needs SQL\.URL"):
        choose(config, config.site(SITE))
