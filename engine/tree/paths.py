"""Paths as the methods of a tree take them: relative to a node, or beginning with its name."""

from __future__ import annotations

from engine import paths
from engine.tree.errors import BadPath


def split(path: str) -> tuple[bool, list[bytes]]:
    """Tell whether a path is absolute, and give its components; repeated slashes count once.

    Raises:
        BadPath: it has a ``.`` or ``..`` component, a NUL, or a character that no bytes stand for.
    """
    try:
        return _split(paths.encode(path))
    except UnicodeEncodeError as error:
        raise BadPath(f"a path that no bytes stand for: {error}") from error


def encode_name(name: str) -> bytes:
    """Give the bytes of a name.

    Raises:
        BadPath: no bytes stand for it.
    """
    try:
        return paths.encode(name)
    except UnicodeEncodeError as error:
        raise BadPath(f"a name that no bytes stand for: {error}") from error


def _split(raw: bytes) -> tuple[bool, list[bytes]]:
    parts = [part for part in raw.split(b"/") if part]
    if b"\0" in raw or b"." in parts or b".." in parts:
        raise BadPath(f"a path with NUL, '.' or '..': {paths.decode(raw)!r}")
    return raw.startswith(b"/"), parts


def below(name: bytes, path: str) -> list[bytes]:
    """Give the components of ``path`` after those of ``name``; everything is below the empty name.

    Raises:
        BadPath: the path does not begin with the name, by whole components.
    """
    absolute, parts = split(path)
    if not name:
        return parts
    named_absolute, named = _split(name)
    if absolute != named_absolute or parts[: len(named)] != named:
        raise BadPath(f"{path} does not begin with {paths.decode(name)}")
    return parts[len(named) :]


def inside(name: bytes, path: str) -> list[bytes]:
    """Give the components of ``path`` after those of ``name``, or all of them if it is relative and begins otherwise.

    Raises:
        BadPath: the path is absolute and does not begin with the name.
    """
    try:
        return below(name, path)
    except BadPath:
        absolute, parts = split(path)
        if absolute:
            raise
        return parts


def full_name(parent: bytes, name: bytes) -> bytes:
    """Put a parent's path before a name, unless one of them is empty or the name is absolute."""
    if not parent or name.startswith(b"/"):
        return name
    return paths.join(parent, name) if name else parent
