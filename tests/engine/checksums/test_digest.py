"""Texts of checksums, as servers write them."""

from __future__ import annotations

import base64
import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.checksums.digest import ADLER32, MD5, Checksum, of_digest, of_query, read_digits


@given(st.binary(max_size=50), st.booleans(), st.booleans())
def test_a_number_may_be_written_in_any_case_and_without_its_zeros(content: bytes, upper: bool, short: bool) -> None:
    value = zlib.adler32(content)
    text = f"{value:x}" if short else f"{value:08x}"
    assert read_digits(ADLER32, text.upper() if upper else text) == Checksum(ADLER32, f"{value:08x}")
    assert read_digits(ADLER32, f" 0x{text}\n") == Checksum(ADLER32, f"{value:08x}")
    assert read_digits(ADLER32, base64.b64encode(value.to_bytes(4, "big")).decode()) == Checksum(
        ADLER32, f"{value:08x}"
    )


@given(st.binary(max_size=50))
def test_an_md5_is_hexadecimal_or_base64_and_whole(content: bytes) -> None:
    digest = hashlib.md5(content)
    expected = Checksum(MD5, digest.hexdigest())
    assert read_digits(MD5, digest.hexdigest().upper()) == read_digits(MD5, digest.hexdigest()) == expected
    assert read_digits(MD5, base64.b64encode(digest.digest()).decode()) == expected
    assert read_digits(MD5, digest.hexdigest()[1:]) is None


@given(st.text(max_size=40))
def test_other_text_is_none_or_has_all_digits(text: str) -> None:
    for algorithm, width in ((ADLER32, 8), (MD5, 32), ("sha1", 40)):
        found = read_digits(algorithm, text)
        assert found is None or (found.algorithm == algorithm and len(found.digits) == width and int(found.digits, 16))


def test_nothing_is_no_checksum() -> None:
    assert read_digits(ADLER32, "") is read_digits(ADLER32, "00000000") is read_digits(ADLER32, "0") is None
    assert read_digits(MD5, "0" * 32) is read_digits(MD5, "A" * 22 + "==") is None
    assert read_digits("crc64", "0a1b2c3d") is None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("adler32 1a0b045d\0", ("adler32", Checksum(ADLER32, "1a0b045d"))),
        ("ADLER32 a0b045d", ("adler32", Checksum(ADLER32, "0a0b045d"))),
        ("md5 5eb63bbbe01eeed093cb22bb8f5acdc3", ("md5", Checksum(MD5, "5eb63bbbe01eeed093cb22bb8f5acdc3"))),
        ("crc32c 1a0b045d", ("crc32c", None)),
        ("none", ("none", None)),
        ("", ("", None)),
    ],
)
def test_answers_to_a_query(answer: str, expected: tuple[str, Checksum | None]) -> None:
    assert of_query(answer) == expected


ADLER, SUM = Checksum(ADLER32, "1a0b045d"), Checksum(MD5, "5eb63bbbe01eeed093cb22bb8f5acdc3")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("adler32=1a0b045d", [("adler32", ADLER)]),
        ("ADLER32=1A0B045D, MD5=XrY7u+Ae7tCTyyK7j1rNww==", [("adler32", ADLER), ("md5", SUM)]),
        ("md5=:XrY7u+Ae7tCTyyK7j1rNww==:", [("md5", SUM)]),
        ("adler=:GgsEXQ==:", [("adler32", ADLER)]),
        ("sha-256=:AAAA:", [("sha-256", None)]),
        ("", []),
    ],
)
def test_headers(header: str, expected: list[tuple[str, Checksum | None]]) -> None:
    assert list(of_digest(header)) == expected
