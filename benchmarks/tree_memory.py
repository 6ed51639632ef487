"""What a file costs in a tree: memory, and the time to build the tree from a sorted list.

Run as ``python -m benchmarks.tree_memory``. The memory is what tracemalloc sees of the finished tree; names are counted
apart, since every way of holding a file has to hold its name.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import PurePosixPath
from statistics import median

from benchmarks.machine import machine_line
from engine.tree import DirectoryInfo

FILES = 500_000
WIDTHS = (100, 10)
"""Files in a directory; one hundred directories stand in each directory above."""


def file_list(width: int) -> Iterator[tuple[str, int, int]]:
    """Give sorted (path, size, mtime) tuples."""
    for number in range(FILES):
        directory = number // width
        name = f"{number:08d}-2F6A-E711-9B2C-0CC47A7C347E.root"
        yield f"/store/data/{directory // 100:04d}/{directory % 100:04d}/{name}", 2_000_000_000 + number, 1_700_000_000


def build(files: list[tuple[str, int, int]]) -> DirectoryInfo:
    """Make the tree."""
    tree = DirectoryInfo("/store")
    tree.add_file_list(files)
    return tree


def memory(width: int) -> float:
    """Give bytes a file, its name not counted."""
    names = sum(len(PurePosixPath(path).name) for path, _, _ in file_list(width))
    tracemalloc.start()
    tree = DirectoryInfo("/store")
    tree.add_file_list(file_list(width))
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert tree.get_num_files() == FILES
    return (held - names) / FILES


def seconds(width: int, repeat: int = 5) -> float:
    """Give the median processor time of building the tree."""
    files = list(file_list(width))
    taken = []
    for _ in range(repeat):
        start = time.process_time()
        tree = build(files)
        taken.append(time.process_time() - start)
        assert tree.get_num_files() == FILES
    return median(taken)


def main() -> None:
    """Print the table."""
    print(f"{machine_line()}\n\n| files in a directory | bytes a file, without its name | us of CPU a file to build |")
    print("| --- | --- | --- |")
    for width in WIDTHS:
        print(f"| {width} | {memory(width):.1f} | {seconds(width) / FILES * 1e6:.2f} |")


if __name__ == "__main__":
    main()
