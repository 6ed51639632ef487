"""The addresses of a host that stands for several servers."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial

import pytest

from engine.listing import Failed
from storage.listers.doors import Door
from storage.listers.protocol import Ask
from storage.listers.wire import addresses, connection
from storage.listers.wire.addresses import Info, in_turn
from storage.listers.wire.lister import WireLister
from tests.servers import scripted_xrootd as scripted
from tests.servers.scripted_xrootd import ScriptedServer, frame
from tests.storage.listers.asking import asking

ALIAS = "door.example.org"


def _info(address: str) -> Info:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.SOCK_STREAM, 6, "", (address, 1094)


def _numbers(infos: list[Info]) -> list[str]:
    return [str(info[4][0]) for info in infos]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(lambda stream, _code, _path: [frame(stream, scripted.OK, b"a\0")]) as server:
        yield server


@pytest.fixture
def alias(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have a name stand for what is in a list, in the order of that."""
    listed: list[str] = []
    ask = socket.getaddrinfo

    def resolve(host: str, port: int, *more: int, **others: int) -> list[Info]:
        if host != ALIAS:
            return ask(host, port, *more, **others)  # type: ignore[return-value]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in listed]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(addresses.random, "sample", lambda infos, _count: infos)
    return listed


def test_the_resolver_knows_which_kind_is_better() -> None:
    infos = [_info(address) for address in ("::1", "127.0.0.1", "::2", "127.0.0.2")]
    assert sorted(_numbers(in_turn(infos))[:2]) == ["::1", "::2"]


def test_one_that_is_quick_and_let_nobody_in_does_not_win_against_one_that_is_slow(
    server: ScriptedServer, alias: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    alias += ["127.0.0.1", "127.0.0.2"]
    connect_one = asyncio.SelectorEventLoop.sock_connect

    async def slowly(loop: asyncio.SelectorEventLoop, sock: socket.socket, address: tuple[str, int]) -> None:
        if address[0] == "127.0.0.1":
            await asyncio.sleep(2 * addresses._OTHER_AFTER)
        await connect_one(loop, sock, address)

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", slowly)

    async def connected(unwell: set[str]) -> tuple[str, bool]:
        sock, has_others = await addresses.connect(ALIAS, server.port, unwell)
        with sock:
            return addresses.number_of(sock), has_others

    with closing(socket.create_server(("127.0.0.2", server.port))):
        assert asyncio.run(connected(set())) == ("127.0.0.2", True)
        assert asyncio.run(connected({"127.0.0.2"})) == ("127.0.0.1", False)


def test_where_nobody_else_answers_one_that_let_nobody_in_is_tried(alias: list[str]) -> None:
    # Nobody listens at the first.
    alias += ["127.0.0.3", "127.0.0.2"]

    async def connected(port: int) -> tuple[str, bool]:
        sock, has_others = await addresses.connect(ALIAS, port, {"127.0.0.2"})
        with sock:
            return addresses.number_of(sock), has_others

    with closing(socket.create_server(("127.0.0.2", 0))) as one:
        assert asyncio.run(connected(one.getsockname()[1])) == ("127.0.0.2", False)


def test_the_servers_of_an_alias_share_the_work() -> None:
    firsts = {_numbers(in_turn([_info(f"127.0.0.{number}") for number in range(4)]))[0] for _ in range(200)}
    assert len(firsts) == 4


def test_a_server_of_an_alias_that_accepts_and_says_nothing_is_not_asked_again(
    server: ScriptedServer, alias: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_OPEN_SECONDS", 0.5)
    alias += ["127.0.0.2", "127.0.0.1"]
    with closing(socket.create_server(("127.0.0.2", server.port))):
        opener = partial(WireLister, Door.parse(f"root://{ALIAS}:{server.port}"), timeout=20, connections=1)
        with asking(opener) as asker:
            first = asker.ask(Ask.NAMES, b"/store")
            assert isinstance(first, Failed)
            assert first.detail.endswith("no login within 0.5 s")
            began = time.monotonic()
            assert not isinstance(asker.ask(Ask.NAMES, b"/store"), Failed)
            # Not even the pause behind a door that is dead.
            assert time.monotonic() - began < 0.4


def test_an_alias_of_which_one_refuses_is_reached(server: ScriptedServer, alias: list[str]) -> None:
    alias += ["127.0.0.3", "127.0.0.1"]
    opener = partial(WireLister, Door.parse(f"root://{ALIAS}:{server.port}"), timeout=20, connections=1)
    with asking(opener) as asker:
        assert not isinstance(asker.ask(Ask.NAMES, b"/store"), Failed)


def test_an_alias_of_nobody_is_paused_before(alias: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_OPEN_SECONDS", 0.2)
    alias += ["127.0.0.2", "127.0.0.3"]
    with closing(socket.create_server(("127.0.0.2", 0))) as one:
        port = one.getsockname()[1]
        with closing(socket.create_server(("127.0.0.3", port))):
            opener = partial(WireLister, Door.parse(f"root://{ALIAS}:{port}"), timeout=20, connections=1)
            with asking(opener) as asker:
                began = time.monotonic()
                for _ in range(20):
                    assert isinstance(asker.ask(Ask.NAMES, b"/store"), Failed)
                # Both were tried, and then the door as a whole rests for a second.
                assert 0.4 <= time.monotonic() - began < 1.0


def test_why_nobody_was_reached_is_said_in_plain_words(alias: list[str]) -> None:
    alias += ["127.0.0.2", "127.0.0.3"]
    for host, said in (("127.0.0.2", "connection refused"), (ALIAS, "connection refused")):
        with asking(partial(WireLister, Door.parse(f"root://{host}:1"), timeout=20, connections=1)) as asker:
            outcome = asker.ask(Ask.NAMES, b"/store")
            assert isinstance(outcome, Failed)
            assert outcome.detail.endswith(f": {said}")
