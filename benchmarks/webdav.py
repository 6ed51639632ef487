"""Listing a site over WebDAV on loopback: ``dynamo-consistency list`` against ``rclone lsf -R``, of Apache's mod_dav.

``rclone`` cannot list XRootD's HTTP plugin of Debian: it takes files, which have no type there, for directories. Ours
of that one stands beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import Broken, Command, Measured, Row, Unavailable, alternate, program
from benchmarks.peers import debian_program
from benchmarks.xrootd_tree import BLOCKS_PER_DATASET, DATASETS, FILES_PER_BLOCK, make_tree
from cli.xrootd_server import CannotServe
from tests.servers.webdav import ApacheServer, XRootDOverHTTP

_RUNS = 3


@contextmanager
def running_servers(datasets: int) -> Iterator[tuple[str, str, int]]:
    """Serve the same tree by Apache and by XRootD; gives both doors and the number of directories."""
    debian_program("xrootd", "xrootd-server")
    try:
        with ApacheServer() as apache, XRootDOverHTTP(root=apache.root) as xrootd:
            yield apache.url, xrootd.url, make_tree(apache.store, datasets)
    except CannotServe as error:
        raise Unavailable(str(error)) from error


def compete(apache: str, xrootd: str, work: Path, runs: int) -> dict[str, Measured]:
    """List the site in turn with ours, over both servers, and with rclone."""
    rclone = debian_program("rclone", "rclone")
    remote = f":webdav,url='{apache.replace('dav', 'http')}':store"
    ours = (program(), "list", "--runtime", "threads", "--json")
    return alternate(
        {
            "Apache": Command((*ours, f"{apache}/store", "-o", f"{work}/a.snap"), work / "Apache.json"),
            "XRootD": Command((*ours, f"{xrootd}/store", "-o", f"{work}/x.snap"), work / "XRootD.json"),
            "rclone": Command((rclone, "lsf", "-R", "--config", "", remote), work / "rclone.txt"),
        },
        runs,
    )


def run(quick: bool) -> list[Row]:
    """Make a site, serve it twice, list it."""
    program()
    datasets = DATASETS // 10 if quick else DATASETS
    files = datasets * BLOCKS_PER_DATASET * FILES_PER_BLOCK
    with running_servers(datasets) as (apache, xrootd, directories), TemporaryDirectory(prefix="webdav-") as work:
        costs = compete(apache, xrootd, Path(work), _RUNS)
        found = {name: json.loads(Path(work, f"{name}.json").read_bytes())["files"] for name in ("Apache", "XRootD")}
        found["rclone"] = Path(work, "rclone.txt").read_bytes().count(b"\n") - (directories - 1)
    for name, count in found.items():
        if count != files:
            raise Broken(f"{name}: {count} files are listed, not {files}")
    work_name = f"list {directories:,} directories, {files:,} files over WebDAV"
    return [
        Row(f"{work_name}, of {server}", costs[server], "rclone lsf -R, of Apache", costs["rclone"])
        for server in ("Apache", "XRootD")
    ]
