"""Listing with ``gfal-ls``, as the access method ``SRM`` asks for: one process for each question.

It speaks what gfal2 has plugins for: ``root``, ``file``, ``srm``, ``davs``, ``gsiftp``. What was found out about it,
and decides what is believed here, stands in ``docs/decisions/0008-what-gfal-ls-says.md``; in short:

- it hides names that start with a dot unless told otherwise, and shows sizes and times of links' targets;
- of a directory that may not be searched it lists nothing over XRootD, and is content; so where it lists nothing, it
  is asked about a name that is hardly there: only a store that denies this one can see into the directory;
- over XRootD it lists nothing behind an entry that the server cannot read, with and without attributes, so a name that
  it lacks is no proof; there `Ask.NAMES` goes to ``xrdfs``. On other stores the names are what it prints;
- one dangling link on a mounted file system fails the whole directory, as if that were not there: whether it is, is
  asked separately.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from functools import cache, partial
from pathlib import Path

from engine import paths
from engine.listing import Absent, Failed, Listed, NamesListed, NoChecksum, Outcome, Present
from engine.states import Reason
from storage.listers import gfal_answers, xrdfs
from storage.listers.doors import Door
from storage.listers.pool import PoolLister
from storage.listers.programs import Runner
from storage.listers.protocol import LONGEST_LISTED_NAME, Ask, Request, Sink
from storage.listers.xrootd_settings import CLIENT_SETTINGS

XROOTD = ("root", "roots", "xroot", "xroots")

PACKAGES = "gfal2-util-scripts, with gfal2-plugin-xrootd, -srm, -http or -gridftp for the protocol"

_INTERPRETER = "GFAL_PYTHONBIN"
"""The variable that names the Python which runs gfal's programs."""

_CHECK_SECONDS = 30.0

_SETTINGS = {
    # Times are printed as local ones.
    "TZ": "UTC",
    "LC_ALL": "C.UTF-8",
    "PYTHONUTF8": "1",
}


class GfalMissing(ValueError):
    """gfal's programs are not there or cannot run; the message says what to install."""


class GfalLister(PoolLister):
    """Asks one door with up to ``processes`` programs at a time; ``timeout`` in seconds for each request.

    Raises:
        GfalMissing: there is no ``gfal-ls`` that runs.
    """

    def __init__(self, door: Door, sink: Sink, timeout: float = 30.0, processes: int = 32) -> None:
        program, environment = find_gfal()
        super().__init__(sink, timeout, processes, partial(_Worker, door, program, environment, timeout))


@cache
def find_gfal() -> tuple[str, dict[str, str]]:
    """Find ``gfal-ls`` and the environment in which it runs.

    Its first line looks for a Python that has gfal2, beginning with ``python`` of the PATH: inside a virtual
    environment, such as the one this program lives in, that finds none.

    Raises:
        GfalMissing: it is not there, or there is no Python for it.
    """
    program = shutil.which("gfal-ls")
    if program is None:
        raise GfalMissing(f"gfal-ls is not installed; it comes with Debian's {PACKAGES}")
    environment = {**CLIENT_SETTINGS, **os.environ, **_SETTINGS}
    environment.pop("LS_COLORS", None)
    if not environment.get(_INTERPRETER):
        environment[_INTERPRETER] = _interpreter(program)
    return program, environment


def _interpreter(program: str) -> str:
    on_path = [Path(directory, "python3") for directory in os.environ.get("PATH", "").split(os.pathsep) if directory]
    candidates = [Path(program).parent / "python3", Path("/usr/bin/python3"), *on_path]
    own = Path(sys.prefix).resolve() / "bin"
    for candidate in dict.fromkeys(candidates):
        if candidate.parent.resolve() != own and candidate.is_file() and _has_gfal(candidate):
            return str(candidate)
    raise GfalMissing("gfal-ls is installed, but no python3 that has gfal2; Debian's package is python3-gfal2-util")


