"""Who answers which question."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from storage.backends import BackendError, choose
from storage.backends.files import ConfiguredSites, FileRegistry
from storage.backends.protocols import Transfers
from storage.config.loading import Config


def configure(directory: Path, **keys: Any) -> Config:
    """Write a configuration with one site; the keys are JSON, which is YAML."""

    path = directory / "config.yaml"
    path.write_text(json.dumps({"Sites": {"T2_A": {}}, **keys}))
    return Config.load(path, {})


def test_the_default_is_files(tmp_path: Path) -> None:
    config = configure(tmp_path)
    backends = choose(config, config.site("T2_A"))
    assert isinstance(backends.registry, FileRegistry)
    assert isinstance(backends.sites, ConfiguredSites)
    assert backends.sites.site_list() == ("T2_A",)
    assert backends.sites.ready_sites() == {"T2_A"}
    assert backends.deletions.deletion_requests("T2_A") == frozenset()
    assert backends.check.check_site("T2_A") == ""
    assert list(tmp_path.iterdir()) == [tmp_path / "config.yaml"]


@pytest.mark.parametrize(
    ("keys", "key"),
    [({"Backend": "nonsense"}, "Backend"), ({"Backends": {"registry": "nonsense"}}, r"Backends\.registry")],
)
def test_an_unknown_name_lists_the_valid_ones(tmp_path: Path, keys: dict[str, Any], key: str) -> None:
    config = configure(tmp_path, **keys)
    with pytest.raises(BackendError, match=rf'^{key}: no backend "nonsense"; valid: .*files'):
        choose(config, config.site("T2_A"))


def test_without_a_transfer_queue_nothing_is_brought_back(tmp_path: Path) -> None:
    config = configure(tmp_path, UseTransferQueue=False)
    registry = choose(config, config.site("T2_A")).registry
    assert registry.transfer("T2_A", ["/store/mc/a"]) == Transfers()
    assert registry.sources("T2_A", ["/store/mc/a"]) == Transfers(["/store/mc/a"])
    assert registry.delete("T2_A", ["/store/mc/b"]) == 1
    other = configure(tmp_path)
    assert choose(other, other.site("T2_A")).registry.transfer("T2_A", ["/store/mc/a"]) == Transfers(["/store/mc/a"])


def test_each_question_may_have_a_backend_of_its_own(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "db")) as database, database:
        database.execute("CREATE TABLE sites (name)")
        database.execute("INSERT INTO sites VALUES ('T2_SQL')")
    (tmp_path / "inventory").write_text("/store/mc/a\n")
    sql = {"URL": f"sqlite:///{tmp_path}/db", "Sites": "SELECT name FROM sites"}
    config = configure(tmp_path, Backends={"sites": "sql"}, SQL=sql, Inventory="inventory")
    backends = choose(config, config.site("T2_A"))
    assert backends.sites.site_list() == ["T2_SQL"]
    assert backends.sites.ready_sites() == {"T2_SQL"}
    assert [row.lfn for row in backends.inventory.list_files("T2_A")] == ["/store/mc/a"]
    back = configure(tmp_path, Backend="sql", Backends={"sites": "files"}, SQL=sql, Inventory="inventory")
    assert choose(back, back.site("T2_A")).sites.site_list() == ("T2_A",)


@pytest.mark.parametrize("question", ["deletions", "registry", "check", "inventory"])
def test_a_backend_that_is_named_for_a_question_has_to_answer_it(tmp_path: Path, question: str) -> None:
    sql = {"URL": "sqlite:////nowhere", "Sites": "SELECT 1"}
    config = configure(tmp_path, Backends={question: "sql"}, SQL=sql, Inventory="inventory")
    with pytest.raises(BackendError, match=rf'^Backends\.{question}: the backend "sql" does not answer this'):
        choose(config, config.site("T2_A"))
