"""Which files are asked for their checksums."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.checksums.choice import Choice, Choosing, SampleFile, affordable, in_turn
from engine.checksums.share import BEGINNING, RING, Arc, place_of
from engine.columns import UNKNOWN_SIZE, UNSETTLED_MTIME, FileColumns
from engine.compare import CompareOptions
from engine.paths import tree_key
from engine.record import DirectoryRecord, DirectorySummary
from engine.states import Reason, State
from engine.table import DirectoryTable

WHOLE = Arc(BEGINNING, RING)
Files = dict[bytes, tuple[int, int]]


def table(directories: dict[bytes, Files | Reason]) -> DirectoryTable:
    """Build a side from what each directory holds, or why it is not known."""
    records = []
    for path, content in sorted({b"/s": {}, **directories}.items(), key=lambda item: tree_key(item[0])):
        if isinstance(content, Reason):
            records.append(DirectoryRecord(path, State.FAILED, content))
        else:
            rows = [(name, *found) for name, found in content.items()]
            records.append(DirectoryRecord(path, State.LISTED, files=FileColumns.from_rows(rows)))
    return DirectoryTable.from_summaries([DirectorySummary.of(r) for r in records], lambda row: records[row].files)


def chosen(inventory: dict[bytes, Files | Reason], remote: dict[bytes, Files | Reason], **options: Any) -> Choice:
    return Choosing(table(inventory), table(remote), CompareOptions(**options)).choose(WHOLE, 100)


def names(files: tuple[SampleFile, ...]) -> list[bytes]:
    return sorted(file.path for file in files)


def test_only_what_both_sides_have_alike_is_asked_for() -> None:
    files = {b"same": (5, 10), b"other": (5, 10), b"lost": (5, 10), b"no size": (UNKNOWN_SIZE, 10), b"both": (5, 10)}
    there = {b"same": (5, 20), b"other": (6, 10), b"dark": (5, 10), b"no size": (5, 10), b"both": (UNKNOWN_SIZE, 1)}
    choice = chosen({b"/s": files, b"/s/gone": {b"a": (1, 1)}}, {b"/s": there, b"/s/new": {b"a": (1, 1)}})
    assert choice == Choice((), (SampleFile(b"/s/same", 5, 20),), BEGINNING)


def test_what_nobody_may_judge_is_left_alone() -> None:
    files = {
        b"old": (5, 10),
        b"young": (5, 50),
        b"moving": (5, UNSETTLED_MTIME),
        b"new here": (5, 10),
        b"deleted": (5, 1),
    }
    there = {**files, b"new here": (5, 50), b"moving": (5, 10)}
    choice = chosen({b"/s": files}, {b"/s": there}, young_after=40.0, keep_missing=lambda path: b"deleted" in path)
    assert names(choice.files) == [b"/s/old"]
    assert names(chosen({b"/s": files}, {b"/s": there}).files) == [
        b"/s/deleted",
        b"/s/new here",
        b"/s/old",
        b"/s/young",
    ]


def test_what_could_not_be_seen_is_not_asked_for() -> None:
    files: Files = {b"a": (1, 1)}
    inventory, remote = table({b"/s/x": files, b"/s/y": files}), table({b"/s/x": files, b"/s/y": Reason.TIMEOUT})
    choice = Choosing(inventory, remote, CompareOptions()).choose(WHOLE, 9, [b"/s/y/a", b"/s/x/a", b"/s/x/gone"])
    assert choice == Choice((SampleFile(b"/s/x/a", 1, 1),), (), BEGINNING, frozenset([b"/s/y/a"]))


@given(
    st.sets(st.binary(min_size=1, max_size=4).filter(lambda name: not set(name) & set(b"/\0")), max_size=40),
    st.integers(0, 12),
    st.sampled_from([RING, RING // 3, RING // 50, 1]),
)
def test_the_nearest_come_first_and_the_next_run_goes_on(found: set[bytes], most: int, width: int) -> None:
    files = dict.fromkeys(found, (1, 1))
    side = table({b"/s": files, b"/s/d": files})
    choosing = Choosing(side, side, CompareOptions())
    everything = sorted(place_of(path + name) for path in (b"/s/", b"/s/d/") for name in found)
    start, taken = BEGINNING, list[bytes]()
    for _ in range(4):
        arc = Arc(start, width)
        due = sorted((place for place in everything if arc.holds(place)), key=arc.distance)
        choice = choosing.choose(arc, most)
        assert [file.path for file in choice.files] == [place.path for place in due[:most]]
        start = choice.end
        assert start == (arc.end if len(due) <= most else due[most - 1] if most else arc.start)
        taken += [file.path for file in choice.files]
    if width < RING // 4:
        assert len(taken) == len(set(taken))


def test_no_more_is_read_than_may_be() -> None:
    files = [SampleFile(b"/%d" % size, size, 0) for size in (4, 11, 6, 1)]
    assert affordable(files, 10) == ([files[0], files[2]], [files[1]])
    assert affordable(files, 100) == (files, [])
    assert affordable(files, 0) == ([], files)


def test_what_is_asked_for_again_keeps_no_other_file_back() -> None:
    a, b, c, d = (SampleFile(b"/%d" % size, size, 0) for size in (7, 5, 6, 4))
    assert in_turn([a, b], [c]) == [c, a, b]
    assert in_turn([a], [b, c, d]) == [b, a, c, d]
    # Neither one that does not fit beside the others, nor all of them together.
    again = {a.path, c.path}
    assert affordable(in_turn([a, c], [b, d]), 10, again) == ([b, d], [])
    assert affordable(in_turn([a, c], [b, d]), 12, again) == ([b, a], [])
    assert affordable([b, d, a, c], 11, again) == ([b, d], [])
    assert affordable([b, d, a, c], 13, {b.path, c.path}) == ([b, d], [])
    assert affordable([b, a, d, c], 11, {d.path, c.path}) == ([b, d], [])
    assert affordable(in_turn([a, c], [b, d]), 6, again) == ([b], [a])
