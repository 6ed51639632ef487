"""Comparing two large listings: our snapshots against ``rce_cmp3`` on the same names.

``rce_cmp3`` compares a listing with an inventory dump from before and one from after it; here both are the same dump.
It reads lists that ``rce_partition`` has divided; that is measured apart. Both programs must find the same files.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import Broken, Command, Measured, Row, alternate, measure, program
from benchmarks.peers import rucio_consistency

DIRECTORIES = 50_000
QUICK_DIRECTORIES = 2_000
PARTITIONS = 8
"""The number that ``rce_partition`` takes from a configuration that does not give one."""

FILES_PER_DIRECTORY = 100
REMOTES = {"remote-10": "10 %", "remote-1": "1 %"}


def count_lines(*files: Path) -> list[int]:
    """Count the lines of each file."""
    return [sum(1 for _ in file.open("rb")) for file in files]


def partitioning(work: Path, peer: Path, name: str) -> Command:
    """Divide one list of names as the peer needs it."""
    options = ("-q", "-n", str(PARTITIONS), "-o", f"{work}/{name}.part")
    return Command((str(peer / "rce_partition"), *options, f"{work}/{name}.txt"))


def compare(work: Path, peer: Path, remote: str, runs: int, size: str) -> Row:
    """Compare one remote listing with the inventory, with both programs in turn."""
    dark, missing = work / "dark", work / "missing"
    snapshots = (f"{work}/inventory.snap", f"{work}/{remote}.snap")
    lists = (f"{work}/inventory.part", f"{work}/{remote}.part", f"{work}/inventory.part")
    commands = {
        "ours": Command((program(), "compare", *snapshots, "-o", f"{work}/ours")),
        "peer": Command((str(peer / "rce_cmp3"), *lists, str(dark), str(missing))),
    }
    costs = alternate(commands, runs)
    ours = count_lines(work / "ours_missing.txt", work / "ours_orphan.txt")
    # The peer writes its names without line ends, so they are counted by what all of them end in.
    theirs = [file.read_bytes().count(b".root") for file in (missing, dark)]
    if ours != theirs:
        raise Broken(f"{remote}: missing and orphan files are {ours} for us, {theirs} for rce_cmp3")
    note = f"{ours[0]} missing, {ours[1]} orphan"
    return Row(
        f"compare {size}, {REMOTES[remote]} of directories differ", costs["ours"], "rce_cmp3", costs["peer"], note
    )


def run(quick: bool) -> list[Row]:
    """Make the lists, then compare each remote listing with the inventory."""
    directories = QUICK_DIRECTORIES if quick else DIRECTORIES
    files = f"{directories * FILES_PER_DIRECTORY / 1e6:g}M"
    size = f"{files} to {files} files"
    peer = rucio_consistency()
    program()
    with TemporaryDirectory(prefix="comparing-") as directory:
        work = Path(directory)
        subprocess.run([sys.executable, "-m", "benchmarks.names", directory, str(directories)], check=True)
        partition = Measured.of([measure(partitioning(work, peer, name)) for name in ("inventory", *REMOTES)])
        rows = [compare(work, peer, remote, 2 if quick else 3, size) for remote in REMOTES]
    return [*rows, Row(f"divide {files} names for rce_cmp3", None, "rce_partition", partition, "done three times")]
