"""A Rucio whose gateway loses answers, is too busy, or cuts them, and whose database is in trouble for a while."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from engine import paths
from engine.lfn2path import hash_path
from storage.backends import BackendError, choose
from storage.backends.into_snapshot import inventory_of_backend
from storage.backends.protocols import SiteSettings
from storage.backends.rucio import inventory, patience, rest
from storage.backends.rucio.rest_source import RestReplicas
from storage.config.loading import Config
from storage.config.site import RucioSettings
from tests.servers.faulty_http import FaultyHTTPProxy, cut_short, parts_of, saying
from tests.servers.faulty_proxy import FORWARD, Fault, FaultyProxy
from tests.storage.backends.conftest import make_database
from tests.storage.backends.rucio.conftest import ROOT, Element
from tests.storage.backends.rucio.test_database import fill

BUSY = saying("503 Service Unavailable")


@pytest.fixture
def gateway(element: Element) -> Iterator[FaultyHTTPProxy]:
    with FaultyHTTPProxy(element.server.port) as proxy:
        yield proxy


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What is waited for, all of which is over at once."""
    waited: list[float] = []
    monkeypatch.setattr(rest.time, "sleep", waited.append)
    return waited


def through(element: Element, gateway: FaultyHTTPProxy) -> str:
    """Write a configuration of the client that goes through the gateway."""
    config = element.directory / "gateway.cfg"
    text = element.server.client_config.read_text()
    config.write_text(text.replace(f":{element.server.port}", f":{gateway.port}"))
    return str(config)


def first(times: int, broken: Callable[[bytes], bytes], of: bytes) -> Fault:
    """Break the first answers that begin like that; the server has done by then what it was asked for."""
    numbers = count()
    return Fault(
        replace=lambda frame: broken(frame) if frame.startswith(of) and next(numbers) < times else frame,
    )


def lfns_of(element: Element, *names: str) -> list[str]:
    return [f"{ROOT}/{paths.decode(hash_path(element.mc.encode(), name.encode()))}" for name in names]


def two_copies(element: Element, *names: str) -> None:
    for rse in (element.name, element.other):
        element.server.add_files(rse, {(element.mc, name): 7 for name in names})


@pytest.mark.parametrize(
    "broken", [BUSY, saying("500 Internal Server Error"), saying("429 Too Many Requests"), cut_short]
)
def test_a_declaration_of_which_the_answer_was_lost(
    element: Element, gateway: FaultyHTTPProxy, broken: Callable[[bytes], bytes], pauses: list[float]
) -> None:
    two_copies(element, "a", "b")
    backends, _ = element.backends(Config=through(element, gateway))
    lfns = lfns_of(element, "a", "b")
    # Of all that is asked for, only what makes something is answered like that.
    gateway.fault = first(1, broken, b"HTTP/1.1 201")
    done = backends.registry.transfer(element.name, lfns)
    assert (done.requested, done.refused) == (tuple(lfns), ())
    assert element.server.bad(element.name) == {(element.mc, "a"), (element.mc, "b")}


PAGES = [
    saying("200 OK", "Content-Type: text/html", body=b"<html>down for maintenance</html>"),
    saying("200 OK", "Content-Type: application/json", body=b"[]"),
    saying("200 OK", "Content-Type: application/json", body=b"null"),
    saying("200 OK", "Content-Type: application/x-json-stream", body=b'"x"\n'),
    saying("200 OK", "Content-Type: application/x-json-stream", body=b'{"rse": "A'),
]


@pytest.mark.parametrize("page", PAGES)
def test_what_a_gateway_says_in_the_place_of_an_answer_is_none(
    element: Element, gateway: FaultyHTTPProxy, page: Callable[[bytes], bytes], pauses: list[float]
) -> None:
    two_copies(element, "a")
    names, root = [element.name], lfns_of(element, "a")
    backends, _ = element.backends(Config=through(element, gateway), RSEExpression=element.name, Patience=0.1)
    assert backends.check.check_site(element.name) == ""
    assert isinstance(backends.sites, SiteSettings)
    settings_of = backends.sites.settings_of
    for ask in (
        lambda: backends.check.check_site(element.name),
        lambda: list(backends.inventory.list_files(element.name)),
        lambda: backends.registry.delete(element.name, lfns_of(element, "dark")),
        lambda: backends.registry.transfer(element.name, root),
        lambda: backends.sites.site_list() == names,
        lambda: settings_of(element.name),
    ):
        gateway.fault = Fault(replace=page)
        with pytest.raises(BackendError, match="the answer is none of a Rucio") as caught:
            ask()
        assert "\n" not in str(caught.value)
        gateway.fault = FORWARD


