"""The quick readers of columns say what the careful readers of single texts say, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.inventory.entries import read_path, read_size, read_time, sizes_of, split_lines, times_of

PATHS = st.lists(st.sampled_from([b"/", b"a", b".", b"..", b" ", b"\t", b"5", b"\xff", b"b-c"]), max_size=8).map(
    b"".join
)
NUMBERS = st.lists(st.sampled_from([b"0", b"12", b".5", b".", b"-", b" ", b"x", b"9" * 18]), max_size=3).map(b"".join)


@given(st.lists(PATHS, min_size=1, max_size=5))
def test_paths(lines: list[bytes]) -> None:
    columns = split_lines(b"".join(b"/" + line + b"\n" for line in lines))
    if columns is not None:
        assert list(zip(*columns, strict=True)) == [read_path(b"/" + line, None) for line in lines]


@given(st.lists(st.tuples(PATHS, NUMBERS), min_size=1, max_size=4), st.sampled_from([b" ", b"\t"]))
def test_paths_with_numbers(lines: list[tuple[bytes, bytes]], separator: bytes) -> None:
    columns = split_lines(b"".join(b"/" + path + separator + number + b"\n" for path, number in lines), 1)
    if columns is not None:
        directories, names, numbers = columns
        for (path, number), *found in zip(lines, directories, names, numbers, strict=True):
            # A number with a blank in it leaves its first part to the path.
            *more, last = number.split(b" ")
            assert found == [*read_path(b" ".join([b"/" + path, *more]) if more else b"/" + path, None), last] or more


@given(st.lists(NUMBERS, min_size=1, max_size=5))
def test_sizes(texts: list[bytes]) -> None:
    quick = sizes_of(texts)
    if quick is not None:
        assert quick.tolist() == [read_size(text) for text in texts]
    elif all(text.isdigit() and len(text) <= 18 for text in texts):
        pytest.fail("plain digits are not read")


@given(st.lists(NUMBERS, min_size=1, max_size=5))
def test_times(texts: list[bytes]) -> None:
    quick = times_of(texts)
    if quick is not None:
        assert quick.tolist() == [read_time(text) for text in texts]


def test_ordinary_lines_take_the_quick_way() -> None:
    assert split_lines(b"/a b/.c d\n/e\n") == [[b"/a b", b""], [b".c d", b"e"]]
    for too_short in (b"/cut\n", b"/cut 1\n"):
        assert split_lines(too_short, 2) is None
    assert split_lines(b"/a b/c d 1\n/e\t2\n", 1) == [[b"/a b", b""], [b"c d", b"e"], [b"1", b"2"]]
    assert split_lines(b"/a/c 3 1 2\n/e 4\t5\n", 2) == [[b"/a", b""], [b"c 3", b"e"], [b"1", b"4"], [b"2", b"5"]]
    times = times_of([b"1.9", b"2", b"1970-01-01T00:00:03.9+00:00"])
    assert times is not None
    assert times.tolist() == [1, 2, 3]
    fractions = times_of([b"1.9", b"2.", b"3"])
    assert fractions is not None
    assert fractions.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"0", 0),
        (b"-0.5", -1),
        (b"1700000000.9999999999999", 1_700_000_000),
        (b"2026-01-02T03:04:05Z", 1_767_323_045),
        (b"2026-01-02 03:04:05.123456+00", 1_767_323_045),
        (b"1969-12-31T23:59:59.5", -1),
        (b"0001-01-01T00:00:00+14:00", -62_135_647_200),
    ],
)
def test_times_are_rounded_down(text: bytes, seconds: int) -> None:
    assert read_time(text) == seconds


@pytest.mark.parametrize("text", [b"", b"-1", b"+1", b"1_0", b" 1", b"0x1", b"\xd9\xa1", b"1e3", b"9" * 5000])
def test_what_is_no_size(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"^a size in bytes$"):
        read_size(text)


@pytest.mark.parametrize("text", [b"", b"nan", b"1e3", b"x", b".5", b"\xff", b"2026-13-01"])
def test_what_is_no_time(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"^seconds since the epoch or an ISO 8601 time$"):
        read_time(text)
