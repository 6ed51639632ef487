"""The journal of a cleaning: what of an unmerged area is listed already, so that the next try goes on from there.

It stands in the directory of the site's runs and belongs to whoever holds that directory's lock.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from storage.atomic import ReportError, write_json
from storage.runs.directory import RunDirError, file_identity
from storage.snapshot import part_of


class UnmergedJournal:
    """The listing of one cleaning and the note of what it lists."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.snapshot = directory / "unmerged.snapshot"
        self._state = directory / "unmerged.json"

    def begin(self, mark: dict[str, Any], started: float) -> None:
        """Note the start of a new listing and drop what an earlier one left; ``started`` in seconds since the epoch.

        Raises:
            RunDirError: it cannot be noted.
        """
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            part_of(self.snapshot).unlink(missing_ok=True)
            write_json(self._state, {"mark": mark, "started": started, "earlier": file_identity(self.snapshot)})
        except (ReportError, OSError) as error:
            raise RunDirError(f"cannot use {self._directory}: {error}") from error

    def unfinished(self, mark: dict[str, Any], not_before: float) -> float | None:
        """Say when the cleaning was begun that can be gone on with: of the same ``mark``, at work at ``not_before``.

        A listing that was finished although its cleaning was not becomes the journal again.
        """
        try:
            state = json.loads(self._state.read_text())
            started = float(state["started"])
            same = state["mark"] == json.loads(json.dumps(mark))
            begun = self._state.stat().st_mtime
        except (OSError, ValueError, TypeError, KeyError):
            return None
        journal = part_of(self.snapshot)
        last_sign = max([begun, *(path.stat().st_mtime for path in (journal, self.snapshot) if path.exists())])
        if not same or last_sign < not_before:
            return None
        # Not by its time alone: a clock may have been set back since the listing before was finished.
        is_own = file_identity(self.snapshot) not in (None, state.get("earlier"))
        if not journal.exists() and is_own and self.snapshot.stat().st_mtime >= begun:
            os.replace(self.snapshot, journal)
        return started

    def done(self) -> None:
        """Note that there is nothing to go on with; the listing stays to be read."""
        self._state.unlink(missing_ok=True)
