"""Names and paths.

A file name on a store is a sequence of bytes that holds neither ``/`` nor NUL. Inside the program names and paths
are ``bytes``: their order, equality and digest then never depend on an encoding. They become ``str`` (UTF-8 with
``surrogateescape``) where people and other programs see them, and come back as the same bytes.
"""

from __future__ import annotations

import re

SEPARATOR = b"/"

_SLASHES = re.compile(rb"//+")
_DOT_COMPONENTS = frozenset((b".", b".."))


def encode(text: str) -> bytes:
    """Give the bytes of a name or path that was read as ``str``."""
    return text.encode("utf-8", "surrogateescape")


def decode(path: bytes) -> str:
    """Give a name or path as ``str``; bytes that are not UTF-8 become lone surrogates, so nothing is lost."""
    return path.decode("utf-8", "surrogateescape")


def canonical(path: bytes) -> bytes:
    """Collapse repeated slashes and drop a trailing one; the root stays ``/``.

    Raises:
        ValueError: the path is empty, contains NUL, or has a ``.`` or ``..`` component, which no inventory or
            listing may use to point elsewhere.
    """
    if not path:
        raise ValueError("an empty path")
    if b"\0" in path:
        raise ValueError("a path with a NUL byte")
    if b"//" in path:
        path = _SLASHES.sub(b"/", path)
    if len(path) > 1 and path.endswith(b"/"):
        path = path[:-1]
    if b"." in path and not _DOT_COMPONENTS.isdisjoint(path.split(b"/")):
        raise ValueError("a path with a '.' or '..' component")
    return path


def join(parent: bytes, name: bytes) -> bytes:
    """Append one name to a canonical directory path."""
    return parent + name if parent.endswith(b"/") else parent + b"/" + name


def parent_of(path: bytes) -> bytes | None:
    """Give the directory that holds ``path``: None for ``/`` and for a relative path of one name."""
    head, slash, _ = path.rpartition(b"/")
    if not slash or path == b"/":
        return None
    return head or b"/"


def name_of(path: bytes) -> bytes:
    """Give the last component of a canonical path."""
    return path.rpartition(b"/")[2]


def depth_of(path: bytes) -> int:
    """Count the components of a canonical path: 0 for ``/``, 1 for ``/store``."""
    return 0 if path == b"/" else path.count(b"/") + (not path.startswith(b"/"))


def is_under(path: bytes, directory: bytes) -> bool:
    """Tell whether ``path`` is ``directory`` or lies below it, by whole components."""
    return path == directory or directory == b"/" or path.startswith(directory + b"/")


def tree_key(path: bytes) -> bytes:
    """Give the key that sorts paths in tree order: a directory directly before everything below it.

    Plain byte order would put ``/a-b`` between ``/a`` and ``/a/c``.
    """
    return b"" if path == b"/" else path.replace(b"/", b"\0")


_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNSAFE = re.compile("[\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ESCAPED = re.compile(rb"\\(?:([\\nrt])|x([0-9a-f]{2})|u([0-9a-f]{4}))")
_UNESCAPES = {b"\\": b"\\", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def escape(path: bytes) -> str:
    """Give one printable line for a list that people read; ``unescape`` gives the same bytes back.

    Backslashes, control characters, line separators, bytes that are not UTF-8 and a blank at the end are escaped;
    everything else, other blanks and other scripts included, stands as it is.
    """
    line = _UNSAFE.sub(_escape_one, decode(path))
    # Nobody could tell it from what separates the path from the next field.
    return line[:-1] + "\\x20" if line.endswith(" ") else line


def _escape_one(match: re.Match[str]) -> str:
    character = match.group()
    known = _ESCAPES.get(character)
    if known:
        return known
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    # Below 0x80 a byte and its character are the same; above, \x would mean a raw byte.
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"


def unescape(line: str) -> bytes:
    """Read back a line that ``escape`` wrote."""
    return _ESCAPED.sub(_unescape_one, encode(line))


def _unescape_one(match: re.Match[bytes]) -> bytes:
    plain, byte, character = match.groups()
    if plain is not None:
        return _UNESCAPES[plain]
    if byte is not None:
        return bytes((int(byte, 16),))
    return chr(int(character, 16)).encode("utf-8")
