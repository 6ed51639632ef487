"""Runs of a site that are killed and gone on with, and what is left of them, held against a run that was not.

A `KillableSite` is made once: a store on a real server, an inventory that differs from it in every way, and the home of
a site that has been checked once before and acts since. Every trial is a check in a copy of that home.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.site_states import Reporting, SiteStatus
from storage.backends.queue import RequestQueue, queue_path
from storage.history import HistoryDatabase, RunStatus
from storage.history.tables import Table
from storage.page.install import install_page
from storage.runs.directory import RunDirectory, directory_name
from storage.sites.summary import SummaryDatabase
from storage.snapshot import Snapshot
from tests.cli.loaded import run
from tests.cli.program import PATIENCE, PROGRAM, Ended, environment, wait_for
from tests.faults.site import OLD, FaultySite
from tests.servers.processes import is_running, processes_below
from tests.servers.xrootd import XRootDServer

LISTERS, IN_FLIGHT = 2, 4

HELD = LISTERS * 3 * IN_FLIGHT
"""Directories that all listers together may have in hand: in flight, in the message under way, and in the next one."""

_REQUEST = re.compile(r"Xrootd_Protocol: (?:(dirstat|dirlist) entries=\d+ path=|rc=\S+ (stat|dirlist) )(.*)")

_SAY_NOTHING = frozenset(("site", "run", "entered", "since"))
"""Columns of findings that are left out of the comparison: numbers of the database, and times of this run."""


def _shared_memory() -> set[Path]:
    """Name the files of Ray's in shared memory."""
    return set(Path("/dev/shm").glob("plasma*"))


@dataclass(frozen=True)
class Left:
    """What a check has left, without what must differ from one run to the next.

    The lists are whole, but for the times in the one of used storage. Of the findings, also those that were replaced,
    all is there but the numbers of runs and the times at which they were entered; of the snapshots all but when a
    directory was listed and a file was written, and the order of its frames; of the requests all but their times; of
    the summary all but when a run was entered and how long it took.
    """

    lists: dict[str, bytes]
    findings: dict[str, list[tuple[Any, ...]]]
    runs_with_findings: int
    listing: list[tuple[Any, ...]]
    inventory: list[tuple[Any, ...]]
    asked: list[tuple[str, str, bytes, str]]
    summary: list[tuple[Any, ...]]

    def differences(self, other: Left) -> list[str]:
        """Name the parts in which this one differs from another."""
        parts = []
        for name in ("lists", "findings"):
            ours, theirs = getattr(self, name), getattr(other, name)
            parts += [f"{name}: {key}" for key in sorted({*ours, *theirs}) if ours.get(key) != theirs.get(key)]
        names = ("runs_with_findings", "listing", "inventory", "asked", "summary")
        return parts + [name for name in names if getattr(self, name) != getattr(other, name)]


@dataclass(frozen=True)
class Trial:
    """One check with its kills: what it left, what it asked the store, how its processes ended, what died when."""

    left: Left
    requests: Counter[str]
    statuses: list[RunStatus]
    story: list[str]


