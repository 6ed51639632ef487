"""Reading a text inventory into a snapshot: ``python -m benchmarks.inventory_lines [--lines N] [--form FORM]…``.

Writes N lines to a temporary file, then reads them in fresh programs, with one process and with several in turn, and
prints medians: the time a line by the clock and of the CPU, of all processes, and the peak memory of this and of the
others together. Interpreter start and imports are part of the peak; of the time only those of the other processes are.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import random
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.measure import Broken, Command, measure
from benchmarks.names import FILES_PER_DIRECTORY, WRITTEN, file_rows
from storage.inventory import read_inventory
from storage.inventory.reader import process_count
from storage.snapshot import SnapshotHeader, SnapshotWriter

LINES = 5_000_000
RUNS = 3
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


def read(inventory: Path, processes: int) -> None:
    """Read an inventory into a snapshot beside it; print what `Reading` has."""
    start, cpu = time.perf_counter(), time.process_time()
    snapshot = inventory.with_suffix(".snap")
    writer = SnapshotWriter(snapshot, SnapshotHeader("inventory", "benchmark", WRITTEN))
    counts = read_inventory(
        inventory,
        writer.append,
        listed_at=WRITTEN,
        scratch=inventory.parent,
        append_leaves=writer.append_leaves,
        processes=processes,
    )
    writer.finish()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu += others.ru_utime + others.ru_stime
    # Only the largest of the others is known, and each counts what it shares.
    peak = (own.ru_maxrss + (processes - 1) * others.ru_maxrss) * 1024
    with snapshot.open("rb") as file:
        digest = hashlib.file_digest(file, "blake2b").hexdigest()
    print(json.dumps([seconds / counts.lines * 1e6, cpu / counts.lines * 1e6, peak, digest]))


def run(forms: Sequence[str], lines: int, counts: Sequence[int], runs: int) -> None:
    """Measure each form, with so many processes in turn.

    Raises:
        Broken: they do not write the same snapshot.
    """
    print("| form | lines | processes | us/line | CPU us/line | peak MB | peak bytes/line |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with TemporaryDirectory() as directory:
        inventory, printed = Path(directory, "inventory"), Path(directory, "printed")

        def execute(*arguments: str) -> str:
            measure(Command((sys.executable, "-m", "benchmarks.inventory_lines", *arguments), printed))
            return printed.read_text()

        for form in forms:
            execute("write", form, str(lines), str(inventory))
            found: dict[int, list[list[float]]] = {count: [] for count in counts}
            digests = set[str]()
            for _ in range(runs):
                for count in counts:
                    *figures, digest = json.loads(execute("read", str(inventory), str(count)))
                    found[count].append(figures)
                    digests.add(digest)
            if len(digests) > 1:
                raise Broken(f"{form}: not the same snapshot for each number of processes")
            for count in counts:
                clock, cpu, peak = map(median, zip(*found[count], strict=True))
                print(
                    f"| {form} | {lines} | {count} | {clock:.2f} | {cpu:.2f} | {peak / 1e6:.0f} | {peak / lines:.0f} |",
                    flush=True,
                )


def main() -> None:
    """Read the command line; the two further commands are for the processes that this one starts."""
    match sys.argv[1:]:
        case ["write", form, lines, inventory]:
            write(form, int(lines), Path(inventory))
        case ["read", inventory, processes]:
            read(Path(inventory), int(processes))
        case _:
            parser = argparse.ArgumentParser(description=__doc__)
            parser.add_argument("--lines", type=int, default=LINES)
            parser.add_argument("--form", action="append", choices=FORMS)
            parser.add_argument("--processes", action="append", type=int, help="1, and as many as there are cores")
            parser.add_argument("--runs", type=int, default=RUNS)
            options = parser.parse_args()
            counts = options.processes or sorted({1, process_count(None)})
            run(options.form or FORMS, options.lines, counts, options.runs)


if __name__ == "__main__":
    main()
