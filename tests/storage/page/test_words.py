from urllib.parse import unquote

import pytest

from storage.page import words


@pytest.mark.parametrize(("value", "shown"), [(None, "-"), (0, "0"), (1234567, "1,234,567")])
def test_numbers_have_their_digits_in_groups(value: int | None, shown: str) -> None:
    assert words.number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0, "0.00"), (1, "<0.01"), (5 * 10**9, "0.01"), (1_234_560_000_000_000, "1,234.56")],
)
def test_a_size_that_is_there_is_never_shown_as_nothing(value: int | None, shown: str) -> None:
    assert words.terabytes(value) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(None, "-"), (0.0, "0.0"), (90.0, "1.5"), (90_000.0, "1,500")])
def test_durations_are_minutes(seconds: float | None, shown: str) -> None:
    assert words.minutes(seconds) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (230_000_000, "230 MB"), (10**16, "10000.0 TB")],
)
def test_sizes_of_lists_are_as_people_say_them(size: int, shown: str) -> None:
    assert words.file_size(size) == shown


@pytest.mark.parametrize(("time", "shown"), [(None, "-"), (0.0, "1970-01-01 00:00"), (1e30, "-"), (float("nan"), "-")])
def test_times_are_utc_and_nonsense_is_not_known(time: float | None, shown: str) -> None:
    assert words.utc(time) == shown


def test_an_address_says_names_exactly_and_leads_nowhere_else() -> None:
    names = ("a b", "javascript:alert(1)", "50%", "a?b#c", '"><img>', "größe")
    address = words.address(*names)
    assert not set(address) & set(' ?#"<>:')
    assert tuple(unquote(name) for name in address.split("/")) == names


def test_the_page_of_a_site_is_one_file_whatever_the_site_is_called() -> None:
    for site in ("..", "", "a/b", "../../etc/passwd", "<b>", "\n"):
        assert "/" not in words.page_name(site)
        assert not words.page_name(site).startswith(".")


def test_sites_with_names_too_long_for_a_file_have_different_pages() -> None:
    first, second = (words.page_name("x" * 400 + end) for end in "ab")
    assert first != second
    assert len(first) < 255


def test_a_site_with_control_characters_is_shown_on_one_line() -> None:
    assert words.shown("T2\n\x1b[31m\ud800") == "T2\\n\\x1b[31m\\xed\\xa0\\x80"
    assert words.shown("T2_XX größe <b>") == "T2_XX größe <b>"