class KillableSite:
    """See the module. ``directories`` hold a file or two each; ``home`` is where the trials are made."""

    def __init__(self, server: XRootDServer, home: Path, directories: int, runtime: str = "threads") -> None:
        self._server = server
        self._home = home
        self._numbers = itertools.count(1)
        self.runtime = runtime
        self.env: dict[str, str] = {}
        template = home / "template"
        template.mkdir()
        self._template = FaultySite(template, [server.store], "/store", [server.url])
        self._template.tops = ["data", "mc"]
        self._fill(directories)
        self._first_run()
        self.touches = 0
        self.seconds = 0.0
        self.undisturbed = self._reference()

    def trial(self) -> FaultySite:
        """Make a site of its own for one check."""
        home = self._home / f"trial{next(self._numbers)}"
        shutil.copytree(self._template.home, home)
        site = replace(self._template, home=home, runtime=self.runtime, env=self.env)
        site.configure(MaxMissing=1000)
        return site

    def start(
        self, site: FaultySite, die_at: int | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a check as the leader of a group of processes; it dies when it touches the disk for the n-th time."""
        command = [PROGRAM] if die_at is None else [sys.executable, "-m", "tests.faults.dying", str(die_at), "count"]
        more = ("check", "--json", "--listers", str(LISTERS), "--in-flight", str(IN_FLIGHT), site.name)
        return subprocess.Popen(
            [*command, *more],
            cwd=site.home,
            env=environment(PYTHONPATH=str(Path(__file__).parents[2]), **site.env) | dict(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def requests(self) -> Counter[str]:
        """Count what the server was asked below the top directories so far, by what and where."""
        asked: Counter[str] = Counter()
        for match in _REQUEST.finditer(self._server.log):
            listed, other, path = match.groups()
            if path.startswith(("/store/data", "/store/mc")):
                asked[f"{listed or other} {path}"] += 1
        return asked

    def run(self, kill: Callable[[FaultySite, int, list[str]], Ended | None], kills: int) -> Trial:
        """Check, with up to so many kills, each by a call of ``kill`` with the site, its number and the story.

        It gives how the program ended by itself, or None when it was killed.
        """
        site = self.trial()
        before, shared = self.requests(), _shared_memory()
        story: list[str] = []
        for number in range(kills):
            kill(site, number, story)
            if is_over(site):
                break
        for _ in range(4):
            if is_over(site):
                break
            ended = wait_for(self.start(site))
            story.append(f"ended with {ended.code}: {ended.err.strip()}")
        assert is_over(site), story
        assert not RunDirectory(site.home / "var", site.name).is_locked(), story
        wait_until(lambda: not _shared_memory() - shared, f"no shared memory left: {story}")
        asked = self.requests()
        asked.subtract(before)
        statuses = [run.status for run in _history(site).runs(site.name)]
        site.assert_true()
        trial = Trial(left_by(site), asked, statuses, story)
        shutil.rmtree(site.home)
        return trial

    def _fill(self, directories: int) -> None:
        site = self._template
        for number in range(directories):
            site.put(f"{_directory(number)}/kept.root")
        site.put("data/odd/a b%41?#.root", known=False)
        for number in range(4, directories, 17):
            site.put(f"{_directory(number)}/left.root", known=False)
            site.know(f"{_directory(number)}/lost.root")
        site.put("mc/hidden/kept.root")
        site.path("mc/hidden").chmod(0o700 if os.geteuid() == 0 else 0)
        site.know("mc/gone/lost.root")
        site.know("mc/gone/below/lost.root")

    def _first_run(self) -> None:
        """Check once; then more is found, and what was found before is found again."""
        site = self._template
        self._settle()
        site.prepare()
        ended = site.check(site.name)
        assert ended.code == 0, ended.err
        for number in range(5, len(site.known), 31):
            site.put(f"{_directory(number)}/more.root", known=False)
            site.know(f"{_directory(number)}/less.root")
        for number in range(6, len(site.known), 41):
            site.put(f"{_directory(number)}/other.root", 10)
            site.know(f"{_directory(number)}/other.root", 11)
        site.make("data/empty/of/all")
        site.make("mc/empty")
        self._settle()
        site.prepare()
        with SummaryDatabase(site.web / "stats.db") as summary:
            summary.set_reporting(site.name, Reporting.ACT)

    def _settle(self) -> None:
        for directory, _, _ in os.walk(self._server.store):
            os.utime(directory, (OLD, OLD))

    def _reference(self) -> Trial:
        """Check without a kill, twice, which must lead to the same; the touches of the disk are counted."""
        site = self.trial()
        ended = wait_for(self.start(site, 0))
        assert ended.code == 0, ended.err
        self.touches = int((site.home / "count").read_text())
        begun = time.monotonic()
        trial = self.run(lambda _site, _number, _story: None, 0)
        self.seconds = time.monotonic() - begun
        assert trial.left.differences(left_by(site)) == []
        shutil.rmtree(site.home)
        return trial


def _directory(number: int) -> str:
    return f"{('data', 'mc')[number % 2]}/{number % 30}/{number}"


def is_over(site: FaultySite) -> bool:
    """Whether the check after the first one is over: there is nothing to go on with, and it is in the history."""
    ended = (RunStatus.DONE, RunStatus.INCOMPLETE)
    if (site.home / f"var/runs/{site.name}/run.json").exists():
        return False
    with _history(site) as history:
        return sum(run.status in ended for run in history.runs(site.name)) > 1


def left_by(site: FaultySite) -> Left:
    """Read what a check has left; nothing half-written is there, and the site is nobody's."""
    # A page that was being built at the very end is cleared up by whoever builds the next one, and a site that a
    # process left when its run was over is freed by whoever looks at it.
    install_page(site.web)
    sites = run("sites", "--json", cwd=site.home).json["sites"]
    assert [row["status"] for row in sites] == ["ready"]
    assert not list(site.home.rglob("*.tmp")), list(site.home.rglob("*.tmp"))
    assert not list(site.home.rglob("*.part")), list(site.home.rglob("*.part"))
    lists = {path.name: path.read_bytes() for path in site.web.glob(f"{directory_name(site.name)}_*")}
    storage = f"{directory_name(site.name)}_storage.json"
    lists[storage] = re.sub(rb'"(latestupdate|timestamp)": \d+', b"", lists[storage])
    with _history(site) as history:
        runs_with_findings = history.runs_with_findings(site.name)
    runs = site.home / "var/runs" / site.name
    queue = RequestQueue(queue_path(site.home / "var"))
    tables: tuple[Any, ...] = ("deletions", "transfers")
    asked = [(table, row.site, row.lfn, row.status) for table in tables for row in queue.requests(table)]
    with SummaryDatabase.reading(site.web / "stats.db") as summary:
        row = summary.site(site.name)
        assert (row.status, row.owner) == (SiteStatus.READY, None)
        rows = [replace(row, entered=0, seconds=0) for row in summary.history(site.name)]
    return Left(
        lists,
        _findings(site.home / "var/db/consistency.db"),
        runs_with_findings,
        _content(runs / "listing.snapshot"),
        _content(runs / "inventory.snapshot"),
        asked,
        [tuple(getattr(row, name) for name in row.__dataclass_fields__) for row in rows],
    )


def _history(site: FaultySite) -> HistoryDatabase:
    return HistoryDatabase(site.home / "var/db/consistency.db")


def _findings(database: Path) -> dict[str, list[tuple[Any, ...]]]:
    tables = [f"{table}{twin}" for table in Table for twin in ("", "_history")] + ["unlisted"]
    found = {}
    with closing(sqlite3.connect(database)) as connection:
        connection.text_factory = bytes
        names = dict(connection.execute("SELECT id, name FROM directories"))
        for table in tables:
            columns = [row[1].decode() for row in connection.execute(f"PRAGMA table_info({table})")]
            kept = [column for column in columns if column not in _SAY_NOTHING]
            rows = connection.execute(f"SELECT {', '.join(kept)} FROM {table}").fetchall()
            where = kept.index("directory") if "directory" in kept else None
            if where is not None:
                rows = [(*row[:where], names[row[where]], *row[where + 1 :]) for row in rows]
            found[table] = sorted(rows, key=repr)
    return found


def _content(path: Path) -> list[tuple[Any, ...]]:
    snapshot = Snapshot(path)
    snapshot.verify()
    table = snapshot.table
    rows = []
    for row, name in enumerate(table.paths):
        files = table.load(row)
        columns = (files.names, bytes(files.sizes), bytes(files.mtimes))
        said = (table.states[row], table.reasons[row], table.details.get(row), table.mtimes[row])
        rows.append((name, *said, table.digest(row), *columns))
    snapshot.close()
    return rows


def repeated(trial: Trial, undisturbed: Trial, what: str) -> int:
    """Count the requests of a kind that were made more often than in the undisturbed run."""
    surplus = trial.requests - undisturbed.requests
    return sum(count for request, count in surplus.items() if request.startswith(what))


def lacking(trial: Trial, undisturbed: Trial) -> list[str]:
    """Name the requests of the undisturbed run that were not made."""
    return sorted(request for request in undisturbed.requests if trial.requests[request] <= 0)


def wait_until(happened: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Wait until something happened."""
    give_up = time.monotonic() + patience
    while not happened():
        assert time.monotonic() < give_up, what
        time.sleep(0.02)


def end(process: subprocess.Popen[str], group: bool) -> None:
    """Kill the program, or all processes of its group; whatever it has started ends as well, without more."""
    below = processes_below(process.pid)
    if group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.communicate()
    wait_until(lambda: not any(map(is_running, below)), f"still there: {list(map(title_of, below))}")


def title_of(process: int) -> str:
    """Give the command line of a process, which names the actor on Ray."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def find_below(process: subprocess.Popen[str], words: str) -> Iterator[int]:
    """Give the processes that a program has started whose command line contains the words."""
    return (below for below in processes_below(process.pid) if words in title_of(below))
