"""How objects of JSON are written that hold one file each: their keys, and what is the same in all of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from storage.inventory.foreign.series import Series
from storage.inventory.foreign.spans import integers_in, texts_in
from storage.inventory.foreign.template import Found

PATHS = ("Path", "path", "file", "lfn", "name")
SIZES = ("Size", "size")
TIMES = ("ModTime", "mtime", "ctime")
CHECKSUMS = ("checksum", "checksumvalue", "xs", "adler32", "md5", "MD5")
"""The keys that are known, the most telling first."""

HASHES = "Hashes"
_SUMS = (*CHECKSUMS, *(f"{HASHES}.{key}" for key in CHECKSUMS))

KINDS = ("type",)
DIRECTORY_KINDS = ("directory", "dir", "d")
"""The keys that tell a directory, and what stands there for one."""

_TOKENS = re.compile(rb'"([^"\\]*)"(\s*:)?|-?[0-9][0-9.eE+-]*|[{}\[\]]')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_ZERO = b"0"[0]

_OTHER = "number "
"""How the fields of numbers begin that nobody asks for: it is only looked at whether they are some."""


def series_of(text: bytes) -> Series | None:
    """Say how an object is written: what is between the values, and which of them are needed.

    None when it has escaped characters, or lacks what is needed.
    """
    if b"\\" in text:
        return None
    literals, fields, start = list[bytes](), list[tuple[str, bool]](), 0
    above, key, of, seen = list[str](), "", "", list[str]()
    for match in _TOKENS.finditer(text):
        if match[0] in (b"{", b"["):
            above.append(key)
            of = ""
        elif match[0] in (b"}", b"]"):
            del above[-1:]
        elif match[2] is not None:
            key = match[1].decode("utf-8", "replace")
            # What is deeper belongs to something else, but for the sums in "Hashes".
            of = key if len(above) == 1 else f"{HASHES}.{key}" if above[1:] == [HASHES] else ""
            seen.append(of)
        elif key not in KINDS:
            begin, end = match.span(1) if match[1] is not None else match.span()
            literals.append(text[start:begin])
            fields.append((of, match[1] is not None))
            start, of = end, ""
    literals.append(text[start:])
    names = _names_of(fields, seen)
    is_anchored = all(b'"' in literal for literal in literals[:-1])
    return Series(b'"', tuple(literals), tuple(names)) if is_anchored and {"path", "size"} <= {*names} else None


def are_written(found: Found, name: str) -> bool:
    """Tell whether numbers are written as JSON wants them, of which 007 is none."""
    span = found.spans[name]
    starts, ends = span.starts, span.ends
    if found.data.startswith(b'"', int(starts[0]) - 1):
        return True
    if bool(((found.text[starts] == _ZERO) & (ends - starts > 1)).any()):
        return False
    # Sizes are read as digits alone anyway.
    if name == "size" or integers_in(found.text, span) is not None:
        return True
    return all(map(_NUMBER.fullmatch, texts_in(found.data, span)))


def _names_of(fields: Sequence[tuple[str, bool]], seen: Sequence[str]) -> list[str]:
    """Say what each field means, of which the key is given and whether it is a text; ``seen`` are all keys."""
    names = ["" if is_text else f"{_OTHER}{at}" for at, (_, is_text) in enumerate(fields)]
    keys = [key for key, _ in fields]
    texts = [key for key, is_text in fields if is_text]
    # Neither true nor null is a field; a size or time that is one is not known, whatever other key there is.
    for name, known, of in (
        ("path", PATHS, texts),
        ("size", SIZES, seen),
        ("mtime", TIMES, seen),
        ("checksum", _SUMS, texts),
    ):
        best = next((key for key in known if key in of), None)
        if best is not None and seen.count(best) == 1 and best in keys:
            names[keys.index(best)] = name
        elif best is not None and seen.count(best) > 1:
            return []
    return names
