"""The schema of the summary database; see `storage.sites.summary`."""

from __future__ import annotations

from storage.migrations import Schema

# The two tables of results have the same columns in the same order, so that a row moves as it is.
_RESULTS = """
        time REAL NOT NULL,
        files INTEGER NOT NULL,
        nodes INTEGER NOT NULL,
        empty INTEGER NOT NULL,
        cores INTEGER NOT NULL,
        missing INTEGER NOT NULL,
        m_size INTEGER NOT NULL,
        orphan INTEGER NOT NULL,
        o_size INTEGER NOT NULL,
        entered TEXT NOT NULL,
        nosource INTEGER NOT NULL,
        unlisted INTEGER NOT NULL,
        unmerged INTEGER NOT NULL,
        unlisted_bad INTEGER NOT NULL,
        unmergedlogs INTEGER NOT NULL,
        unrecoverable INTEGER NOT NULL"""

# Which sign of life of which process.
_BEAT = """
        pid INTEGER NOT NULL,
        host TEXT NOT NULL,
        process TEXT NOT NULL,
        beat INTEGER NOT NULL"""

SUMMARY = Schema(
    "summary",
    0x64637331,
    (
        (
            "0001_sites_and_results",
            (
                """CREATE TABLE sites (
        site TEXT NOT NULL PRIMARY KEY,
        isgood INTEGER NOT NULL DEFAULT 0 CHECK (isgood IN (0, 1)),
        isrunning INTEGER NOT NULL DEFAULT 0 CHECK (isrunning IN (-2, -1, 0, 1, 2)),
        laststarted TEXT,
        isready INTEGER NOT NULL DEFAULT 0 CHECK (isready IN (0, 1)),
        pid INTEGER,
        host TEXT,
        process TEXT)""",
                f"CREATE TABLE stats (\n        site TEXT NOT NULL PRIMARY KEY,{_RESULTS})",
                f"CREATE TABLE stats_history (\n        site TEXT NOT NULL,{_RESULTS})",
                "CREATE INDEX stats_history_by_site ON stats_history(site, entered)",
            ),
        ),
        (
            "0002_heartbeats",
            (
                f"""CREATE TABLE heartbeats (
        site TEXT NOT NULL PRIMARY KEY,{_BEAT},
        given TEXT NOT NULL,
        phase TEXT NOT NULL,
        directories INTEGER NOT NULL,
        files INTEGER NOT NULL,
        note TEXT NOT NULL)""",
                f"""CREATE TABLE heartbeats_seen (
        site TEXT NOT NULL,
        observer TEXT NOT NULL,{_BEAT},
        since REAL NOT NULL,
        PRIMARY KEY (site, observer))""",
            ),
        ),
    ),
)
