"""How a message shows what somebody gave: on one line, and without what might be a secret."""

from __future__ import annotations

import re

_LONGEST = 200
_LONGEST_WORDS = 400
_USER = re.compile(r"(?<=://)[^/]*@")
# Also where a slash is missing before it, or stands in the password; a port is none.
_PASSWORD = re.compile(r"[^/\s:@]+:(?!//|\d+/)\S*?@")
_PARAMETERS = re.compile(r"(?<=\?).+", re.DOTALL)
# XRootD's own, such as authz=TOKEN, which people paste behind a host or a path.
_OPAQUE = re.compile(r"(?<=[?&])[\w.-]+=.+", re.DOTALL)


def printable(text: str) -> str:
    """Escape control characters, line separators and lone surrogates; everything else stands as it is."""
    return "".join([c if c.isprintable() else ascii(c)[1:-1] for c in text])


def quoted(text: str) -> str:
    """Give ``text`` in double quotes, as `unquoted` shows it."""
    return f'"{unquoted(text)}"'


def unquoted(text: str) -> str:
    """Give ``text`` printable, cut when long; the user and the parameters of a URL are left out."""
    if "://" in text:
        text = _PARAMETERS.sub("...", _USER.sub("...@", text))
    text = _OPAQUE.sub("...", _PASSWORD.sub("...@", text))
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + "..."
    return printable(text)


def shown(value: object) -> str:
    """Give a value that was read from a file, the way that file would write it."""
    match value:
        case str():
            return quoted(value)
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return _number(value)
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            return f"a {type(value).__name__}"


def _number(value: float) -> str:
    try:
        return repr(value)
    except ValueError:
        # Python refuses to write out integers of thousands of digits.
        return "a number of thousands of digits"


def one_line(error: BaseException) -> str:
    """Give the words of somebody else's error on one line, cut when they are long."""
    text = printable(" ".join(str(error).split()))
    return text if len(text) <= _LONGEST_WORDS else text[:_LONGEST_WORDS] + "..."
