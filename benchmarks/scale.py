"""How a comparison grows: snapshots of 1, 10 and 100 million files a side, 1 % of their directories different.

``python -m benchmarks.scale [--most FILES]`` stops at a smaller size. Before anything large is begun, two small
sites say what each file takes of disk, memory and time; a machine that is too small for the largest size is told so.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from dataclasses import astuple, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from benchmarks.machine import machine_line
from benchmarks.measure import Broken, Command, Cost, Row, Unavailable, alternate, measure, program
from benchmarks.names import FILES_PER_DIRECTORY
from benchmarks.scale_sites import EVERY, SIDES
from benchmarks.tables import table

SIZES = (1_000_000, 10_000_000, 100_000_000)
QUICK_SIZES = (100_000, 1_000_000)
RUNS = 3

SMALL = (100_000, 1_000_000)
"""Files of the two sites that the estimates come from: what the larger one takes more is what files cost."""

_SPARE_DISK, _SPARE_MEMORY = 1.1, 1.5
"""So much more than the estimate has to be there; columns that grow take more than they hold."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a site takes: ``disk`` and ``memory`` in bytes, ``seconds`` to write it and compare it several times."""

    disk: float
    memory: float
    seconds: float

    @classmethod
    def measured(cls, files: int) -> Needs:
        """Write and compare a small site."""
        with TemporaryDirectory(prefix="scale-") as directory:
            work = Path(directory)
            generator, ours = make(work, files), measure(comparing(work))
            check(work, files)
            disk = sum(file.stat().st_size for file in work.iterdir())
        return cls(disk, max(generator.peak, ours.peak), generator.seconds + (RUNS + 1) * ours.seconds)

    @classmethod
    def expected(cls, files: int, small: Needs, larger: Needs) -> Needs:
        """Estimate for so many ``files`` from what two of `SMALL` took."""
        times = max(0.0, (files - SMALL[0]) / (SMALL[1] - SMALL[0]))
        pairs = zip(astuple(small), astuple(larger), strict=True)
        return cls(*(low + times * max(0.0, high - low) for low, high in pairs))

    def lacking(self, disk: float, memory: float) -> str:
        """Say what a machine with so many bytes free lacks; empty when it lacks nothing."""
        words = [
            f"{needed / 1e9:.1f} GB of {what}, and {there / 1e9:.1f} GB are free"
            for what, needed, there in (
                ("disk", _SPARE_DISK * self.disk, disk),
                ("memory", _SPARE_MEMORY * self.memory, memory),
            )
            if needed > there
        ]
        return "; it needs ".join(words)


def shown(files: int) -> str:
    """Write a number of files in millions."""
    return f"{files / 1e6:g}M"


def free_memory() -> int:
    """Give the bytes that programs can still have, according to Linux."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise Unavailable("/proc/meminfo does not say how much memory is free; Linux does since 3.14")


def make(work: Path, files: int) -> Cost:
    """Write both snapshots."""
    directories = files // FILES_PER_DIRECTORY
    return measure(Command((sys.executable, "-m", "benchmarks.scale_sites", str(work), str(directories))))


def comparing(work: Path) -> Command:
    """Compare both snapshots."""
    return Command((program(), "compare", *(f"{work}/{side}.snap" for side in SIDES), "-o", f"{work}/ours"))


def check(work: Path, files: int) -> None:
    """Make sure that all differences were found, and nothing else.

    Raises:
        Broken: they were not.
    """
    wanted = -(-files // FILES_PER_DIRECTORY // EVERY)
    for name in ("missing", "orphan"):
        with (work / f"ours_{name}.txt").open("rb") as lines:
            found = sum(1 for _ in lines)
        if found != wanted:
            raise Broken(f"{shown(files)}: {found} {name} files were found, and there are {wanted}")


def make_sure(sizes: tuple[int, ...], needs: list[Needs]) -> None:
    """Say what is to come, and refuse what the machine cannot do.

    Raises:
        Unavailable: a size does not fit; the message says what it needs and what would.
    """
    disk, memory = shutil.disk_usage(gettempdir()).free, free_memory()
    for files, need in zip(sizes, needs, strict=True):
        words = need.lacking(disk, memory)
        if words:
            raise Unavailable(
                f"{shown(files)} files a side do not fit: it needs {words}; set TMPDIR to a larger disk, or use "
                f"python -m benchmarks.scale --most FILES"
            )
    total = sum(need.seconds for need in needs)
    print(
        f"{shown(sizes[-1])} files a side: about {needs[-1].disk / 1e9:.1f} GB of disk, at most "
        f"{needs[-1].memory / 1e9:.1f} GB of memory, and {total / 60:.1f} minutes for all sizes",
        file=sys.stderr,
        flush=True,
    )


def one(files: int) -> Row:
    """Make a site of one size, and compare it."""
    with TemporaryDirectory(prefix="scale-") as directory:
        work = Path(directory)
        generator = make(work, files)
        size = sum(file.stat().st_size for file in work.iterdir())
        costs = alternate({"ours": comparing(work)}, RUNS)["ours"]
        check(work, files)
    note = f"{size / 1e9:.1f} GB, written in {generator.seconds:.0f} s with {generator.peak / 1e9:.1f} GB"
    return Row(f"compare {shown(files)} to {shown(files)} files, 1 % of directories differ", costs, note=note)


def run_sizes(sizes: tuple[int, ...]) -> list[Row]:
    """Measure each size, when the last of them fits on this machine."""
    program()
    small, larger = map(Needs.measured, SMALL)
    make_sure(sizes, [Needs.expected(files, small, larger) for files in sizes])
    return [one(files) for files in sizes]


def run(quick: bool) -> list[Row]:
    """Measure how a comparison grows."""
    return run_sizes(QUICK_SIZES if quick else SIZES)


def main() -> int:
    """Measure the sizes up to the one that was asked for; the exit codes are those of `benchmarks.run`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--most", type=int, default=SIZES[-1], metavar="FILES", help="the largest number of files")
    most = parser.parse_args().most
    sizes = tuple(size for size in (*QUICK_SIZES[:1], *SIZES) if size <= most)
    if not sizes:
        parser.error(f"--most: expected at least {QUICK_SIZES[0]}, found {most}")
    try:
        rows = run_sizes(sizes[1:] or sizes)
    except Unavailable as error:
        print(f"scale: {error}", file=sys.stderr)
        return 2
    except Broken as error:
        print(f"scale: {error}", file=sys.stderr)
        return 1
    print(f"{machine_line()}, {os.getloadavg()[0]:.1f} busy\n\n{table(rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
