import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.columns import (
    DIGEST_SIZE,
    NO_DIGEST,
    NO_DIRECTORIES,
    NO_FILES,
    UNKNOWN_MTIME,
    UNKNOWN_SIZE,
    DirectoryColumns,
    FileColumns,
)

names = st.binary(min_size=1, max_size=4).map(lambda name: name.replace(b"/", b"s").replace(b"\0", b"0"))
sizes = st.integers(UNKNOWN_SIZE, 2**63 - 1)
mtimes = st.integers(-(2**63), 2**63 - 1)
file_rows = st.lists(st.tuples(names, sizes, mtimes), max_size=8)


def test_files_are_sorted_by_name_in_byte_order() -> None:
    files = FileColumns.from_rows([(b"b", 2, 20), (b"\xff", 4, 40), (b"a", 1, 10), (b"B", 3, 30)])
    assert files.rows() == [(b"B", 3, 30), (b"a", 1, 10), (b"b", 2, 20), (b"\xff", 4, 40)]
    assert files.names == b"B\0a\0b\0\xff"
    assert files.sizes == b"".join(size.to_bytes(8, "little") for size in (3, 1, 2, 4))
    assert len(files) == 4


def test_of_the_same_name_the_last_row_stays() -> None:
    assert FileColumns.from_rows([(b"a", 1, 10), (b"a", 2, 5)]).rows() == [(b"a", 2, 5)]
    assert DirectoryColumns.from_rows([(b"a", 1), (b"a", 2)]).mtime_list() == [2]


def test_nothing_is_nothing() -> None:
    assert FileColumns.from_rows([]) == NO_FILES
    assert DirectoryColumns.from_rows([]) == NO_DIRECTORIES
    assert (len(NO_FILES), NO_FILES.name_list(), NO_FILES.rows(), NO_FILES.block_list()) == (0, [], [], [])
    assert (len(NO_DIRECTORIES), NO_DIRECTORIES.name_list(), NO_DIRECTORIES.mtime_list()) == (0, [], [])
    assert (NO_FILES.total_size(), NO_FILES.newest()) == (0, UNKNOWN_MTIME)


def test_unknown_sizes_and_times_do_not_count() -> None:
    files = FileColumns.from_rows([(b"a", UNKNOWN_SIZE, UNKNOWN_MTIME), (b"b", 5, -7), (b"c", 0, UNKNOWN_MTIME)])
    assert files.total_size() == 5
    assert files.newest() == -7


@pytest.mark.parametrize("count", [1, 49, 50, 51, 1000])
def test_sums_do_not_depend_on_how_many_files_there_are(count: int) -> None:
    rows = [(b"%04d" % number, number if number % 3 else UNKNOWN_SIZE, -number) for number in range(count)]
    files = FileColumns.from_rows([*rows, (b"x", 2**40, UNKNOWN_MTIME)])
    assert files.total_size() == sum(size for _, size, _ in rows if size != UNKNOWN_SIZE) + 2**40
    assert files.newest() == 0
    unknown = FileColumns.from_rows((name, UNKNOWN_SIZE, UNKNOWN_MTIME) for name, _, _ in rows)
    assert (unknown.total_size(), unknown.newest()) == (0, UNKNOWN_MTIME)


def test_blocks_go_with_their_files() -> None:
    files = FileColumns.from_rows([(b"a", 1, 0), (b"b", 2, 0), (b"c", 3, 0)])
    files = FileColumns(files.names, files.sizes, files.mtimes, b"x\0\0z")
    assert files.block_list() == [b"x", b"", b"z"]
    assert files.select([0, 2]) == FileColumns(
        b"a\0c", files.select([0, 2]).sizes, files.select([0, 2]).mtimes, b"x\0z"
    )
    assert files.select([]) == NO_FILES


@given(file_rows)
def test_rows_come_back(rows: list[tuple[bytes, int, int]]) -> None:
    expected = sorted({row[0]: row for row in rows}.values())
    files = FileColumns.from_rows(rows)
    assert files.rows() == expected
    assert files == FileColumns.from_sorted_rows(expected)
    assert files.name_list() == [name for name, _, _ in expected]
    assert files.size_array().tolist() == [size for _, size, _ in expected]
    assert files.mtime_array().tolist() == [mtime for _, _, mtime in expected]
    assert files.total_size() == sum(size for _, size, _ in expected if size != UNKNOWN_SIZE)
    assert files.newest() == max((mtime for _, _, mtime in expected), default=UNKNOWN_MTIME)


@given(st.dictionaries(names, mtimes, max_size=8))
def test_directories_come_back(directories: dict[bytes, int]) -> None:
    columns = DirectoryColumns.from_rows(directories.items())
    assert list(zip(columns.name_list(), columns.mtime_list(), strict=True)) == sorted(directories.items())
    assert len(columns) == len(directories)


@given(file_rows, st.data())
def test_select_keeps_the_chosen_rows(rows: list[tuple[bytes, int, int]], data: st.DataObject) -> None:
    files = FileColumns.from_rows(rows)
    positions = [i for i in range(len(files)) if data.draw(st.booleans())]
    assert files.select(positions).rows() == [files.rows()[i] for i in positions]


small_files = st.dictionaries(st.sampled_from([b"a", b"b", b"ab", b"a\x01"]), st.sampled_from([-1, 0, 1, 97]))


@given(small_files, small_files, st.integers(0, 3), st.integers(0, 3))
def test_digests_are_equal_exactly_when_names_and_sizes_are(
    one: dict[bytes, int], other: dict[bytes, int], mtime: int, other_mtime: int
) -> None:
    left = FileColumns.from_rows((name, size, mtime) for name, size in one.items())
    right = FileColumns.from_rows((name, size, other_mtime) for name, size in other.items())
    assert (left.digest() == right.digest()) == (one == other)


def test_digests_do_not_depend_on_blocks_and_have_their_size() -> None:
    files = FileColumns.from_rows([(b"a", 1, 0)])
    with_block = FileColumns(files.names, files.sizes, files.mtimes, b"block")
    assert files.digest() == with_block.digest()
    assert len(files.digest()) == DIGEST_SIZE == len(NO_DIGEST)


def test_no_bytes_move_between_the_parts_of_a_digest() -> None:
    """What hashes alike when parts are put together without their lengths hashes differently here."""
    eight = (97).to_bytes(8, "little")
    parts = [
        FileColumns(b"", b""),
        FileColumns(b"", eight),
        FileColumns(b"a\0b", eight * 2),
        FileColumns(b"a", b"\0b" + eight * 2),
        FileColumns(b"a\0b" + eight, eight),
        FileColumns(b"a\0b" + eight * 2, b""),
    ]
    assert len({files.digest() for files in parts}) == len(parts)
    assert NO_DIGEST not in {files.digest() for files in parts}


def test_the_digest_is_part_of_the_format() -> None:
    files = FileColumns.from_rows([(b"a", 1, 0), (b"b", UNKNOWN_SIZE, 0)])
    assert NO_FILES.digest().hex() == "61b2b2984372c90b69ca0160ed559f09"
    assert files.digest().hex() == "4ddd101e4ea0a7cfb48d5946c4da053c"
