"""Asking an XRootD server for its clock and its room, in a process of its own that is killed when it is late.

python -m storage.answers.probing.server_says URL PATH SECONDS    one JSON object on stdout
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from engine import paths
from engine.listing import Failed
from storage.listers.programs import Runner
from storage.listers.xrootd_settings import CLIENT_SETTINGS

_STATISTICS, _SPACE = 1, 5
"""What the client library calls these questions."""

_START_SECONDS = 15.0
_TIME_OF_DAY = re.compile(r'\btod="(\d{9,11})"')
_ROOM = re.compile(r"\boss\.(space|free)=(\d+)")


@dataclass(frozen=True, slots=True)
class ServerSays:
    """By how many seconds its clock is ahead of ours, give or take some, and its room in bytes; None: not said."""

    ahead: float | None = None
    error: float = 1.0
    total: int | None = None
    free: int | None = None


def ask_server(door: str, path: bytes, seconds: float, heed: Callable[[], None] = lambda: None) -> ServerSays:
    """Ask a door, as a URL, for its clock and for the room where ``path`` lies; what goes wrong was not said."""
    whole = max(1, round(seconds))
    environment = {**CLIENT_SETTINGS, **os.environ}
    root = str(Path(__file__).parents[3])
    environment["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [environment.get("PYTHONPATH", "")])])
    command = [sys.executable, "-m", "storage.answers.probing.server_says", door, paths.decode(path), str(whole)]
    done = Runner(environment).run(command, time.monotonic() + 3 * whole + _START_SECONDS, heed)
    if isinstance(done, Failed):
        return ServerSays()
    try:
        return ServerSays(**json.loads(done.output))
    except (ValueError, TypeError):
        return ServerSays()


def main(door: str, path: str, seconds: int) -> None:
    """Be the process."""
    from pyxrootd import client

    filesystem = client.FileSystem(door)

    def ask(question: Callable[[Any], dict[str, Any]]) -> tuple[float, float, str] | None:
        """Ask one thing; gives when it was asked and answered, and the answer; None when there was none in time."""
        came = threading.Event()
        answer: list[tuple[float, str]] = []

        def take(status: dict[str, Any], response: Any, *_hosts: Any) -> None:
            if status["ok"]:
                text = response if isinstance(response, str) else bytes(response or b"").decode("utf-8", "replace")
                answer.append((time.time(), text))
            came.set()

        asked = time.time()
        if question(take)["ok"]:
            came.wait(seconds)
        return (asked, *answer[0]) if answer else None

    # The first answer is late by the login, which must not count for the clock. Of a place that it does not have, a
    # server says how much room there is, too: it is what happened to lie in its memory.
    is_there = ask(lambda take: filesystem.stat(path, seconds, lambda status, _, *rest: take(status, "")))
    room = ask(lambda take: filesystem.query(_SPACE, path, seconds, take)) if is_there else None
    statistics = ask(lambda take: filesystem.query(_STATISTICS, "a", seconds, take))
    print(json.dumps(_read(room, statistics)), flush=True)
    # The library may be busy with a server that is dead.
    os._exit(0)


_Answered: TypeAlias = "tuple[float, float, str] | None"
"""When something was asked and answered, and the answer."""


def _read(room: _Answered, statistics: _Answered) -> dict[str, float | int]:
    said: dict[str, float | int] = {}
    if statistics is not None:
        asked, heard, text = statistics
        found = _TIME_OF_DAY.search(text)
        if found is not None:
            # It says whole seconds, which began half a second ago on average.
            said["ahead"] = round(int(found[1]) + 0.5 - (asked + heard) / 2, 2)
            said["error"] = round(0.5 + (heard - asked) / 2, 2)
    if room is not None:
        numbers = {"space": "total", "free": "free"}
        sizes = {numbers[name]: int(number) for name, number in _ROOM.findall(room[2])}
        said |= sizes if 0 < sizes.get("total", 0) >= sizes.get("free", 0) else {}
    return said


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
