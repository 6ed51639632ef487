"""An ``xrdfs`` shell that is kept open: one command in, and everything that it prints until it asks for the next.

Measured with version 5.5. The shell reads with readline, whether or not there is a terminal: it prints a prompt, echoes
the line, runs the command, prints errors to stderr, and prints the prompt again; it never says whether a command went
well. A line of a listing starts with a mode or with the path that was asked for, so none can look like the prompt.
Readline takes control characters as editing commands, and an argument may hold one kind of quotes, not both: such paths
are not for the shell. Nor are those beyond ASCII: of bytes that are not UTF-8 readline drops some and keeps others for
the next command, so that the server is asked for, and denies, what nobody meant.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from engine.listing import Failed
from engine.states import Reason
from storage.listers.programs import REAPING, one_line, tied
from storage.listers.xrootd_settings import CLIENT_SETTINGS

_SETTINGS = {
    "LC_ALL": "C.UTF-8",
    # Neither a user's key bindings nor a terminal's habits.
    "INPUTRC": os.devnull,
    "TERM": "dumb",
}


@dataclass(frozen=True, slots=True)
class Printed:
    """What a command printed: its output without echo and prompt, and its errors in one line."""

    output: bytes
    said: str


_TYPED = bytes(range(32, 127))

_CHUNK = 1 << 16


def can_carry(path: bytes) -> bool:
    """Tell whether a path can be typed into the shell."""
    return not (b'"' in path and b"'" in path) and not path.translate(None, _TYPED)


class Shell:
    """One ``xrdfs`` process, started with its first command and again after it was killed.

    A shell that does not print its prompt in time is killed: what it would print later belongs to no command.
    """

    def __init__(self, program: str, server: str, timeout: float) -> None:
        self._command = [program, "--no-cwd", server]
        # Past our own patience, so that the shell's answer is seldom in doubt.
        request = {"XRD_REQUESTTIMEOUT": str(max(1, round(timeout)))}
        self.environment = {**CLIENT_SETTINGS, **os.environ, **request, **_SETTINGS}
        self._process: subprocess.Popen[bytes] | None = None
        self._prompt = b""
        self._closed = False
        self._lock = threading.Lock()
        self.started = 0
        """How many processes there were so far."""

    def ask(self, command: str, path: bytes, deadline: float) -> Printed | Failed:
        """Run a command on a path that the shell `can_carry`, until ``deadline`` (seconds of ``time.monotonic``)."""
        try:
            process = self._ready(deadline)
            printed = None if process is None else self._run(process, command, path, deadline)
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            self.kill()
            return Failed(Reason.CONNECTION, f"xrdfs: {error}")
        if process is None:
            return Failed(Reason.CONNECTION, "the lister was closed")
        if printed is None:
            self.kill()
            return Failed(Reason.TIMEOUT, "xrdfs gave no answer in time, and was killed")
        return printed

    @property
    def process(self) -> int | None:
        """The number of the process, if there is one."""
        process = self._process
        return None if process is None else process.pid

    def kill(self) -> None:
        """End the process; the next command starts another one."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            _end(process)

    def close(self) -> None:
        """End the process for good, from any thread."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                # Whoever waits for its answer reads the end of it.
                self._process.send_signal(signal.SIGKILL)

    def _ready(self, deadline: float) -> subprocess.Popen[bytes] | None:
        """Give the process, which waits for a command."""
        with self._lock:
            if self._closed:
                return None
            if self._process is not None and self._process.poll() is None:
                return self._process
            if self._process is not None:
                _end(self._process)
            self._process = process = subprocess.Popen(
                tied(self._command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self.environment,
                bufsize=0,
                start_new_session=True,
            )
            self.started += 1
        prompt = _read(process, deadline, lambda text: text.startswith(b"[") and text.endswith(b" > "))
        if prompt is None or b"\n" in prompt.output:
            raise OSError(f"the shell does not ask for a command: {prompt.said if prompt else 'no prompt'}")
        self._prompt = prompt.output
        return process

    def _run(self, process: subprocess.Popen[bytes], command: str, path: bytes, deadline: float) -> Printed | None:
        quote = b"'" if b'"' in path else b'"'
        assert process.stdin is not None
        process.stdin.write(b"%b %b%b%b\n" % (command.encode("ascii"), quote, path, quote))
        end = b"\n" + self._prompt
        printed = _read(process, deadline, lambda text: text.endswith(end))
        if printed is None:
            return None
        # The first line is the echo, which readline cuts to the width of a terminal.
        return Printed(printed.output.partition(b"\n")[2].removesuffix(self._prompt), printed.said)


def _read(process: subprocess.Popen[bytes], deadline: float, is_whole: Callable[[bytearray], bool]) -> Printed | None:
    """Read until the output is whole; None when it is not by the deadline.

    Raises:
        OSError: the process has ended.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    streams = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    output, errors = streams.values()
    # Not select, which ends at the 1024th file of a process.
    poll = select.poll()
    for number in streams:
        poll.register(number, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0:
        # What was said about a command is in its pipe before the prompt is.
        whole = is_whole(output)
        ready = poll.poll(0 if whole else left * 1000)
        for number, _ in ready:
            data = os.read(number, _CHUNK)
            streams[number] += data
            if not data:
                process.wait(REAPING)
                raise OSError(f"the program ended with {process.returncode}: {one_line(bytes(errors))}")
        if whole and not ready:
            return Printed(bytes(output), one_line(bytes(errors)))
    return None


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            process.kill()
    # One that hangs in the kernel is left behind.
    with suppress(subprocess.TimeoutExpired):
        process.wait(REAPING)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with suppress(OSError):
                stream.close()
