"""The command invalidate, as an operator types it, on histories that runs have left."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.columns import FileColumns
from engine.findings import Finding, Kind
from engine.site_states import Reporting
from storage.backends.queue import RequestQueue, queue_path
from storage.history import HistoryDatabase, RunCounts, RunStatus, Table
from storage.sites.summary import SummaryDatabase
from tests.cli.loaded import run
from tests.cli.program import environment
from tests.servers.fixtures import ServedDirectory
from tests.servers.xrootd import XRootDServer
from tests.test_docs import keys_of, page_of

A = b"/store/mc/a"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Three sites, of which T2_ACT is set to act. Their store is a directory that has none of the files."""
    (tmp_path / "disk/store/mc/a").mkdir(parents=True)
    configure(tmp_path)
    with SummaryDatabase(tmp_path / "www" / "stats.db") as summary:
        summary.sync({"T2_ACT": True, "T2_DRY": True})
        summary.set_reporting("T2_ACT", Reporting.ACT)
    return tmp_path


def configure(home: Path, **keys: Any) -> None:
    store = {"Doors": [f"file://{home}/disk"]}
    sites = {"T2_ACT": store, "T2_DRY": store, "T3_NEW": store}
    (home / "consistency_config.json").write_text(json.dumps({"Sites": sites, **keys}))


def history(home: Path) -> HistoryDatabase:
    return HistoryDatabase(home / "var" / "db" / "consistency.db")


def miss(home: Path, site: str, *names: bytes, runs: int = 1) -> None:
    """Let runs of a site miss files."""
    with history(home) as database:
        for number in range(runs):
            run_number = database.open_run(site, number, "threads")
            columns = FileColumns.from_rows([(name, 5, 1) for name in names])
            database.stage(run_number, [Finding(Kind.MISSING, A, columns)] if names else [])
            database.finish_run(run_number, number + 1, RunStatus.DONE, RunCounts(), True)


def missing(home: Path, site: str) -> list[bytes]:
    with history(home) as database:
        return [path for path, _, _ in database.missing(site)]


def queued(home: Path) -> list[bytes]:
    return [request.lfn for request in RequestQueue(queue_path(home / "var")).requests("transfers")]


def test_missing_files_are_asked_for_once_and_moved(home: Path) -> None:
    names = (b"one", b"t\xffwo", "dr\u00e9i\n".encode())
    miss(home, "T2_ACT", *names, runs=2)
    miss(home, "T2_DRY", b"other", runs=2)
    ended = run("invalidate", cwd=home)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "T2_ACT: 3 files asked for",
        "T2_DRY: left alone: not set to act",
        "T3_NEW: left alone: not set to act",
    ]
    assert sorted(queued(home)) == sorted(A + b"/" + name for name in names)
    assert missing(home, "T2_ACT") == []
    assert missing(home, "T2_DRY") == [A + b"/other"]
    with history(home) as database:
        acted = list(database.acted("T2_ACT", Table.MISSING))
    assert sorted(row.path for row in acted) == sorted(queued(home))
    assert all(row.acted > 1_700_000_000 for row in acted)
    again = run("invalidate", "T2_ACT", cwd=home)
    assert again.out == "T2_ACT: no missing file to act on\n"
    assert len(queued(home)) == 3


def test_a_dry_run_changes_nothing(home: Path) -> None:
    miss(home, "T2_ACT", b"one", runs=2)
    before = missing(home, "T2_ACT")
    ended = run("invalidate", "T2_ACT", "--dry-run", cwd=home)
    assert ended.out == "T2_ACT: 1 file would be asked for\n"
    assert missing(home, "T2_ACT") == before
    assert not queue_path(home / "var").exists()


def test_what_only_the_last_run_missed_waits(home: Path) -> None:
    miss(home, "T2_ACT", b"old")
    miss(home, "T2_ACT", b"new", b"old")
    ended = run("invalidate", "T2_ACT", cwd=home)
    assert ended.out == "T2_ACT: 1 file asked for, 1 missing in one run only so far, which wait\n"
    assert missing(home, "T2_ACT") == [A + b"/new"]
    assert queued(home) == [A + b"/old"]


def test_files_wait_for_as_many_runs_and_days_as_the_site_wants(home: Path) -> None:
    configure(home, MissingRuns=3)
    miss(home, "T2_ACT", b"old", runs=2)
    ended = run("invalidate", "T2_ACT", cwd=home)
    assert ended.out == "T2_ACT: 0 files asked for, 1 not missing for 3 runs yet, which wait\n"
    miss(home, "T2_ACT", b"old")
    configure(home, MissingRuns=3, MissingDays=1e6)
    ended = run("invalidate", "T2_ACT", cwd=home)
    assert ended.out == "T2_ACT: 0 files asked for, 1 not missing for 3 runs and 1e+06 days yet, which wait\n"
    assert queued(home) == []
    configure(home, MissingRuns=3, MissingDays=1000)
    assert run("invalidate", "T2_ACT", cwd=home).out == "T2_ACT: 1 file asked for\n"


