"""Digits of many numbers, read eight at a time as one word each instead of one by one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.columns import Int64s

WORD = 8
"""Bytes of a word."""

Words = npt.NDArray[np.uint64]


def word(text: bytes) -> np.uint64:
    """Give eight bytes, or fewer and NUL behind them, as a word."""
    return np.uint64(int.from_bytes(text, "little"))


_ZEROS = word(b"0" * WORD)
_HIGH, _LOW, _SIX, _THREES = (word(bytes([byte]) * WORD) for byte in (0xF0, 0x0F, 0x06, 0x33))
_SEVENS, _TOPS, _ABOVE_NINE = (word(bytes([byte]) * WORD) for byte in (0x7F, 0x80, 0x76))
_PAIRS, _FOURS = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF)
_TENS, _HUNDREDS, _THOUSANDS = np.uint64(10 * 2**8 + 1), np.uint64(100 * 2**16 + 1), np.uint64(10_000 * 2**32 + 1)
_TEN, _1, _4, _8, _16, _32 = (np.uint64(number) for number in (10, 1, 4, 8, 16, 32))
_KEEP = np.array([(1 << 64) - (1 << 8 * (WORD - count)) for count in range(WORD + 1)], dtype=np.uint64)
"""The last bytes of a word, none to all."""
_FILL = _ZEROS & ~_KEEP


def words_in(text: npt.NDArray[np.uint8]) -> Words:
    """View bytes, eight of them at least, as the word that begins at each of them."""
    return np.ndarray((len(text) - WORD + 1,), "<u8", text.data, strides=(1,))


def last_bytes(words: Words, counts: npt.NDArray[np.intp]) -> Words:
    """Keep so many bytes at the end of each word, and put zeros as digits before them."""
    return (words & _KEEP[counts]) | _FILL[counts]


def are_digits(words: Words) -> bool:
    """Tell whether there are digits alone in all words."""
    # Only digits have a three in front, before and behind six more.
    return bool((((words & _HIGH) | (((words + _SIX) & _HIGH) >> _4)) == _THREES).all())


def leading_digits(words: Words) -> npt.NDArray[np.intp]:
    """Count the digits with which each word begins."""
    offsets = words ^ _ZEROS
    others = (((offsets & _SEVENS) + _ABOVE_NINE) | offsets) & _TOPS
    # The bits below the lowest one of those that say that a byte is no digit; without any, these are all.
    return (np.bitwise_count((others & (~others + _1)) - _1) >> 3).astype(np.intp)


def pairs_in(words: Words) -> Words:
    """Put the number of two digits that begins at a byte of each word into this byte, but for the last one."""
    digits = words & _LOW
    return digits * _TEN + (digits >> _8)


def numbers_of(words: Words) -> Int64s | None:
    """Read words of eight digits; None when something else is in one."""
    if not are_digits(words):
        return None
    pairs = ((words & _LOW) * _TENS) >> _8
    fours = ((pairs & _PAIRS) * _HUNDREDS) >> _16
    return (((fours & _FOURS) * _THOUSANDS) >> _32).astype(np.int64)
