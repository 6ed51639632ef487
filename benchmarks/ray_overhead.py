"""What Ray costs: the same listing on Ray, as threads, and by ``xrdfs``.

Ours are measured by the seconds of the listing itself, ``xrdfs`` as a whole process. Ray runs on a node that has been
up for a while: one that has just started still loads its own services, which take the processors from whatever is
measured.
"""

from __future__ import annotations

import json
import os
import time
from itertools import product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from unittest.mock import patch

from benchmarks.listing import LISTERS
from benchmarks.measure import Broken, Command, Measured, Row, measure, program
from benchmarks.peers import debian_program
from benchmarks.xrootd_tree import Site, running_site
from tests.servers.ray_node import running_ray_node

CREWS = (2, 4)
"""How many listers."""

SETTLING = 20.0
"""Seconds that a node is given before anything is measured on it."""


def listing_seconds(site: Site, runtime: tuple[str, ...], lister: str, crew: int, work: Path) -> float:
    """List the site once; give the seconds that the listing took, without starting and stopping the runtime."""
    report = work / "report.json"
    options = ("--runtime", *runtime, "--listers", str(crew), "--json")
    ours = (program(), "list", site.source, "-o", f"{work}/listing.snap", *options)
    measure(Command(("/usr/bin/env", f"Lister={lister}", *ours), report))
    answer = json.loads(report.read_bytes())
    if answer["files"] != site.files or answer["directories"] != site.directories:
        raise Broken(f"--runtime {runtime[0]} lists {answer['files']} files in {answer['directories']} directories")
    return float(answer["seconds"])


def run(quick: bool) -> list[Row]:
    """List with everything in turn."""
    runs = 2 if quick else 5
    crews = list(product(CREWS, LISTERS))
    on_ray: dict[tuple[int, str], list[float]] = {crew: [] for crew in crews}
    as_threads: dict[tuple[int, str], list[float]] = {crew: [] for crew in crews}
    peer = []
    program()
    with (
        running_site(quick) as site,
        running_ray_node() as node,
        TemporaryDirectory(prefix="ray-overhead-") as directory,
        patch.dict(os.environ, node.env),
    ):
        work = Path(directory)
        xrdfs = (debian_program("xrdfs", "xrootd-client"), site.address, "ls", "-l", "-R", site.path)
        time.sleep(SETTLING)
        for _ in range(runs):
            peer.append(measure(Command(xrdfs, work / "xrdfs.txt")))
            for crew, lister in crews:
                ray = ("ray", "--address", node.address)
                on_ray[crew, lister].append(listing_seconds(site, ray, lister, crew, work))
                as_threads[crew, lister].append(listing_seconds(site, ("threads",), lister, crew, work))
        directories = site.directories
    rows = []
    for crew, lister in crews:
        ours, threads = (Measured(median(taken[crew, lister]), runs=runs) for taken in (on_ray, as_threads))
        overhead = (ours.seconds - threads.seconds) / directories * 1e6
        name = f"list {directories:,} directories with {crew} listers on Ray, {lister}"
        rows.append(Row(name, ours, "xrdfs ls -l -R", Measured.of(peer)))
        rows.append(Row(name, ours, "as threads", threads, f"Ray adds {overhead:.0f} us a directory"))
    return rows
