from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.merge import Names, difference

names = st.lists(st.binary(min_size=1, max_size=4).filter(lambda name: b"\0" not in name), unique=True, max_size=60)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (b"", b"", ({}, {})),
        (b"a\0b", b"a\0b", ({}, {})),
        (b"a\0b\0c", b"a\0c", ({1: b"b"}, {})),
        (b"a", b"a\0ab\0b", ({}, {1: b"ab", 2: b"b"})),
        (b"ab", b"a", ({0: b"ab"}, {0: b"a"})),
        (b"", b"a\0b", ({}, {0: b"a", 1: b"b"})),
        (b"x\0y", b"", ({0: b"x", 1: b"y"}, {})),
    ],
)
def test_the_names_that_only_one_side_has(left: bytes, right: bytes, expected: tuple[Names, Names]) -> None:
    assert difference(left, right) == expected


def expected_difference(ours: list[bytes], theirs: list[bytes]) -> tuple[Names, Names]:
    return (
        {position: name for position, name in enumerate(ours) if name not in set(theirs)},
        {position: name for position, name in enumerate(theirs) if name not in set(ours)},
    )


@given(names, names, names)
def test_it_is_the_difference_of_two_sets(common: list[bytes], left: list[bytes], right: list[bytes]) -> None:
    ours, theirs = sorted({*common, *left}), sorted({*common, *right})
    only_ours, only_theirs = difference(b"\0".join(ours), b"\0".join(theirs))
    assert (only_ours, only_theirs) == expected_difference(ours, theirs)
    assert (list(only_ours), list(only_theirs)) == (sorted(only_ours), sorted(only_theirs))


def test_many_differences_among_many_names() -> None:
    ours = [b"%05d" % number for number in range(0, 600, 2)]
    theirs = [b"%05d" % number for number in range(0, 600, 3)]
    assert difference(b"\0".join(ours), b"\0".join(theirs)) == expected_difference(ours, theirs)
