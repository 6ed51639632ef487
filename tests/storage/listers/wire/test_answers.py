from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.columns import DirectoryColumns, FileColumns
from engine.listing import Failed, Listed, NamesListed, Outcome, Present
from engine.states import Reason
from storage.listers.wire.answers import ListingAnswer, NamesAnswer, StatAnswer
from tests.storage.listers.asking import reason_of

NOON = 1_600_000_000
LEAD = b".\n0 0 0 0\n"
FILE, DIRECTORY, OTHER = 48, 51, 52


def entry(name: bytes, size: int = 1, mtime: int = NOON, flags: int = FILE, number: object = 7) -> bytes:
    return b"%s\n%s %d %d %d %d %d 0644 own grp" % (name, str(number).encode(), size, flags, mtime, mtime, mtime)


def body(*entries: bytes) -> bytes:
    return LEAD + b"\n".join(entries) + b"\0"


def listing(*parts: bytes, with_ids: bool = True) -> Outcome:
    answer = ListingAnswer(with_ids)
    for part in parts[:-1]:
        answer.add(part)
    return answer.end(parts[-1])


def test_files_become_sorted_columns() -> None:
    found = listing(body(entry(b"b", 5 * 2**30), entry(b"a", 0, 3), entry(b"a b", 7)))
    assert found == Listed(FileColumns.from_rows([(b"b", 5 * 2**30, NOON), (b"a", 0, 3), (b"a b", 7, NOON)]))


def test_directories_are_told_from_files_and_others_left_out() -> None:
    found = listing(body(entry(b"d", mtime=5, flags=DIRECTORY), entry(b"f"), entry(b"pipe", flags=OTHER)))
    files, directories = FileColumns.from_rows([(b"f", 1, NOON)]), DirectoryColumns.from_rows([(b"d", 5)])
    assert found == Listed(files, directories, others=True)


def test_ids_are_inodes_of_directories() -> None:
    entries = [entry(b"f", number=1), *[entry(b"d%d" % i, flags=DIRECTORY, number=(i + 5) << 32 | 9) for i in (1, 2)]]
    found = listing(body(*entries))
    assert isinstance(found, Listed)
    assert found.directories.id_list() == [6, 7]
    without = listing(body(*entries), with_ids=False)
    assert isinstance(without, Listed)
    assert without.directories.ids == b""


@pytest.mark.parametrize("nothing", [b"", b"\0", LEAD[:-1] + b"\0", LEAD])
def test_nothing_is_listed_as_nothing(nothing: bytes) -> None:
    assert listing(nothing) == Listed()


def test_what_older_servers_write_is_enough() -> None:
    found = listing(LEAD + b"a\n1 2 48 3\nd\n2 4096 51 4\0")
    assert found == Listed(FileColumns.from_rows([(b"a", 2, 3)]), DirectoryColumns.from_rows([(b"d", 4)]))


def test_a_group_may_have_a_blank_in_its_name() -> None:
    found = listing(body(entry(b"a"), entry(b"b") + b" users"))
    assert isinstance(found, Listed)
    assert found.files.name_list() == [b"a", b"b"]


def test_times_before_1970_are_kept() -> None:
    found = listing(body(entry(b"a", mtime=-86400), entry(b"b", mtime=2**64 - 5)))
    assert found == Listed(FileColumns.from_rows([(b"a", 1, -86400), (b"b", 1, -5)]))


