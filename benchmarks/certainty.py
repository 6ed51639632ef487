"""What it costs to be sure: denied files that are asked for again, and a run that was killed and is gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import Broken, Command, Cost, Measured, Row, measure, program
from benchmarks.xrootd_tree import Site, running_site
from engine.states import State
from storage.runs.directory import RunDirectory
from storage.snapshot import Snapshot, SnapshotError, part_of

NAME = "T2_LOOPBACK"


@dataclass(frozen=True, slots=True)
class _Check:
    """One check: what it cost, and what it says of itself."""

    cost: Cost
    requests: int
    resumed: int
    missing: int


class _Checks:
    """Checks of one site, each in a home of its own, with or without lost files in the inventory."""

    def __init__(self, site: Site, work: Path) -> None:
        store = site.store
        self._site = site
        self._work = work
        self._homes = count()
        leaves = sorted((store / "mc").glob("*/*"))
        self.lost = len(leaves)
        self._known = [f"{site.path}/{path.relative_to(store)}" for leaf in leaves for path in sorted(leaf.iterdir())]
        self._lost = [f"{site.path}/{leaf.relative_to(store)}/lost.root" for leaf in leaves]

    def run(self, *, lost: bool = False, kill_at: float = 0.0) -> _Check:
        """Check once. With ``kill_at``, one is killed with that share in its journal, and the next one is measured."""
        home = self._work / f"home{next(self._homes)}"
        home.mkdir()
        names = self._known + (self._lost if lost else [])
        (home / "inventory.txt").write_text("".join(f"{name}\n" for name in sorted(names)))
        keys = {"Doors": [f"root://{self._site.address}/"], "Inventory": "inventory.txt", "IgnoreAge": 0}
        limits = {"MaxMissing": len(names)}
        settings = {"RootPath": self._site.path, "DirectoryList": ["mc"], "Sites": {NAME: keys | limits}}
        (home / "consistency_config.json").write_text(json.dumps(settings))
        command = Command((program(), "check", NAME, "--runtime", "threads", "--json"), home / "said.json", home)
        if kill_at:
            self._kill(command, RunDirectory(home / "var", NAME), kill_at)
        cost = measure(command)
        said = json.loads((home / "said.json").read_bytes())
        return _Check(cost, said["requests"], said["resumed"], said["missing"])

    def _kill(self, command: Command, directory: RunDirectory, share: float) -> None:
        with subprocess.Popen(
            command.argv, cwd=command.directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            while process.poll() is None and _listed(part_of(directory.listing)) < share * self._site.directories:
                time.sleep(0.005)
            if process.poll() is not None:
                raise Broken("the check that was to be killed has ended by itself")
            os.kill(process.pid, signal.SIGKILL)


def _listed(journal: Path) -> int:
    try:
        snapshot = Snapshot(journal)
    except (OSError, SnapshotError):
        return 0
    listed = snapshot.table.count(State.LISTED)
    snapshot.close()
    return listed


def _rows(checks: _Checks, site: Site, runs: int) -> Iterator[Row]:
    plain, sure, resumed = [], [], []
    checks.run()
    for _ in range(runs):
        plain.append(checks.run())
        sure.append(checks.run(lost=True))
        resumed.append(checks.run(kill_at=0.5))
    for check in plain + resumed:
        if check.missing:
            raise Broken(f"{check.missing} files are called missing, none is")
    for check in sure:
        if check.missing != checks.lost:
            raise Broken(f"{check.missing} files are called missing, {checks.lost} are")
    usual = Measured.of([check.cost for check in plain])
    name = f"check {site.directories:,} directories, {site.files:,} files"
    base = plain[0].requests
    yield Row(name, usual, note=f"{base} requests")
    more = max(check.requests for check in sure) - base
    yield Row(
        f"the same, {checks.lost:,} files missing in as many directories",
        Measured.of([check.cost for check in sure]),
        "none missing",
        usual,
        f"{more} requests more",
    )
    taken = min(check.resumed for check in resumed)
    asked = max(check.requests + check.resumed for check in resumed) - base
    yield Row(
        "the same, going on behind a kill -9 in the middle",
        Measured.of([check.cost for check in resumed]),
        "undisturbed",
        usual,
        f"{taken} directories or more taken over; at most {asked} requests again",
    )


def run(quick: bool) -> list[Row]:
    """Make a site, serve it, check it."""
    program()
    with running_site(quick) as site, TemporaryDirectory(prefix="certainty-") as work:
        return list(_rows(_Checks(site, Path(work)), site, 1 if quick else 3))
