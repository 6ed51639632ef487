"""Checksums as dumps write them: with or without the name of the algorithm, with leading zeros lost, or none at all."""

from __future__ import annotations

import re

ADLER32, MD5 = "adler32", "md5"

NONE = frozenset((b"", b"-", b"na", b"n/a", b"none", b"null", b"\\n", b"undef", b"0"))
"""What stands for no checksum, in lower case. A file without a byte has the Adler-32 1, and no file has 0, in however
many digits."""

_NAMED = re.compile(rb"(?:([A-Za-z][A-Za-z0-9-]*):)?(?:0x)?([0-9A-Fa-f]+)")
_ALGORITHMS = {b"ad": ADLER32, b"adler": ADLER32, b"adler32": ADLER32, b"md": MD5, b"md5": MD5}
_WIDTHS = {ADLER32: 8, MD5: 32}
_BY_WIDTH = {32: MD5}


def read_checksum(text: bytes) -> tuple[str, bytes] | None:
    """Give the algorithm, as ``adler32``, and the digits, in lower case and with all zeros; None when there is none.

    Without the name of an algorithm 32 digits are an MD5, and up to 8 are an Adler-32. What is neither is none.
    """
    text = text.strip()
    if text.lower() in NONE:
        return None
    match = _NAMED.fullmatch(text)
    if match is None:
        return None
    digits = match[2].lower()
    if not digits.strip(b"0"):
        return None
    name = (match[1] or b"").lower()
    algorithm = _ALGORITHMS.get(name) if name else _BY_WIDTH.get(len(digits), ADLER32)
    if algorithm is None or len(digits) > _WIDTHS[algorithm]:
        return None
    # An MD5 is written by programs that keep its zeros; a shorter one is something else.
    if algorithm == MD5 and len(digits) != _WIDTHS[MD5]:
        return None
    return algorithm, digits.rjust(_WIDTHS[algorithm], b"0")
