"""Finds the programs to compare with; installs the one that PyPI has into an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import Unavailable

RUCIO_CONSISTENCY = ("rucio-consistency==1.7.5", "PyYAML==6.0.3")
"""What Rucio's consistency tools need; they import yaml without declaring it."""


def debian_program(name: str, package: str) -> str:
    """Give the path of a program that a Debian package brings.

    Raises:
        Unavailable: it is not installed.
    """
    path = shutil.which(name)
    if path is None:
        raise Unavailable(f"{name} is missing; install it as root: apt-get install {package}")
    return path


def cache_directory() -> Path:
    """Give the directory for what is kept from one run to the next."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "dynamo-consistency-benchmarks"


def rucio_consistency() -> Path:
    """Give the directory with ``rce_cmp3``, ``rce_partition`` and ``rce_scan``, installing them if need be.

    Raises:
        Unavailable: pip could not install them.
    """
    environment = cache_directory() / "-".join(RUCIO_CONSISTENCY).replace("=", "")
    programs = environment / "bin"
    ready = environment / "ready"
    if not ready.exists():
        commands = (
            [sys.executable, "-m", "venv", "--clear", str(environment)],
            [str(programs / "python"), "-m", "pip", "install", "--quiet", *RUCIO_CONSISTENCY],
        )
        for command in commands:
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
            if done.returncode:
                raise Unavailable(
                    f"the peer {RUCIO_CONSISTENCY[0]} cannot be installed into {environment}: "
                    f"{done.stderr.strip().splitlines()[-1:]}"
                )
        ready.touch()
    return programs
