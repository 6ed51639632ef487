"""What is remembered of servers, without any of them."""

from __future__ import annotations

import asyncio

import pytest

from engine.listing import Failed
from engine.states import Reason
from storage.listers.doors import Door
from storage.listers.wire import connections
from storage.listers.wire.connection import Connection
from storage.listers.wire.connections import Connections


def _nobody(_why: str) -> None:
    raise AssertionError


def test_a_connection_that_nobody_wants_any_more_says_nothing_of_the_server() -> None:
    async def run() -> None:
        all_of_them = Connections(Door.parse("root://127.0.0.1:1"), 1, 20, _nobody)
        first = all_of_them.home()
        assert isinstance(first, Connection)
        first.retire()
        assert isinstance(all_of_them.home(), Connection)
        all_of_them.close(Reason.CONNECTION, "closed")

    asyncio.run(run())


def test_servers_that_a_door_made_up_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_PAUSE", -1.0)

    async def run() -> None:
        all_of_them = Connections(Door.parse("root://127.0.0.1:1"), 1, 20, _nobody)
        for port in range(2, 1000):
            other = all_of_them.elsewhere("127.0.0.1", port)
            assert not isinstance(other, Failed)
            other.lose(Reason.CONNECTION, "refused")
        assert len(all_of_them._failed) <= connections._MOST_ELSEWHERE + 1

    asyncio.run(run())
