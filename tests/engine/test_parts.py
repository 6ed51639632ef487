"""What servers with parts of one store say, put together."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.checksums.digest import Checksum
from engine.columns import UNKNOWN_SIZE, DirectoryColumns, FileColumns
from engine.listing import Absent, Failed, Listed, NamesListed, NoChecksum, Outcome, Present
from engine.parts import count_notes, merge_parts
from engine.states import Reason

NOT_HERE = Failed(Reason.NOT_FOUND, "no such directory")
SILENT = Failed(Reason.TIMEOUT, "expired")
LOCKED = Failed(Reason.PERMISSION, "denied")


def merged(*said: Outcome) -> Outcome:
    return merge_parts([(f"ds{number}", outcome) for number, outcome in enumerate(said)])


def listed(*files: tuple[bytes, int, int], directories: tuple[tuple[bytes, int], ...] = ()) -> Listed:
    return Listed(FileColumns.from_rows(files), DirectoryColumns.from_rows(directories))


def test_entries_of_all_servers_are_joined() -> None:
    first = listed((b"a", 1, 10), (b"\xff", 3, 30), directories=((b"only", 7), (b"both", 5)))
    second = listed((b"b", 2, 20), directories=((b"both", 6),))

    expected = listed((b"a", 1, 10), (b"b", 2, 20), (b"\xff", 3, 30), directories=((b"both", 6), (b"only", 7)))
    assert merged(first, second) == merged(second, first) == expected


def test_no_such_directory_on_one_server_says_nothing_of_the_others() -> None:
    whole = listed((b"f", 1, 1))

    assert merged(NOT_HERE, whole) == merged(whole, NOT_HERE) == whole
    assert merged(NOT_HERE, NOT_HERE) == NOT_HERE
    assert merged(Listed(), NOT_HERE) == Listed()


def test_empty_here_and_full_there_is_full() -> None:
    whole = listed((b"f", 1, 1))

    assert merged(Listed(), whole) == merged(whole, Listed(), NOT_HERE) == whole
    assert merged(Listed(), Listed()) == Listed()


@pytest.mark.parametrize("failure", [Failed(reason, "why") for reason in Reason if reason not in (0, 2, 3)])
@pytest.mark.parametrize("other", [listed((b"f", 1, 1)), Listed(), NOT_HERE, NamesListed(frozenset((b"f",)))])
def test_a_server_that_does_not_say_may_hold_anything(failure: Failed, other: Outcome) -> None:
    assert merged(failure, other) == Failed(failure.reason, "ds0: why")
    assert merged(other, failure) == Failed(failure.reason, "ds1: why")


def test_a_failure_that_nothing_can_mend_speaks_for_all() -> None:
    assert merged(SILENT, LOCKED) == Failed(Reason.PERMISSION, "ds1: denied, and 1 more")
    assert merged(SILENT, SILENT) == Failed(Reason.TIMEOUT, "ds0: expired, and 1 more")


def test_the_same_file_on_several_servers_counts_once_with_its_latest_time() -> None:
    first, second = listed((b"a", 1, 10), (b"f", 5, 10)), listed((b"f", 5, 20))

    assert merged(first, second) == Listed(
        FileColumns.from_rows([(b"a", 1, 10), (b"f", 5, 20)]), note="1 file is on several servers"
    )


def test_the_size_of_a_file_on_which_servers_disagree_is_not_known() -> None:
    for sizes in permutations((5, 6, 5)):
        outcome = merged(*[listed((b"f\n", size, 10), (b"g", 1, 1)) for size in sizes])
        assert isinstance(outcome, Listed)
        assert outcome.files.rows() == [(b"f\n", UNKNOWN_SIZE, 10), (b"g", 1, 1)]
        assert outcome.note == r"2 files are on several servers, 1 of them with different sizes, such as f\n"


def test_a_name_that_is_a_file_here_and_a_directory_there_leaves_its_directory_unlisted() -> None:
    outcome = merged(listed((b"x", 1, 1)), listed((b"f", 1, 1), directories=((b"x", 1),)))

    assert outcome == Failed(Reason.NOT_A_DIRECTORY, "x is a file on ds0 and a directory on ds1")


def test_names_are_joined() -> None:
    some, others = NamesListed(frozenset((b"a", b"b"))), NamesListed(frozenset((b"b", b"c")))

    assert merged(some, NOT_HERE, others) == NamesListed(frozenset((b"a", b"b", b"c")))
    assert merged(some, SILENT) == Failed(Reason.TIMEOUT, "ds1: expired")
    assert merged(NOT_HERE, NOT_HERE) == NOT_HERE


def test_a_path_is_absent_only_if_all_deny_it() -> None:
    there = Present(5, 10, False)

    assert merged(Absent(), Absent()) == Absent()
    assert merged(Absent(), there) == merged(SILENT, there) == merged(there, LOCKED) == there
    assert merged(Absent(), SILENT) == Failed(Reason.TIMEOUT, "ds1: expired")
    assert merged(there, Present(6, 11, False)) == Present(UNKNOWN_SIZE, 11, False)
    assert merged(there, Present(5, 9, False)) == there


def test_a_path_below_a_file_of_one_server_is_not_plainly_absent() -> None:
    below = Failed(Reason.NOT_A_DIRECTORY, "a file on the way")

    assert merged(Absent(), below) == below
    assert merged(below, Present(1, 1, False)) == Present(1, 1, False)


ROWS = st.dictionaries(
    st.binary(min_size=1, max_size=2).filter(lambda n: b"\0" not in n and b"/" not in n), st.integers(0, 3)
)


@given(st.lists(ROWS, min_size=1, max_size=4))
def test_nothing_is_lost_and_nothing_made_up(parts: list[dict[bytes, int]]) -> None:
    outcome = merged(*[listed(*[(name, size, 1) for name, size in part.items()]) for part in parts])
    assert isinstance(outcome, Listed)
    sizes = {name: {part[name] for part in parts if name in part} for part in parts for name in part}
    assert outcome.files.rows() == [
        (name, found.copy().pop() if len(found) == 1 else UNKNOWN_SIZE, 1) for name, found in sorted(sizes.items())
    ]


def test_the_notes_of_all_directories_are_summed_up() -> None:
    alike = merged(listed((b"a", 1, 1)), listed((b"a", 1, 1)))
    unlike = merged(listed((b"a", 1, 1), (b"b", 1, 1)), listed((b"a", 2, 1), (b"b", 1, 1)))
    assert isinstance(alike, Listed)
    assert isinstance(unlike, Listed)
    assert count_notes([alike.note, unlike.note, "something else", "1,200 files are on several servers"]) == (1203, 1)


def test_copies_have_one_checksum_or_none() -> None:
    one, other = Checksum("adler32", "00000001"), Checksum("adler32", "00000002")
    assert merged(one, NOT_HERE, one) == merged(Absent(), NoChecksum("none"), one) == one
    differing = merged(one, NOT_HERE, other)
    assert differing == Failed(
        Reason.PARTIAL, "copies with different checksums: ds0 has adler32:00000001, ds2 has adler32:00000002"
    )
    assert merged(one, SILENT) == Failed(Reason.TIMEOUT, "ds1: expired")
    assert merged(NoChecksum("a"), NoChecksum("b")) == NoChecksum("a")
    assert merged(Absent(), Absent()) == Absent()
