import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.columns import NO_DIGEST, NO_FILES, UNKNOWN_MTIME, UNKNOWN_SIZE, DirectoryColumns, FileColumns
from engine.listing import Failed, Listed
from engine.record import DirectoryRecord, DirectorySummary, unpack_files
from engine.states import Reason, State

FILES = FileColumns.from_rows([(b"a", 3, 30), (b"b", UNKNOWN_SIZE, UNKNOWN_MTIME), (b"\xff\n", 4, 20)])
DIRECTORIES = DirectoryColumns.from_rows([(b"d", 7), (b"e", UNKNOWN_MTIME)])
LISTED = DirectoryRecord(b"/store", State.LISTED, Reason.NONE, "", 1000, FILES, DIRECTORIES)
FAILED = DirectoryRecord(b"/store/x", State.FAILED, Reason.TIMEOUT, "after 30 s", 1000)

int64s = st.integers(-(2**63), 2**63 - 1)
names = st.binary(min_size=1, max_size=5).map(lambda name: name.replace(b"\0", b"0").replace(b"/", b"s"))
records = st.builds(
    DirectoryRecord,
    names.map(lambda name: b"/" + name),
    st.sampled_from(State),
    st.sampled_from(Reason),
    st.text(st.characters(codec="utf-8"), max_size=5),
    st.integers(0, 2**40),
    st.lists(st.tuples(names, int64s, int64s), max_size=4).map(FileColumns.from_rows),
    st.lists(st.tuples(names, int64s), max_size=4).map(DirectoryColumns.from_rows),
)


def test_the_answer_of_a_lister_comes_back() -> None:
    listed = Listed(FILES, DIRECTORIES)
    assert DirectoryRecord.of(b"/store", listed, 1000) == LISTED
    assert LISTED.outcome == listed
    failed = Failed(Reason.TIMEOUT, "after 30 s")
    assert DirectoryRecord.of(b"/store/x", failed, 1000) == FAILED
    assert FAILED.outcome == failed


def test_only_a_complete_listing_has_a_digest() -> None:
    assert LISTED.digest() == FILES.digest()
    assert DirectoryRecord(b"/e", State.LISTED).digest() == NO_FILES.digest()
    assert FAILED.digest() == NO_DIGEST


@given(records)
def test_a_record_comes_back_from_its_bytes(record: DirectoryRecord) -> None:
    packed = record.pack()
    assert DirectoryRecord.unpack(packed) == record
    assert DirectoryRecord.unpack(memoryview(packed)) == record


def test_words_that_are_not_text_are_replaced() -> None:
    assert DirectoryRecord.unpack(DirectoryRecord(b"/", State.FAILED, detail="a\udcff").pack()).detail == "a?"


@pytest.mark.parametrize("length", range(len(LISTED.pack())))
def test_a_record_that_is_cut_off_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="not a directory record"):
        DirectoryRecord.unpack(LISTED.pack()[:length])


@pytest.mark.parametrize(
    "fields",
    [
        5,
        (),
        (b"/store", 1, 0, b"", 0, b"", b"", b"", b"", b""),
        (b"/store", 99, 0, b"", 0, b"", b"", b"", b"", b"", b""),
        (b"/store", 1, 99, b"", 0, b"", b"", b"", b"", b"", b""),
        (b"/store", 1, 0, b"\xff", 0, b"", b"", b"", b"", b"", b""),
        (b"/store", 1, 0, "text", 0, b"", b"", b"", b"", b"", b""),
        ("/store", 1, 0, b"", 0, b"", b"", b"", b"", b"", b""),
        (b"/store", 1, 0, b"", 1.5, b"", b"", b"", b"", b"", b""),
        (b"/store", 1, 0, b"", 2**63, b"", b"", b"", b"", b"", b""),
        (b"/store", 1, 0, b"", 0, b"a", bytes(8), bytes(7), b"", b"", b""),
        (b"/store", 1, 0, b"", 0, b"a", bytes(7), bytes(7), b"", b"", b""),
        (b"/store", 1, 0, b"", 0, b"a\0b", bytes(8), bytes(8), b"", b"", b""),
        (b"/store", 1, 0, b"", 0, b"a", b"", b"", b"", b"", b""),
        (b"/store", 1, 0, b"", 0, b"a", bytes(8), bytes(8), b"x\0y", b"", b""),
        (b"/store", 1, 0, b"", 0, 5, bytes(8), bytes(8), b"", b"", b""),
        (b"/store", 1, 0, b"", 0, b"a", 5, bytes(8), b"", b"", b""),
        (b"/store", 1, 0, b"", 0, b"", b"", b"", b"", b"d", b""),
        (b"/store", 1, 0, b"", 0, b"", b"", b"", b"", b"d", bytes(16)),
        {b"path": b"/store"},
    ],
)
def test_what_is_no_record_is_refused(fields: object) -> None:
    with pytest.raises(ValueError, match="not a directory record"):
        DirectoryRecord.unpack(msgpack.packb(fields))


def test_columns_that_do_not_belong_together_are_no_files() -> None:
    fields = [b"/store", 1, 0, b"", 0, b"a\0b", bytes(16), bytes(16), b"", b"", b""]
    assert unpack_files(msgpack.packb(fields), b"/store").name_list() == [b"a", b"b"]
    for column, wrong in ((5, b"a"), (6, bytes(8)), (7, bytes(15)), (8, b"x"), (5, None)):
        changed = msgpack.packb([*fields[:column], wrong, *fields[column + 1 :]])
        with pytest.raises(ValueError, match="not a directory record"):
            unpack_files(changed, b"/store")


def test_a_summary_has_everything_but_the_names() -> None:
    assert DirectorySummary.of(LISTED, mtime=70) == DirectorySummary(
        b"/store", State.LISTED, Reason.NONE, "", 3, 7, 30, 70, 1000, FILES.digest()
    )
    assert DirectorySummary.of(FAILED) == DirectorySummary(
        b"/store/x", State.FAILED, Reason.TIMEOUT, "after 30 s", listed_at=1000
    )
