from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.listers.webdav.hrefs import BadHref, Place, Reading, is_ambiguous, origin_of, quote, read

BOTH = frozenset(Reading)
PATHS = st.binary(min_size=1, max_size=20).filter(lambda path: b"\0" not in path and b"\n" not in path)


@pytest.mark.parametrize(
    ("href", "readings"),
    [
        ("/store/mc", BOTH),
        ("http://door:80/store/mc", BOTH),
        ("HTTP://Door/store/mc", BOTH),
        ("/store/%6Dc", {Reading.ENCODED}),
        ("/store", set()),
        ("/store/mc/x", set()),
        ("", set()),
    ],
)
def test_a_path_is_recognised_by_what_it_means(href: str, readings: set[Reading]) -> None:
    assert Place("http://door:80", b"/store/mc").readings(href) == readings


def test_a_path_with_a_percent_sign_tells_the_readings_apart() -> None:
    place = Place("http://door:80", b"/store/A%41")
    assert place.readings("/store/A%41") == {Reading.RAW}
    assert place.readings("/store/A%2541") == {Reading.ENCODED}
    assert place.readings("/store/AA") == set()


@pytest.mark.parametrize("href", ["http://other/store/mc", "https://door/store/mc", "http://door:8080/store/mc", "mc"])
def test_what_is_elsewhere_is_refused(href: str) -> None:
    with pytest.raises(BadHref):
        Place("http://door:80", b"/store/mc").readings(href)


def test_hosts_are_compared_with_their_ports() -> None:
    assert origin_of("HTTPS", "Door.Example") == origin_of("https", "door.example:443")
    assert origin_of("http", "[::1]") == "http://[::1]:80"
    assert origin_of("https", "door:8443") != origin_of("https", "door")


@given(PATHS)
def test_what_is_quoted_is_read_as_it_was(path: bytes) -> None:
    written = quote(path)
    assert written.isascii()
    assert read(written.decode("latin-1"), Reading.ENCODED) == path


@given(PATHS)
def test_what_comes_raw_is_read_as_it_was(path: bytes) -> None:
    # A parser of XML gives newlines for carriage returns.
    assert read(path.decode("latin-1").replace("\r", "\n"), Reading.RAW) == path


@given(PATHS)
def test_only_what_is_not_ambiguous_reads_the_same_in_both_ways(path: bytes) -> None:
    text = path.decode("latin-1")
    assert is_ambiguous(text) or b"\r" in path or read(text, Reading.RAW) == read(text, Reading.ENCODED)


def test_a_character_that_is_no_byte_is_refused() -> None:
    with pytest.raises(BadHref):
        read("\N{EURO SIGN}", Reading.RAW)
