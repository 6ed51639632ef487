"""Checks as processes of their own: how they are started, told to stop, and what they said.

What goes wrong in one is that one's alone, and none ends with whoever started it: their output goes to files.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from cli.exits import ExitCode
from engine.roster import Ending
from storage.sites.keeper import Keeper

_PREFIX = "dynamo-consistency: "

_LAST_BYTES = 65_536
"""As much is read of the end of what a check says."""

_PASSED = (ExitCode.DONE, ExitCode.FINDINGS, ExitCode.INCOMPLETE)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a check ended: its exit code, negative for a signal, its last word on stderr, and its results, if any."""

    code: int
    said: str
    results: Mapping[str, Any] | None
    seconds: float

    @property
    def ending(self) -> Ending:
        """What that means for the next one."""
        if self.code in _PASSED:
            # Python itself ends with 1 when it cannot even load the program.
            return Ending.DONE if self.results is not None else Ending.DIED
        if self.code == ExitCode.HALTED:
            return Ending.HALTED
        return Ending.DIED if self.code < 0 or self.code >= ExitCode.INTERNAL else Ending.FAILED


@dataclass(slots=True)
class Child:
    """The check of one site, from its start on."""

    site: str
    keeper: Keeper
    process: subprocess.Popen[bytes]
    _begun: float = field(default_factory=time.monotonic)

    @classmethod
    def start(cls, site: str, keeper: Keeper, arguments: Sequence[str], environment: Mapping[str, str]) -> Child:
        """Start the program with these arguments.

        Raises:
            OSError, ValueError: it cannot be started, or has a name that no program can be given.
        """
        errors = keeper.errors(site)
        if errors.is_file() and errors.stat().st_size:
            # What ended the one before may be asked for while this one goes on behind it.
            errors.replace(errors.with_suffix(".err.1"))
        with _own_file(keeper.output(site)) as out, _own_file(errors) as err:
            process = subprocess.Popen(
                [*_program(), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, **environment},
                # Ctrl-C at a terminal is for whoever started them, who tells them.
                process_group=0,
            )
        return cls(site, keeper, process)

    def tell_to_stop(self) -> None:
        """Ask it to stop, as SIGTERM does: the first time at its next step, the second time at once."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)

    def ended(self) -> Ended | None:
        """Say how it ended; None as long as it has not."""
        code = self.process.poll()
        if code is None:
            return None
        seconds = time.monotonic() - self._begun
        return Ended(code, self._last_word(), self._results(), seconds)

    def _last_word(self) -> str:
        lines = [line for line in _end_of(self.keeper.errors(self.site)).splitlines() if line.strip()]
        ours = [line.removeprefix(_PREFIX) for line in lines if line.startswith(_PREFIX)]
        word = (ours or lines or [""])[-1]
        return word.removeprefix(f"{self.site}: ")

    def _results(self) -> Mapping[str, Any] | None:
        try:
            results = json.loads(_end_of(self.keeper.output(self.site)))
        except ValueError:
            return None
        return results if isinstance(results, dict) else None


def _own_file(path: Path) -> BinaryIO:
    """Open a file to be written anew, in a directory where others may have put something else in its place."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    return open(os.open(path, flags, 0o644), "wb")


def _program() -> list[str]:
    script = Path(sys.executable).with_name("dynamo-consistency")
    if script.is_file():
        return [sys.executable, str(script)]
    return [sys.executable, "-P", "-c", "from cli.main import main; main()"]


def _end_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LAST_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
