"""The schema of the history; see `storage.history.database`."""

from __future__ import annotations

from storage.history.tables import COLUMNS, COUNTS
from storage.migrations import Schema


def _file_tables(name: str, more: str = "") -> tuple[str, str]:
    """Give the statements for a table of files and its twin.

    Both are clustered by their key: a site's rows, and in the twin those of one run, lie together, so that no further
    index is needed to read or move them.
    """
    columns = f"""
        site INTEGER NOT NULL REFERENCES sites(id),
        run INTEGER NOT NULL REFERENCES runs(id),
        directory INTEGER NOT NULL REFERENCES directories(id),
        name TEXT NOT NULL,
        size INTEGER,
        {more}mtime INTEGER,
        entered REAL NOT NULL"""
    return (
        f"CREATE TABLE {name} ({columns}, PRIMARY KEY (site, directory, name)) WITHOUT ROWID",
        f"CREATE TABLE {name}_history ({columns}, acted REAL, PRIMARY KEY (site, run, directory, name)) WITHOUT ROWID",
    )


def _counters(name: str) -> tuple[str, ...]:
    """Give the statements that let a table of files and its twin know how long a file has been found.

    Columns are added without touching the rows, so that a large history is upgraded at once: whatever is there counts
    as found once, when it was entered.
    """
    return tuple(
        f"ALTER TABLE {table} ADD COLUMN {column}"
        for table in (name, f"{name}_history")
        for column in ("seen INTEGER NOT NULL DEFAULT 1", "since REAL")
    )


_EMPTY_COLUMNS = """
        site INTEGER NOT NULL REFERENCES sites(id),
        run INTEGER NOT NULL REFERENCES runs(id),
        name TEXT NOT NULL,
        mtime INTEGER,
        entered REAL NOT NULL"""

HISTORY = Schema(
    "history",
    0x64634831,
    (
        (
            "0001_findings_by_site_and_run",
            (
                "CREATE TABLE sites (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
                """CREATE TABLE runs (
        id INTEGER PRIMARY KEY,
        site INTEGER NOT NULL REFERENCES sites(id),
        started REAL NOT NULL,
        finished REAL,
        status TEXT NOT NULL,
        message TEXT NOT NULL DEFAULT '',
        runtime TEXT NOT NULL,
        files INTEGER NOT NULL DEFAULT 0,
        directories INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0,
        requests INTEGER NOT NULL DEFAULT 0,
        resumed INTEGER NOT NULL DEFAULT 0,
        missing INTEGER NOT NULL DEFAULT 0,
        missing_bytes INTEGER NOT NULL DEFAULT 0,
        orphan INTEGER NOT NULL DEFAULT 0,
        orphan_bytes INTEGER NOT NULL DEFAULT 0,
        size_mismatch INTEGER NOT NULL DEFAULT 0,
        empty INTEGER NOT NULL DEFAULT 0,
        unlisted INTEGER NOT NULL DEFAULT 0,
        protected INTEGER NOT NULL DEFAULT 0,
        seconds REAL NOT NULL DEFAULT 0)""",
                "CREATE INDEX runs_by_site ON runs(site)",
                "CREATE TABLE directories (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
                *_file_tables("invalid"),
                *_file_tables("orphans"),
                *_file_tables("unmerged"),
                *_file_tables("size_mismatches", "remote_size INTEGER NOT NULL,\n        "),
                f"CREATE TABLE empty_directories ({_EMPTY_COLUMNS}, PRIMARY KEY (site, name)) WITHOUT ROWID",
                f"""CREATE TABLE empty_directories_history ({_EMPTY_COLUMNS},
        acted REAL,
        PRIMARY KEY (site, run, name)) WITHOUT ROWID""",
                """CREATE TABLE unlisted (
        site INTEGER NOT NULL REFERENCES sites(id),
        run INTEGER NOT NULL REFERENCES runs(id),
        directory INTEGER NOT NULL REFERENCES directories(id),
        reason INTEGER NOT NULL,
        detail TEXT NOT NULL,
        PRIMARY KEY (site, directory)) WITHOUT ROWID""",
            ),
        ),
        (
            "0002_how_long_a_file_has_been_found",
            (
                *_counters("invalid"),
                *_counters("orphans"),
                """CREATE TABLE reported (
        site INTEGER NOT NULL REFERENCES sites(id),
        findings TEXT NOT NULL,
        run INTEGER NOT NULL REFERENCES runs(id),
        PRIMARY KEY (site, findings, run)) WITHOUT ROWID""",
                *(
                    "INSERT INTO reported(site, findings, run) "
                    f"SELECT site, '{name}', id FROM runs WHERE status IN ('done', 'incomplete')"
                    for name in ("invalid", "orphans", "size_mismatches", "empty_directories")
                ),
                # Only what was acted on has an entry, which is little.
                *(
                    f"CREATE INDEX {name}_acted ON {name}_history(site, acted) WHERE acted IS NOT NULL"
                    for name in ("invalid", "orphans", "unmerged", "empty_directories")
                ),
            ),
        ),
        (
            "0003_what_the_gates_of_a_run_said",
            tuple(
                f"ALTER TABLE runs ADD COLUMN {column}"
                for column in (
                    "inventory_files INTEGER NOT NULL DEFAULT 0",
                    "begun REAL",
                    "gates TEXT NOT NULL DEFAULT '[]'",
                    "accepted INTEGER NOT NULL DEFAULT 0",
                )
            ),
        ),
        (
            "0004_why_files_were_not_judged",
            ("ALTER TABLE runs ADD COLUMN reasons TEXT NOT NULL DEFAULT '{}'",),
        ),
        (
            "0005_what_earlier_runs_could_not_list",
            (
                """CREATE TABLE unlisted_history (
        site INTEGER NOT NULL REFERENCES sites(id),
        run INTEGER NOT NULL REFERENCES runs(id),
        directory INTEGER NOT NULL REFERENCES directories(id),
        reason INTEGER NOT NULL,
        detail TEXT NOT NULL,
        PRIMARY KEY (site, run, directory)) WITHOUT ROWID""",
            ),
        ),
        (
            "0006_files_with_another_checksum",
            (
                *_file_tables("checksum_mismatches", "expected TEXT NOT NULL,\n        found TEXT NOT NULL,\n        "),
                *(
                    f"ALTER TABLE runs ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0"
                    for column in ("checksum_mismatch", "checksums", "checksums_unchecked")
                ),
            ),
        ),
        (
            "0007_where_a_run_looked",
            ("ALTER TABLE runs ADD COLUMN looked TEXT NOT NULL DEFAULT ''",),
        ),
    ),
    (
        "SELECT id, name FROM sites",
        "SELECT id, name FROM directories",
        "SELECT site, findings, run FROM reported",
        *(f"SELECT site, run, directory, reason, detail FROM {table}" for table in ("unlisted", "unlisted_history")),
        f"SELECT id, site, started, finished, status, message, runtime, begun, gates, accepted, reasons, "
        f"looked, {', '.join(COUNTS)} FROM runs",
        *(f"SELECT {columns} FROM {table}" for table, columns in COLUMNS.items()),
        *(f"SELECT {columns}, acted FROM {table}_history" for table, columns in COLUMNS.items()),
    ),
)
"""The history database; see `storage.history`."""
