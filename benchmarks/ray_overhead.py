"""What Ray costs: the same listing with four listers on Ray and as threads, by the seconds of the listing itself."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.measure import Broken, Command, Measured, Row, measure, program
from benchmarks.xrootd_tree import Site, running_site

LISTERS = 4


def listing_seconds(site: Site, runtime: str, work: Path) -> float:
    """List the site once; give the seconds that the listing took, without starting and stopping the runtime."""
    report = work / "report.json"
    options = ("--runtime", runtime, "--listers", str(LISTERS), "--json")
    measure(Command((program(), "list", site.source, "-o", f"{work}/listing.snap", *options), report))
    answer = json.loads(report.read_bytes())
    if answer["files"] != site.files or answer["directories"] != site.directories:
        raise Broken(f"--runtime {runtime} lists {answer['files']} files in {answer['directories']} directories")
    return float(answer["seconds"])


def run(quick: bool) -> list[Row]:
    """List with both runtimes in turn."""
    runs = 2 if quick else 5
    seconds: dict[str, list[float]] = {"ray": [], "threads": []}
    program()
    with running_site(quick) as site, TemporaryDirectory(prefix="ray-overhead-") as work:
        for _ in range(runs):
            for runtime, taken in seconds.items():
                taken.append(listing_seconds(site, runtime, Path(work)))
        directories = site.directories
    ray, threads = (Measured(median(taken), runs=runs) for taken in (seconds["ray"], seconds["threads"]))
    overhead = (ray.seconds - threads.seconds) / directories * 1e6
    work_name = f"list {directories:,} directories with {LISTERS} listers on Ray"
    return [Row(work_name, ray, "as threads", threads, f"Ray adds {overhead:.0f} us a directory")]
