"""A Ray node that several checks share, where no cluster was named: started with the first, and ended when idle."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from select import select

from cli.exits import CommandError

_START_SECONDS = 180.0
_STOP_SECONDS = 30.0

_IDLE_SECONDS = 60.0
"""Seconds without a check after which the node is ended: an idle one takes more of a core than this program."""


class SharedNode:
    """Such a node, which may not be there yet. Whoever uses it needs its ``environment``: it lets in nobody else."""

    def __init__(self) -> None:
        self.environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self._process: subprocess.Popen[str] | None = None
        self._address = ""
        self._used_at = 0.0

    def address(self) -> str:
        """Give the address of a node that is up.

        Raises:
            CommandError: Ray cannot be started.
        """
        self._used_at = time.monotonic()
        if self._process is not None and self._process.poll() is None:
            return self._address
        self.stop()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "actors.ray_own_node"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **self.environment},
            process_group=0,
        )
        assert self._process.stdout is not None
        ready, _, _ = select([self._process.stdout], [], [], _START_SECONDS)
        self._address = self._process.stdout.readline().strip() if ready else ""
        if not self._address:
            why = self._end()
            raise CommandError(why or f"no Ray on this machine: it did not start within {_START_SECONDS:g} s")
        return self._address

    def rest(self, is_used: bool) -> None:
        """Take note of whether checks use it now; one that was idle for long is ended."""
        now = time.monotonic()
        if is_used:
            self._used_at = now
        elif now - self._used_at > _IDLE_SECONDS:
            self.stop()

    def stop(self) -> None:
        """End it, if it is there."""
        if self._process is not None:
            self._end()
        self._process = None

    def _end(self) -> str:
        """End the process and give its last word."""
        process, self._process = self._process, None
        assert process is not None
        try:
            _, said = process.communicate("", timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            _, said = process.communicate()
        lines = said.strip().splitlines()
        return lines[-1] if lines else ""
