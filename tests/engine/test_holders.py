from __future__ import annotations

from engine.columns import UNKNOWN_SIZE, DirectoryColumns, FileColumns
from engine.holders import Holders, without
from engine.listing import Failed, Listed
from engine.states import Reason

NOT_HERE = Failed(Reason.NOT_FOUND)


def listed(*directories: bytes, others: bool = False) -> Listed:
    return Listed(directories=DirectoryColumns.from_rows([(name, 1) for name in directories]), others=others)


def test_a_server_lacks_what_its_listing_lacks() -> None:
    holders = Holders()
    holders.take(b"/d", [listed(b"a", b"b"), listed(b"b", b"c"), listed(b"a", b"b")])

    assert holders.lacking(b"/d/a") == {1}
    assert holders.lacking(b"/d/b") == set()
    assert holders.lacking(b"/d/c") == {0, 2}


def test_a_server_lacks_what_is_below_a_directory_that_it_denies() -> None:
    holders = Holders()
    holders.take(b"/d", [listed(b"a"), NOT_HERE, Failed(Reason.NOT_A_DIRECTORY)])
    assert holders.lacking(b"/d/a") == {1, 2}

    # Left out, it says nothing else of what is below.
    holders.take(b"/d/a", [listed(b"b"), NOT_HERE, NOT_HERE])
    assert holders.lacking(b"/d/a/b") == {1, 2}
    assert holders.lacking(b"/d/a") == set()


def test_nothing_is_known_of_a_server_whose_answer_is_not_whole() -> None:
    holders = Holders()
    said = [listed(b"a"), listed(others=True), Failed(Reason.TIMEOUT), Failed(Reason.PERMISSION), None]
    holders.take(b"/d", said)

    assert holders.lacking(b"/d/a") == set()


def test_what_is_remembered_has_a_limit() -> None:
    holders = Holders(remembered=2)
    holders.take(b"/", [listed(b"a", b"b", b"c"), listed()])
    names = [b"/a", b"/b", b"/c"]
    assert sorted(map(len, map(holders.lacking, names))) == [0, 1, 1]
    for name in names:
        holders.take(name, [listed(), NOT_HERE])
    holders.take(b"/c", [listed(b"d"), NOT_HERE])
    assert holders.lacking(b"/c/d") == {1}


def test_what_is_listed_without_a_server_has_no_sizes_and_is_not_empty() -> None:
    whole = Listed(FileColumns.from_rows([(b"f", 5, 1), (b"g", 6, 2)]), listed(b"a").directories)
    found = without(whole, ["second", "third"])

    assert found.files == FileColumns.from_rows([(b"f", UNKNOWN_SIZE, 1), (b"g", UNKNOWN_SIZE, 2)])
    assert found.directories == whole.directories
    assert found.note == "without second, third, away, which lacked it in the directory above"
    assert not found.others
    assert without(Listed(), ["second"]).others
    assert without(Listed(note="1 file is on several servers"), ["second"]).note == "1 file is on several servers"