def test_the_first_run_of_a_site_counts(home: Path) -> None:
    miss(home, "T2_ACT", b"one")
    assert run("invalidate", "T2_ACT", cwd=home).out == "T2_ACT: 1 file asked for\n"


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"MaxMissing": 1}, "too-many: too many to act on: 2 missing files, MaxMissing is 1"),
        ({"UseTransferQueue": False}, "UseTransferQueue is false"),
    ],
)
def test_what_is_left_alone(home: Path, keys: dict[str, Any], why: str) -> None:
    configure(home, **keys)
    miss(home, "T2_ACT", b"one", b"two", runs=2)
    assert run("invalidate", "T2_ACT", cwd=home).out == f"T2_ACT: left alone: {why}\n"
    assert len(missing(home, "T2_ACT")) == 2
    assert queued(home) == []


def test_what_has_no_source_stays(home: Path) -> None:
    path = home / "inventory.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE files (lfn, site)")
        rows = [("disk", "T2_B"), ("tape", "T1_C_MSS"), ("disk", "T2_ACT"), ("none", "T2_ACT")]
        database.executemany("INSERT INTO files VALUES ('/store/mc/a/' || ?, ?)", rows)
    configure(home, Inventory=str(path))
    miss(home, "T2_ACT", b"disk", b"none", b"tape", runs=2)
    ended = run("invalidate", "T2_ACT", "--json", cwd=home)
    assert ended.json == {
        "dry_run": False,
        "sites": [
            {
                "site": "T2_ACT",
                "left": "",
                "requested": 2,
                "no_disk": 2,
                "unrecoverable": 1,
                "refused": 0,
                "waiting": 0,
                "back": 0,
                "uncertain": 0,
            },
        ],
    }
    assert sorted(keys_of(page_of("invalidate"))) == sorted(ended.json["sites"][0])  # type: ignore[index]
    assert missing(home, "T2_ACT") == [A + b"/none"]


def test_an_interruption_after_asking_leads_to_a_harmless_second_ask(home: Path) -> None:
    miss(home, "T2_ACT", b"one", runs=2)
    RequestQueue(queue_path(home / "var")).enter("transfers", "T2_ACT", ["/store/mc/a/one"])
    assert run("invalidate", "T2_ACT", cwd=home).code == 0
    assert queued(home) == [A + b"/one"]
    assert missing(home, "T2_ACT") == []


def test_a_registry_that_fails_moves_nothing_and_keeps_no_other_site_back(home: Path) -> None:
    with SummaryDatabase(home / "www" / "stats.db") as summary:
        summary.set_reporting("T2_DRY", Reporting.ACT)
    for site in ("T2_ACT", "T2_DRY"):
        miss(home, site, b"one", runs=2)
    address = "postgresql://me:sesame@127.0.0.1:1/dynamo"
    store = {"Doors": [f"file://{home}/disk"]}
    sites = {"T2_ACT": {"Backend": "dynamo-v1", "SQL": {"URL": address}, **store}, "T2_DRY": store}
    (home / "consistency_config.json").write_text(json.dumps({"Sites": sites}))
    ended = run("invalidate", cwd=home)
    assert ended.code == 2
    assert ended.out == "T2_DRY: 1 file asked for\n"
    assert ended.err.startswith("dynamo-consistency: T2_ACT: dynamo-v1, other copies: ")
    assert "sesame" not in ended.err
    assert missing(home, "T2_ACT") == [A + b"/one"]


def test_a_pattern_that_matches_no_site(home: Path) -> None:
    ended = run("invalidate", "XX", cwd=home)
    assert (ended.code, ended.message) == (2, 'no site matches "XX"; known: T2_ACT, T2_DRY, T3_NEW')


def test_before_anything_was_checked(tmp_path: Path) -> None:
    configure(tmp_path)
    ended = run("invalidate", "T3", cwd=tmp_path)
    assert (ended.code, ended.out) == (0, "T3_NEW: left alone: not set to act\n")
    assert [path.name for path in tmp_path.iterdir()] == ["consistency_config.json"]


def test_a_process_that_is_killed_between_asking_and_writing_it_down(home: Path) -> None:
    """The backend asks the queue, and then kills the process, as an operator might."""
    packages = home / "packages"
    info = packages / "deadly-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: deadly\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[dynamo_consistency.backends]\ndeadly = deadly:Backend\n")
    (packages / "deadly.py").write_text(
        "import os\nfrom storage.backends.queue import RequestQueue, queue_path\n"
        "class Backend:\n"
        "    def __init__(self, config, site): self.queue = RequestQueue(queue_path(site.var_location))\n"
        "    def transfer(self, site, lfns):\n"
        "        self.queue.enter('transfers', site, lfns)\n"
        "        os.kill(os.getpid(), 9)\n"
    )
    miss(home, "T2_ACT", b"one", b"two", runs=2)
    configure(home, Backend="deadly")
    ended = run("invalidate", "T2_ACT", cwd=home, env=environment(PYTHONPATH=str(packages)))
    assert (ended.code, ended.out) == (-9, "")
    assert (len(queued(home)), len(missing(home, "T2_ACT"))) == (2, 2)
    configure(home)
    assert run("invalidate", "T2_ACT", cwd=home).out == "T2_ACT: 2 files asked for\n"
    assert (len(queued(home)), len(missing(home, "T2_ACT"))) == (2, 0)


