"""Databases of the kinds that backends ask, each empty."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, make_url, text

from storage.inventory.builder import TreeBuilder

_numbers = itertools.count()


@dataclass(frozen=True)
class TestDatabase:
    """An empty database at ``url``, which has no driver in it, as users write it."""

    __test__ = False

    url: str
    kind: str

    def execute(self, *statements: str, **values: Any) -> list[tuple[Any, ...]]:
        """Do something in it; gives the rows of the last statement."""
        drivers = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
        url = make_url(self.url)
        engine = create_engine(url.set(drivername=drivers.get(url.drivername, url.drivername)), poolclass=NullPool)
        with engine.begin() as connection:
            for statement in statements:
                result = connection.execute(text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []


@pytest.fixture
def room_beside_the_snapshot_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all files of an inventory set aside, where there is no temporary directory."""
    monkeypatch.setattr(TreeBuilder.__init__, "__defaults__", (None, 0))
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> TestDatabase:
    """An empty database of each kind."""
    return make_database(request, request.param, tmp_path)


def make_database(request: pytest.FixtureRequest, kind: str, directory: Path) -> TestDatabase:
    """Make an empty database."""
    name = f"test{next(_numbers)}"
    if kind == "sqlite":
        path = directory / f"{name}.db"
        path.touch()
        return TestDatabase(f"sqlite:///{path}", kind)
    server = request.getfixturevalue({"postgresql": "postgres_server", "mysql": "mariadb_server"}[kind])
    drivers = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
    first = make_url(server.url({"postgresql": "postgres", "mysql": "mysql"}[kind])).set(drivername=drivers[kind])
    engine = create_engine(first, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    return TestDatabase(server.url(name), kind)
