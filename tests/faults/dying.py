"""Runs the program until it touches the disk for the n-th time, and kills it there.

``python -m tests.faults.dying N COUNT ARGUMENTS…`` in the directory of a site. What counts is every file below that
directory that is opened, renamed, removed or forced to the disk, and every database that is opened: between two of
these nothing of a run changes for whoever comes later. With 0 it is not killed, and the number goes to the file COUNT.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path

_EVENTS = frozenset(("open", "os.rename", "os.remove", "os.mkdir", "sqlite3.connect"))


def on_touch(home: str, touched: Callable[[], None]) -> None:
    """Have ``touched`` called, by one thread at a time, just before a file below ``home`` is touched."""
    lock = threading.RLock()

    def touch() -> None:
        with lock:
            touched()

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        if event in _EVENTS and isinstance(arguments[0], str | bytes | os.PathLike):
            path = os.path.abspath(os.fsdecode(arguments[0]))
            if path.startswith(home) and "." in path[len(home) :]:
                touch()

    def fsync(descriptor: int) -> None:
        touch()
        forced(descriptor)

    sys.addaudithook(hear)
    forced = os.fsync
    os.fsync = fsync  # type: ignore[assignment]


def die() -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Count, and run the program."""
    last, report = int(sys.argv[1]), Path(sys.argv[2])
    numbers = count(1)
    reached = 0

    def touched() -> None:
        nonlocal reached
        reached = next(numbers)
        if reached == last:
            die()

    on_touch(os.getcwd(), touched)
    if not last:
        atexit.register(lambda: report.write_text(str(reached)))
    sys.argv[1:3] = []
    sys.argv[0] = "dynamo-consistency"

    from cli.main import main as program

    program()


if __name__ == "__main__":
    main()
