"""Many sites at once: what `run` adds to the work of its checks, and whether small sites wait for large ones."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.far import SERVICE
from benchmarks.measure import Broken, Command, Cost, Measured, Row, measure, program
from benchmarks.slow_proxy import slow_door
from benchmarks.xrootd_tree import BLOCKS_PER_DATASET, Site, running_site

LARGE, SMALL = 20, 4
DATASETS = 100
"""A large site is all of the tree, a small one a hundredth of it."""

CORES = 2
"""How many checks work at a time, each of which keeps about one core busy, with the server's share."""

AT_ONCE = 512
LISTERS, CONNECTIONS = 4, 2
"""What all sites share where the small ones are begun beside large ones, behind a door that takes its time."""


@dataclass(frozen=True, slots=True)
class _Work:
    """What some checks took together: the client's cost, and the CPU seconds of the server meanwhile."""

    cost: Cost
    server: float

    @property
    def cpu(self) -> float:
        """The CPU seconds of both."""
        return self.cost.cpu + self.server


class _Fleet:
    """Sites that show the same tree, or a part of it, each with an inventory of all its files."""

    def __init__(self, site: Site, work: Path) -> None:
        self._site = site
        self._work = work
        self._homes = count()
        datasets = sorted((site.store / "mc").iterdir())
        self._large = self._inventory("large", datasets)
        self._small = self._inventory("small", datasets[:1])
        self.small = (f"mc/{datasets[0].name}", BLOCKS_PER_DATASET * len(os.listdir(next(datasets[0].iterdir()))))

    def _inventory(self, name: str, datasets: list[Path]) -> Path:
        path = self._work / f"{name}.txt"
        files = sorted(file.relative_to(self._site.store) for top in datasets for file in top.glob("*/*"))
        path.write_text("".join(f"{self._site.path}/{file}\n" for file in files))
        return path

    def _home(self, large: int, small: int, address: str) -> Path:
        home = self._work / f"home{next(self._homes)}"
        home.mkdir()
        keys = {"Doors": [f"root://{address}/"], "RootPath": self._site.path, "Inventory": str(self._large)}
        sites = {f"T2_LARGE_{number:02d}": {**keys, "DirectoryList": ["mc"]} for number in range(large)}
        few = {**keys, "Inventory": str(self._small), "DirectoryList": [self.small[0]]}
        sites |= {f"T3_SMALL_{number:02d}": few for number in range(small)}
        settings = {"IgnoreAge": 0, "Runtime": "threads", "Connections": CONNECTIONS, "Sites": sites}
        (home / "consistency_config.json").write_text(json.dumps(settings))
        return home

    def run(
        self, large: int, small: int, parallel: int, address: str = "", more: tuple[str, ...] = ()
    ) -> tuple[_Work, list[str]]:
        """Have all checked once; gives the cost, and the sites in the order in which they ended."""
        home = self._home(large, small, address or self._site.address)
        said = home / "said.jsonl"
        options = ("--once", "--gap", "0", "--parallel", str(parallel), *more, "--json")
        before = self._server_cpu()
        cost = measure(Command((program(), "run", *options), said, home))
        server = self._server_cpu() - before
        rows = [json.loads(line) for line in said.read_text().splitlines()]
        for row in rows:
            expected = self.small[1] if "SMALL" in row["site"] else self._site.files
            if (row["ended"], (row["results"] or {}).get("files")) != ("done", expected):
                raise Broken(f"{row['site']}: {row['ended']}, {row['said']}")
        return _Work(cost, server), [row["site"] for row in rows]

    def _server_cpu(self) -> float:
        fields = Path(f"/proc/{self._site.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rows(fleet: _Fleet, door: str, runs: int) -> Iterator[Row]:
    fleet.run(1, 0, 1)
    alone, together, mixed, late = [], [], [], 0
    for _ in range(runs):
        alone.append(fleet.run(1, 0, 1)[0])
        together.append(fleet.run(LARGE, SMALL, CORES)[0])
    for _ in range(runs):
        work, order = fleet.run(SMALL, SMALL, 2 * SMALL, door, ("--pool", str(LISTERS)))
        mixed.append(work.cost)
        late = max(late, sum("LARGE" in site for site in order[:SMALL]))
    one = sum(work.cpu for work in alone) / len(alone)
    ideal = one * LARGE / CORES
    files = fleet.small[1] * DATASETS
    yield Row(
        f"run --once, {LARGE} sites of {files:,} files and {SMALL} of {fleet.small[1]:,}, {CORES} at a time",
        Measured.of([work.cost for work in together]),
        f"{LARGE} times the work of one large site by itself, client and server, on {CORES} cores",
        Measured(ideal, one * LARGE),
        f"the server's share: {sum(work.server for work in together) / len(together):.1f} s of CPU",
    )
    yield Row(
        f"{SMALL} large and {SMALL} small sites begun together, {LISTERS} listers for all, "
        f"a door of {SERVICE * 1000:.0f} ms a request and connection",
        Measured.of(mixed),
        note=f"at most {late} large ones among the first {SMALL} that ended",
    )


def run(quick: bool) -> list[Row]:
    """Make a tree, serve it, and have it checked as many sites."""
    program()
    with (
        running_site(quick, datasets=DATASETS) as site,
        slow_door("serial", site.address, SERVICE, AT_ONCE) as door,
        TemporaryDirectory(prefix="fleet-") as work,
    ):
        return list(_rows(_Fleet(site, Path(work)), door, 1 if quick else 3))
