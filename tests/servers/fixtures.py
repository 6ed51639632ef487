"""The servers as pytest fixtures."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.servers.databases import MariaDBServer, PostgresServer
from tests.servers.rucio import RucioServer
from tests.servers.webdav import ApacheServer, XRootDOverHTTP
from tests.servers.xrootd import XRootDServer
from tests.servers.xrootd_cluster import XRootDCluster

if TYPE_CHECKING:
    from tests.servers.s3 import S3Server

_directories = itertools.count()


class Server(Protocol):
    """What serves a directory ``store``, as ``/store`` behind ``url``."""

    store: Path

    @property
    def port(self) -> int:
        """Where it listens."""

    @property
    def url(self) -> str:
        """Its door, without a path."""


@dataclass(frozen=True)
class ServedDirectory:
    """A directory of a server: as ``lfn`` through ``url``, and as ``path`` on the local disk."""

    server: Server
    lfn: bytes
    path: Path

    @property
    def url(self) -> str:
        return self.server.url


@pytest.fixture(scope="session")
def xrootd_server() -> Iterator[XRootDServer]:
    """One server for all tests that do it no harm."""
    server = _new_server()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def xrootd_directory(xrootd_server: XRootDServer) -> ServedDirectory:
    """An empty directory of the common server."""
    return _directory_of(xrootd_server)


@pytest.fixture(scope="session")
def http_server() -> Iterator[XRootDOverHTTP]:
    """One XRootD server that is asked over HTTP, for all tests that do it no harm."""
    try:
        server = XRootDOverHTTP()
    except RuntimeError as error:
        pytest.fail(str(error))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def http_directory(http_server: XRootDOverHTTP) -> ServedDirectory:
    """An empty directory of XRootD's HTTP plugin."""
    return _directory_of(http_server)


@pytest.fixture(scope="session")
def apache_server() -> Iterator[ApacheServer]:
    """One Apache with mod_dav for all tests that do it no harm."""
    try:
        server = ApacheServer()
    except RuntimeError as error:
        pytest.fail(str(error))
    with server:
        yield server


@pytest.fixture
def apache_directory(apache_server: ApacheServer) -> ServedDirectory:
    """An empty directory of Apache's mod_dav."""
    return _directory_of(apache_server)


@pytest.fixture
def start_xrootd() -> Iterator[Callable[..., XRootDServer]]:
    """Start servers of the test's own, which it may pause, kill and restart."""
    servers: list[XRootDServer] = []

    def start(*extra: str) -> XRootDServer:
        server = _new_server(*extra)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for all tests; each makes a database of its own."""
    server = PostgresServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDBServer]:
    """One MariaDB for all tests; each makes a database of its own."""
    server = MariaDBServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def rucio_server() -> Iterator[RucioServer]:
    """One Rucio for all tests that do it no harm; each makes RSEs and scopes of its own."""
    with RucioServer() as server:
        yield server


@pytest.fixture(scope="session")
def xrootd_cluster() -> Iterator[XRootDCluster]:
    """A redirector with two data servers, each with a tree of its own."""
    with XRootDCluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def xrootd_pair() -> Iterator[XRootDCluster]:
    """A redirector with two data servers on one file system."""
    with XRootDCluster(shared=True) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 store for all tests; each makes a bucket of its own."""
    from tests.servers.s3 import S3Server

    with S3Server() as server:
        yield server


def _directory_of(server: Server) -> ServedDirectory:
    name = f"test{next(_directories)}"
    path = server.store / name
    path.mkdir()
    return ServedDirectory(server, f"/store/{name}".encode(), path)


def _new_server(*extra: str) -> XRootDServer:
    try:
        return XRootDServer(extra)
    except RuntimeError as error:
        pytest.fail(str(error))
