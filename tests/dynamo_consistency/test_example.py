"""The example on the first page of the reference."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dynamo_consistency
from tests.dynamo_consistency.sites import Site

EXAMPLE = """\
from dynamo_consistency import config, datatypes, remotelister, inventorylister

config.LOCATION = '/path/to/config.json'
site = 'T2_US_MIT'                        # For example

inventory_listing = inventorylister.listing(site)
remote_listing = remotelister.listing(site)

datatypes.compare(inventory_listing, remote_listing, 'results')
"""


def test_it_runs_as_printed(site: Site, here: Path) -> None:
    script = here / "example.py"
    script.write_text(EXAMPLE.replace("/path/to/config.json", str(site.configure())))
    subprocess.run([sys.executable, "-W", "error", str(script)], cwd=here, check=True, timeout=120)
    assert (here / "results_missing.txt").read_text().splitlines() == site.lfns("mc/a/lost.root")
    assert (here / "results_orphan.txt").read_text().splitlines() == site.lfns("data/b/left over.root")
    assert list((here / "var/work").iterdir()) == []


def test_it_stands_in_the_package_for_whoever_asks_for_help() -> None:
    assert dynamo_consistency.__doc__ is not None
    printed = [line.strip() for line in dynamo_consistency.__doc__.splitlines()]
    assert [line for line in EXAMPLE.splitlines() if line not in printed] == []
