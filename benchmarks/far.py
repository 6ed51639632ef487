"""Listing a site that is far away, and one behind a door that is slow: what requests in flight and connections do."""

from __future__ import annotations

import json
import os
import sys
import threading
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.listing import LISTERS
from benchmarks.measure import Broken, Command, Measured, Row, alternate, measure, program
from benchmarks.peers import debian_program
from benchmarks.slow_proxy import slow_door
from benchmarks.xrootd_tree import Site, running_site

ROUND_TRIP = 0.05
SERVICE = 0.05
AT_ONCE = 64

SLOW_DATASETS = 910
"""So that a slow door has so much to do that the beginning counts for little."""

CREWS = ((1, 64), (1, 8), (8, 8))
"""Listers, and the most connections that each may open."""

THREADS = 8
"""Synchronous threads that a script without actors would use."""


def _ours(url: str, lister: str, work: Path, listers: int = 1, **settings: int) -> Command:
    listing = (program(), "list", url, "--runtime", "threads", "--json", "--listers", str(listers))
    env = ("/usr/bin/env", f"Lister={lister}", *(f"{key}={value}" for key, value in settings.items()))
    return Command((*env, *listing, "-o", f"{work}/{lister}.snap"), work / f"{lister}.json")


def _files(output: Path) -> int:
    return int(json.loads(output.read_bytes())["files"])


def far_away(site: Site, work: Path, runs: int) -> list[Row]:
    """List through a round trip of 50 ms, in turn with ``xrdfs`` and with threads that each wait for an answer."""
    with slow_door("far", site.address, ROUND_TRIP) as address:
        url = f"root://{address}/{site.path}"
        peers = {
            "xrdfs ls -l -R": Command(
                (debian_program("xrdfs", "xrootd-client"), address, "ls", "-l", "-R", site.path), work / "xrdfs.txt"
            ),
            f"{THREADS} synchronous threads": Command(
                (sys.executable, "-m", "benchmarks.far", address, site.path), work / "threads.txt"
            ),
        }
        ours = {lister: _ours(url, lister, work) for lister in LISTERS}
        costs = alternate({**ours, **peers}, runs)
    for lister in LISTERS:
        if _files(work / f"{lister}.json") != site.files:
            raise Broken(f"{lister} lists something else than {site.files} files")
    name = f"list {site.directories:,} directories, {site.files:,} files, {ROUND_TRIP * 1000:.0f} ms away"
    return [Row(f"{name}, {lister}", costs[lister], peer, costs[peer]) for lister in LISTERS for peer in peers]


def slow_door_rows(site: Site, work: Path, runs: int) -> list[Row]:
    """List through a door that serves a connection at a time; by the seconds of the listing itself."""
    rows = []
    with slow_door("serial", site.address, SERVICE, AT_ONCE) as address:
        url = f"root://{address}/{site.path}"
        for lister in LISTERS:
            taken = {}
            for listers, connections in CREWS:
                command = _ours(url, lister, work, listers, Connections=connections)
                seconds = []
                for _ in range(runs):
                    measure(command)
                    assert command.output is not None
                    said = json.loads(command.output.read_bytes())
                    if said["files"] != site.files:
                        raise Broken(f"{lister} lists {said['files']} files, not {site.files}")
                    seconds.append(said["seconds"])
                taken[listers, connections] = Measured(sorted(seconds)[len(seconds) // 2], runs=runs)
            best = site.directories * SERVICE / AT_ONCE
            name = f"list {site.directories:,} directories, {SERVICE * 1000:.0f} ms each, {AT_ONCE} at once, {lister}"
            for (listers, connections), measured in taken.items():
                crew = f"{listers} lister{'s' if listers > 1 else ''} with up to {connections} connections"
                share = f"{best / measured.seconds:.0%} of what the door can do"
                rows.append(Row(f"{name}, {crew}", measured, "", None, share))
    return rows


def run(quick: bool) -> list[Row]:
    """Make a site with many small directories, put slow doors before it, list it."""
    program()
    runs = 1 if quick else 3
    with TemporaryDirectory(prefix="far-") as work:
        with running_site(quick, files_per_block=10) as site:
            rows = far_away(site, Path(work), runs)
        with running_site(quick, files_per_block=2, datasets=SLOW_DATASETS) as site:
            return rows + slow_door_rows(site, Path(work), 1)


def _with_threads(address: str, top: str) -> None:
    """List with threads that each wait for an answer before they ask again, as scripts do."""
    client: Any = import_module("XRootD.client")
    flags: Any = import_module("XRootD.client.flags")
    pending: SimpleQueue[str] = SimpleQueue()
    open_directories, files, lock, over = 1, 0, threading.Lock(), threading.Event()

    def fail(arguments: threading.ExceptHookArgs) -> None:
        print(arguments.exc_value, file=sys.stderr, flush=True)
        os._exit(1)

    def work(name: str) -> None:
        nonlocal open_directories, files
        server = client.FileSystem(f"root://{name}@{address}")
        while True:
            path = pending.get()
            status, listing = server.dirlist(path, flags.DirListFlags.STAT)
            assert status.ok, status.message
            entries = list(listing)
            below = [f"{path}/{entry.name}" for entry in entries if entry.statinfo.flags & flags.StatInfoFlags.IS_DIR]
            with lock:
                open_directories += len(below) - 1
                files += len(entries) - len(below)
                if not open_directories:
                    over.set()
            for directory in below:
                pending.put(directory)

    pending.put(top)
    threading.excepthook = fail
    for number in range(THREADS):
        threading.Thread(target=work, args=(f"peer{number}",), daemon=True).start()
    over.wait()
    print(files, flush=True)
    os._exit(0)


if __name__ == "__main__":
    _with_threads(*sys.argv[1:])
