"""What a coordinator can take: reports a second, and memory for each directory and file.

Four listers hand in full batches, packed as they are sent, and the journal goes to disk; packing them, which listers
do, is not counted. ``python -m benchmarks.run coordinator``.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections import deque
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

from actors.coordinator import Coordinator
from actors.messages import BATCH, Batch, ListingPlan, ListingReport
from benchmarks.measure import Broken, Command, Cost, Measured, Row, measure
from engine.columns import DirectoryColumns, FileColumns
from engine.index import Entry
from engine.listing import Listed
from engine.record import DirectoryRecord
from engine.work import QueueLimits, Task
from storage.snapshot import SnapshotHeader, directory_frame

_TOP = b"/store"
_WIDTH = 1000
"""Directories in each directory above."""

_LISTERS = 4
_MTIME = 1_700_000_000

SIZES = ((100_000, 10), (100_000, 100), (1_000_000, 10))
"""Directories, and files in each: what the second and the third take more is what files and directories cost."""


def answer(task: Task, branches: list[bytes], files: int) -> tuple[ListingReport, bytes]:
    """List one directory: the top has ``branches``, these have a thousand leaves each, and leaves have files."""
    path = task.path
    match path.count(b"/"):
        case 1:
            listed = Listed(directories=DirectoryColumns.from_rows([(name, _MTIME) for name in branches]))
        case 2:
            leaves = [(b"leaf-%05d" % number, _MTIME) for number in range(_WIDTH)]
            listed = Listed(directories=DirectoryColumns.from_rows(leaves))
        case _:
            rows = [(b"file-%s-%06d.root" % (path[-5:], number), number, _MTIME) for number in range(files)]
            listed = Listed(FileColumns.from_rows(rows))
    record = DirectoryRecord.of(path, listed, _MTIME)
    frame = directory_frame(record)
    return ListingReport(task.attempt, Entry.of(record, len(frame))), frame


def held() -> int:
    """Give the bytes that this process has resident."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def load(work: Path, directories: int, files: int) -> None:
    """Have so many directories reported, and print what it took."""
    branches = [b"%05d" % number for number in range(directories // _WIDTH)]
    header = SnapshotHeader("listing", "benchmark", _MTIME, "SITE", (_TOP,))
    coordinator = Coordinator(ListingPlan(header, work / "listing.snapshot", QueueLimits()))
    coordinator.start()
    before = held()
    tasks: dict[int, deque[Task]] = {lister: deque() for lister in range(_LISTERS)}
    seconds = cpu = 0.0
    reported = 0
    for lister in cycle(tasks):
        mine = tasks[lister]
        given = [mine.popleft() for _ in range(min(BATCH, len(mine)))]
        reports, frames = [], []
        for task in given:
            report, frame = answer(task, branches, files)
            reports.append(report)
            frames.append(frame)
        packed = Batch(reports, b"".join(frames), requests=reported).pack()
        start, start_cpu = time.perf_counter(), time.process_time()
        assignment = coordinator.exchange(str(lister), packed, 4 * BATCH - len(mine))
        seconds, cpu = seconds + time.perf_counter() - start, cpu + time.process_time() - start_cpu
        reported += len(given)
        mine.extend(assignment.tasks)
        if not any(tasks.values()) and coordinator.progress().idle:
            break
    grown = held() - before
    listed = coordinator.seal()
    wanted = 1 + len(branches) * (_WIDTH + 1)
    if listed != wanted or reported != wanted:
        raise Broken(f"{reported} directories were reported and {listed} are in the snapshot, and there are {wanted}")
    print(json.dumps({"seconds": seconds, "cpu": cpu, "grown": grown, "directories": listed}))


def run(quick: bool) -> list[Row]:
    """Measure each size in a process of its own."""
    rows = []
    said: dict[tuple[int, int], dict[str, float]] = {}
    for size in SIZES:
        directories, files = size[0] // (10 if quick else 1), size[1]
        with TemporaryDirectory(prefix="coordinator-") as work:
            output = Path(work, "said.json")
            arguments = (work, str(directories), str(files))
            peak = measure(Command((sys.executable, "-m", "benchmarks.coordinator", *arguments), output)).peak
            said[size] = one = json.loads(output.read_bytes())
        cost = Cost(one["seconds"], one["cpu"], peak)
        name = f"reports of {one['directories']:,.0f} directories, {files} files each"
        note = f"{one['directories'] / one['seconds']:,.0f} a second, {one['directories'] / one['cpu']:,.0f} of CPU"
        rows.append(Row(name, Measured.of([cost]), note=note))
    small, with_files, large = (said[size] for size in SIZES)
    each = (large["grown"] - small["grown"]) / (large["directories"] - small["directories"])
    more_files = small["directories"] * (SIZES[1][1] - SIZES[0][1])
    each_file = (with_files["grown"] - small["grown"]) / more_files
    rows[-1] = Row(
        rows[-1].work, rows[-1].ours, note=f"{rows[-1].note}; {each:.0f} bytes a directory, {each_file:.1f} a file"
    )
    return rows


if __name__ == "__main__":
    load(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
