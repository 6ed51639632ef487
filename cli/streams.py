"""The standard streams, for a program that may outlive the terminal or the pipe that it was started with."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STDOUT = "standard output"
"""What an error of stdout names in the place of a file."""

_OUT, _ERR = 1, 2


class _Out(io.FileIO):
    """Stdout, whose errors say that they are its own."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            error.filename = STDOUT
            raise


class _Err(io.FileIO):
    """Stderr, which nobody need read: no run ends because a message about it cannot be shown."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


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
        sys.stdout = _stream(_Out(_OUT, "w", closefd=False), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _stream(_Err(_ERR, "w", closefd=False), sys.stderr)


def _stream(raw: io.FileIO, earlier: TextIO | None) -> io.TextIOWrapper:
    if earlier is not None:
        earlier.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        earlier.encoding if earlier is not None else "utf-8",
        "backslashreplace",
        line_buffering=raw.fileno() == _ERR or raw.isatty(),
        write_through=earlier is not None and bool(getattr(earlier, "write_through", False)),
    )


def give_up_stdout() -> None:
    """Let what could not be written to stdout be lost, so that the end of the process does not try it again."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _OUT)
        os.close(nowhere)
