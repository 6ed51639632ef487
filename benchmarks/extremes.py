"""Stores of extreme shapes on loopback: everything in one directory, one file in each directory, and deep trees.

``python -m benchmarks.extremes [--lister LISTER] [--files N]`` makes each in turn, lists it and compares the listing
with itself. A million files take about 5 GB of disk as one file in each directory, and minutes to make.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.listing import LISTERS
from benchmarks.machine import machine_line
from benchmarks.measure import Broken, Command, Measured, Row, Unavailable, measure, program
from benchmarks.peers import debian_program
from benchmarks.tables import table
from tests.servers.xrootd import XRootDServer

FILES = 1_000_000
DEPTH = 200

_WIDTH = 1000
"""Directories in each directory above, where each has one file."""


def _touch(directory: Path, names: Iterator[str]) -> None:
    handle = os.open(directory, os.O_RDONLY)
    for name in names:
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=handle))
    os.close(handle)


def flat(top: Path, files: int) -> tuple[int, int]:
    """Put all files into one directory; gives the numbers of directories and files below and with ``top``."""
    top.mkdir()
    _touch(top, (f"file-{number:08d}.root" for number in range(files)))
    return 1, files


def single(top: Path, files: int) -> tuple[int, int]:
    """Put each file into a directory of its own."""
    top.mkdir()
    for branch in range(files // _WIDTH):
        above = top / f"{branch:05d}"
        above.mkdir()
        for leaf in range(_WIDTH):
            directory = above / f"{leaf:05d}"
            directory.mkdir()
            _touch(directory, iter(["file.root"]))
    return 1 + files // _WIDTH * (_WIDTH + 1), files // _WIDTH * _WIDTH


def deep(top: Path, files: int) -> tuple[int, int]:
    """Put the files into chains of directories, each chain `DEPTH` deep, one file on each level."""
    top.mkdir()
    chains = max(1, files // DEPTH // 10)
    for chain in range(chains):
        directory = top
        for level in range(DEPTH):
            # Short names: a path has 4 kB, in a request as on a disk.
            directory = directory / (f"{chain:05d}" if level == 0 else "d")
            directory.mkdir()
            _touch(directory, iter([f"f{level}"]))
    return 1 + chains * DEPTH, chains * DEPTH


SHAPES: dict[str, Callable[[Path, int], tuple[int, int]]] = {
    "flat": flat,
    "single": single,
    "deep": deep,
}


def one(shape: str, lister: str, files: int) -> Iterator[Row]:
    """Make a store, list it and compare the listing with itself."""
    with XRootDServer() as server, TemporaryDirectory(prefix="extremes-") as directory:
        work = Path(directory)
        top = server.store / shape
        directories, files = SHAPES[shape](top, files)
        source = f"{server.url}//store/{shape}"
        names = [f"{work}/{number}.snap" for number in range(2)]
        said = work / "said.json"
        listing = (program(), "list", source, "--runtime", "threads", "--json", "-o", names[0])
        cost = measure(Command(("/usr/bin/env", f"Lister={lister}", f"MaxDepth={DEPTH + 10}", *listing), said))
        found = json.loads(said.read_bytes())
        if (found["directories"], found["files"]) != (directories, files):
            raise Broken(
                f"{shape}: {found['directories']} directories and {found['files']} files were listed, and there are "
                f"{directories} and {files}"
            )
        shape_words = f"{shape}: {directories:,} directories, {files:,} files"
        size = Path(names[0]).stat().st_size
        yield Row(f"list {shape_words}, {lister}", Measured.of([cost]), note=f"a snapshot of {size / 1e6:.0f} MB")
        shutil.copy(*names)
        compared = measure(Command((program(), "compare", *names, "-o", f"{work}/differences")))
        yield Row("compare it with itself", Measured.of([compared]))
        # Not by this process, which has to stay small.
        measure(Command(("rm", "-rf", str(top))))


def main() -> int:
    """Measure the shapes that were asked for; the exit codes are those of `benchmarks.run`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.extremes", description=__doc__)
    parser.add_argument("--lister", action="append", choices=LISTERS, help="both by default")
    parser.add_argument("--shape", action="append", choices=SHAPES, help="all by default")
    parser.add_argument("--files", type=int, default=FILES, metavar="N")
    options = parser.parse_args()
    rows: list[Row] = []
    try:
        debian_program("xrootd", "xrootd-server")
        for shape in options.shape or SHAPES:
            for lister in options.lister or LISTERS:
                rows += one(shape, lister, options.files)
    except Unavailable as error:
        print(f"extremes: {error}", file=sys.stderr)
        return 2
    except Broken as error:
        print(f"extremes: {error}", file=sys.stderr)
        return 1
    print(f"{machine_line()}, {os.getloadavg()[0]:.1f} busy\n\n{table(rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
