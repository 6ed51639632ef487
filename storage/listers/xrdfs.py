"""Listing a directory with the ``xrdfs`` program.

The Python bindings cannot carry a name that is not UTF-8: the whole answer is lost. The program prints such names as
the bytes they are. It is slow and says less than the protocol does, so it is asked only about such directories.
"""

from __future__ import annotations

import os
import re
import time
from calendar import timegm

from engine import paths
from engine.columns import DirectoryColumns, FileColumns
from engine.listing import Failed, Listed, ListingOutcome, NamesListed, NamesOutcome
from engine.states import Reason
from storage.listers.programs import Done, Runner
from storage.listers.protocol import LONGEST_LISTED_NAME
from storage.listers.xrootd_errors import said_failure

_MODE = rb"(?P<kind>[d-])[r-][w-][x-]"
_TIME = rb"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)"
_SIZE = rb" +(?P<size>\d+) "
_PATH = rb"(?P<path>/.*)"
_EXTENDED = re.compile(_MODE + rb"[rwx-]{6} +\S+ +\S+" + _SIZE + _TIME + b" " + _PATH, re.DOTALL)
_SHORT = re.compile(_MODE + b" " + _TIME + _SIZE + _PATH, re.DOTALL)


def runner_for(timeout: int) -> Runner:
    """Give what runs the program with a ``timeout`` in seconds, and can end it from another thread."""
    return Runner(os.environ | {"LC_ALL": "C", "XRD_REQUESTTIMEOUT": str(timeout)})


def list_directory(
    program: str, server: str, path: bytes, timeout: int, runner: Runner | None = None
) -> ListingOutcome:
    """Ask for everything in a directory; ``server`` is a URL without a path, ``timeout`` is in seconds.

    A listing is `Listed` only if the program ended well, had nothing to say besides, and every line could be read. A
    socket or device cannot be told from a file here.
    """
    output = _run(program, server, ["-l"], path, timeout, runner)
    return output if isinstance(output, Failed) else parse_listing(output, path)


def list_names(program: str, server: str, path: bytes, timeout: int, runner: Runner | None = None) -> NamesOutcome:
    """Ask for the names in a directory; as `list_directory`."""
    output = _run(program, server, [], path, timeout, runner)
    return output if isinstance(output, Failed) else parse_names(output, path)


def parse_listing(output: bytes, path: bytes) -> ListingOutcome:
    """Read the lines of ``xrdfs ls -l PATH``: mode, attributes, a time in UTC, and the path to the end of the line."""
    files: dict[bytes, tuple[bytes, int, int]] = {}
    directories: dict[bytes, int] = {}
    for line in output.removesuffix(b"\n").split(b"\n"):
        match = _EXTENDED.fullmatch(line) or _SHORT.fullmatch(line)
        if match is None:
            return _unreadable(line)
        name = _name_in(path, match["path"])
        if name is None or name in files or name in directories:
            return _unreadable(line)
        mtime = seconds(match["time"])
        if match["kind"] == b"d":
            directories[name] = mtime
        else:
            files[name] = (name, int(match["size"]), mtime)
    return Listed(FileColumns.from_rows(files.values()), DirectoryColumns.from_rows(directories.items()))


def parse_names(output: bytes, path: bytes) -> NamesOutcome:
    """Read the lines of ``xrdfs ls PATH``."""
    found: set[bytes] = set()
    for line in output.removesuffix(b"\n").split(b"\n"):
        name = _name_in(path, line)
        if name is None or name in found:
            return _unreadable(line)
        found.add(name)
    return NamesListed(frozenset(found))


def seconds(text: bytes) -> int:
    """Read a time in UTC as these programs print it, ``YYYY-MM-DD HH:MM:SS``; gives seconds since the epoch."""
    return timegm(time.strptime(text.decode("ascii"), "%Y-%m-%d %H:%M:%S"))


def _run(
    program: str, server: str, options: list[str], path: bytes, timeout: int, runner: Runner | None
) -> bytes | Failed:
    command: list[str | bytes] = [program, server, "ls", *options, path]
    output = read((runner or runner_for(timeout)).run(command, time.monotonic() + timeout))
    if output == b"":
        return Failed(Reason.FALSE_EMPTY, "no answer, and xrdfs prints nothing")
    return output


def read(done: Done | Failed) -> bytes | Failed:
    """Take the output of a program that ended well and had nothing to say besides; it may be empty."""
    if isinstance(done, Failed):
        return done
    if done.status:
        failed = said_failure(done.said)
        return Failed(failed.reason, f"xrdfs ended with {done.status}: {failed.detail}")
    if done.said:
        return Failed(Reason.PARTIAL, f"xrdfs said: {done.said}")
    return done.output


def _name_in(directory: bytes, path: bytes) -> bytes | None:
    start = directory if directory == b"/" else directory + b"/"
    name = path.removeprefix(start)
    if not path.startswith(start) or not name or b"/" in name or len(name) == LONGEST_LISTED_NAME:
        return None
    return name


def _unreadable(line: bytes) -> Failed:
    return Failed(Reason.BAD_NAME, f"xrdfs printed '{paths.escape(line)}'")
