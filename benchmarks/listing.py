"""Listing a site on loopback to a file: ``dynamo-consistency list`` against ``xrdfs ls -l -R`` and ``rce_scan``."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import Broken, Command, Row, alternate, program
from benchmarks.peers import debian_program, rucio_consistency
from benchmarks.xrootd_tree import DATASETS, Site, running_site

LISTERS = ("bindings", "wire")
"""What `Lister` may be; saying so takes the tenth of a second in which a configuration is loaded."""

SCAN_CONFIGURATION = """\
rses:
  LOOPBACK:
    npartitions: 8
    scanner:
      server: {address}
      server_root: /
      is_redirector: false
      include_sizes: true
      recursion: 1
      nworkers: 8
      timeout: 300
      roots:
        - path: {path}
"""
"""``recursion: 1`` and 8 workers are what ``rce_scan`` takes when nothing is said."""


def count_lines(files: list[Path]) -> int:
    """Count the lines of several files together."""
    return sum(file.read_bytes().count(b"\n") for file in files)


def compete(site: Site, work: Path, runs: int) -> list[Row]:
    """List the site with all three programs in turn."""
    (work / "scan.yaml").write_text(SCAN_CONFIGURATION.format(address=site.address, path=site.path), encoding="utf-8")
    xrdfs = (debian_program("xrdfs", "xrootd-client"), site.address, "ls", "-l", "-R", site.path)
    names = {"xrdfs": "xrdfs ls -l -R", "rce_scan": "rce_scan, with sizes"}
    scan = (str(rucio_consistency() / "rce_scan"), "-q", "-c", "scan.yaml", "-o", "scan", "LOOPBACK")
    ours = (program(), "list", site.source, "--runtime", "threads", "--json")
    costs = alternate(
        {
            **{
                lister: Command(
                    ("/usr/bin/env", f"Lister={lister}", *ours, "-o", f"{work}/{lister}.snap"), work / f"{lister}.json"
                )
                for lister in LISTERS
            },
            "xrdfs": Command(xrdfs, work / "xrdfs.txt"),
            "rce_scan": Command(scan, directory=work),
        },
        runs,
    )
    found = {
        **{lister: json.loads((work / f"{lister}.json").read_bytes())["files"] for lister in LISTERS},
        "xrdfs": count_lines([work / "xrdfs.txt"]) - (site.directories - 1),
        "rce_scan": count_lines(sorted(work.glob("scan.0*"))),
    }
    for name, files in found.items():
        if files != site.files:
            raise Broken(f"{name} lists {files} files, not {site.files}")
    work_name = f"list {site.directories:,} directories, {site.files:,} files"
    return [
        Row(f"{work_name}, {lister}", costs[lister], names[name], costs[name]) for lister in LISTERS for name in names
    ]


def run(quick: bool) -> list[Row]:
    """Make a site, serve it, list it; then a larger one."""
    program()
    rows: list[Row] = []
    for datasets, runs in ((DATASETS, 5), (5 * DATASETS, 3)):
        with running_site(quick, datasets=datasets) as site, TemporaryDirectory(prefix="listing-") as work:
            rows += compete(site, Path(work), 3 if quick else runs)
    return rows
