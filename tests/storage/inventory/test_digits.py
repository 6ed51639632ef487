"""Numbers that are read eight digits at a time are those that Python reads, and nothing else is one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from storage.inventory.digits import are_digits, last_bytes, leading_digits, numbers_of, pairs_in, word, words_in
from storage.inventory.foreign.spans import Span, integers_in

WORDS = st.binary(min_size=8, max_size=8)
DIGITS = st.text("0123456789", min_size=8, max_size=8).map(str.encode)


@given(st.lists(st.one_of(DIGITS, DIGITS, WORDS), min_size=1))
def test_words_are_numbers_where_they_are_digits(texts: list[bytes]) -> None:
    words = words_in(np.frombuffer(b"".join(texts), dtype=np.uint8))[::8]
    are = all(b"0" <= text[at : at + 1] <= b"9" for text in texts for at in range(8))
    assert are_digits(words) == are
    found = numbers_of(words)
    assert (None if found is None else found.tolist()) == ([int(text) for text in texts] if are else None)


@given(st.one_of(DIGITS, WORDS, st.tuples(DIGITS, st.integers(0, 8), WORDS).map(lambda t: (t[0][: t[1]] + t[2])[:8])))
def test_digits_at_the_beginning_are_counted(text: bytes) -> None:
    assert leading_digits(np.array([word(text)])).tolist() == [len(text) - len(text.lstrip(b"0123456789"))]


@given(DIGITS)
def test_pairs_are_numbers_of_two_digits(text: bytes) -> None:
    found = int(pairs_in(np.array([word(text)]))[0])
    assert [found >> 8 * at & 0xFF for at in range(7)] == [int(text[at : at + 2]) for at in range(7)]


@given(WORDS, st.integers(0, 8))
def test_before_the_last_bytes_there_are_zeros(text: bytes, count: int) -> None:
    found = last_bytes(np.array([word(text)]), np.array([count]))
    assert found.tobytes() == b"0" * (8 - count) + text[8 - count :]


@given(st.lists(st.one_of(st.integers(0, 10**19).map(b"%d".__mod__), st.binary(max_size=20)), min_size=1), st.binary())
def test_numbers_between_other_bytes_are_what_python_reads(texts: list[bytes], before: bytes) -> None:
    ends = np.cumsum([len(text) + 1 for text in texts]) + len(before) - 1
    starts = ends - [len(text) for text in texts]
    data = np.frombuffer(before + b"9".join(texts), dtype=np.uint8)
    found = integers_in(data, Span(starts, ends))
    plain = all(1 <= len(text) <= 18 and set(text) <= set(b"0123456789") for text in texts)
    assert (None if found is None else found.tolist()) == ([int(text) for text in texts] if plain else None)
