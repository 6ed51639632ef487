"""Runs a fuzzer over numbered inputs; the number alone makes an input again."""

from __future__ import annotations

import random
import resource
import signal
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Protocol

SHARED_MEMORY = Path("/dev/shm")
PATIENCE = 20
"""Seconds after which an input is taken for one that hangs; nearly all take a thousandth of one."""

MOST_MEMORY = 400
"""MB by which the memory of a process may grow over all of its inputs."""

_MOST_FAILURES = 20


class Fuzzer(Protocol):
    """Tries one input at a time."""

    @property
    def name(self) -> str:
        """What is fuzzed."""

    def try_one(self, chance: random.Random) -> str:
        """Make an input and read it; give in a word what came of it.

        Raises:
            Exception: what should not happen.
        """


class Hangs(BaseException):
    """An input that is still read when it should long have been."""


@dataclass
class Report:
    """What came of so many inputs: how often each word, in how much time, and each failure with how to see it again."""

    name: str
    inputs: int = 0
    seconds: float = 0.0
    grown: float = 0.0
    words: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        rate = self.inputs / self.seconds if self.seconds else 0.0
        words = ", ".join(f"{count} {word}" for word, count in self.words.most_common())
        return (
            f"{self.name}: {self.inputs} inputs in {self.seconds:.0f} s of CPU ({rate:.0f}/s), "
            f"{len(self.failures)} failures, {self.grown:.0f} MB more memory; {words}"
        )


def replay(name: str, number: int) -> str:
    """Give the command that tries one input again."""
    return f".venv/bin/python -m tests.fuzz --only {name} --input {number}"


def run(fuzzer: Fuzzer, numbers: range) -> Report:
    """Try inputs; stops early when very many fail."""
    report = Report(fuzzer.name)
    before, began = _memory(), time.process_time()
    with _alarm():
        for number in numbers:
            signal.alarm(PATIENCE)
            try:
                report.words[try_input(fuzzer, number)] += 1
            except (Exception, Hangs):
                lines = traceback.format_exc().strip().splitlines()
                place = next((line.strip() for line in reversed(lines) if line.startswith("  File")), "")
                report.failures.append(f"{lines[-1]} ({place}); replay: {replay(fuzzer.name, number)}")
            report.inputs += 1
            if len(report.failures) >= _MOST_FAILURES:
                break
    report.seconds = time.process_time() - began
    report.grown = _memory() - before
    if report.grown > MOST_MEMORY:
        report.failures.append(f"{report.grown:.0f} MB more memory are in use than before")
    return report


def try_input(fuzzer: Fuzzer, number: int) -> str:
    """Try one input."""
    return fuzzer.try_one(random.Random(f"{fuzzer.name} {number}"))


def scratch() -> Path | None:
    """Give a place for small files that costs no disk, where there is one."""
    return SHARED_MEMORY if SHARED_MEMORY.is_dir() else None


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(_number: int, _frame: FrameType | None) -> None:
        raise Hangs

    previous = signal.signal(signal.SIGALRM, ring)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
