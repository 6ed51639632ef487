from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.site import FaultySite, chosen
from tests.faults.table import note_judged, note_row, print_table
from tests.servers.fixtures import ServedDirectory
from tests.servers.ray_node import RayNode, running_ray_node
from tests.servers.xrootd_secured import SecuredServer
from tests.together import Shared

_ray_node = Shared(running_ray_node)


@pytest.fixture
def ray_node() -> RayNode:
    """One Ray node on loopback for all rows that leave it whole: it takes seconds to start."""
    return _ray_node.get()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    yield
    _ray_node.end_behind(item, nextitem)


@pytest.fixture(scope="session")
def wants_tokens() -> Iterator[SecuredServer]:
    """One server over TLS that wants tokens, for all rows that let it go on afterwards."""
    with SecuredServer("ztn") as server:
        yield server


@pytest.fixture(params=["threads", "ray"])
def runtime(request: pytest.FixtureRequest) -> str:
    """The runtimes that a row holds on: whoever uses it has a `site` that runs on each in turn."""
    name: str = request.param
    return name


@pytest.fixture
def make_site(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., FaultySite]:
    """Make a site of directories that are served: ``(stores, lfn, doors)`` and what else `FaultySite` takes."""

    def make(stores: list[Path], lfn: str, doors: list[str], **more: object) -> FaultySite:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        site = FaultySite(home, stores, lfn, doors, **more)  # type: ignore[arg-type]
        if "runtime" in request.fixturenames:
            site.runtime = request.getfixturevalue("runtime")
        if site.runtime == "ray":
            node: RayNode = request.getfixturevalue("ray_node")
            site.env = {**node.env, "RAY_ADDRESS": node.address, **site.env}
        return site

    return make


@pytest.fixture
def site(xrootd_directory: ServedDirectory, make_site: Callable[..., FaultySite]) -> FaultySite:
    """A site of an empty directory of the common XRootD server, ``data`` below it being what is looked at."""
    site = make_site([xrootd_directory.path], xrootd_directory.lfn.decode(), [xrootd_directory.url])
    site.make("data")
    return site


def pytest_configure(config: pytest.Config) -> None:
    chosen.lister = config.getoption("--lister")


def pytest_itemcollected(item: pytest.Item) -> None:
    note_row(item)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    if call.when == "call":
        note_judged(item)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    print_table(terminalreporter)
