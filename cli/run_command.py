"""The commands ``run`` and ``drain``: one process that has every site checked when it is due."""

from __future__ import annotations

import os
import socket
import time

from cli.exits import CommandError, ExitCode
from cli.session import RunOptions, Settings, runtime_named
from cli.shift import RunRequest, Shift
from storage.sites.keeper import Keeper, KeeperInfo


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
    keeper.acquire(info)
    with keeper:
        return Shift(settings, request, options, keeper, address).work()


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
