"""Two tables walked in step, against the plainest way to do it."""

from __future__ import annotations

from hypothesis import event, given, settings
from hypothesis import strategies as st

from engine.paths import tree_key
from engine.record import DirectorySummary
from engine.states import State
from engine.step import in_step
from engine.table import DirectoryTable

Row = tuple[int, State]
"""The number of a digest, and a state."""

PATHS = sorted([b"/", b"/a", b"/a-b", *(b"/a/%02d" % number for number in range(40)), b"/a0", b"/b/c/d"], key=tree_key)
rows = st.tuples(st.sampled_from([0, 0, 0, 1, 2]), st.sampled_from([State.LISTED] * 8 + list(State)))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[dict[bytes, Row], dict[bytes, Row]]:
    """Give two trees that are the same for long stretches, and differ here and there in every way."""
    left = {path: draw(rows) for path in draw(st.sets(st.sampled_from(PATHS)) | st.just(PATHS))}
    right = dict(left)
    for path in draw(st.sets(st.sampled_from(PATHS), max_size=8)):
        if draw(st.booleans()):
            right[path] = draw(rows)
        else:
            right.pop(path, None)
    return left, right


def digest(number: int) -> bytes:
    """Make digests of which the first differs from the second only in front, and from the third only behind."""
    return [bytes(16), b"\1" + bytes(15), bytes(15) + b"\1"][number]


def table_of(tree: dict[bytes, Row]) -> DirectoryTable:
    ordered = sorted(tree, key=tree_key)
    return DirectoryTable.from_summaries(
        [DirectorySummary(path, tree[path][1], digest=digest(tree[path][0])) for path in ordered]
    )


def plainly(left: dict[bytes, Row], right: dict[bytes, Row]) -> list[tuple[bytes | None, bytes | None]]:
    """Give the pairs of paths, None where a side has none."""
    listed = State.LISTED
    return [
        (path if path in left else None, path if path in right else None)
        for path in sorted(left.keys() | right.keys(), key=tree_key)
        if path not in left or path not in right or left[path] != right[path] or left[path][1] != listed
    ]


@settings(max_examples=400)
@given(pairs())
def test_what_is_equal_and_listed_on_both_sides_is_passed_over_and_nothing_else(
    pair: tuple[dict[bytes, Row], dict[bytes, Row]],
) -> None:
    left, right = (table_of(tree) for tree in pair)
    found = [
        (None if i is None else left.paths[i], None if j is None else right.paths[j]) for i, j in in_step(left, right)
    ]
    event(f"pairs: {min(len(found), 5)}")
    assert found == plainly(*pair)


@given(st.sets(st.integers(0, 299)))
def test_in_a_long_run_each_difference_is_found(changed: set[int]) -> None:
    names = [b"/d/%03d" % number for number in range(300)]
    left = table_of(dict.fromkeys(names, (0, State.LISTED)))
    right = table_of({name: (int(number in changed), State.LISTED) for number, name in enumerate(names)})
    assert list(in_step(left, right)) == [(row, row) for row in sorted(changed)]