NAMES = (b"gone", b"back", b"dr\xe9i", *(b"many%d" % number for number in range(10)))


def on_xrootd(home: Path, served: ServedDirectory, **keys: Any) -> None:
    """Let T2_ACT be a site whose files are below a directory of a real server."""
    doors = {"T2_ACT": {"Doors": [f"{served.url}/{served.lfn.decode()}"], "Timeout": 5, "Retries": 1, **keys}}
    (home / "consistency_config.json").write_text(json.dumps({"Sites": doors}))
    (served.path / "store/mc/a").mkdir(parents=True)


@pytest.mark.parametrize("runtime", ["threads", "ray"])
def test_what_is_there_again_is_not_asked_for(home: Path, xrootd_directory: ServedDirectory, runtime: str) -> None:
    on_xrootd(home, xrootd_directory)
    for name in ("back", "many3"):
        (xrootd_directory.path / "store/mc/a" / name).touch()
    miss(home, "T2_ACT", *NAMES, runs=2)
    ended = run("invalidate", "T2_ACT", "--dry-run", "--runtime", runtime, cwd=home)
    assert ended.out == "T2_ACT: 11 files would be asked for, 2 missing before and there now\n"
    assert run("invalidate", "T2_ACT", cwd=home).out == "T2_ACT: 11 files asked for, 2 missing before and there now\n"
    assert missing(home, "T2_ACT") == [A + b"/back", A + b"/many3"]
    assert sorted(queued(home)) == sorted(A + b"/" + name for name in NAMES if name not in (b"back", b"many3"))
    again = run("invalidate", "T2_ACT", "--json", cwd=home).json["sites"][0]
    assert (again["requested"], again["back"], again["uncertain"]) == (0, 2, 0)


def test_a_directory_that_may_not_be_searched_leaves_its_files(home: Path, xrootd_directory: ServedDirectory) -> None:
    on_xrootd(home, xrootd_directory)
    miss(home, "T2_ACT", b"gone", runs=2)
    (xrootd_directory.path / "store/mc/a").chmod(0)
    assert run("invalidate", "T2_ACT", cwd=home).out == "T2_ACT: 0 files asked for, 1 without a certain answer\n"
    assert queued(home) == []
    (xrootd_directory.path / "store/mc/a").chmod(0o755)
    assert run("invalidate", "T2_ACT", cwd=home).out == "T2_ACT: 1 file asked for\n"


@pytest.mark.parametrize("silent", [False, True])
def test_a_store_that_does_not_answer_leaves_its_site_alone(
    home: Path, start_xrootd: Callable[..., XRootDServer], silent: bool
) -> None:
    server = start_xrootd()
    (server.store / "mc/a").mkdir(parents=True)
    doors = {"T2_ACT": {"Doors": [server.url], "Timeout": 2, "Retries": 0}}
    (home / "consistency_config.json").write_text(json.dumps({"Sites": doors}))
    miss(home, "T2_ACT", b"gone", runs=2)
    server.pause() if silent else server.kill()
    ended = run("invalidate", "T2_ACT", "--json", cwd=home)
    (site,) = ended.json["sites"]
    assert (ended.code, site["requested"]) == (0, 0)
    assert site["uncertain"] == 1 or site["left"].startswith("recheck: ")
    assert (queued(home), missing(home, "T2_ACT")) == ([], [A + b"/gone"])
    assert run("invalidate", "T2_ACT", "--without-asking", cwd=home).out == "T2_ACT: 1 file asked for\n"


@pytest.mark.parametrize("site", [{}, {"AccessMethod": "RAL-Reader", "Dump": "dump"}])
def test_a_site_that_cannot_be_asked_is_left_alone(home: Path, site: dict[str, str]) -> None:
    """One without doors, and one whose dump is not there."""
    (home / "consistency_config.json").write_text(json.dumps({"Sites": {"T2_ACT": site}}))
    miss(home, "T2_ACT", b"gone", runs=2)
    ended = run("invalidate", "T2_ACT", cwd=home)
    assert ended.out.startswith("T2_ACT: left alone: recheck: the site T2_ACT")
    assert ended.out.endswith("; with --without-asking nobody is asked\n")
    assert queued(home) == []
    assert run("invalidate", "T2_ACT", "--without-asking", cwd=home).out == "T2_ACT: 1 file asked for\n"
    assert queued(home) == [A + b"/gone"]
