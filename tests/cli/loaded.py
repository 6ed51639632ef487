"""Runs the program in processes forked from one that has loaded it, for tests that run it by the hundred.

Four fifths of what a short run takes is loading and making ready, in which nothing happens. A run is as much a process
of its own as any, with its arguments, directory, environment, output, end and exit code. Where the start of the program
is what matters, or signals do, or Ray, whose workers are started from scratch, it is `tests.cli.program.run`.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import TextIO

from tests.cli import program
from tests.cli.program import PATIENCE, Ended, ended_well, environment

_PACKAGES = ("engine", "storage", "actors", "cli")

_LATER = "actors.on_ray"
"""What loads Ray."""

_WHEN_NEEDED = ("sqlite_utils", "jinja2")
"""Libraries that most runs load later, when they open a history or make a page."""

_READ_THE_ENVIRONMENT = {"ray", "XRootD", "pyxrootd", "rucio", "botocore"}
"""Libraries that take their settings from it when they are loaded, as the program does only when it needs them."""

_AT_THE_START = ("PYTHON", "LD_", "LC_", "LANG", "RAY_", "TMP", "TZ")
"""How the names of variables begin that mean something to a process before the program runs."""

_SERVE = f"from {__name__} import main; main()"

_LONGEST = 1 << 20


def run(*arguments: object, cwd: Path, env: Mapping[str, str] | None = None) -> Ended:
    """Run the program to its end."""
    changes = env or {}
    if any(name.startswith(_AT_THE_START) for name in changes):
        return program.run(*arguments, cwd=cwd, env=env)
    return _server().run([*map(str, arguments)], str(cwd), environment(**changes))


def run_all(calls: Iterable[Sequence[object]], *, cwd: Path, env: Mapping[str, str] | None = None) -> list[Ended]:
    """Run the program once for each list of arguments; give how they ended, in that order."""
    return [run(*arguments, cwd=cwd, env=env) for arguments in calls]


class _Server:
    """The process that has loaded the program, which runs it once at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _SERVE, str(theirs.fileno())],
                cwd=Path(__file__).parents[2],
                # A thread of the library for numbers would not be there in a fork.
                env=environment(OPENBLAS_NUM_THREADS="1"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self._end)

    def run(self, arguments: list[str], directory: str, environment: dict[str, str]) -> Ended:
        asked = json.dumps([arguments, directory, environment]).encode()
        with self._lock, TemporaryFile("w+") as out, TemporaryFile("w+") as err:
            socket.send_fds(self._socket, [asked], [out.fileno(), err.fileno()])
            process = self._answer()
            try:
                code = self._answer()
            except TimeoutError:
                os.kill(process, signal.SIGKILL)
                self._answer()
                raise AssertionError(f"it did not end; stdout: {_read(out)}; stderr: {_read(err)}") from None
            return ended_well(Ended(code, _read(out), _read(err)))

    def _answer(self) -> int:
        self._socket.settimeout(PATIENCE)
        return int(self._socket.recv(64))

    def _end(self) -> None:
        self._socket.close()
        self._process.wait()


def _read(file: TextIO) -> str:
    file.seek(0)
    return file.read()


@cache
def _server() -> _Server:
    return _Server()


def load() -> None:
    """Load all of the program, and what most runs load besides."""
    for package in _PACKAGES:
        for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
            if not module.name.startswith(_LATER):
                import_module(module.name)
    for library in _WHEN_NEEDED:
        import_module(library)
    _make_ready()
    assert not _READ_THE_ENVIRONMENT & set(sys.modules), "what is loaded reads the environment"


def _make_ready() -> None:
    from cli.main import command_line
    from storage.page import render

    command_line()
    for template in render.HERE.glob("*.html"):
        render._environment().get_template(template.name)


def serve(connection: socket.socket) -> bool:
    """Fork the program for whoever asks; True in a fork, which has to run it."""
    while True:
        asked, descriptors, _, _ = socket.recv_fds(connection, _LONGEST, 2)
        if not asked:
            return False
        process = os.fork()
        if not process:
            connection.close()
            _become(*json.loads(asked), descriptors)
            return True
        for descriptor in descriptors:
            os.close(descriptor)
        connection.send(b"%d" % process)
        _, status = os.waitpid(process, 0)
        connection.send(b"%d" % os.waitstatus_to_exitcode(status))


def _become(arguments: list[str], directory: str, environment: Mapping[str, str], output: list[int]) -> None:
    """Be a process that was just started, with this for its output."""
    for number, descriptor in zip((1, 2), output, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [program.PROGRAM, *arguments]
    signal.signal(signal.SIGINT, signal.default_int_handler)


def main() -> None:
    """Load the program, and run it when asked, until nobody has the other end of the socket any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    load()
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        is_fork = serve(connection)
    if is_fork:
        from cli.main import main as program_main

        program_main()