def test_what_does_not_fit_is_the_largest_there_is() -> None:
    found = listing(body(entry(b"a", size=10**20 - 1)))
    assert found == Listed(FileColumns.from_rows([(b"a", 2**63 - 1, NOON)]))


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"a\n1 2 48 3\0", Reason.PARTIAL),
        (b"a\nb\0", Reason.PARTIAL),
        (LEAD + b"a", Reason.PARTIAL),
        (LEAD + b"a\0", Reason.BAD_NAME),
        (body(entry(b"one\ntwo")), Reason.BAD_NAME),
        (body(entry(b"a"), entry(b"b\n1 2 48 3\nc")), Reason.BAD_NAME),
        (body(entry(b"a"), b"b\n1 2 48 3"), Reason.BAD_NAME),
        (body(b"a\n1 2 48"), Reason.BAD_NAME),
        (body(b"a\n1  2 48 3"), Reason.BAD_NAME),
        (body(b"a\n1 2_0 48 3"), Reason.BAD_NAME),
        (body(b"a\n1 +2 48 3"), Reason.BAD_NAME),
        (body(b"a\n1 0x2 48 3"), Reason.BAD_NAME),
        (body(b"a\n1 \xb2 48 3"), Reason.BAD_NAME),
        (body(b"a\n1 2 -48 3"), Reason.BAD_NAME),
        (body(b"a\n1 2 48 nan"), Reason.BAD_NAME),
        (body(b"a\n1 %s 48 3" % (b"9" * 5000)), Reason.BAD_NAME),
        (body(entry(b"a"))[:-20], Reason.PARTIAL),
        (body(entry(b"a\0b")), Reason.BAD_NAME),
        (body(entry(b"a")) + b"\0", Reason.BAD_NAME),
        (body(entry(b"")), Reason.BAD_NAME),
        (body(entry(b".")), Reason.BAD_NAME),
        (body(entry(b"..")), Reason.BAD_NAME),
        (body(entry(b"..", flags=DIRECTORY)), Reason.BAD_NAME),
        (body(entry(b"a/b")), Reason.BAD_NAME),
        (body(entry(b"a/b", flags=OTHER)), Reason.BAD_NAME),
        (body(entry(b"a"), entry(b"a", 2)), Reason.PARTIAL),
        (body(entry(b"a"), entry(b"a", flags=DIRECTORY)), Reason.PARTIAL),
        (body(entry(b"n" * 254), entry(b"n" * 254)), Reason.BAD_NAME),
        (body(b"a\nof course"), Reason.BAD_NAME),
    ],
)
def test_what_is_no_listing_fails(sent: bytes, reason: Reason) -> None:
    assert reason_of(listing(sent)) == reason


def test_an_entry_that_is_given_twice_is_one() -> None:
    entries = [entry(b"a"), entry(b"d", flags=DIRECTORY), entry(b"p", flags=OTHER)]
    assert listing(body(*entries, *entries)) == listing(body(*entries))
    assert listing(body(entries[0], entries[0])) == listing(body(entries[0]))


def test_a_long_listing_is_read_in_blocks() -> None:
    rows = [(b"name-%07d" % (i * 7919 % 20_000), i, NOON + i) for i in range(20_000)]
    sent = body(*[entry(*row) for row in rows])
    parts = [sent[at : at + 8191] for at in range(0, len(sent), 8191)]
    assert listing(*parts) == Listed(FileColumns.from_rows(rows))
    parts[40] = parts[40].replace(b"\n", b"\r", 1)
    assert reason_of(listing(*parts)) == Reason.BAD_NAME


def test_a_name_that_is_there_twice_is_found_across_blocks() -> None:
    rows = [(b"name-%07d" % i, i, NOON) for i in range(20_000)]
    sent = body(*[entry(*row) for row in rows], entry(*rows[0]), entry(b"name-0000001", 77))
    parts = [sent[at : at + 8191] for at in range(0, len(sent), 8191)]
    assert reason_of(listing(*parts)) == Reason.PARTIAL


_NAMES = st.binary(min_size=1, max_size=12).filter(
    lambda name: not set(name) & set(b"\n\0/") and name not in (b".", b"..")
)
_NUMBERS = st.integers(-(2**63), 2**63 - 1)
_ENTRIES = st.dictionaries(_NAMES, st.tuples(_NUMBERS, _NUMBERS, st.sampled_from((FILE, DIRECTORY, OTHER))), max_size=8)
_CUTS = st.lists(st.integers(0, 400), max_size=4).map(sorted)


