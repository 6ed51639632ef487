"""Telling a link from a file at a server that takes away what the link leads to.

XRootD's takes a link for a file of its own that lies on another disk: it renames, or deletes, what the link leads to,
which may be a file that the inventory knows. Nothing that it tells of a path shows a link. But a file stays as it is
where it is renamed to its own name, and of a link the server says then that it exists. That tells where a server takes
such a rename for nothing, which an own directory shows before.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from engine import paths
from engine.listing import Failed
from engine.states import Reason

_EXISTS = "exists"

_LINK = Failed(
    Reason.LINK,
    "a link, as are all files of an oss.space: this server would take away what it leads to; have the registry do it",
)


class Links:
    """Tells by renames what is a link; each of what it is given gives None where it was done, or is there."""

    def __init__(
        self,
        make: Callable[[bytes], Failed | None],
        rename: Callable[[bytes, bytes], Failed | None],
        stat: Callable[[bytes], Failed | None],
        remove: Callable[[bytes], Failed | None],
    ) -> None:
        self._make = make
        self._rename = rename
        self._stat = stat
        self._remove = remove
        self._lock = threading.Lock()
        self._known: bool | None = None

    def refusal(self, path: bytes, near: bytes) -> Failed | None:
        """Say why what is at a path is not to be touched; None if it is no link, or this server has no such links.

        ``near`` is a directory in which another one may be made for a moment.
        """
        tells = self._tells(near)
        if tells is False:
            return None
        failed = tells if isinstance(tells, Failed) else self._rename(path, path)
        return _LINK if failed is not None and tells is True and _EXISTS in failed.detail else failed

    def _tells(self, near: bytes) -> bool | Failed:
        with self._lock:
            if self._known is not None:
                return self._known
            # Of letters that every protocol carries as they are, and nobody else's.
            own = paths.join(near, b"consistency-%b" % os.urandom(8).hex().encode())
            failed = self._make(own)
            if failed is not None:
                return failed
            failed = self._rename(own, own)
            if failed is None:
                failed = self._stat(own)
            self._remove(own)
            if failed is not None and failed.reason.is_silence:
                return failed
            self._known = failed is None
            return self._known