def test_no_page_of_a_gateway_is_taken_for_names_of_files(
    element: Element, gateway: FaultyHTTPProxy, pauses: list[float]
) -> None:
    """It would be a file that is nowhere, and all files in its place orphans."""
    names = [f"f{n}" for n in range(9)]
    element.server.add_files(element.name, {(element.mc, name): 7 for name in names})
    source = RestReplicas(rest.RucioServer(RucioSettings(config=Path(through(element, gateway)))))
    rse = source.rse(element.name)
    gateway.fault = first(1, PAGES[0], b"HTTP/1.1 200")
    assert sorted(source._names(element.mc)) == names
    gateway.fault = first(1, PAGES[0], b"HTTP/1.1 200")
    found = source._replicas([{"scope": element.mc, "name": name} for name in names], rse)
    assert sorted(entry["name"] for entry in found) == names
    assert len(pauses) == 2


@pytest.mark.parametrize("with_database", [True, False])
def test_a_quarantine_of_which_the_answer_was_lost(
    element: Element, gateway: FaultyHTTPProxy, with_database: bool, pauses: list[float]
) -> None:
    keys = {"Database": element.server.database} if with_database else {}
    backends, _ = element.backends(Config=through(element, gateway), **keys)
    backends.check.check_site(element.name)
    asked: list[bytes] = []

    def lose_the_first(frame: bytes) -> bytes:
        # What says nothing is the answer to a request that makes something.
        says_nothing = frame.startswith(b"HTTP/1.1 200") and not parts_of(frame)[1]
        asked.extend([frame] if says_nothing or asked else [])
        return BUSY(frame) if says_nothing and len(asked) == 1 else frame

    gateway.fault = Fault(replace=lose_the_first)
    orphans = lfns_of(element, *(f"dark{n}" for n in range(20)))
    new = backends.registry.delete(element.name, orphans)
    assert len(element.server.quarantined(element.name)) == 20
    if with_database:
        # They were not there before, so that they are of this call.
        assert new == 20
        assert len(asked) < 6
    assert backends.registry.delete(element.name, orphans) == 0


