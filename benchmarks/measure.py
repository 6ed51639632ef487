"""Runs programs as whole processes and measures what they cost.

This process must stay small: what it ever held in memory counts as held by every program that it starts, because Linux
carries the peak over ``exec``. Data are therefore made by processes of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

_UNCOMPILED = "PYTHONDONTWRITEBYTECODE"
"""Where it is set, each run of ours from a clone compiles all that it loads, which an installed program never does."""


class Unavailable(Exception):
    """A server or peer that a benchmark needs is not installed; the message says what to install."""


class Broken(Exception):
    """A program failed, or two programs that do the same work gave different results."""


@dataclass(frozen=True, slots=True)
class Command:
    """One program to run; its output goes to ``output``, or nowhere."""

    argv: tuple[str, ...]
    output: Path | None = None
    directory: Path | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took: ``seconds`` of wall time, ``cpu`` seconds (user and system), ``peak`` bytes resident."""

    seconds: float
    cpu: float
    peak: int


@dataclass(frozen=True, slots=True)
class Measured:
    """Several runs: medians of the times in seconds, the largest peak in bytes. 0 where it was not measured."""

    seconds: float
    cpu: float = 0.0
    peak: int = 0
    runs: int = 1

    @classmethod
    def of(cls, costs: Sequence[Cost]) -> Measured:
        """Sum up the runs of one program."""
        return cls(
            median(cost.seconds for cost in costs),
            median(cost.cpu for cost in costs),
            max(cost.peak for cost in costs),
            len(costs),
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. ``ours`` is None for work that only the peer has to do."""

    work: str
    ours: Measured | None = None
    peer_name: str = ""
    peer: Measured | None = None
    note: str = ""


def program() -> str:
    """Give the installed command of this project.

    Raises:
        Unavailable: it is not in the environment of this interpreter.
    """
    path = Path(sysconfig.get_path("scripts")) / "dynamo-consistency"
    if not path.exists():
        raise Unavailable(f"{path} is missing; install the project: {sys.executable} -m pip install -e .")
    return str(path)


def measure(command: Command) -> Cost:
    """Run once to the end.

    Raises:
        Broken: the program did not exit with 0; the message has the end of what it said.
    """
    with (
        open(command.output or os.devnull, "wb") as output,
        subprocess.Popen(
            command.argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            cwd=command.directory,
            env={name: value for name, value in os.environ.items() if name != _UNCOMPILED},
        ) as process,
    ):
        start = time.perf_counter()
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = said.decode("utf-8", "replace").strip()[-800:]
        raise Broken(f"{' '.join(command.argv)} ended with {process.returncode}: {tail}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def alternate(commands: Mapping[str, Command], runs: int) -> dict[str, Measured]:
    """Run each program once unmeasured, then all of them in turn, ``runs`` times over."""
    for command in commands.values():
        measure(command)
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            costs[name].append(measure(command))
    return {name: Measured.of(measured) for name, measured in costs.items()}