def _has_gfal(python: Path) -> bool:
    try:
        done = subprocess.run(
            [python, "-c", "import gfal2, gfal2_util"], capture_output=True, timeout=_CHECK_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


class _Worker:
    """Runs one program at a time."""

    def __init__(self, door: Door, program: str, environment: dict[str, str], timeout: float) -> None:
        self._door = door
        self._program = program
        self._timeout = max(1, round(timeout))
        self._runner = Runner({**environment, "XRD_REQUESTTIMEOUT": str(self._timeout)})
        self._over_xrootd = door.scheme in XROOTD
        self._lists_dots = door.scheme == "file"
        self.requests = 0

    def answer(self, request: Request, deadline: float) -> Outcome:
        """Answer a request; see `storage.listers.pool.Worker`."""
        located = self._door.locate(request.path)
        unsendable = _unsendable(self._door.scheme, located)
        if unsendable:
            return Failed(Reason.BAD_NAME, unsendable)
        match request.ask:
            case Ask.STAT:
                return self._stat(request.path, deadline)
            case Ask.LIST:
                return self._list(request.path, deadline)
            case Ask.NAMES if self._over_xrootd:
                return self._names_of_xrootd(request.path, deadline)
            case Ask.NAMES:
                return self._names(request.path, deadline)
            case Ask.CHECKSUM:
                there = self._stat(request.path, deadline)
                return NoChecksum("gfal-ls tells none") if isinstance(there, Present) else there

    def close(self) -> None:
        """End the program that runs."""
        self._runner.close()

    def release(self) -> None:
        """Hold nothing: each program was waited for."""

    def _list(self, path: bytes, deadline: float) -> Outcome:
        output = self._gfal(("-a", "-l"), path, deadline)
        if isinstance(output, Failed):
            return self._why(path, output, deadline)
        outcome = gfal_answers.parse_listing(output, self._lists_dots)
        if isinstance(outcome, Failed):
            return self._file_or(path, output, outcome, deadline)
        names = [*outcome.files.name_list(), *outcome.directories.name_list()]
        if not names and not self._lists_dots:
            return self._unless_hidden(path, names, deadline) or self._empty(path, deadline)
        return self._unless_cut(path, names, deadline) or outcome

    def _empty(self, path: bytes, deadline: float) -> Outcome:
        """Find out whether there is something in a directory of which nothing is listed."""
        if not self._over_xrootd:
            # What is left out of a listing there is in no list of names either.
            return Listed(others=True)
        names = self._names_of_xrootd(path, deadline)
        return Listed(others=bool(names.names)) if isinstance(names, NamesListed) else names

    def _names(self, path: bytes, deadline: float) -> Outcome:
        output = self._gfal(("-a",), path, deadline)
        if isinstance(output, Failed):
            return self._why(path, output, deadline)
        outcome = gfal_answers.parse_names(output, self._lists_dots)
        if isinstance(outcome, Failed):
            return self._file_or(path, output, outcome, deadline)
        return self._unless_hidden(path, list(outcome.names), deadline) or outcome

    def _names_of_xrootd(self, path: bytes, deadline: float) -> Outcome:
        program = shutil.which("xrdfs")
        if program is None:
            return Failed(Reason.PARTIAL, "only xrdfs, of Debian's xrootd-client, lists all names of an XRootD store")
        located = self._door.locate(path)
        self.requests += 1
        server = f"{self._door.scheme}://{_authority(self._door)}"
        output = xrdfs.read(self._runner.run([program, server, "ls", located], deadline))
        if isinstance(output, Failed):
            return output
        if output == located + b"\n":
            return self._file_or(path, self._url(path) + b"\n", Failed(Reason.BAD_NAME, "not a listing"), deadline)
        return xrdfs.parse_names(output, located) if output else NamesListed(frozenset())

    def _stat(self, path: bytes, deadline: float) -> Outcome:
        output = self._gfal(("-d", "-l"), path, deadline)
        if not isinstance(output, Failed):
            return gfal_answers.parse_entry(output, self._url(path))
        if output.reason == Reason.NOT_FOUND:
            return Absent()
        above = paths.parent_of(path)
        if above is not None and gfal_answers.is_ambiguous(output) and self._below_a_file(above, deadline):
            return Failed(Reason.NOT_A_DIRECTORY, "a file on the way")
        return output

    def _below_a_file(self, path: bytes, deadline: float) -> bool:
        match self._stat(path, deadline):
            case Present(is_directory=is_directory):
                return not is_directory
            case Failed(Reason.NOT_A_DIRECTORY):
                return True
            case _:
                return False

    def _why(self, path: bytes, failed: Failed, deadline: float) -> Failed:
        """Find out whether what is not there is the directory, or something in it."""
        if failed.reason != Reason.NOT_FOUND and not gfal_answers.is_ambiguous(failed):
            return failed
        match self._stat(path, deadline):
            case Absent():
                return Failed(Reason.NOT_FOUND, failed.detail)
            case Failed() as found:
                return found
            case _:
                return Failed(Reason.PARTIAL, f"an entry cannot be read: {failed.detail}")

    def _file_or(self, path: bytes, output: bytes, otherwise: Failed, deadline: float) -> Failed:
        """Tell a file, of which the program prints its URL, from a listing that cannot be read."""
        if output.removesuffix(b"\n").removesuffix(b"\t").endswith(self._url(path)):
            found = self._stat(path, deadline)
            if isinstance(found, Present) and not found.is_directory:
                return Failed(Reason.NOT_A_DIRECTORY, "a file")
        return otherwise

    def _unless_hidden(self, path: bytes, names: list[bytes], deadline: float) -> Failed | None:
        """Doubt a listing of nothing in a directory that may not be searched."""
        if names or self._lists_dots:
            return None
        match self._stat(paths.join(path, b"no-such-name-" + secrets.token_hex(8).encode("ascii")), deadline):
            case Absent():
                return None
            case Failed(Reason.PERMISSION, detail):
                return Failed(Reason.FALSE_EMPTY, f"nothing is listed, and nothing may be asked for: {detail}")
            case Failed() as found:
                return found
            case _:
                return Failed(Reason.SERVER, "the store has a name that nobody gave")

    def _unless_cut(self, path: bytes, names: list[bytes], deadline: float) -> Failed | None:
        """Look up each name that may be the first part of a longer one."""
        for name in names if self._over_xrootd else ():
            if len(name) == LONGEST_LISTED_NAME:
                found = self._stat(paths.join(path, name), deadline)
                if not isinstance(found, Present):
                    detail = f"'{paths.escape(name)}' was cut by the server"
                    return found if isinstance(found, Failed) else Failed(Reason.BAD_NAME, detail)
        return None

    def _gfal(self, options: tuple[str, ...], path: bytes, deadline: float) -> bytes | Failed:
        self.requests += 1
        seconds = str(max(1, round(deadline - time.monotonic())))
        # What gfal2 logs goes to stdout, among the names.
        fixed = ("--log-file", os.devnull, "--time-style", "full-iso", "--color", "never", "-t", seconds)
        done = self._runner.run([self._program, *fixed, *options, self._url(path)], deadline)
        if isinstance(done, Failed):
            return done
        failed = gfal_answers.failure(done)
        return done.output if failed is None else failed

    def _url(self, path: bytes) -> bytes:
        located = self._door.locate(path)
        start = f"{self._door.scheme}://{_authority(self._door)}"
        if self._over_xrootd:
            return f"{start}/".encode() + _quoted(located)
        return start.encode() + located


_UNQUOTED = re.compile(rb"[%\x00-\x20\x7f-\xff]")


def _quoted(path: bytes) -> bytes:
    """Write a path so that XRootD's plugin, which undoes percent signs, sends the same bytes."""
    return _UNQUOTED.sub(lambda match: b"%%%02X" % match[0][0], path)


def _authority(door: Door) -> str:
    return f"{door.user}@{door.host}" if door.user else door.host


def _unsendable(scheme: str, path: bytes) -> str:
    """Say why a path cannot be asked for; empty if it can."""
    if b"\n" in path:
        return "gfal-ls separates names by newlines"
    if scheme in XROOTD:
        return "a server cuts a path at its question mark" if b"?" in path else ""
    try:
        path.decode()
    except UnicodeDecodeError:
        return "not UTF-8, which gfal-ls cannot take"
    if scheme != "file" and not _PLAIN.fullmatch(path.replace(b"?SFN=", b"", scheme == "srm")):
        return f"what gfal2 makes of such characters over {scheme} is not known"
    return ""


_PLAIN = re.compile(rb"(?:(?![?#%])[!-~])*")
