"""The headers by which a server of files is asked for a checksum, and gives one.

``Want-Digest`` and ``Digest`` are those of RFC 3230, which grid storage speaks; ``Want-Repr-Digest`` and
``Repr-Digest`` those of RFC 9530, which came later. Servers give what they have, which may be by another algorithm.
"""

from __future__ import annotations

from collections.abc import Iterable

from engine import paths
from engine.checksums.digest import ADLER32, MD5, Checksum, of_digest
from engine.listing import NoChecksum

DIGEST_HEADERS = (b"digest", b"repr-digest")

_NAMES = {ADLER32: b"adler", MD5: b"md5"}
"""What RFC 9530 calls the algorithms."""

_SHOWN = 100


def wanting(algorithm: str) -> list[tuple[bytes, bytes]]:
    """Give the headers that ask for a checksum."""
    later = _NAMES.get(algorithm, algorithm.encode("ascii", "replace"))
    return [(b"Want-Digest", algorithm.encode("ascii", "replace")), (b"Want-Repr-Digest", later + b"=5")]


def find_digest(given: Iterable[str], algorithm: str) -> Checksum | NoChecksum:
    """Find the checksum of an algorithm in the values of the headers that there were."""
    values = list(given)
    found = [digest for value in values for digest in of_digest(value)]
    wanted = {checksum for name, checksum in found if name == algorithm}
    if len(wanted) == 1:
        (checksum,) = wanted
        if checksum is not None:
            return checksum
    if not found:
        return NoChecksum("the server gives no digest")
    shown = paths.escape(", ".join(values)[:_SHOWN].encode("latin-1", "replace"))
    return NoChecksum(f"the server gives '{shown}', and was asked for {algorithm}")
