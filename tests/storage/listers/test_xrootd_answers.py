from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.checksums.digest import Checksum
from engine.columns import DirectoryColumns, FileColumns
from engine.listing import Failed, Listed, NamesListed, NoChecksum
from engine.states import Reason
from storage.listers.xrootd_answers import Entry, listing, may_be_cut, names, read_checksum
from tests.storage.listers.asking import reason_of

READABLE = 16
DIRECTORY = 16 | 2 | 1
OTHER = 16 | 4


def entry(name: str, flags: int = READABLE, size: int = 1, mtime: int = 100) -> Entry:
    return {"name": name, "statinfo": {"flags": flags, "size": size, "modtime": mtime}, "hostaddr": "host:1094"}


good_names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 254
)


@given(
    st.dictionaries(
        good_names,
        st.tuples(st.sampled_from((READABLE, DIRECTORY, OTHER)), st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1)),
    )
)
def test_entries_become_sorted_columns(given_entries: dict[str, tuple[int, int, int]]) -> None:
    files = [(name.encode(), size, mtime) for name, (flags, size, mtime) in given_entries.items() if flags == READABLE]
    directories = [(name.encode(), mtime) for name, (flags, _, mtime) in given_entries.items() if flags == DIRECTORY]
    entries = [entry(name, *attributes) for name, attributes in given_entries.items()]

    others = len(files) + len(directories) < len(entries)
    expected = Listed(FileColumns.from_rows(files), DirectoryColumns.from_rows(directories), others=others)
    assert listing(entries) == expected
    assert names(entries) == NamesListed(frozenset(name.encode() for name in given_entries))


def identified(**ids: str) -> list[Entry]:
    found = [entry("file"), *(entry(name, DIRECTORY) for name in ids)]
    for made, number in zip(found[1:], ids.values(), strict=True):
        made["statinfo"]["id"] = number
    return found


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ({"b": str((7 << 32) + 65024), "a": str((8 << 32) + 65024)}, [8, 7]),
        ({"a": "5", "b": str(-(3 << 32))}, [5, -3]),
        ({"a": "0", "b": "0"}, [0, 0]),
        ({"a": "9", "b": "9", "c": "9"}, [0, 0, 0]),
        ({"a": "what", "b": "6"}, [0, 6]),
        ({"a": str(2**64)}, [2**32]),
        ({"a": str(2**127)}, [0]),
    ],
)
def test_directories_have_the_inodes_of_the_server(ids: dict[str, str], expected: list[int]) -> None:
    outcome = listing(identified(**ids))
    assert isinstance(outcome, Listed)
    assert outcome.directories.name_list() == sorted(name.encode() for name in ids)
    assert outcome.directories.id_list() == expected


def test_ids_of_a_server_among_others_mean_nothing() -> None:
    outcome = listing(identified(a="5", b="6"), with_ids=False)
    assert isinstance(outcome, Listed)
    assert outcome.directories.ids == b""


def test_a_negative_time_was_read_as_unsigned() -> None:
    entries = [entry("a", READABLE, 5, 2**64 - 86400), entry("d", DIRECTORY, 5, 2**64 - 1)]

    assert listing(entries) == Listed(
        FileColumns.from_rows([(b"a", 5, -86400)]), DirectoryColumns.from_rows([(b"d", -1)])
    )
    assert listing(entries[:1]) == Listed(FileColumns.from_rows([(b"a", 5, -86400)]))


def test_an_entry_without_attributes_makes_the_listing_partial() -> None:
    assert reason_of(listing([entry("a"), {"name": "b", "statinfo": None, "hostaddr": "host"}])) == Reason.PARTIAL


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/"])
def test_what_is_no_name_fails_the_directory(name: str) -> None:
    assert reason_of(listing([entry("a"), entry(name)])) == Reason.BAD_NAME
    assert reason_of(names([entry("a"), entry(name)])) == Reason.BAD_NAME


def test_the_same_entry_twice_is_one() -> None:
    entries = [entry("a"), entry("b"), entry("a"), entry("d", DIRECTORY), entry("d", DIRECTORY)]

    assert listing(entries) == Listed(
        FileColumns.from_rows([(b"a", 1, 100), (b"b", 1, 100)]), DirectoryColumns.from_rows([(b"d", 100)])
    )
    assert names(entries) == NamesListed(frozenset((b"a", b"b", b"d")))


@pytest.mark.parametrize(
    "other", [entry("a", size=2), entry("a", mtime=101), entry("a", DIRECTORY)], ids=["size", "mtime", "kind"]
)
def test_two_entries_of_one_name_that_differ_are_in_doubt(other: Entry) -> None:
    assert reason_of(listing([entry("a"), other])) == Reason.PARTIAL


def test_names_of_254_bytes_may_be_cut() -> None:
    long = ["n" * 254, "ü" * 127, "d" * 254]
    entries = [entry(long[0]), entry(long[1]), entry(long[2], DIRECTORY), entry("n" * 253), entry("ü" * 100)]
    expected = sorted(name.encode() for name in long)

    listed, named = listing(entries), names(entries)
    assert isinstance(listed, Listed)
    assert isinstance(named, NamesListed)
    assert sorted(may_be_cut(listed)) == expected
    assert sorted(may_be_cut(named)) == expected


def test_two_equal_names_of_254_bytes_are_two_cut_ones() -> None:
    entries = [entry("n" * 254), entry("n" * 254)]

    assert reason_of(listing(entries)) == Reason.BAD_NAME
    assert reason_of(names(entries)) == Reason.BAD_NAME


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("adler32 A0B045D\0", Checksum("adler32", "0a0b045d")),
        ("crc32c 1a0b045d", NoChecksum("it gives 'crc32c 1a0b045d'")),
        ("md5 none", NoChecksum("it gives 'md5 none'")),
        ("adler32", Failed(Reason.SERVER, "a checksum that cannot be read: 'adler32'")),
        ("<html>\n</html>", Failed(Reason.SERVER, "a checksum that cannot be read: '<html>\\n</html>'")),
        ("", Failed(Reason.SERVER, "a checksum that cannot be read: ''")),
    ],
)
def test_checksums(said: str, expected: object) -> None:
    assert read_checksum(said) == expected
