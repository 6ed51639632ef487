"""The standard streams, for a program that may outlive the terminal or the pipe that it was started with."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

STDOUT = "standard output"
"""What an error of stdout names in the place of a file."""

_OUT, _ERR = 1, 2


class _Out(io.TextIOWrapper):
    """Stdout, whose errors say that they are its own.

    What lies below is the library's own: a signal in the middle of a write has nothing written twice there.
    """

    def write(self, text: str, /) -> int:
        with _named():
            return super().write(text)

    def flush(self) -> None:
        with _named():
            super().flush()


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        error.filename = STDOUT
        raise


class _Err(io.TextIOWrapper):
    """Stderr, which nobody need read: no run ends because a message about it cannot be shown."""

    def write(self, text: str, /) -> int:
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def prepare() -> None:
    """Make the streams of this process fit to be written to, whatever they were when it was started.

    One that was closed leads nowhere from now on, instead of into the next file that is opened. What its encoding
    does not have is escaped. Streams that somebody has put in the place of the process's own stay as they are.
    """
    for number in (0, _OUT, _ERR):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is taken, which is this one.
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _stream(_Out, _OUT, sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _stream(_Err, _ERR, sys.stderr)


def _stream(kind: type[io.TextIOWrapper], number: int, earlier: TextIO | None) -> io.TextIOWrapper:
    unbuffered = bool(getattr(earlier, "write_through", False))
    return kind(
        open(number, "wb", 0 if unbuffered else -1, closefd=False),
        earlier.encoding if earlier is not None else "utf-8",
        "backslashreplace",
        line_buffering=number == _ERR or os.isatty(number),
        write_through=unbuffered,
    )


def give_up_stdout() -> None:
    """Let what could not be written to stdout be lost, so that the end of the process does not try it again."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _OUT)
        os.close(nowhere)
