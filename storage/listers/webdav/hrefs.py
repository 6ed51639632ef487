"""The names in the answers of a WebDAV server, as bytes.

The standard has them percent-encoded. XRootD's HTTP plugin sends the bytes as they are, whatever they are. Which of
the two it is only shows where both readings differ: a path that was asked for and has a percent sign, a blank or the
like is a path that the answer repeats. What is not known so is found out by `storage.listers.webdav.questions`, and
never guessed.

Text that comes from `storage.listers.webdav.multistatus` holds a byte in each character.
"""

from __future__ import annotations

import re
from enum import Enum
from urllib.parse import unquote_to_bytes

from engine import paths

_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
_PLAIN = re.compile(rb"[^A-Za-z0-9/._~-]")
_ABSOLUTE = re.compile(r"(https?)://([^/]*)(.*)", re.DOTALL | re.IGNORECASE)
_LONGEST = 200
_PORTS = {"http": "80", "https": "443"}


class Reading(Enum):
    """How the hrefs of a server are to be read."""

    ENCODED = "percent-encoded"
    RAW = "as they are"


class BadHref(Exception):
    """An answer names something that was not asked for; the message says what."""


def quote(path: bytes) -> bytes:
    """Write a path so that every server takes it for these bytes."""
    return _PLAIN.sub(lambda match: b"%%%02X" % match[0][0], path)


def shown(text: str) -> str:
    """Give what a server wrote as a part of a line that people read, cut when it is long."""
    return paths.escape(text.encode("latin-1", "replace")[:_LONGEST])


def is_ambiguous(text: str) -> bool:
    """Tell whether the two readings of a part of an href differ."""
    return "%" in text and _ENCODED.search(text) is not None


def read(text: str, reading: Reading) -> bytes:
    """Give the bytes that a part of an href stands for.

    Raises:
        BadHref: it has a character that stands for no byte.
    """
    try:
        raw = text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise BadHref("an href with a character that stands for no byte") from error
    if reading is Reading.ENCODED:
        return unquote_to_bytes(raw)
    # XML has every end of a line as a newline. One in a name would have been the end of the name for XRootD.
    return raw.replace(b"\n", b"\r")


class Place:
    """Where hrefs have to be: ``path`` is what was asked for, at ``origin``, which is ``scheme://host:port``."""

    def __init__(self, origin: str, path: bytes) -> None:
        self._origin = origin
        self._path = path.rstrip(b"/")

    def readings(self, text: str) -> frozenset[Reading]:
        """Give the readings by which an href, without a slash at its end, means the path itself; none if it does not.

        Raises:
            BadHref: it is at another host, or no absolute path.
        """
        path = self._local(text)
        return frozenset(reading for reading in Reading if read(path, reading) == self._path)

    def _local(self, text: str) -> str:
        match = _ABSOLUTE.match(text)
        if match is not None:
            if origin_of(match[1], match[2]) != self._origin:
                raise BadHref(f"an href at another host, {shown(f'{match[1].lower()}://{match[2]}')}")
            text = match[3]
        if text and not text.startswith("/"):
            raise BadHref("an href that is neither an absolute path nor a URL")
        return text


def origin_of(scheme: str, authority: str) -> str:
    """Give a host in the one form in which two can be compared, ``scheme://host:port``."""
    scheme, authority = scheme.lower(), authority.lower()
    has_port = ":" in authority.rpartition("]")[2]
    return f"{scheme}://{authority}" + ("" if has_port else f":{_PORTS.get(scheme, '')}")
