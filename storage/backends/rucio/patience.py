"""How long a Rucio that cannot be reached is asked again, be it its server or its database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

_LONGEST = 30.0
_LOOK_EVERY = 0.2


def waits_of(patience: float, clock: Callable[[], float] = time.monotonic) -> Iterator[float | None]:
    """Give how many seconds are waited after each failure, None in the end; each time twice as long.

    What the attempts take counts as well: a server that hangs has each of them last as long as an answer may take.
    """
    wait, until = 1.0, clock() + patience
    while (left := until - clock()) > 0:
        yield min(wait, left)
        wait = min(2 * wait, _LONGEST)
    yield None


def sleep(seconds: float, heed: Callable[[], None]) -> None:
    """Wait, and call ``heed`` now and then, which may raise to give up."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        heed()
        time.sleep(min(left, _LOOK_EVERY))
