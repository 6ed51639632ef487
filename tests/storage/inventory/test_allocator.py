"""Memory that is used again and again is not asked for again and again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import resource, sys
from storage.inventory.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    # Each is below what is mapped apart, and all together are freed.
    held = [b"x" * 100_000 for _ in range(20)]
    del held
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults)
"""


def faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3], check=True
    )
    return int(done.stdout)


def test_what_is_freed_is_kept_for_what_comes_next() -> None:
    assert faults("kept") * 10 < faults("given back")
