"""Has an actor on Ray die where it touches the disk: Python runs this at its start, whoever starts it.

Of all processes of a program only one dies, once: the first whose title has the words of ``DYING_ACTOR``, when it
touches ``DYING_HOME`` for the ``DYING_AT``-th time, or ``DYING_AFTER`` seconds later. What says that it did is the file
``DYING_DONE``.
"""

from __future__ import annotations

import os

if "DYING_ACTOR" in os.environ:
    import threading
    from pathlib import Path

    from tests.faults.dying import die, on_touch

    _after = float(os.environ["DYING_AFTER"])
    _left = int(os.environ["DYING_AT"])
    _words = os.environ["DYING_ACTOR"].encode()
    _done = Path(os.environ["DYING_DONE"])

    def _die() -> None:
        _done.touch()
        die()

    def _touched() -> None:
        global _left
        if _words in Path("/proc/self/cmdline").read_bytes().replace(b"\0", b" "):
            _left -= 1
            if _left == 0 and not _done.exists():
                if _after:
                    threading.Timer(_after, _die).start()
                else:
                    _die()

    on_touch(os.environ["DYING_HOME"], _touched)
