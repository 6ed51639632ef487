"""How memory that was freed is kept by this process, for those who use much of it again and again."""

from __future__ import annotations

_LARGE = 4 << 20


def keep_freed_memory() -> None:
    """Have what is freed behind one piece of a text there for the next one.

    The GNU C library gives the end of its heap back to the system as soon as 128 kB of it are free, and asks for it
    again: every page that is used then is a fault. It learns from what is freed: after something as large as this it
    gives nothing back below twice as much (mallopt(3), M_MMAP_THRESHOLD). Elsewhere nothing happens.
    """
    # Nothing is written there, so that no memory is taken.
    bytearray(_LARGE)