@given(_ENTRIES, _CUTS, st.booleans())
def test_what_is_listed_is_what_there_is(
    entries: dict[bytes, tuple[int, int, int]], cuts: list[int], is_short: bool
) -> None:
    sent = body(*[entry(name, size, mtime, flags) for name, (size, mtime, flags) in entries.items()])
    if is_short:
        lines = sent.removesuffix(b"\0").split(b"\n")
        sent = (
            b"\n".join([b" ".join(line.split(b" ")[:4]) if at & 1 else line for at, line in enumerate(lines)]) + b"\0"
        )
    found = listing(*_cut(sent, cuts))
    rows = [(name, size, mtime) for name, (size, mtime, flags) in entries.items() if flags == FILE]
    directories = [(name, mtime) for name, (_, mtime, flags) in entries.items() if flags == DIRECTORY]
    others = any(flags == OTHER for _, _, flags in entries.values())
    assert found == Listed(FileColumns.from_rows(rows), DirectoryColumns.from_rows(directories), others=others)
    if isinstance(found, Listed):
        found.files.check()
        found.directories.check()


@given(st.binary(max_size=200), st.booleans(), _CUTS)
def test_whatever_comes_is_a_listing_or_a_failure(sent: bytes, with_lead: bool, cuts: list[int]) -> None:
    found = listing(*_cut(LEAD + sent if with_lead else sent, cuts))
    assert isinstance(found, Listed | Failed)
    if isinstance(found, Listed):
        found.files.check()
        found.directories.check()
    assert isinstance(NamesAnswer().end(sent), NamesListed | Failed)
    assert isinstance(StatAnswer().end(sent), Present | Failed)


@given(
    st.lists(
        st.sampled_from([b"a", b"\n", b" ", b"0", b"1 2 48 3", b"-", b"\0", b".", b"/", b"51", entry(b"x"), LEAD])
    ),
    _CUTS,
)
def test_whatever_looks_like_a_listing_is_read_the_same_in_parts(pieces: list[bytes], cuts: list[int]) -> None:
    sent = LEAD + b"".join(pieces)
    assert listing(*_cut(sent, cuts)) == listing(sent)


def _cut(sent: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *cuts, len(sent)]
    return [sent[first:last] for first, last in zip(edges, [*edges[1:-1], len(sent)], strict=False)] + [b""]


def test_names_are_listed() -> None:
    answer = NamesAnswer()
    answer.add(b"b\na")
    assert answer.end(b"bc\n\xff\0") == NamesListed(frozenset((b"b", b"abc", b"\xff")))
    assert NamesAnswer().end(b"") == NamesListed(frozenset())


@pytest.mark.parametrize("sent", [b"\n", b"\n\0", b"a\n\0", b"\na\0", b"a\n\n"])
def test_an_empty_name_is_the_end_of_one_with_a_newline(sent: bytes) -> None:
    assert reason_of(NamesAnswer().end(sent)) == Reason.BAD_NAME


def test_names_that_are_cut_off_prove_nothing() -> None:
    assert reason_of(NamesAnswer().end(b"a\nb")) == Reason.PARTIAL


@pytest.mark.parametrize("sent", [b"a\n\nb\0", b"a/b\0", b"a\n..\0", b"a\0b\0", b"%s\n%s\0" % (b"n" * 254, b"n" * 254)])
def test_names_that_are_none_fail(sent: bytes) -> None:
    assert reason_of(NamesAnswer().end(sent)) == Reason.BAD_NAME


def test_a_path_is_present() -> None:
    assert StatAnswer().end(b"7 5368709120 51 -3\0") == Present(5 * 2**30, -3, True)
    assert StatAnswer().end(b"7 1 48 18446744073709551611 1 2 0644 own grp\0") == Present(1, -5, False)


@pytest.mark.parametrize(
    "sent", [b"", b"\0", b"7 1 48\0", b"7 1 48 x\0", b"7 1 48 3\0\0", b"7 1 48 3\n1", b"7 1 48 3 \xff\n"]
)
def test_attributes_that_are_none_fail(sent: bytes) -> None:
    assert reason_of(StatAnswer().end(sent)) == Reason.SERVER
