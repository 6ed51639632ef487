"""From scope and name of a replica to the path of its file, where a dump does not say it.

A Rucio RSE that is deterministic has no paths in its database, since they follow from the names. How they follow is a
property of the RSE: whoever knows it hands its function to the reader.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from engine import lfn2path

LfnToPath: TypeAlias = Callable[[bytes, bytes], bytes]
"""Takes scope and name and gives a path, absolute or relative to the root; raises `ValueError` where there is none."""


def absolute_path(scope: bytes, name: bytes) -> bytes:
    """Give the name where it is an absolute path, as LFNs of CMS are; of others nobody has said how they become one.

    Raises:
        ValueError: it is none. To guess would make every file of an RSE that has another rule missing, and an orphan.
    """
    del scope
    if not name.startswith(b"/"):
        raise ValueError("a path, or Rucio.LFN2Path to say how the RSE makes paths of names (hash or identity)")
    return name


def identity_path(scope: bytes, name: bytes) -> bytes:
    """Give the path of Rucio's ``identity``, or the name alone where that is an absolute path, as LFNs of CMS are."""
    return name if name.startswith(b"/") else lfn2path.identity_path(scope, name)


BY_IDENTITY = frozenset((identity_path, lfn2path.identity_path))
"""Functions that make the same of a name that is no absolute path: scope, slash and name."""

SHARED = BY_IDENTITY | {absolute_path}
"""Functions that other processes have as well."""
