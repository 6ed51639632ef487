from __future__ import annotations

from engine.columns import NO_FILES, UNKNOWN_MTIME, DirectoryColumns, FileColumns
from engine.index import Entry
from engine.links import MOST_NAMES, Link, LinkWatch
from engine.record import DirectoryRecord
from engine.states import State

FILES = FileColumns.from_rows([(b"f", 1, 100)])


def listed(path: bytes, *children: tuple[bytes, int, int], files: FileColumns = NO_FILES) -> Entry:
    columns = DirectoryColumns.with_ids(children)
    return Entry.of(DirectoryRecord(path, State.LISTED, files=files, directories=columns))


def watch(*tops: bytes, mtimes: dict[bytes, int] | None = None) -> LinkWatch:
    known = mtimes or {}
    return LinkWatch(lambda path: known.get(path, UNKNOWN_MTIME), tops)


def test_a_directory_that_shows_what_one_above_it_shows_is_a_link() -> None:
    links = watch(b"/s")
    assert links.see(listed(b"/s", (b"a", 5, 1), files=FILES)) == []
    assert links.see(listed(b"/s/a", (b"b", 6, 2), (b"up", 7, 3))) == []
    assert links.see(listed(b"/s/a/b", (b"c", 6, 4))) == []
    assert links.see(listed(b"/s/a/up", (b"a", 5, 1), files=FILES)) == [Link(b"/s/a/up", b"/s")]


def test_the_root_is_above_everything() -> None:
    links = watch(b"/")
    links.see(listed(b"/", (b"loop", 5, 1)))
    assert links.see(listed(b"/loop", (b"loop", 5, 1))) == [Link(b"/loop", b"/")]


def test_one_that_differs_in_anything_is_none() -> None:
    for other in (
        listed(b"/s/a", (b"a", 5, 2)),
        listed(b"/s/a", (b"a", 6, 1)),
        listed(b"/s/a", (b"b", 5, 1)),
        listed(b"/s/a", (b"a", 5, 1), files=FILES),
    ):
        links = watch(b"/s")
        links.see(listed(b"/s", (b"a", 5, 1)))
        assert links.see(other) == []


def test_without_ids_the_time_of_the_directory_counts_as_well() -> None:
    first, same = (listed(path, (b"a", 5, 0), files=FILES) for path in (b"/s/a", b"/s/a/a"))
    for tops, mtimes, found in (
        ((b"/s",), {b"/s/a": 5, b"/s/a/a": 5}, True),
        ((b"/s",), {b"/s/a": 4, b"/s/a/a": 5}, False),
        ((b"/s",), {}, False),
        # Nobody gives that of a top.
        ((b"/s/a",), {b"/s/a/a": 5}, True),
        ((b"/s/a",), {}, False),
    ):
        links = watch(*tops, mtimes=mtimes)
        links.see(first)
        assert bool(links.see(same)) is found


def test_without_ids_and_times_nothing_is_a_link() -> None:
    links = watch(b"/s", mtimes={b"/s/a": 5, b"/s/a/a": 5})
    links.see(listed(b"/s/a", (b"a", UNKNOWN_MTIME, 0), files=FILES))
    assert links.see(listed(b"/s/a/a", (b"a", UNKNOWN_MTIME, 0), files=FILES)) == []


def test_a_chain_of_directories_that_were_made_at_once_is_none_without_ids() -> None:
    chain = [b"/s" + b"/d" * depth for depth in range(30)]
    links = watch(b"/s", mtimes=dict.fromkeys(chain, 5))
    assert not any(links.see(listed(path, (b"d", 5, 0))) for path in chain)


def test_a_directory_beside_another_is_listed_under_some_names() -> None:
    links = watch(b"/s")
    found = [links.see(listed(b"/s/%d" % number, (b"in", 5, 1))) for number in range(MOST_NAMES + 2)]
    assert found[:MOST_NAMES] == [[]] * MOST_NAMES
    assert found[MOST_NAMES:] == [[Link(b"/s/%d" % number, b"/s/0")] for number in (MOST_NAMES, MOST_NAMES + 1)]


def test_its_name_with_the_fewest_steps_is_always_listed() -> None:
    links = watch(b"/s")
    for number in range(2 * MOST_NAMES):
        links.see(listed(b"/s/deep/%d" % number, (b"in", 5, 1)))
    assert links.see(listed(b"/s/short", (b"in", 5, 1))) == []


def test_without_ids_directories_that_look_alike_are_all_listed() -> None:
    links = watch(b"/s")
    assert not any(links.see(listed(b"/s/run%d" % number, (b"log", 5, 0))) for number in range(1000))


def test_a_directory_that_is_listed_again_is_not_its_own_link() -> None:
    links = watch(b"/s")
    assert [links.see(listed(b"/s", (b"a", 5, 1))) for _ in range(10)] == [[]] * 10


def test_what_is_above_a_top_is_not_looked_at_through_a_link() -> None:
    links = watch(b"/store/data", b"/store/mc")
    links.see(listed(b"/store/data", (b"x", 5, 1)))
    links.see(listed(b"/store/data/x", (b"data", 6, 2), (b"mc", 6, 3), (b"other", 6, 4)))
    assert links.see(listed(b"/store/data/x/data", (b"x", 5, 1))) == [
        Link(b"/store/data/x", b"/store"),
        Link(b"/store/data/x/data", b"/store/data"),
    ]
    links.see(listed(b"/store/mc", (b"y", 7, 5)))
    links.see(listed(b"/store/mc/y", (b"store", 8, 6)))
    assert links.see(listed(b"/store/mc/y/store/mc", (b"y", 7, 5)))[0] == Link(b"/store/mc/y", b"/")


def test_a_link_with_the_name_of_the_top_in_the_top_leaves_the_rest_alone() -> None:
    links = watch(b"/store/data")
    links.see(listed(b"/store/data", (b"data", 5, 1)))
    assert links.see(listed(b"/store/data/data", (b"data", 5, 1))) == [Link(b"/store/data/data", b"/store/data")]


def test_many_alike_are_not_held_against_each_other() -> None:
    asked: list[bytes] = []

    def mtime_of(path: bytes) -> int:
        asked.append(path)
        return 5

    links = LinkWatch(mtime_of, (b"/s",))
    for number in range(2000):
        assert links.see(listed(b"/s/%d" % number, (b"a", 5, 0), (b"b", 5, 0))) == []
    assert not asked
    assert links.see(listed(b"/s/7/a", (b"a", 5, 0), (b"b", 5, 0))) == [Link(b"/s/7/a", b"/s/7")]


def test_the_highest_of_several_above_is_what_a_link_leads_to() -> None:
    links = watch(b"/s", mtimes=dict.fromkeys((b"/s/a", b"/s/a/b/a", b"/s/a/b/a/b/a"), 5))
    inside = ((b"b", 5, 0), (b"c", 5, 0))
    assert links.see(listed(b"/s/a", *inside)) == []
    assert links.see(listed(b"/s/a/b/a", *inside)) == [Link(b"/s/a/b/a", b"/s/a")]
    assert links.see(listed(b"/s/a/b/a/b/a", *inside)) == [Link(b"/s/a/b/a/b/a", b"/s/a")]


def test_what_a_directory_showed_before_it_was_listed_again_does_not_count() -> None:
    links = watch(b"/s")
    links.see(listed(b"/s/a", (b"a", 5, 1)))
    links.see(listed(b"/s/a", (b"a", 5, 1), (b"new", 6, 2)))
    assert links.see(listed(b"/s/a/x", (b"a", 5, 1))) == []
