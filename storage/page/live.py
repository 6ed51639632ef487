"""The runs that go on now, as the page asks for them: a small file for each, and a list of these files.

``WebDir/live/SITE.json`` says how far the run of a site is. Its run alone writes it, some seconds apart, and removes it
when it is over. ``WebDir/live/~running.json`` names the files that are there. Each run looks at the directory when it
has written its own and puts the list right, so that nobody needs a lock: of two that do so at once the later one may
leave the list of the earlier one, until either writes again. A name in the list without a file is a run that is over.

Whoever reads shows what is too old as that. What a run has left that was killed is removed when the page is built.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine import paths
from engine.estimate import Estimate
from engine.pace import DoorPace
from engine.states import Reason
from storage.atomic import AtomicFile, claim, naming
from storage.page import words
from storage.shown import printable, unquoted

LIVE = "live"
"""The directory of these files, inside the web directory."""

LIST = "~running.json"
"""The list of them; no site's file has such a name."""

KIND, VERSION = "dynamo-consistency run", 1
"""What a file says that it is."""

KEEP = 60.0
"""Seconds for which a file is left alone of a site that does not seem to run: its run may have just begun."""

_LONGEST_DETAIL = 400
_ENDING = ".json"
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class LiveRun:
    """How far a run is. Times are in seconds since the epoch, by the clock of the machine that writes.

    ``run`` is its number in the history, None as long as it has none; ``counts`` are whole numbers by their name.
    ``rate`` is in directories a second; ``expected`` are the directories of the last complete run, 0 when there is
    none. ``failures`` has the last few, newest last, as (path, reason, detail).
    """

    site: str
    run: int | None
    phase: str
    started: float
    phase_started: float
    written: float
    counts: Mapping[str, int] = field(default_factory=dict)
    rate: float | None = None
    expected: int = 0
    estimate: Estimate = field(default_factory=Estimate)
    doors: Sequence[DoorPace] = ()
    failures: Sequence[tuple[bytes, Reason, str]] = ()
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """Give what is written; names and words of others are escaped as they are everywhere on the page."""
        return {
            "kind": KIND,
            "version": VERSION,
            "site": words.shown(self.site),
            "run": self.run,
            "phase": words.shown(self.phase),
            "started": self.started,
            "phase_started": self.phase_started,
            "written": self.written,
            **self.counts,
            "rate": self.rate,
            "expected": self.expected or None,
            "share": self.estimate.share,
            "seconds_left": self.estimate.seconds,
            "more_than_last": self.estimate.is_more,
            "doors": [
                {
                    "door": unquoted(pace.door),
                    "window": pace.window,
                    "connections": pace.connections,
                    "in_flight": pace.in_flight,
                    "latency": pace.latency,
                }
                for pace in self.doors
            ],
            "failures": [
                {"path": paths.escape(path), "reason": reason.label, "detail": _cut(detail)}
                for path, reason, detail in self.failures
            ],
            "note": words.shown(self.note),
        }


def _cut(detail: str) -> str:
    return printable(detail if len(detail) <= _LONGEST_DETAIL else detail[:_LONGEST_DETAIL] + "...")


def live_name(site: str) -> str:
    """Name the file of a site; it is that of its page with another ending."""
    return words.page_name(site).removesuffix(".html") + _ENDING


class LiveFile:
    """The file of the run of a site. Everything raises `ReportError` when it cannot be written."""

    def __init__(self, web_dir: Path, site: str) -> None:
        self._directory = web_dir / LIVE
        self.path = self._directory / live_name(site)

    def write(self, run: LiveRun) -> None:
        """Put down how far the run is, and the file into the list."""
        with naming(self._directory):
            self._directory.mkdir(parents=True, exist_ok=True)
        _replace(self.path, json.dumps(run.as_json(), ensure_ascii=False, allow_nan=False))
        put_list_right(self._directory)

    def remove(self) -> None:
        """Take it away, also out of the list: the run is over."""
        AtomicFile.clear_up(self.path)
        if self._directory.is_dir():
            with naming(self.path):
                self.path.unlink(missing_ok=True)
            put_list_right(self._directory)


def _replace(path: Path, text: str) -> None:
    """Replace a file in one step. It is not brought to the disk: after a crash nobody wants to know what it held."""
    temporary, stream = claim(path)
    try:
        with naming(path), stream:
            stream.write(text.encode("utf-8", "backslashreplace"))
            stream.flush()
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def put_list_right(directory: Path) -> None:
    """Have the list name the files that are in the directory; one that does already stays as it is.

    Raises:
        ReportError: it cannot be written.
    """
    path = directory / LIST
    text = json.dumps({"version": VERSION, "running": [file.name for file in _files(directory)]})
    with suppress(OSError, ValueError):
        if path.read_text() == text:
            return
    _replace(path, text)


def _files(directory: Path) -> list[Path]:
    with naming(directory):
        names = sorted(os.listdir(directory))
    return [directory / name for name in names if name.endswith(_ENDING) and not name.startswith(".") and name != LIST]


def clear_live(web_dir: Path, running: Collection[str], now: float) -> None:
    """Remove what killed runs have left: files of sites that do not run, and that nobody has written lately.

    A file of somebody else's stays. ``running`` are sites; ``now`` is in seconds since the epoch.

    Raises:
        ReportError: the directory cannot be read or written.
    """
    directory, kept = web_dir / LIVE, {live_name(site) for site in running}
    for path in _files(directory):
        if path.name not in kept and _is_left(path, now):
            with naming(path):
                path.unlink(missing_ok=True)
    put_list_right(directory)


def _is_left(path: Path, now: float) -> bool:
    """Whether a file is one of a run, and old."""
    try:
        state = path.lstat()
        if path.is_symlink() or state.st_size > _LARGEST or abs(now - state.st_mtime) < KEEP:
            return False
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("kind") == KIND
