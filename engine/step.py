"""Two tables walked in step: which of their rows there is anything to say about.

Most directories of two listings are the same, so that what is equal has to be passed over without looking at each.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import compress, count
from operator import ne

from engine import paths
from engine.columns import DIGEST_SIZE
from engine.states import State
from engine.table import DirectoryTable


def in_step(left: DirectoryTable, right: DirectoryTable) -> Iterator[tuple[int | None, int | None]]:
    """Merge the rows of two tables in tree order; pairs with equal digests that both sides listed are left out."""
    left_paths, right_paths = left.paths, right.paths
    left_count, right_count = len(left_paths), len(right_paths)
    i = j = 0
    while i < left_count and j < right_count:
        a, b = left_paths[i], right_paths[j]
        if a == b:
            end = i + _same(left_paths, i, right_paths, j)
            for row in _differing(left, i, end, right, j):
                yield row, row - i + j
            i, j = end, end - i + j
        elif paths.tree_key(a) < paths.tree_key(b):
            yield i, None
            i += 1
        else:
            yield None, j
            j += 1
    for row in range(i, left_count):
        yield row, None
    for row in range(j, right_count):
        yield None, row


def _same(left: list[bytes], i: int, right: list[bytes], j: int) -> int:
    """Count the paths that are the same from two places on."""
    # In steps that double as long as they succeed, so that a short run costs little and a long one not much more.
    same, step, limit = 0, 1, min(len(left) - i, len(right) - j)
    while same < limit:
        step = min(step, limit - same)
        if left[i + same : i + same + step] == right[j + same : j + same + step]:
            same, step = same + step, step * 2
        elif step == 1:
            break
        else:
            step //= 2
    return same


def _differing(left: DirectoryTable, first: int, last: int, right: DirectoryTable, j: int) -> list[int]:
    """Give the left rows, ascending, of pairs that differ or that a side did not list; ``j`` goes with ``first``."""
    end = j + last - first
    here, there = (
        left.digests[first * DIGEST_SIZE : last * DIGEST_SIZE],
        right.digests[j * DIGEST_SIZE : end * DIGEST_SIZE],
    )
    rows = set(left.rows_but(State.LISTED, first=first, last=last))
    rows.update(row - j + first for row in right.rows_but(State.LISTED, first=j, last=end))
    if here != there:
        # A digest is two of these.
        rows.update(first + half // 2 for half in compress(count(), map(ne, array("Q", here), array("Q", there))))
    return sorted(rows)
