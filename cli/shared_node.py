"""A Ray node that several checks share, where no cluster was named: started with the first, and ended when idle."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from select import select
from typing import Any

from actors.deployment import with_token
from cli.exits import CommandError

_START_SECONDS = 180.0
_STOP_SECONDS = 30.0
_LOOK_EVERY = 0.25

_CLUSTER = "auto"

_IDLE_SECONDS = 60.0
"""Seconds without a check after which the node is ended: an idle one takes more of a core than this program."""


class SharedNode:
    """Such a node, which may not be there yet. Where a cluster runs on this machine already, that is used.

    What the node says goes to the file ``errors``.
    """

    def __init__(self, errors: Path) -> None:
        self._errors = errors
        self._token = secrets.token_hex(32)
        self._process: subprocess.Popen[str] | None = None
        self._address = ""
        self._used_at = 0.0

    def for_use(self, stop: Callable[[], bool]) -> tuple[str, dict[str, str]]:
        """Give the address of a node that is up, and what its user's environment needs: it lets in nobody else.

        While it starts, it is asked now and then whether to ``stop`` that.

        Raises:
            CommandError: Ray cannot be started.
        """
        self._used_at = time.monotonic()
        if self._process is None or self._process.poll() is not None:
            self.stop()
            self._start(stop)
        if self._address == _CLUSTER:
            # It may be gone by the next time.
            self.stop()
            return _CLUSTER, {}
        return self._address, with_token(self._token)

    def _start(self, stop: Callable[[], bool]) -> None:
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                # Nothing that happens to lie in the working directory is taken for a part of the program.
                [sys.executable, "-P", "-m", "actors.on_ray.own_node"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                process_group=0,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.write(f"{self._token}\n")
            self._process.stdin.flush()
        give_up = time.monotonic() + _START_SECONDS
        ready: list[Any] = []
        while not ready and time.monotonic() < give_up and not stop():
            ready, _, _ = select([self._process.stdout], [], [], _LOOK_EVERY)
        self._address = self._process.stdout.readline().strip() if ready else ""
        if not self._address:
            self.stop()
            why = self._last_word()
            raise CommandError(why or f"no Ray on this machine: it did not start within {_START_SECONDS:g} s")

    def rest(self, is_used: bool) -> None:
        """Take note of whether checks use it now; one that was idle for long is ended."""
        now = time.monotonic()
        if is_used:
            self._used_at = now
        elif now - self._used_at > _IDLE_SECONDS:
            self.stop()

    def stop(self) -> None:
        """End it, if it is there."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.communicate("", timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()

    def _last_word(self) -> str:
        with suppress(OSError):
            lines = self._errors.read_text(errors="replace").strip().splitlines()
            return lines[-1] if lines else ""
        return ""
