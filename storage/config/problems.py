"""What is wrong with a configuration, taken apart for whoever wants more than a line of text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: ``line`` says all of it, the rest says it in parts.

    ``key`` is the key with the place in its value, as in ``Doors[0]``, empty for a file that cannot be read at all;
    ``site`` is empty for the top level. ``wrong`` is what is wrong and ``advice`` what to do. ``place`` is the file, or
    ``environment``. ``path`` leads to the value in the file. A ``minor`` one is not right, but stops nothing.
    """

    line: str
    key: str = ""
    site: str = ""
    wrong: str = ""
    advice: str = ""
    place: str = ""
    path: tuple[int | str, ...] = ()
    minor: bool = False

    def __str__(self) -> str:
        return self.line
