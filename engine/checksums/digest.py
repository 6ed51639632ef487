"""A checksum, and the texts in which programs and servers write one."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

ADLER32, MD5 = "adler32", "md5"

WIDTHS = {ADLER32: 8, MD5: 32}
"""The algorithms that inventories have checksums of, and how many hexadecimal digits one has."""

_HEX = re.compile(r"(?:0[xX])?([0-9A-Fa-f]+)")
_MAY_BE_SHORT = frozenset((ADLER32,))
"""What programs print as a number, without leading zeros."""

_NAMES = {"adler32": ADLER32, "adler": ADLER32, "ad": ADLER32, "md5": MD5, "md": MD5}


@dataclass(frozen=True, slots=True, order=True)
class Checksum:
    """A checksum: its algorithm, and all its hexadecimal digits in lower case."""

    algorithm: str
    digits: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.digits}"


def read_digits(algorithm: str, text: str) -> Checksum | None:
    """Read what a server gives as the checksum of an algorithm; None for what is none.

    It may be hexadecimal in any case, maybe without leading zeros where it is a number, or the bytes in base64.
    """
    width = WIDTHS.get(algorithm)
    if width is None:
        return None
    text = text.strip()
    match = _HEX.fullmatch(text)
    digits = match[1].lower() if match is not None else ""
    if len(digits) < width and algorithm in _MAY_BE_SHORT and digits:
        digits = digits.rjust(width, "0")
    if len(digits) != width:
        digits = _of_base64(text, width)
    # Nothing but zeros stands for no checksum: no file has the Adler-32 0.
    return Checksum(algorithm, digits) if digits.strip("0") else None


def _of_base64(text: str, width: int) -> str:
    """Give the digits of as many bytes in base64; nothing for other text."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return ""
    return decoded.hex() if 2 * len(decoded) == width else ""


def algorithm_of(name: str) -> str:
    """Give the algorithm that a server calls so, in our own words; as it stands where we know none."""
    lowered = name.strip().lower()
    return _NAMES.get(lowered, lowered)


def of_query(text: str) -> tuple[str, Checksum | None]:
    """Read the answer to a query for a checksum, ``adler32 0a1b2c3d``; gives the algorithm that it names as well."""
    name, _, rest = text.strip("\0 \n").partition(" ")
    algorithm = algorithm_of(name)
    return algorithm, read_digits(algorithm, rest)


def of_digest(value: str) -> Iterator[tuple[str, Checksum | None]]:
    """Read a header that gives digests: ``adler32=0a1b2c3d,md5=…`` (RFC 3230), or ``md5=:…:`` (RFC 9530)."""
    for part in value.split(","):
        name, _, text = part.strip().partition("=")
        text = text.strip().strip('"')
        if text.startswith(":") and text.endswith(":"):
            text = text[1:-1]
        algorithm = algorithm_of(name)
        if algorithm:
            yield algorithm, read_digits(algorithm, text)
