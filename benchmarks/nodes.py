"""What a second node brings: a door that takes 50 ms for each request of a connection, listed from one and from two.

Each node has room for one lister with a few connections, so that the door could do far more than one lister asks for.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from unittest.mock import patch

from benchmarks.far import SERVICE
from benchmarks.measure import Broken, Command, Measured, Row, measure, program
from benchmarks.slow_proxy import slow_door
from benchmarks.xrootd_tree import Site, running_site
from tests.servers.ray_cluster import RayCluster, ray_cluster

AT_ONCE = 512
CONNECTIONS = 8
DATASETS = 200
PLACE = {"place_for_a_lister": 1}
SETTLING = 20.0
"""Seconds that a node is given before anything is measured on it."""


def _seconds(site: Site, url: str, cluster: RayCluster, listers: int, work: Path) -> float:
    """List the site; give the seconds that the listing took from when all listers were up."""
    keys = ("/usr/bin/env", f"Placement={json.dumps(PLACE)}", f"Connections={CONNECTIONS}")
    ray = ("--runtime", "ray", "--address", cluster.address, "--listers", str(listers), "--json")
    report = work / "report.json"
    measure(Command((*keys, program(), "list", url, "-o", f"{work}/listing.snap", *ray), report))
    said = json.loads(report.read_bytes())
    if said["files"] != site.files:
        raise Broken(f"{listers} listers list {said['files']} of {site.files} files")
    return float(said["seconds"])


def run(quick: bool) -> list[Row]:
    """List from one node, then from two."""
    runs = 1 if quick else 3
    program()
    with (
        running_site(quick, files_per_block=10, datasets=DATASETS) as site,
        slow_door("serial", site.address, SERVICE, AT_ONCE) as address,
        ray_cluster() as cluster,
        TemporaryDirectory(prefix="nodes-") as directory,
        patch.dict(os.environ, cluster.env),
    ):
        work, url = Path(directory), f"root://{address}/{site.path}"
        place = ("--resources", json.dumps(PLACE))
        taken = []
        for node in range(2):
            if node:
                cluster.add_node(*place)
            else:
                cluster.start_head(*place)
            time.sleep(SETTLING)
            taken.append([_seconds(site, url, cluster, node + 1, work) for _ in range(runs)])
    one, two = (Measured(median(seconds), runs=runs) for seconds in taken)
    name = f"list {site.directories:,} directories, {SERVICE * 1000:.0f} ms a request and connection, from two nodes"
    return [Row(name, two, "one node", one, f"{one.seconds / two.seconds:.2f} times as fast")]
