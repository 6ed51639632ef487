"""What Ray costs: the same listing with four listers on Ray and as threads, by the seconds of the listing itself.

Ray runs on a node that has been up for a while: one that has just started still loads its own services, which take
the processors from whatever is measured.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from unittest.mock import patch

from benchmarks.measure import Broken, Command, Measured, Row, measure, program
from benchmarks.xrootd_tree import Site, running_site
from tests.servers.ray_node import running_ray_node

LISTERS = 4

SETTLING = 20.0
"""Seconds that a node is given before anything is measured on it."""


def listing_seconds(site: Site, runtime: tuple[str, ...], work: Path) -> float:
    """List the site once; give the seconds that the listing took, without starting and stopping the runtime."""
    report = work / "report.json"
    options = ("--runtime", *runtime, "--listers", str(LISTERS), "--json")
    measure(Command((program(), "list", site.source, "-o", f"{work}/listing.snap", *options), report))
    answer = json.loads(report.read_bytes())
    if answer["files"] != site.files or answer["directories"] != site.directories:
        raise Broken(f"--runtime {runtime[0]} lists {answer['files']} files in {answer['directories']} directories")
    return float(answer["seconds"])


def run(quick: bool) -> list[Row]:
    """List with both runtimes in turn."""
    runs = 2 if quick else 5
    seconds: dict[str, list[float]] = {"ray": [], "threads": []}
    program()
    with (
        running_site(quick) as site,
        running_ray_node() as node,
        TemporaryDirectory(prefix="ray-overhead-") as work,
        patch.dict(os.environ, node.env),
    ):
        time.sleep(SETTLING)
        for _ in range(runs):
            for runtime, taken in seconds.items():
                where = ("ray", "--address", node.address) if runtime == "ray" else ("threads",)
                taken.append(listing_seconds(site, where, Path(work)))
        directories = site.directories
    ray, threads = (Measured(median(taken), runs=runs) for taken in (seconds["ray"], seconds["threads"]))
    overhead = (ray.seconds - threads.seconds) / directories * 1e6
    work_name = f"list {directories:,} directories with {LISTERS} listers on Ray"
    return [Row(work_name, ray, "as threads", threads, f"Ray adds {overhead:.0f} us a directory")]
