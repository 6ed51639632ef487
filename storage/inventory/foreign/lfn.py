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


def identity_path(scope: bytes, name: bytes) -> bytes:
    """Give the path of Rucio's ``identity``, or the name alone where that is an absolute path, as LFNs of CMS are."""
    return name if name.startswith(b"/") else lfn2path.identity_path(scope, name)
