"""What a filler says of one directory: an answer of somebody else's code, looked at before it is believed.

A filler is a function of a path, or a method ``list`` of an object, that gives (whether the listing is complete,
[(directory, mtime), …], [(file, size, mtime), …]).
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from engine import paths
from engine.tree.files import UNLISTED, FileTuple, is_name

Filler = Callable[[str], Any]

GAVE_UP = "the lister gave it up"
"""What is said of a directory whose filler only said that it could not be listed."""


_FAR = 1 << 62
"""No time, in seconds since the epoch, is so far away; and no column could hold it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a directory now.

    ``directories`` are (name, mtime) and ``files`` (name, size, mtime[, block]) tuples: everything that was named, also
    where the listing is not complete. ``problem`` says why it is not, and is empty when it is; then the pseudo-file
    ``_unlisted_`` is the last of the files.
    """

    directories: list[tuple[str, float | None]]
    files: list[FileTuple]
    problem: str = ""


def ask(filler: Filler, path: str) -> Answer:
    """Ask a filler; whatever it raises, or gives that makes no sense, leaves the directory unlisted."""
    try:
        return read_answer(filler(path))
    # Somebody else's code: nothing that it does, even to exit, may cost more than this one directory.
    except BaseException as error:
        return unlisted(f"{type(error).__name__}: {error}".rstrip(": "))


def read_answer(answer: Any) -> Answer:
    """Check the tuple of a filler; a directory that is named twice counts once, with its later mtime.

    Raises:
        TypeError, ValueError: it makes no sense; the message says what and why.
    """
    try:
        complete, directories, files = answer
    except (TypeError, ValueError) as error:
        raise TypeError(f"expected (bool, directories, files), got {_shown(answer)}") from error
    times: dict[str, float | None] = {}
    for name, mtime in map(_directory, _each(directories, "directories")):
        times[name] = mtime if name not in times else _later(times[name], mtime)
    given = [_file(file) for file in _each(files, "files")]
    if any(file[0] == UNLISTED for file in given):
        return _incomplete(times, [file for file in given if file[0] != UNLISTED], GAVE_UP)
    return Answer(list(times.items()), given) if complete else _incomplete(times, given, GAVE_UP)


def unlisted(problem: str) -> Answer:
    """Give the answer for a directory of which nothing is known."""
    return _incomplete({}, [], problem)


def _incomplete(times: dict[str, float | None], files: list[FileTuple], problem: str) -> Answer:
    return Answer(list(times.items()), [*files, (UNLISTED, 0, 0)], problem)


def _each(rows: Any, what: str) -> Iterable[Any]:
    if isinstance(rows, str | bytes | dict) or not isinstance(rows, Iterable):
        raise TypeError(f"expected a list of {what}, got {_shown(rows)}")
    return rows


def _directory(row: Any) -> tuple[str, float | None]:
    try:
        name, mtime = row
        return _name(name), _time(mtime)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"expected (directory, mtime), got {_shown(row)}: {error}") from error


def _file(row: Any) -> FileTuple:
    try:
        name, size, mtime, *block = row
        if len(block) > 1:
            raise ValueError("too many values")
        # Beyond these no column holds them.
        known = None if size is None else int(size)
        if known is not None and not 0 <= known < 1 << 63:
            raise ValueError("a size that no file has")
        return (_name(name), known, _time(mtime), *map(str, block))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"expected (file, size, mtime), got {_shown(row)}: {error}") from error


def _name(name: Any) -> str:
    if not isinstance(name, str) or not is_name(name):
        raise ValueError("not a name")
    paths.encode(name)
    return name


def _time(mtime: Any) -> float | None:
    if mtime is None:
        return None
    if type(mtime) is int and abs(mtime) < _FAR:
        return mtime
    time = float(mtime)
    if not math.isfinite(time) or abs(time) >= _FAR:
        raise ValueError("not a time")
    return time


def _later(one: float | None, other: float | None) -> float | None:
    """Of two times, one of which may be unknown, take the one that makes a directory stay."""
    return None if one is None or other is None else max(one, other)


def _shown(value: Any) -> str:
    # Not repr: of a list of a million rows it would be as long.
    return reprlib.repr(value)
