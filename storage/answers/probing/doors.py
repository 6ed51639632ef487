"""One door by itself: its name, its addresses, what it speaks, its clock and its room."""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from engine import paths
from engine.diagnosing.facts import AddressProbe, DoorProbe, SpaceFacts
from storage.answers.probing.greeting import greet
from storage.answers.probing.server_says import ask_server
from storage.answers.probing.web import ask_web
from storage.door_url import S3_SCHEMES, WEB_SCHEMES, DoorURL, parse_door, with_port
from storage.listers.s3_client import trusted
from storage.listers.wire.addresses import Info
from storage.shown import one_line, printable
from storage.threads import named

_XROOTD = ("root", "roots")
_SECURE = ("davs", "https", "s3")
_AT_A_TIME = 8
_LOOK_EVERY = 0.2
_MOST_ADDRESSES = 16
"""So many addresses of one name are connected to."""


def probe_doors(
    doors: Sequence[str],
    root: bytes,
    seconds: float,
    environment: Mapping[str, str],
    heed: Callable[[], None] = lambda: None,
) -> tuple[DoorProbe, ...]:
    """Look at each door, some at a time; each question may take so many ``seconds``.

    Whoever is stopped meanwhile need not wait for a door that says nothing.
    """
    left: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
    said: queue.SimpleQueue[tuple[int, DoorProbe | Exception]] = queue.SimpleQueue()
    over = threading.Event()

    def still_wanted() -> None:
        if over.is_set():
            raise RuntimeError("nobody wants to know any more")

    def work() -> None:
        while not over.is_set():
            try:
                place, door = left.get_nowait()
            except queue.Empty:
                return
            try:
                said.put((place, probe_door(door, root, seconds, environment, still_wanted)))
            except Exception as error:
                # Who waits for it is told.
                said.put((place, error))

    for numbered in enumerate(doors):
        left.put(numbered)
    for _ in range(min(len(doors), _AT_A_TIME)):
        threading.Thread(target=work, name=named("door"), daemon=True).start()
    found: dict[int, DoorProbe] = {}
    try:
        while len(found) < len(doors):
            heed()
            try:
                place, answer = said.get(timeout=_LOOK_EVERY)
            except queue.Empty:
                continue
            if isinstance(answer, Exception):
                raise answer
            found[place] = answer
    finally:
        over.set()
    return tuple([found[place] for place in range(len(doors))])


def probe_door(
    door: str, root: bytes, seconds: float, environment: Mapping[str, str], heed: Callable[[], None] = lambda: None
) -> DoorProbe:
    """Look at one door."""
    probe = DoorProbe(printable(door))
    try:
        url = parse_door(door)
    except ValueError:
        # One of the program's own, such as that of a dump.
        return replace(probe, is_local=True, protocol=door.partition("://")[0])
    if url.scheme == "file":
        return _local(probe, url.path + root)
    host, _, port = with_port(url.authority, url.scheme).rpartition(":")
    host = host.strip("[]")
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        return replace(probe, name_problem=printable(error.strerror or one_line(error)))
    addresses, connected = _connect(found[:_MOST_ADDRESSES], seconds)
    probe = replace(probe, addresses=addresses)
    if connected is None:
        return probe
    with connected:
        connected.settimeout(seconds)
        if url.scheme in _XROOTD:
            return _with_xrootd(probe, url, host, connected, root, seconds, environment, heed)
    if url.scheme in WEB_SCHEMES or url.scheme in S3_SCHEMES:
        return _with_web(probe, url.scheme, host, int(port), seconds, environment)
    return replace(probe, protocol=url.scheme)


def _with_web(
    probe: DoorProbe, scheme: str, host: str, port: int, seconds: float, environment: Mapping[str, str]
) -> DoorProbe:
    # As its lister does, which knows nothing of the grid's authorities.
    authorities = trusted(environment) if scheme in S3_SCHEMES else ""
    said = ask_web(host, port, scheme in _SECURE, seconds, environment, authorities)
    probe = replace(
        probe,
        protocol="S3" if scheme in S3_SCHEMES else "WebDAV",
        seconds=said.seconds,
        tls=said.tls,
        certificate_ends=said.certificate_ends,
        problem=said.problem,
        advice=said.advice,
    )
    return replace(probe, clock=said.ahead, clock_error=said.error, clock_by="the date of its answer")


def _local(probe: DoorProbe, path: bytes) -> DoorProbe:
    probe = replace(probe, is_local=True, protocol="a directory of this machine")
    try:
        room = os.statvfs(path)
    except OSError as error:
        return replace(
            probe, problem=printable(f"{paths.escape(path)}: {error.strerror}"), advice="see RootPath and Doors"
        )
    return replace(probe, space=SpaceFacts(room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize))


def _connect(found: Sequence[Info], seconds: float) -> tuple[tuple[AddressProbe, ...], socket.socket | None]:
    """Connect to each address once; gives the first connection, too."""
    probes: list[AddressProbe] = []
    kept: socket.socket | None = None
    for family, kind, number, _, address in dict.fromkeys(found):
        connecting = socket.socket(family, kind, number)
        connecting.settimeout(seconds)
        name = str(address[0])
        began = time.monotonic()
        try:
            connecting.connect(address)
        except OSError as error:
            connecting.close()
            words = "timeout" if isinstance(error, TimeoutError) else error.strerror or one_line(error)
            probes.append(AddressProbe(name, problem=printable(words)))
            continue
        probes.append(AddressProbe(name, time.monotonic() - began))
        if kept is None:
            kept = connecting
        else:
            connecting.close()
    return tuple(probes), kept


def _with_xrootd(
    probe: DoorProbe,
    url: DoorURL,
    host: str,
    connected: socket.socket,
    root: bytes,
    seconds: float,
    environment: Mapping[str, str],
    heed: Callable[[], None],
) -> DoorProbe:
    said = greet(connected, host, url.scheme == "roots", environment)
    probe = replace(
        probe,
        protocol=said.protocol,
        seconds=said.seconds,
        tls=said.tls,
        certificate_ends=said.certificate_ends,
        wants=said.wants,
        problem=said.problem,
        advice=said.advice,
    )
    if said.problem:
        return probe
    more = ask_server(f"{url.scheme}://{url.authority}", (url.path + root) or b"/", seconds, heed)
    space = None if more.total is None and more.free is None else SpaceFacts(more.total, more.free)
    by = "its statistics"
    return replace(probe, clock=more.ahead, clock_error=more.error, clock_by=by, space=space)
