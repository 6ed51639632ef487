"""Runs the installed program, as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.config.loading import KEYS

PROGRAM = str(Path(sys.executable).with_name("dynamo-consistency"))

PATIENCE = 120.0
"""Seconds after which a program that does not end is taken for hanging."""


@dataclass(frozen=True)
class Ended:
    """How a run of the program ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on stdout."""
        assert len(self.out.splitlines()) == 1, self.out
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value

    @property
    def message(self) -> str:
        """What was said about the error, which is one line on stderr and nothing on stdout."""
        assert self.out == ""
        prefix, _, message = self.err.partition(": ")
        assert prefix == "dynamo-consistency"
        assert message.count("\n") == 1, self.err
        assert message.endswith("\n")
        return message.rstrip("\n")


def environment(**changes: str) -> dict[str, str]:
    """Give this process's environment without what would change the program's mind, and with the changes."""
    ours = {key: value for key, value in os.environ.items() if key not in KEYS and not key.startswith("RAY_")}
    return {**ours, "COLUMNS": "200", "TERM": "xterm", **changes}


def start(
    *arguments: object, cwd: Path, env: Mapping[str, str] | None = None, out: Path | None = None
) -> subprocess.Popen[str]:
    """Start the program and leave it running; what it prints on stdout goes to the file ``out``, if there is one."""
    with open(out or os.devnull, "w") as file:
        return subprocess.Popen(
            [PROGRAM, *map(str, arguments)],
            cwd=cwd,
            env=environment(**(env or {})),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if out is None else file,
            stderr=subprocess.PIPE,
            text=True,
        )


def wait_for(process: subprocess.Popen[str]) -> Ended:
    """Wait until it ended."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"it did not end; stdout: {out}; stderr: {err}") from None
    return ended_well(Ended(process.returncode, out or "", err))


def ended_well(ended: Ended) -> Ended:
    """Give it back: whatever happens, it never shows a traceback."""
    assert "Traceback" not in ended.err, ended.err
    assert "internal error" not in ended.err, ended.err
    return ended


def run(*arguments: object, cwd: Path, env: Mapping[str, str] | None = None) -> Ended:
    """Run the program to its end."""
    return wait_for(start(*arguments, cwd=cwd, env=env))


def eventually(what: str, happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until something happened in a program that still runs."""
    give_up = time.monotonic() + PATIENCE
    while not happened():
        if process.poll() is not None:
            ended = wait_for(process)
            raise AssertionError(f"it ended before {what}: {ended}")
        assert time.monotonic() < give_up, f"never {what}"
        time.sleep(0.02)
