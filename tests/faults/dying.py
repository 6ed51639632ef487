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
from itertools import count
from pathlib import Path

_EVENTS = frozenset(("open", "os.rename", "os.remove", "os.mkdir", "sqlite3.connect"))


def main() -> None:
    """Count, and run the program."""
    last, report = int(sys.argv[1]), Path(sys.argv[2])
    home = os.getcwd()
    numbers = count(1)
    lock = threading.Lock()
    reached = 0

    def touch() -> None:
        nonlocal reached
        with lock:
            reached = next(numbers)
        if reached == last:
            os.kill(os.getpid(), signal.SIGKILL)

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
    if not last:
        atexit.register(lambda: report.write_text(str(reached)))
    sys.argv[1:3] = []
    sys.argv[0] = "dynamo-consistency"

    from cli.main import main as program

    program()


if __name__ == "__main__":
    main()
