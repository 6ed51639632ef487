"""What the store said of missing candidates, kept until their run is over.

A run that is killed while it has them confirmed need not ask for them again: what was denied was denied after the
listing that lacked it, as everything in a journal is as old as its answer.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO

from engine.confirm import Verdict, pack_verdicts, unpack_verdicts
from storage.file_bytes import FileBytes
from storage.frames import make_frame, read_frame

_log = logging.getLogger(__name__)

_VERDICT = 4
"""The kind of its frames, none of a snapshot's."""


def verdict_on(path: Path, directory: bytes, name: bytes) -> bool | None:
    """Say whether the store had a file when a run last asked for it by name; None when no answer to that is kept."""
    said: bool | None = None
    # Where it was never written, or cannot be read, nothing follows from that.
    with suppress(OSError), path.open("rb") as file, closing(FileBytes(file, path)) as view, suppress(ValueError):
        end = 0
        while True:
            end, payload = read_frame(view, end, _VERDICT)
            for verdict in unpack_verdicts(payload):
                if verdict.path == directory and name in (*verdict.absent, *verdict.present):
                    said = name in verdict.present
    return said


class VerdictJournal:
    """The verdicts of one run. ``resume`` goes on with what is there; without, that is dropped.

    One that cannot be read or written costs the requests that it would have saved, and nothing else: it raises nothing.
    """

    def __init__(self, path: Path, resume: bool) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._end = 0
        self._kept: dict[bytes, list[Verdict]] = {}
        self._broken = False
        try:
            if resume:
                self._read()
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            self._give_up(error)

    def take(self, directory: bytes, names: Sequence[bytes]) -> Verdict | None:
        """Give, and drop, the verdict on just these names of a directory; None when there is none."""
        wanted = frozenset(names)
        for verdict in self._kept.get(directory, ()):
            if wanted == {*verdict.absent, *verdict.present}:
                self._kept[directory].remove(verdict)
                return verdict
        return None

    def keep(self, verdict: Verdict) -> None:
        """Append one that leaves no name open."""
        if self._broken:
            return
        try:
            if self._file is None:
                self._file = self._path.open("ab")
                self._file.truncate(self._end)
            self._file.write(make_frame(_VERDICT, pack_verdicts([verdict])))
        except OSError as error:
            self._give_up(error)

    def flush(self) -> None:
        """Hand everything to the operating system, so that a killed process loses nothing."""
        if self._file is not None:
            try:
                self._file.flush()
            except OSError as error:
                self._give_up(error)

    def close(self) -> None:
        """Stop here and keep it."""
        self.flush()
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()

    def _read(self) -> None:
        try:
            with self._path.open("rb") as file, closing(FileBytes(file, self._path)) as view, suppress(ValueError):
                # It ends where its writer was killed.
                while True:
                    end, payload = read_frame(view, self._end, _VERDICT)
                    for verdict in unpack_verdicts(payload):
                        self._kept.setdefault(verdict.path, []).append(verdict)
                    self._end = end
        except FileNotFoundError:
            return

    def _give_up(self, error: OSError) -> None:
        _log.warning("what is confirmed is not kept for a later run: %s: %s", self._path, error.strerror or error)
        self._broken = True
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()
