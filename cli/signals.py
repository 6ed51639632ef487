"""What SIGINT and SIGTERM do: the first asks to stop where a run can be asked, the next one stops at once.

Whoever has been told to stop at once and is told again does not even clear up: what was listed is on the disk, and the
next run does what was left, as after any other sudden end.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from cli.exits import ExitCode

_NUMBERS = (signal.SIGINT, signal.SIGTERM)

_Handler = Callable[[int, FrameType | None], None]

_stopping = False


def handle() -> None:
    """Have either of them raise `KeyboardInterrupt` from now on."""
    _set(_stop)


def is_stopping() -> bool:
    """Whether one was heard that stops at once: no error that comes then is of any interest."""
    return _stopping


@contextmanager
def asking(ask: Callable[[str], None]) -> Iterator[None]:
    """Give the name of the first one to ``ask``; the next one raises `KeyboardInterrupt`."""
    asked = False

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            _stop(number, frame)
        asked = True
        ask(signal.Signals(number).name)

    earlier = {number: signal.getsignal(number) for number in _NUMBERS}
    _set(hear)
    try:
        yield
    finally:
        if not _stopping:
            for number, handler in earlier.items():
                signal.signal(number, handler)


def end_with(code: int) -> None:
    """Have whatever comes while the process ends change nothing about how it ends."""
    _set(lambda _number, _frame: os._exit(code))


def _set(handler: _Handler) -> None:
    for number in _NUMBERS:
        signal.signal(number, handler)


def _stop(_number: int, _frame: FrameType | None) -> None:
    global _stopping
    _stopping = True
    # A third one must not raise in the middle of what this one leads to, nor wait for it.
    _set(_leave)
    raise KeyboardInterrupt


def _leave(_number: int, _frame: FrameType | None) -> None:
    with suppress(OSError):
        os.write(2, b"dynamo-consistency: halted\n")
    os._exit(ExitCode.HALTED)
