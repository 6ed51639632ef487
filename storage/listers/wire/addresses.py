"""Which address of a host is asked: an alias may stand for several servers, of which some may not be well."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Container, Sequence
from contextlib import suppress
from typing import TypeAlias

Info: TypeAlias = "tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]"
"""What ``getaddrinfo`` says of an address."""

_OTHER_AFTER = 0.25
"""Seconds after which the next address of a host is tried beside the first."""

_UNWELL_AFTER = 3.0
"""Seconds after which those are tried that were not well, if none of the others answers."""


async def connect(host: str, port: int, unwell: Container[str]) -> tuple[socket.socket, bool]:
    """Connect to one of the addresses of a host; gives whether another one may do better, should this one not do.

    Which one is chance, as the client library has it, so that the servers of an alias share what there is to do; those
    that accepted a connection and let nobody in, by their numbers in ``unwell``, come last.

    Raises:
        OSError, ValueError: there is no such host, or nobody there accepts a connection.
    """
    infos: Sequence[Info] | None = _numeric(host, port)
    if infos is None:
        loop = asyncio.get_running_loop()
        infos = in_turn(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    well = [info for info in infos if str(info[4][0]) not in unwell]
    others = [info for info in infos if info not in well]
    connected = await _first_of(well, others)
    peer = number_of(connected)
    return connected, peer not in unwell and any(str(info[4][0]) != peer for info in well)


async def _first_of(well: Sequence[Info], others: Sequence[Info]) -> socket.socket:
    from aiohappyeyeballs import start_connection

    # Apart: whoever is quick to accept, and lets nobody in, would win against one that is well and far away.
    if well and others:
        # A timeout is an OSError as well.
        with suppress(OSError):
            async with asyncio.timeout(_UNWELL_AFTER):
                return await start_connection(well, happy_eyeballs_delay=_OTHER_AFTER)
    return await start_connection(others or well, happy_eyeballs_delay=_OTHER_AFTER)


def in_turn(infos: Sequence[Info]) -> list[Info]:
    """Put addresses into the order in which they are tried.

    The kinds of addresses stay in the order of the resolver, which knows what can be reached from here.
    """
    families = list(dict.fromkeys(info[0] for info in infos))
    return sorted(random.sample(infos, len(infos)), key=lambda info: families.index(info[0]))


def number_of(connected: socket.socket) -> str:
    """Give the address at the other end of a connection; empty if it is gone."""
    try:
        return str(connected.getpeername()[0])
    except OSError:
        return ""


def _numeric(host: str, port: int) -> list[Info] | None:
    """Give a host that is a number already, without asking anybody."""
    for family, place in ((socket.AF_INET, (host, port)), (socket.AF_INET6, (host, port, 0, 0))):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return [(family, socket.SOCK_STREAM, 0, "", place)]
    return None
