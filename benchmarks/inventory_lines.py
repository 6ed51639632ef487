"""Reading a text inventory into a snapshot: ``python -m benchmarks.inventory_lines [--lines N] [--form FORM]…``.

Writes N lines to a temporary file, then reads them in a fresh process; prints the time a line and the peak memory of
each form. Interpreter start and imports are part of the peak, not of the time.
"""

from __future__ import annotations

import argparse
import gzip
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import Command, Cost, measure
from benchmarks.names import FILES_PER_DIRECTORY, WRITTEN, file_rows
from storage.inventory import read_inventory
from storage.snapshot import SnapshotHeader, SnapshotWriter

LINES = 5_000_000
FORMS = ("sizes", "shuffled", "paths", "mtimes", "csv", "gzip")


def directory_rows(lines: int) -> Iterator[tuple[bytes, bytes, int, int]]:
    """Make sorted entries: (directory, name, size in bytes, mtime)."""
    for directory in range(-(-lines // FILES_PER_DIRECTORY)):
        path = b"/store/mc/RunIISummer20UL18/Sample-%05d_TuneCP5_13TeV/AODSIM/%05d" % (directory // 100, directory)
        for row in file_rows(directory):
            yield path, *row


def write(form: str, lines: int, path: Path) -> None:
    """Write an inventory."""
    templates = {"paths": b"%s/%s\n", "mtimes": b"%s/%s %d %d\n", "csv": b"%s/%s,%d,%d\n"}
    template = templates.get(form, b"%s/%s %d\n")
    fields = template.count(b"%")
    text: Iterator[bytes] = (template % row[:fields] for row in directory_rows(lines))
    if form == "shuffled":
        shuffled = list(text)
        random.Random(1).shuffle(shuffled)
        text = iter(shuffled)
    with gzip.open(path, "wb", compresslevel=1) if form == "gzip" else path.open("wb") as file:
        if form == "csv":
            file.write(b"lfn,size,mtime\n")
        file.writelines(text)


def read(inventory: Path) -> None:
    """Read an inventory into a snapshot beside it; print the microseconds a line, of the clock and of the CPU."""
    start, cpu = time.perf_counter(), time.process_time()
    writer = SnapshotWriter(inventory.with_suffix(".snap"), SnapshotHeader("inventory", "benchmark", WRITTEN))
    counts = read_inventory(inventory, writer.append, listed_at=WRITTEN)
    writer.finish()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(f"{seconds / counts.lines * 1e6:.2f} | {cpu / counts.lines * 1e6:.2f}")


def run(forms: Sequence[str], lines: int) -> None:
    """Measure each form in processes of their own."""
    print("| form | lines | us/line | CPU us/line | peak MB | peak bytes/line |")
    print("| --- | --- | --- | --- | --- | --- |")
    with TemporaryDirectory() as directory:
        inventory, printed = Path(directory, "inventory"), Path(directory, "printed")

        def execute(*arguments: str) -> Cost:
            return measure(Command((sys.executable, "-m", "benchmarks.inventory_lines", *arguments), printed))

        for form in forms:
            execute("write", form, str(lines), str(inventory))
            peak = execute("read", str(inventory)).peak
            print(f"| {form} | {lines} | {printed.read_text().strip()} | {peak / 1e6:.0f} | {peak / lines:.0f} |")


def main() -> None:
    """Read the command line; the two further commands are for the processes that this one starts."""
    match sys.argv[1:]:
        case ["write", form, lines, inventory]:
            write(form, int(lines), Path(inventory))
        case ["read", inventory]:
            read(Path(inventory))
        case _:
            parser = argparse.ArgumentParser(description=__doc__)
            parser.add_argument("--lines", type=int, default=LINES)
            parser.add_argument("--form", action="append", choices=FORMS)
            options = parser.parse_args()
            run(options.form or FORMS, options.lines)


if __name__ == "__main__":
    main()
