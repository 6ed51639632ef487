"""The history store: the only actor that writes databases and reports. A run's results appear whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack

from engine.findings import unpack_findings
from engine.states import Reason
from storage.atomic import write_json
from storage.runs.reports import CHECKSUM_LAYOUT, QUICK_LAYOUT, RUN_LAYOUT, Layout, ReportSet

if TYPE_CHECKING:
    from engine.scope import Scope
    from storage.history import HistoryDatabase, RunCounts, RunSigns


@dataclass(frozen=True, slots=True)
class StorePlan:
    """Where results go: the history ``database`` and the reports ``directory/BASE_…``; None: there are none.

    Which files the lists are goes to ``prepared``, for `storage.runs.reports.take_up`.
    ``lists_only`` leaves out what only a whole run knows: empty and unlisted directories, and the exact forms.
    ``checksums``: the run compares some, and says of which files they differ, be it of none.
    """

    directory: Path | None = None
    base: str = ""
    database: Path | None = None
    lists_only: bool = False
    prepared: Path | None = None
    checksums: bool = False

    @property
    def layout(self) -> Layout:
        """Which lists are written."""
        if self.lists_only:
            return QUICK_LAYOUT
        return CHECKSUM_LAYOUT if self.checksums else RUN_LAYOUT


def pack_unlisted(rows: list[tuple[bytes, Reason, str]]) -> bytes:
    """Encode unlisted directories (path, reason, detail) for a message."""
    packed: bytes = msgpack.packb(
        [(path, int(reason), detail) for path, reason, detail in rows], unicode_errors="replace"
    )
    return packed


class HistoryStore:
    """Takes the results of one run of one site."""

    def __init__(self, plan: StorePlan) -> None:
        self._plan = plan
        self._database: HistoryDatabase | None = None
        self._reports: ReportSet | None = None
        self._run = 0

    def open_run(self, site: str, started: float, runtime: str) -> int:
        """Enter the run as running; gives its number, 0 without a database. ``started`` in seconds since the epoch.

        Raises:
            ReportError: the directory of the reports cannot be written.
            HistoryError: the database cannot be used.
        """
        plan = self._plan
        if plan.directory is not None:
            self._reports = ReportSet(plan.directory, plan.base, plan.layout)
        if plan.database is not None:
            # A comparison by itself has no database, and need not load one.
            from storage.history import HistoryDatabase

            self._database = HistoryDatabase(plan.database)
        if self._database is not None:
            self._run = self._database.open_run(site, started, runtime)
            if plan.checksums:
                self._database.replaces_checksums(self._run)
        return self._run

    def stage(self, packed: bytes) -> None:
        """Keep a batch of findings (`pack_findings`) for `finish`."""
        findings = unpack_findings(packed)
        if self._database is not None:
            self._database.stage(self._run, findings)
        if self._reports is not None:
            self._reports.add(findings)

    def stage_unlisted(self, packed: bytes) -> None:
        """Keep directories that could not be listed (`pack_unlisted`) for `finish`."""
        rows: Any = msgpack.unpackb(packed)
        unlisted = [(path, Reason(reason), detail) for path, reason, detail in rows]
        if self._database is not None:
            self._database.stage_unlisted(self._run, unlisted)
        if self._reports is not None:
            self._reports.add_unlisted(unlisted)

    def finish(
        self,
        finished: float,
        status: str,
        counts: RunCounts,
        keep: bool,
        message: str,
        signs: RunSigns | None = None,
        replaces: int | None = None,
        looked: Scope | None = None,
    ) -> list[str]:
        """End the run; with ``keep`` its findings replace the older ones. Gives the paths of the reports written.

        ``replaces`` is the number of a run whose place it takes, since both have judged the same listing, ``looked``
        where it looked.

        Raises:
            ReportError: the reports cannot be written. The run is still open then, and may be ended without ``keep``;
                only when it was a rename that failed, it is in the database and stays there.
            HistoryError: the database cannot be written; the run is still open.
        """
        if self._reports is not None:
            if keep:
                prepared = self._reports.prepare()
                if self._plan.prepared is not None:
                    write_json(self._plan.prepared, prepared)
            else:
                self._reports.discard()
        if self._database is not None:
            from storage.history import RunSigns, RunStatus

            self._database.finish_run(
                *(self._run, finished, RunStatus(status), counts, keep, message, signs or RunSigns(), replaces, looked)
            )
            # What is recorded stays recorded, whatever becomes of the renames.
            self._close_database()
        if self._reports is None or not keep:
            return []
        return [str(path) for path in self._reports.publish()]

    def publish(self) -> list[str]:
        """End a comparison that is not in the history. Gives the paths of the reports written.

        Raises:
            ReportError: the reports cannot be written.
        """
        return [] if self._reports is None else [str(path) for path in self._reports.commit()]

    def release(self) -> None:
        """Drop what was not finished and close the database."""
        if self._reports is not None:
            self._reports.discard()
        self._close_database()

    def _close_database(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()
