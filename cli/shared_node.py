"""A Ray node that several checks share, where no cluster was named: started with the first, and ended when idle."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from contextlib import suppress
from select import select

from actors.deployment import with_token
from cli.exits import CommandError

_START_SECONDS = 180.0
_STOP_SECONDS = 30.0

_CLUSTER = "auto"

_IDLE_SECONDS = 60.0
"""Seconds without a check after which the node is ended: an idle one takes more of a core than this program."""


class SharedNode:
    """Such a node, which may not be there yet. Where a cluster runs on this machine already, that is used."""

    def __init__(self) -> None:
        self._token = secrets.token_hex(32)
        self._process: subprocess.Popen[str] | None = None
        self._address = ""
        self._used_at = 0.0

    def for_use(self) -> tuple[str, dict[str, str]]:
        """Give the address of a node that is up, and what its user's environment needs: it lets in nobody else.

        Raises:
            CommandError: Ray cannot be started.
        """
        self._used_at = time.monotonic()
        if self._process is None or self._process.poll() is not None:
            self.stop()
            self._start()
        if self._address == _CLUSTER:
            # It may be gone by the next time.
            self.stop()
            return _CLUSTER, {}
        return self._address, with_token(self._token)

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "actors.ray_own_node"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.write(f"{self._token}\n")
            self._process.stdin.flush()
        ready, _, _ = select([self._process.stdout], [], [], _START_SECONDS)
        self._address = self._process.stdout.readline().strip() if ready else ""
        if not self._address:
            why = self.stop()
            raise CommandError(why or f"no Ray on this machine: it did not start within {_START_SECONDS:g} s")

    def rest(self, is_used: bool) -> None:
        """Take note of whether checks use it now; one that was idle for long is ended."""
        now = time.monotonic()
        if is_used:
            self._used_at = now
        elif now - self._used_at > _IDLE_SECONDS:
            self.stop()

    def stop(self) -> str:
        """End it, if it is there; gives its last word."""
        process, self._process = self._process, None
        if process is None:
            return ""
        try:
            _, said = process.communicate("", timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            _, said = process.communicate()
        lines = said.strip().splitlines()
        return lines[-1] if lines else ""