@pytest.mark.parametrize("kind", ["bad_replicas", "quarantined_replicas"])
def test_a_database_in_trouble(
    element: Element, kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What was not done because of it is done as soon as that is over."""
    two_copies(element, "a")
    element.server.execute("ALTER TABLE rses RENAME TO rses_away")
    waits = iter([lambda: None, lambda: element.server.execute("ALTER TABLE rses_away RENAME TO rses")])
    monkeypatch.setattr(rest.time, "sleep", lambda _: next(waits)())
    backends, _ = element.backends()
    try:
        if kind == "bad_replicas":
            assert backends.registry.transfer(element.name, lfns_of(element, "a")).requested == (
                *lfns_of(element, "a"),
            )
        else:
            assert backends.registry.delete(element.name, lfns_of(element, "dark", "dim")) == 2
    finally:
        if next(waits, None) is not None:
            element.server.execute("ALTER TABLE rses_away RENAME TO rses")
    assert "asking again" in caplog.text


def test_a_database_that_stays_in_trouble_ends_with_one_line(element: Element, pauses: list[float]) -> None:
    two_copies(element, "a")
    backends, _ = element.backends(Patience=0.2)
    element.server.execute("ALTER TABLE bad_replicas RENAME TO bad_replicas_away")
    try:
        with pytest.raises(BackendError, match=r"declaring bad replicas: .*; declared before that: 0$"):
            backends.registry.transfer(element.name, lfns_of(element, "a"))
    finally:
        element.server.execute("ALTER TABLE bad_replicas_away RENAME TO bad_replicas")
    assert backends.registry.transfer(element.name, lfns_of(element, "a")).requested


def test_a_listing_that_is_cut_in_the_middle(element: Element, gateway: FaultyHTTPProxy, pauses: list[float]) -> None:
    names = [f"f{n:03}" for n in range(300)]
    element.server.add_files(element.name, {(element.mc, name): 7 for name in names})
    backends, _ = element.backends(Config=through(element, gateway))
    gateway.fault = first(3, cut_short, b"HTTP/1.1 200")
    found = {row.lfn for row in backends.inventory.list_files(element.name)}
    assert found == set(lfns_of(element, *names))
    assert pauses
    for limit in range(3000, 30_000, 9001):
        gateway.reset()
        gateway.fault = Fault(limit=limit)
        once, _ = element.backends(Config=through(element, gateway), Patience=0)
        try:
            rows = list(once.inventory.list_files(element.name))
        except BackendError:
            continue
        assert len(rows) == len(names)


def test_a_token_that_ends_in_the_middle(element: Element, monkeypatch: pytest.MonkeyPatch) -> None:
    from rucio.client.baseclient import BaseClient

    monkeypatch.setattr(BaseClient, "TOKEN_PATH_PREFIX", str(element.directory / "tokens_"))
    names = [f"f{n}" for n in range(5)]
    two_copies(element, *names)
    monkeypatch.setattr("storage.backends.rucio.registry.ASKED_AT_ONCE", 2)
    backends, _ = element.backends()
    assert backends.check.check_site(element.name) == ""
    element.server.execute("DELETE FROM tokens")
    assert len(backends.registry.transfer(element.name, lfns_of(element, *names)).requested) == 5


class DatabaseProxy(FaultyProxy):
    """In front of a database, whose answers are taken as they come."""

    def frame(self, server: socket.socket) -> bytes:
        return server.recv(100)


def test_a_database_that_breaks_off_is_read_again(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    database = make_database(request, "postgresql", tmp_path)
    fill(database)
    address = make_url(database.url)
    with DatabaseProxy(address.port or 0) as proxy:
        url = address.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
        config = tmp_path / "config.yaml"
        sites = {"SITE": {"RootPath": ROOT, "DirectoryList": []}}
        keys = {"Backend": "rucio", "Rucio": {"Database": url}, "Sites": sites}

        def files(**others: Any) -> int:
            config.write_text(json.dumps({**keys, "Rucio": {"Database": url, **others}}))
            loaded = Config.load(config, {})
            backends = choose(loaded, loaded.site("SITE"))
            return inventory_of_backend(backends, loaded.site("SITE"), tmp_path / "snapshot").files

        def heal(_seconds: float, _heed: object) -> None:
            proxy.shut()
            proxy.fault = FORWARD
            proxy.open()

        monkeypatch.setattr(inventory, "sleep", heal)
        assert files() == 4
        broken = 0
        for limit in range(0, 6000, 350):
            proxy.fault = Fault(limit=limit, politely=limit % 2 == 0)
            caplog.clear()
            assert files() == 4
            broken += "asking again" in caplog.text
        assert broken > 5
        proxy.shut()
        with pytest.raises(BackendError, match=r"Rucio\.Database.*(refused|failed)"):
            files(Patience=0)
        proxy.open()
        assert files(Patience=0) == 4
        # Nobody is asked again who knows the answer.
        url = address.set(database="nothing").render_as_string(hide_password=False)
        caplog.clear()
        with pytest.raises(BackendError, match="does not exist"):
            files()
        assert "asking again" not in caplog.text


def test_the_time_that_attempts_take_counts() -> None:
    now = [0.0]

    def attempt(seconds: float, waits: Iterator[float | None]) -> float | None:
        now[0] += seconds
        return next(waits)

    waits = patience.waits_of(60, lambda: now[0])
    # Until the first failure nobody was patient.
    assert next(waits) == 1
    assert [attempt(20, waits) for _ in range(3)] == [2, 4, None]
