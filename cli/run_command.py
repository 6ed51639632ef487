"""The commands ``run`` and ``drain``: one process that has every site checked when it is due."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

from cli.exits import CommandError, ExitCode
from cli.session import RunOptions, Settings, runtime_named
from cli.shift import RunRequest, Shift
from storage.sites.keeper import Keeper, KeeperInfo

_REACH = """
import sys
from actors.on_ray.address import must_answer
try:
    must_answer(sys.argv[1])
except ConnectionError as error:
    sys.exit(str(error))
"""

_REACH_SECONDS = 120.0


def run(settings: Settings, request: RunRequest, options: RunOptions) -> ExitCode:
    """Have the sites checked that are due, until told to stop, or once."""
    runtime_named(options.runtime or "ray")
    if options.runtime == "threads" and options.address:
        raise CommandError("--address goes with --runtime ray")
    if options.runtime == "threads" and options.ship:
        raise CommandError("--ship goes with --runtime ray")
    keeper = Keeper(settings.config.top_level().var_location)
    address = options.address or os.environ.get("RAY_ADDRESS") or ""
    info = KeeperInfo(os.getpid(), socket.gethostname(), time.time(), options.runtime or "", address, request.parallel)
    if options.address:
        _must_answer(options.address)
    keeper.acquire(info)
    with keeper:
        return Shift(settings, request, options, keeper, address).work()


def _must_answer(address: str) -> None:
    """Find out once, and not with each check, that there is no cluster to run on.

    Raises:
        CommandError: there is none.
    """
    # In a process of its own: this one waits for months, and need not have Ray in its memory.
    asking = [sys.executable, "-P", "-c", _REACH, address]
    try:
        asked = subprocess.run(asking, capture_output=True, text=True, timeout=_REACH_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"no Ray at {address}: no answer within {_REACH_SECONDS:g} s") from error
    if asked.returncode:
        lines = asked.stderr.strip().splitlines() or ["it cannot be told why"]
        raise CommandError(f"no Ray at {address}: {lines[-1]}")


def drain(settings: Settings, wait: float) -> ExitCode:
    """Ask the process that checks all sites to take no more, and wait for it to end."""
    keeper = Keeper(settings.config.top_level().var_location)
    if not keeper.is_held():
        print("no run is on")
        return ExitCode.DONE
    keeper.request_drain()
    if keeper.wait(wait):
        print("the run has ended")
    else:
        print("no further check begins; the run ends when those at work have")
    return ExitCode.DONE
