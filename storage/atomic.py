"""Files that are there whole or not at all: written under another name, brought to the disk, and renamed.

ReportError    a file or directory cannot be written, in one line that names it
"""

from __future__ import annotations

import fcntl
import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

_BUFFER = 1 << 20


class ReportError(Exception):
    """A file cannot be written; the message names its path."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Translate what the operating system says about a file into an error that names the one that is meant."""
    try:
        yield
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> ReportError:
    return ReportError(f"{path}: cannot be written: {error.strerror or error}")


def is_replaceable(path: Path) -> bool:
    """Whether there is nothing of that name, or something of which a file can take the place."""
    return not path.exists() or path.is_file() or path.is_dir()


def claim(path: Path) -> tuple[Path, BinaryIO]:
    """Make the file as which another one is written until it gets its name; gives its path, and it itself, open.

    As long as it is open it is locked, which says that it is being written: `AtomicFile.clear_up` leaves it alone.
    A device or a pipe is never replaced.
    """
    with naming(path):
        replaceable = is_replaceable(path)
    if not replaceable:
        raise ReportError(f"{path}: cannot be written: it is no plain file, and would be replaced")
    while True:
        temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
        with naming(path):
            # Not tempfile's, which nobody else may read: a web server has to.
            stream = open(temporary, "xb", buffering=_BUFFER)  # noqa: SIM115
        # Where locks do not work nobody clears up, either.
        with suppress(OSError):
            fcntl.flock(stream, fcntl.LOCK_EX)
        # Another process may have cleared it up before it was locked.
        if temporary.exists():
            return temporary, stream
        stream.close()


def _identity(state: os.stat_result) -> list[int]:
    # Not the device, whose number may be another one when the machine has been started again.
    return [state.st_ino, state.st_size, state.st_mtime_ns]


def _left_of(path: Path) -> Iterator[Path]:
    return path.parent.glob(f".{glob.escape(path.name)}.????????.tmp")


class AtomicFile:
    """A file that appears under its name with `publish`, complete and on the disk, or never.

    ``write`` takes text; a lone surrogate in it is written as ``\\udcxx``, which JSON reads back. ``finish`` brings
    it to the disk; ``discard`` may be called at any time and then leaves nothing behind. ``clear_up`` removes what a
    process that was killed could not discard.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream: BinaryIO | None = None
        self._there = False
        self._temporary, self._stream = claim(path)
        self._there = True

    @staticmethod
    def clear_up(path: Path) -> None:
        """Remove what processes that were killed while they wrote this file have left."""
        for left in _left_of(path):
            # Neither what cannot be removed nor what another process writes is in the way.
            with suppress(OSError), left.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()

    def write(self, text: str) -> None:
        """Append text."""
        assert self._stream is not None, "written after it was published"
        # Once for each directory that differs: not through `naming`, which costs more than the writing.
        try:
            self._stream.write(text.encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise _cannot_write(self.path, error) from error

    def finish(self) -> None:
        """Bring everything that was written to the disk."""
        if self._stream is not None:
            with naming(self.path):
                self._stream.flush()
                os.fsync(self._stream.fileno())

    def publish(self) -> None:
        """Finish, and take the place of the file with the name."""
        self.finish()
        with naming(self.path):
            os.replace(self._temporary, self.path)
        self._there = False
        self.discard()

    @property
    def identity(self) -> list[int]:
        """What tells the file that was finished from any other: inode, size, and time of the last change in ns."""
        assert self._stream is not None, "asked for after it was published"
        return _identity(os.fstat(self._stream.fileno()))

    @staticmethod
    def take_up(path: Path, identity: list[int]) -> bool:
        """Publish what a process that was killed had finished, and maybe not published; gives whether it is there.

        Raises:
            ReportError: it cannot get its name.
        """
        with suppress(OSError):
            if _identity(path.stat()) == identity:
                return True
        for left in _left_of(path):
            if _identity(left.stat()) == identity:
                with naming(path):
                    os.replace(left, path)
                return True
        return False

    def leave(self) -> None:
        """Leave what was finished as it is, for `take_up`."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._there = False

    def discard(self) -> None:
        """Remove what was written, unless it was published."""
        if self._stream is not None:
            # What cannot be flushed to a full disk is not wanted any more.
            with suppress(OSError):
                self._stream.close()
            self._stream = None
        if self._there:
            self._temporary.unlink(missing_ok=True)
            self._there = False

    def __enter__(self) -> AtomicFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.publish()
                sync_directory(self.path.parent)
        finally:
            self.discard()


def write_json(path: Path, value: object) -> None:
    """Write a value as indented JSON, whole or not at all, and remove what an earlier try left behind.

    Raises:
        ReportError: the file cannot be written.
        TypeError, ValueError: JSON cannot hold the value; NaN and infinities are among those.
    """
    import json

    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
    AtomicFile.clear_up(path)
    with AtomicFile(path) as file:
        file.write(text + "\n")


def sync_directory(directory: Path) -> None:
    """Bring renames in a directory to the disk."""
    with naming(directory):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
