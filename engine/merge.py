"""The difference of two sorted lists of names, found without taking them apart.

Directories that differ at all mostly differ in a few names out of many. Splitting both lists and hashing every name
costs ten times as much as comparing the bytes up to where they differ, stepping over the odd name, and going on.
"""

from __future__ import annotations

from bisect import bisect_left

_FEW = 12
"""After so many differences the names are rather taken apart."""


Names = dict[int, bytes]
"""Some names of a list, by their position in it, ascending."""


def difference(left: bytes, right: bytes) -> tuple[Names, Names]:
    """Give the names that only one side has: the left ones, and the right ones.

    Both are sorted names separated by NUL, none of them empty; no bytes at all are no names.
    """
    # With a NUL behind each name, the last one too, no name is the beginning of another.
    left, right = left and left + b"\0", right and right + b"\0"
    only_left: Names = {}
    only_right: Names = {}
    left_size, right_size = len(left), len(right)
    i = j = here = there = 0
    while i < left_size and j < right_size:
        same = _common(left, i, right, j)
        cut = left.rfind(b"\0", i, i + same) + 1
        if cut:
            passed = left.count(b"\0", i, cut)
            i, j, here, there = cut, j + cut - i, here + passed, there + passed
            if i == left_size or j == right_size:
                break
        left_end, right_end = left.index(b"\0", i), right.index(b"\0", j)
        name, other = left[i:left_end], right[j:right_end]
        if name < other:
            only_left[here] = name
            i, here = left_end + 1, here + 1
        else:
            only_right[there] = other
            j, there = right_end + 1, there + 1
        if len(only_left) + len(only_right) > _FEW:
            return _by_sets(left, right)
    if i < left_size:
        only_left.update(enumerate(left[i:-1].split(b"\0"), here))
    if j < right_size:
        only_right.update(enumerate(right[j:-1].split(b"\0"), there))
    return only_left, only_right


def _common(left: bytes, i: int, right: bytes, j: int) -> int:
    """Give the number of bytes that are the same from two places on."""
    low, high = 0, min(len(left) - i, len(right) - j)
    # Compared where it stands, only one side has to be copied.
    if left.startswith(right[j : j + high], i):
        return high
    while high - low > 1:
        middle = (low + high) >> 1
        if left.startswith(right[j + low : j + middle], i + low):
            low = middle
        else:
            high = middle
    return low


def _by_sets(left: bytes, right: bytes) -> tuple[Names, Names]:
    left_names, right_names = left[:-1].split(b"\0"), right[:-1].split(b"\0")
    return (
        _located(left_names, set(left_names).difference(right_names)),
        _located(right_names, set(right_names).difference(left_names)),
    )


def _located(names: list[bytes], chosen: set[bytes]) -> Names:
    return {bisect_left(names, name): name for name in sorted(chosen)}
