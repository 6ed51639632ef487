"""The history of runs and findings: what others need of it, from `storage.history.database`."""

from __future__ import annotations

from storage.history.database import (
    BUSY_SECONDS,
    Acted,
    Changed,
    Changes,
    FileRow,
    HistoryDatabase,
    HistoryError,
    RunCounts,
    RunRow,
    RunSigns,
    RunStatus,
    Table,
    connect,
)

__all__ = [
    "BUSY_SECONDS",
    "Acted",
    "Changed",
    "Changes",
    "FileRow",
    "HistoryDatabase",
    "HistoryError",
    "RunCounts",
    "RunRow",
    "RunSigns",
    "RunStatus",
    "Table",
    "connect",
]
