"""The page about backends is whole, and its examples work."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from storage.backends import Backends, choose
from storage.backends.foreign import ANSWERS
from storage.backends.protocols import InventoryRow, Transfers
from storage.config.keys import SQLKeys
from storage.config.loading import Config
from tests.storage.backends.conftest import make_database

PAGE = (Path(__file__).parents[3] / "docs" / "backends.md").read_text()


def block(kind: str, containing: str) -> str:
    """Give the example of a kind with a word in it."""
    (found,) = [text for text in re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) if containing in text]
    return str(found)


def load(directory: Path, keys: dict[str, Any]) -> Backends:
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump({**keys, "Sites": {"T2_A": {}}}))
    config = Config.load(path, {})
    return choose(config, config.site("T2_A"))


def test_every_question_and_method_and_query_is_named() -> None:
    assert {field.name for field in fields(Backends)} == set(ANSWERS)
    for question, methods in ANSWERS.items():
        assert PAGE.count(f"`{question}`") >= 2
        for method in methods:
            assert re.search(rf"`{method}[`(]", PAGE)
    for key in set(SQLKeys.model_fields) - {"URL"}:
        assert f"| `{key}` |" in PAGE


def test_the_queries_of_the_example_work(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    database = make_database(request, "postgresql", tmp_path)
    database.execute(
        "CREATE TABLE replicas (lfn text, size bigint, mtime bigint, block text, dataset text, owner text, "
        "site text, tape boolean)",
        "CREATE TABLE subscriptions (dataset text, site text)",
        "CREATE TABLE deletions (dataset text, site text, done boolean)",
        "CREATE TABLE sites (name text, status text)",
        "INSERT INTO replicas VALUES ('/store/mc/a', 5, 7, 'd#1', 'd', 'us', 'T2_A', false), "
        "('/store/mc/a', 5, 7, 'd#1', 'd', 'us', 'T1_B', true)",
        "INSERT INTO subscriptions VALUES ('d', 'T2_A'), ('e', 'T1_B')",
        "INSERT INTO deletions VALUES ('f', 'T2_A', false), ('g', 'T2_A', true)",
        "INSERT INTO sites VALUES ('T2_A', 'ready'), ('T1_B', 'down')",
    )
    keys = yaml.safe_load(block("yaml", "OtherCopies"))
    keys["SQL"]["URL"] = database.url
    backends = load(tmp_path, keys)
    assert list(backends.inventory.list_files("T2_A")) == [InventoryRow("/store/mc/a", 5, 7, "d#1", "d", "us")]
    assert backends.inventory.protected_datasets("T2_A") == {"d"}
    assert backends.deletions.deletion_requests("T2_A") == {"f"}
    assert backends.sites.site_list() == ["T2_A", "T1_B"]
    assert backends.sites.ready_sites() == {"T2_A"}
    assert backends.registry.sources("T2_A", ["/store/mc/a", "/store/mc/b"]) == Transfers(
        ["/store/mc/a"], ["/store/mc/a", "/store/mc/b"], ["/store/mc/b"]
    )


def test_the_example_of_another_package_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "our_package").mkdir()
    (tmp_path / "our_package" / "backend.py").write_text(block("python", "class Backend"))
    info = tmp_path / "our_package-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: our_package\nVersion: 1\n")
    written = block("toml", "entry-points").replace('"', "").replace("project.entry-points.", "")
    (info / "entry_points.txt").write_text(written)
    monkeypatch.syspath_prepend(tmp_path)
    backends = load(tmp_path, {"Backend": "ours"})
    assert list(backends.inventory.list_files("T2_A")) == [
        InventoryRow("/store/mc/a.root", 1024, 1700000000),
        InventoryRow("/store/mc/b.root"),
    ]
    assert backends.registry.transfer("T2_A", ["/store/mc/b.root"]) == Transfers(["/store/mc/b.root"])
