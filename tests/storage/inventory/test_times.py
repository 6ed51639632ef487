from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.inventory.entries import read_time
from storage.inventory.times import fractional_seconds, iso_seconds

TAILS = st.sampled_from([b"", b"Z", b".5", b".123456Z", b"+01:00", b"-0530", b".999999999Z", b"+14:00"])
MOMENTS = st.tuples(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), st.sampled_from("T "), TAILS)


@given(st.lists(MOMENTS, min_size=1, max_size=30))
def test_a_column_of_moments_is_read_as_each_of_them_is(moments: list[tuple[datetime, str, bytes]]) -> None:
    texts = [when.replace(microsecond=0).isoformat(sep=between).encode() + tail for when, between, tail in moments]
    found = iso_seconds(texts)
    assert found is not None
    assert found.tolist() == [read_time(text) for text in texts]


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"2020-01-01", b"2020-13-01 00:00:00", b"2020-02-30 00:00:00", b"2021-02-29 00:00:00"),
        *(b"2020-01-01 24:00:00", b"2020-01-01 00:60:00", b"2020-01-01 00:00:60", b"2020-01-01X00:00:00"),
        *(b"2020-01-01 00:00:00 UTC", b"2020-01-01 00:00:00+25:00", b"2020/01/01 00:00:00", b"0000-01-01 00:00:00"),
    ],
)
def test_a_moment_that_is_none_is_left_to_others(text: bytes) -> None:
    assert iso_seconds([b"2020-01-01 00:00:00", text]) is None


def test_leap_days_are_days() -> None:
    for year in (1900, 2000, 2023, 2024):
        text = b"%d-02-29 00:00:00" % year
        found = iso_seconds([text])
        try:
            expected = datetime(year, 2, 29, tzinfo=UTC)
        except ValueError:
            assert found is None
        else:
            assert found is not None
            assert found.tolist() == [(expected - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)]


def test_fractions_are_dropped_where_all_have_one() -> None:
    found = fractional_seconds([b"1700000000.5", b"1700000001.123456789"])
    assert found is not None
    assert found.tolist() == [1_700_000_000, 1_700_000_001]
    for odd in (b"1700000000", b"170000000.5", b"1700000000.5.5", b"-700000000.5", b"1700000000 5", b""):
        assert fractional_seconds([b"1700000000.5", odd]) is None
