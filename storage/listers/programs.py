"""Running another program for one answer, with an end to it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from engine.listing import Failed
from engine.states import Reason

REAPING = 5.0
"""Seconds to wait for the end of a process that was killed."""

_LOOK_EVERY = 0.1
"""Seconds between two looks at whether to give up."""


_TRIAL = 10.0
"""Seconds for finding out whether programs can be tied to us."""


def tied(command: Sequence[bytes | str]) -> list[bytes | str]:
    """Give a command whose program ends with the thread that starts it, even where that is killed (SIGKILL).

    Nothing else could end it then: it would go on asking the store, in the name of a run that is over. Only on Linux,
    with util-linux; elsewhere the command stays as it is.
    """
    # What is not there fails as it would without.
    return [*_tie(), *command] if shutil.which(os.fsdecode(command[0])) else list(command)


@cache
def _tie() -> tuple[str, ...]:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return ()
    tie = (setpriv, "--pdeathsig", "KILL")
    try:
        tried = subprocess.run([*tie, sys.executable, "-S", "-c", ""], capture_output=True, timeout=_TRIAL, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return () if tried.returncode else tie


@dataclass(frozen=True, slots=True)
class Done:
    """What a program that ended has printed; ``status`` is its exit code, negative for a signal."""

    status: int
    output: bytes
    said: str


class Runner:
    """Runs one program at a time; `close` ends the one that runs, and lets no other start."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._lock = threading.Lock()

    def run(
        self, command: Sequence[bytes | str], deadline: float, heed: Callable[[], None] | None = None
    ) -> Done | Failed:
        """Run a program until it ends or until ``deadline``, in seconds of ``time.monotonic``; then it is killed.

        ``heed`` is called now and then; what it raises ends the program as well.
        """
        name = os.path.basename(os.fsdecode(command[0]))
        try:
            process = self._start(command)
        except (OSError, ValueError) as error:
            return Failed(Reason.SERVER, f"{name} could not be run: {error}")
        if process is None:
            return Failed(Reason.CONNECTION, "the lister was closed")
        try:
            said = _communicate(process, deadline, heed)
        finally:
            _kill(process)
            with self._lock:
                self._process = None
        if said is None:
            return Failed(Reason.TIMEOUT, f"{name} gave no answer in time")
        return Done(process.returncode, said[0], one_line(said[1]))

    def close(self) -> None:
        """Kill what runs; nothing starts any more."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                _signal(self._process)

    def _start(self, command: Sequence[bytes | str]) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._closed:
                return None
            self._process = subprocess.Popen(
                tied(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment,
                # A group of its own, so that nothing which it started outlives it.
                start_new_session=True,
            )
            return self._process


def one_line(said: bytes) -> str:
    """Put what a program said into one line."""
    return " ".join(said.replace(b"\0", b"").decode("utf-8", "replace").split())


def _communicate(
    process: subprocess.Popen[bytes], deadline: float, heed: Callable[[], None] | None
) -> tuple[bytes, bytes] | None:
    """Read output and errors until the process ends; None when it does not by the deadline."""
    while True:
        left = max(0.0, deadline - time.monotonic())
        try:
            # After a timeout nothing is lost: the next call goes on from there.
            return process.communicate(timeout=left if heed is None else min(left, _LOOK_EVERY))
        except subprocess.TimeoutExpired:
            if heed is None or not left:
                return None
            heed()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        _signal(process)
        # One that hangs in the kernel is left behind.
        with suppress(subprocess.TimeoutExpired):
            process.wait(REAPING)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _signal(process: subprocess.Popen[bytes]) -> None:
    # Its group has its number, unless it has ended and was waited for.
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
