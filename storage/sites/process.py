"""Who a site's state belongs to: a process, told from a later one with the same number."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_GONE = ("Z", "X", "x")
DONE = 0
"""The number of a process that is done with the site."""

_STATE, _START = 0, 19
"""Fields of ``/proc/PID/stat``, counted behind the name of the program."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A process: its number, its machine, and when it began, as the system of that machine says it.

    ``start`` is the boot of the machine and the clock ticks since then; empty when not known.
    """

    pid: int
    host: str
    start: str = ""

    @classmethod
    def this(cls) -> Owner:
        """Give the process that asks."""
        pid = os.getpid()
        return cls(pid, socket.gethostname(), started_at(pid))

    @property
    def is_done(self) -> bool:
        """Whether it is said to be done with the site, be it alive or not."""
        return self.pid == DONE

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this machine."""
        return self.host == socket.gethostname()

    def is_alive(self) -> bool:
        """Whether it lives, of a process of this machine: there is one with this number, and it began then."""
        if self.pid <= 0:
            return False
        seen = _look_at(self.pid)
        if seen is None:
            # A system may hide the processes of others, which then still can be told from none.
            return _answers(self.pid)
        state, start = seen
        # What is only left for its parent to collect is no process any more.
        return state not in _GONE and (not self.start or start == self.start)


def started_at(pid: int) -> str:
    """Give when a process of this machine began, as the system says it; empty when not known."""
    seen = _look_at(pid)
    return seen[1] if seen else ""


def observer() -> str:
    """Name this machine since its last boot: whoever counts seconds here counts from the same moment."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return f"{socket.gethostname()} {boot}"


def _look_at(pid: int) -> tuple[str, str] | None:
    """Give the state of a process and when it began; None when the system does not show it."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return fields[_STATE], f"{boot} {fields[_START]}"
    except (OSError, IndexError):
        return None


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
