"""Listing over XRootD with ``xrdfs`` shells that are kept open, as the access method ``directx`` asks for.

It sees what the program sees: names of any bytes but newlines, and links as what they lead to. It is slower than the
bindings, since a shell answers one command at a time, and for sites where those do not work. A socket or device cannot
be told from a file.

The program has the server's answers but hides their status, so an answer counts only when nothing was said on stderr
and every line could be read. An empty listing is asked for again without attributes; a name of 254 bytes, which may be
the rest of a longer one, fails its directory.
What a shell cannot carry (both kinds of quotes in one path, control characters, anything beyond ASCII) is asked of a
program of its own. The limits of `storage.listers.xrootd` are those of the server, and hold here too.
"""

from __future__ import annotations

import re
import shutil
from functools import partial

from engine import paths
from engine.listing import Absent, Failed, Listed, NamesListed, NoChecksum, Outcome, Present
from engine.states import Reason
from storage.listers import xrdfs
from storage.listers.credentials import Login
from storage.listers.doors import Door
from storage.listers.pool import PoolLister
from storage.listers.programs import Runner
from storage.listers.protocol import Ask, Request, Sink
from storage.listers.xrdfs_shell import Printed, Shell, can_carry
from storage.listers.xrootd_answers import read_checksum
from storage.listers.xrootd_errors import is_unsupported, refused, said_failure

PACKAGE = "xrootd-client"

_LOGIN = "consist"

_STAT = re.compile(
    rb"Path: +(?P<path>.*)\n(?:.*\n)*?Size: +(?P<size>-?\d+)\nMTime: +(?P<time>\S+ \S+)\n"
    rb"(?:.*\n)*?Flags: +(?P<flags>\d+).*\n(?:.*\n)*"
)
_IS_DIRECTORY = 2


class DirectXLister(PoolLister):
    """Asks one door with ``connections`` shells; ``timeout`` in seconds for each request.

    Raises:
        ValueError: there is no ``xrdfs``.
    """

    def __init__(self, door: Door, sink: Sink, timeout: float = 30.0, connections: int = 2) -> None:
        super().__init__(sink, timeout, connections, partial(_Worker, door, find_xrdfs(), timeout))


def find_xrdfs() -> str:
    """Find the program.

    Raises:
        ValueError: it is not installed.
    """
    program = shutil.which("xrdfs")
    if program is None:
        raise ValueError(f"xrdfs is not installed; it comes with Debian's {PACKAGE}")
    return program


class _Worker:
    """One shell, and the program for what cannot be typed into it."""

    def __init__(self, door: Door, program: str, timeout: float) -> None:
        self._door = door
        self._program = program
        self._server = f"{door.scheme}://{door.user or _LOGIN}@{door.host}"
        self._shell = Shell(program, self._server, timeout)
        self._runner = Runner(self._shell.environment)
        self._login = Login()
        self.requests = 0

    def answer(self, request: Request, deadline: float) -> Outcome:
        """Answer a request; see `storage.listers.pool.Worker`."""
        path = self._door.locate(request.path)
        if b"?" in path:
            return Failed(Reason.BAD_NAME, "a server cuts a path at its question mark")
        if b"\n" in path:
            return Failed(Reason.BAD_NAME, "the protocol separates names by newlines")
        if self._login.is_over():
            # A shell stays logged in as it was, and another one finds the newest token.
            self._shell.kill()
            self._login = Login()
        return refused(self._answer(request.ask, path, request.algorithm, deadline), self._door.scheme, self._door.host)

    def _answer(self, ask: Ask, path: bytes, algorithm: str, deadline: float) -> Outcome:
        match ask:
            case Ask.LIST:
                return self._list(path, deadline)
            case Ask.NAMES:
                return self._names(path, deadline)
            case Ask.STAT:
                return self._stat(path, deadline)
            case Ask.CHECKSUM:
                return self._sum(path, algorithm, deadline)

    def close(self) -> None:
        """End the shell and the program."""
        self._shell.close()
        self._runner.close()

    def release(self) -> None:
        """Wait for the shell's end."""
        self._shell.kill()

    def _list(self, path: bytes, deadline: float) -> Outcome:
        output = self._ask("ls -l", path, deadline)
        if isinstance(output, Failed):
            return output
        if output:
            return self._checked(path, xrdfs.parse_listing(output, path), output, deadline)
        names = self._ask("ls", path, deadline)
        if isinstance(names, Failed):
            return names
        if names:
            return Failed(Reason.FALSE_EMPTY, f"empty with attributes, {names.count(b'/')} names without")
        return Listed()

    def _names(self, path: bytes, deadline: float) -> Outcome:
        output = self._ask("ls", path, deadline)
        if isinstance(output, Failed):
            return output
        if not output:
            return NamesListed(frozenset())
        return self._checked(path, xrdfs.parse_names(output, path), output, deadline)

    def _checked(self, path: bytes, outcome: Outcome, output: bytes, deadline: float) -> Outcome:
        """Look closer at what is no listing: of a file the program prints the path itself."""
        if isinstance(outcome, Failed) and output.count(b"\n") == 1 and output.endswith(path + b"\n"):
            found = self._stat(path, deadline)
            if isinstance(found, Present) and not found.is_directory:
                return Failed(Reason.NOT_A_DIRECTORY, "a file")
        return outcome

    def _stat(self, path: bytes, deadline: float) -> Outcome:
        output = self._ask("stat", path, deadline)
        if isinstance(output, Failed):
            return Absent() if output.reason == Reason.NOT_FOUND else output
        match = _STAT.fullmatch(output)
        if match is None or match["path"] != path:
            return Failed(Reason.BAD_NAME, f"xrdfs printed '{paths.escape(output[:200])}'")
        return Present(int(match["size"]), xrdfs.seconds(match["time"]), bool(int(match["flags"]) & _IS_DIRECTORY))

    def _sum(self, path: bytes, algorithm: str, deadline: float) -> Outcome:
        output = self._ask("query checksum", path + b"?cks.type=" + algorithm.encode(), deadline)
        if isinstance(output, Failed):
            if output.reason == Reason.NOT_FOUND:
                return Absent()
            return NoChecksum(output.detail) if is_unsupported(output.detail) else output
        return read_checksum(output.decode("latin-1"))

    def _ask(self, command: str, path: bytes, deadline: float) -> bytes | Failed:
        self.requests += 1
        if not can_carry(path):
            return xrdfs.read(self._runner.run([self._program, self._server, *command.split(), path], deadline))
        printed = self._shell.ask(command, path, deadline)
        if isinstance(printed, Failed):
            return printed
        if printed.said:
            return _said(printed)
        return printed.output


def _said(printed: Printed) -> Failed:
    if printed.output or printed.said.startswith("[!]"):
        return Failed(Reason.PARTIAL, f"xrdfs said: {printed.said}")
    return said_failure(printed.said)
