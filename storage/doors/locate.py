"""Asking an XRootD redirector which data servers there are, in a process of its own.

The client's ``locate`` can hang past its timeout when a server behind a redirector is dead. A process that is late is
killed.

    python -m storage.doors.locate HOST[:PORT] PATH SECONDS    one JSON object on stdout
    python -m storage.doors.locate --about URL SECONDS         what the door says of itself, likewise
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from engine import paths
from engine.listing import Failed
from engine.states import Reason
from storage.listers.programs import Done, Runner
from storage.listers.xrootd_settings import CLIENT_SETTINGS

EVERYWHERE = "*"
"""The path that asks for all data servers, whatever they hold."""

_START_SECONDS = 15.0
"""How long the process may take besides what it asks."""

_CONFIG = 7
_NOBODY = "none"
_MANAGED = re.compile(r"\S+:\d+/")
"""How a server names its manager, with a letter for whether they talk. One that knows no such question repeats it."""

_ABOVE = ("manager", "supervisor")
"""What is in the role of a server that has others behind it."""


class LocateError(Exception):
    """A redirector did not say where its data servers are; the message is one line."""


@dataclass(frozen=True, slots=True)
class About:
    """What a door says of itself: its role, such as ``manager``, and its managers. Empty where it does not say.

    dCache says neither, and EOS calls itself a manager without one of XRootD's clusters.
    """

    role: str = ""
    cms: str = ""

    @property
    def is_redirector(self) -> bool:
        """Whether it has the data servers of a cluster behind it."""
        return self._is_clustered and any(word in self.role for word in _ABOVE)

    @property
    def is_member(self) -> bool:
        """Whether it is a data server with a manager."""
        return self._is_clustered and not self.is_redirector

    @property
    def _is_clustered(self) -> bool:
        return _MANAGED.match(self.cms) is not None


@dataclass(frozen=True, slots=True)
class DataServer:
    """A data server: ``host:port`` with a name for the host if it has one, and its addresses.

    ``member`` tells whether it belongs to a cluster, in which each may hold a part of the store; None if it does not
    say.
    """

    door: str
    address: str
    member: bool | None = None


def locate(
    redirector: str, path: bytes, seconds: float, heed: Callable[[], None] = lambda: None
) -> tuple[DataServer, ...]:
    """Ask a redirector, ``host[:port]``, for its data servers, those that have ``path`` and all others.

    With `EVERYWHERE` for a path it is an error if not all can be named. It takes at most three times ``seconds`` and
    some more to start. ``heed`` is called now and then, and may raise to give up.

    Raises:
        LocateError: it names none, or there was no answer in time.
    """
    arguments = [redirector, paths.decode(path), str(max(1, round(seconds)))]
    done = _run(arguments, 3 * seconds + _START_SECONDS, heed)
    if isinstance(done, Failed):
        what = "gave no answer in time" if done.reason == Reason.TIMEOUT else f"could not be asked: {done.detail}"
        raise LocateError(f"{redirector} {what}")
    try:
        said: dict[str, Any] = json.loads(done.output)
        servers = tuple([DataServer(**server) for server in said["servers"]])
        error = str(said["error"])
    except (ValueError, LookupError, TypeError) as error_:
        raise LocateError(f"{redirector} could not be asked: {done.said[-200:] or error_}") from error_
    if not servers:
        raise LocateError(f"{redirector}: {error or 'it names no data server'}")
    return servers


def ask_about(door: str, seconds: float, heed: Callable[[], None] = lambda: None) -> About:
    """Ask a door, as a URL, what it is; whatever goes wrong, it has not said.

    It takes ``seconds`` at most, and some more to start. ``heed`` is called now and then, and may raise to give up.
    """
    whole = max(1, round(seconds))
    done = _run(["--about", door, str(whole)], whole + _START_SECONDS, heed)
    if isinstance(done, Failed):
        return About()
    try:
        return About(**json.loads(done.output))
    except (ValueError, TypeError):
        return About()


def _run(arguments: Sequence[str], seconds: float, heed: Callable[[], None]) -> Done | Failed:
    whole = str(Path(__file__).parents[2])
    environment = {**CLIENT_SETTINGS, **os.environ}
    environment["PYTHONPATH"] = os.pathsep.join([whole, *filter(None, [environment.get("PYTHONPATH", "")])])
    command = [sys.executable, "-m", "storage.doors.locate", *arguments]
    return Runner(environment).run(command, time.monotonic() + seconds, heed)


def main(redirector: str, path: str, seconds: int) -> None:
    """Be the process."""
    from pyxrootd import client

    filesystem = client.FileSystem(f"root://{redirector}")
    found: dict[str, None] = {}
    error = ""
    for wanted in dict.fromkeys((path, EVERYWHERE)):
        status, locations = filesystem.deeplocate(wanted, 0, seconds)
        if status["ok"]:
            found |= dict.fromkeys(str(place["address"]) for place in locations if place["is_server"])
        else:
            error = error or " ".join(str(status["message"]).split())
    members = _members(client, list(found), seconds)
    servers = []
    for place in found:
        address = _plain(place)
        servers.append({"door": _named(address), "address": address, "member": members.get(place)})
    _say({"servers": servers, "error": error})


def about(door: str, seconds: int) -> None:
    """Be the process that asks one door what it is."""
    from pyxrootd import client

    filesystem = client.FileSystem(door)
    answers = {"role": "", "cms": ""}
    came = threading.Semaphore(0)

    def taker(question: str) -> Any:
        def take(status: dict[str, Any], response: Any, *_hosts: Any) -> None:
            if status["ok"]:
                answers[question] = _text(response)
            came.release()

        return take

    asked = [filesystem.query(_CONFIG, question, seconds, taker(question))["ok"] for question in answers]
    give_up = time.monotonic() + seconds
    for _ in range(sum(asked)):
        came.acquire(timeout=max(0.0, give_up - time.monotonic()))
    _say(answers)


def _say(said: dict[str, Any]) -> None:
    print(json.dumps(said), flush=True)
    # The library may be busy with a server that is dead.
    os._exit(0)


def _members(client: Any, places: list[str], seconds: int) -> dict[str, bool]:
    """Ask all servers at once whether they have a manager."""
    answers: dict[str, bool] = {}
    open_questions = threading.Semaphore(0)
    asked = 0
    kept = []

    def taker(place: str) -> Any:
        def take(status: dict[str, Any], response: Any, *_hosts: Any) -> None:
            said = _text(response) if status["ok"] else ""
            if said.startswith(_NOBODY) or _MANAGED.match(said):
                answers[place] = not said.startswith(_NOBODY)
            open_questions.release()

        return take

    for place in places:
        filesystem = client.FileSystem(f"root://{_plain(place)}")
        kept.append(filesystem)
        asked += filesystem.query(_CONFIG, "cms", seconds, taker(place))["ok"]
    give_up = time.monotonic() + seconds + 2
    for _ in range(asked):
        open_questions.acquire(timeout=max(0.0, give_up - time.monotonic()))
    return dict(answers)


def _text(response: Any) -> str:
    text = response if isinstance(response, str) else bytes(response or b"").decode("utf-8", "replace")
    return text.strip().strip("\0").strip()


def _plain(address: str) -> str:
    """Write ``[::127.0.0.1]:1094`` as ``127.0.0.1:1094``."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        number = ip_address(host)
    except ValueError:
        return address
    if number.version == 6:
        # The protocol writes IPv4 addresses as the last part of an IPv6 one.
        packed = number.packed
        if not any(packed[:10]) and packed[10:12] in (b"\0\0", b"\xff\xff") and any(packed[12:15]):
            return f"{ip_address(packed[12:])}:{port}"
        return f"[{number}]:{port}"
    return f"{number}:{port}"


def _named(address: str) -> str:
    """Give the name of a host, if it leads back to the address."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        ip_address(host)
    except ValueError:
        return address
    try:
        name = socket.gethostbyaddr(host)[0]
        if any(found[4][0] == host for found in socket.getaddrinfo(name, None)):
            return f"{name}:{port}"
    except OSError:
        pass
    return address


if __name__ == "__main__":
    if sys.argv[1] == "--about":
        about(sys.argv[2], int(sys.argv[3]))
    else:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
