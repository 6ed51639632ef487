"""A site that did not change, listed once more with ``Incremental``: how many of the requests of a full listing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.measure import Broken, Command, Cost, Measured, Row, measure, program
from benchmarks.peers import debian_program
from tests.servers.xrootd import XRootDServer

NAME = "T2_LOOPBACK"
FILES = 10
LONG_AGO = 1_700_000_000


@dataclass(frozen=True, slots=True)
class _Site:
    """A served tree of ``leaves`` in ``holders`` directories, and the home of its checks."""

    leaves: int
    holders: int
    home: Path

    @property
    def directories(self) -> int:
        """How many are listed, the top included."""
        return 1 + self.holders + self.leaves


@contextmanager
def _running(holders: int, leaves_of_each: int) -> Iterator[_Site]:
    """Serve leaves of some files each, all of them old."""
    debian_program("xrootd", "xrootd-server")
    with XRootDServer() as server, TemporaryDirectory(prefix="incremental-") as work:
        names, home = [], Path(work)
        for holder in range(holders):
            for leaf in range(leaves_of_each):
                name = f"mc/Sample-{holder:05d}/{leaf:04d}"
                directory = server.store / name
                directory.mkdir(parents=True)
                for number in range(FILES):
                    file = f"file-{holder:05d}-{leaf:04d}-{number:06d}.root"
                    os.close(os.open(directory / file, os.O_CREAT | os.O_WRONLY))
                    names.append(f"/store/{name}/{file}\n")
                at = LONG_AGO + holder * leaves_of_each + leaf
                os.utime(directory, (at, at))
        (home / "inventory.txt").write_text("".join(sorted(names)))
        keys = {"Doors": [server.url], "Inventory": "inventory.txt", "IgnoreAge": 0, "Incremental": True}
        settings = {"RootPath": "/store", "DirectoryList": ["mc"], "IncrementalFullRuns": 1000, "Sites": {NAME: keys}}
        (home / "consistency_config.json").write_text(json.dumps(settings))
        yield _Site(holders * leaves_of_each, holders, home)


def _check(site: _Site, *options: str) -> tuple[Cost, dict[str, Any]]:
    """Check the site; what it says must be that there is nothing to say."""
    command = (program(), "check", NAME, "--runtime", "threads", "--json", *options)
    cost = measure(Command(command, site.home / "said.json", site.home))
    said: dict[str, Any] = json.loads((site.home / "said.json").read_bytes())
    if said["missing"] or said["orphan"] or said["files"] != site.leaves * FILES or said["distrust"]:
        raise Broken(f"a site that did not change is said to have: {said}")
    return cost, said


def _row(site: _Site, runs: int) -> Row:
    _check(site)
    full, again = [], []
    for _ in range(runs):
        full.append(_check(site, "--fresh"))
        again.append(_check(site))
    most, all_of_them = max(said["requests"] for _, said in again), min(said["requests"] for _, said in full)
    return Row(
        f"check {site.directories:,} directories, {site.leaves / site.directories:.1%} leaves, with Incremental",
        Measured.of([cost for cost, _ in again]),
        "listed in full",
        Measured.of([cost for cost, _ in full]),
        f"{most:,} requests of {all_of_them:,}: {most / all_of_them:.1%}",
    )


def run(quick: bool) -> list[Row]:
    """Make sites of which more and more directories are leaves, serve them, check them."""
    program()
    holders, runs = (20, 1) if quick else (100, 2)
    rows = []
    for leaves_of_each in (19, 50):
        with _running(holders, leaves_of_each) as site:
            rows.append(_row(site, runs))
    return rows
