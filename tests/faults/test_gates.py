"""Stores and inventories that are not what they were, and runs that saw too little: the gates of docs/safety.md."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from engine.site_states import Reporting
from storage.backends.queue import RequestQueue, queue_path
from storage.history import HistoryDatabase, RunRow
from storage.runs.directory import directory_name
from storage.sites.summary import SummaryDatabase
from tests.cli.loaded import run
from tests.cli.program import Ended, eventually
from tests.faults.site import FaultySite
from tests.servers.xrootd import XRootDServer

_DIRECTORIES = 12


def _fill(site: FaultySite, per_directory: int = 5) -> None:
    """Make two tops with directories of files, one file missing and one orphan; the site is set to act."""
    site.tops = ["data", "mc"]
    for number in range(_DIRECTORIES):
        for file in range(per_directory):
            site.put(f"{site.tops[number % 2]}/{number}/file{file}.root", 1000)
    site.know("mc/1/lost.root", 1000)
    site.put("data/0/left.root", 3000, known=False)
    with SummaryDatabase(site.web / "stats.db") as summary:
        summary.sync({site.name: True})
        summary.set_reporting(site.name, Reporting.ACT)


def _hide(site: FaultySite, name: str) -> None:
    """Let the server, which runs as another user, not read a directory."""
    site.path(name).chmod(0o700 if os.geteuid() == 0 else 0)


def _show(site: FaultySite, name: str) -> None:
    site.path(name).chmod(0o755)


def _history(site: FaultySite) -> HistoryDatabase:
    return HistoryDatabase(site.home / "var/db/consistency.db")


def _last(site: FaultySite) -> RunRow:
    with _history(site) as history:
        return history.runs(site.name)[0]


def _findings(site: FaultySite) -> tuple[list[bytes], list[bytes]]:
    with _history(site) as history:
        missing = [path for path, _, _ in history.missing(site.name)]
        return missing, [path for path, _, _ in history.orphans(site.name)]


def _asked(site: FaultySite) -> int:
    """Count what was asked of the registry."""
    path = queue_path(site.home / "var")
    if not path.exists():
        return 0
    queue = RequestQueue(path)
    return sum(len(list(queue.requests(table, site.name))) for table in ("deletions", "transfers"))


def _page(site: FaultySite) -> str:
    return (site.web / "sites" / f"{directory_name(site.name)}.html").read_text()


def _lists(site: FaultySite) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(site.web.glob("*compare*"))}


def _told_history(site: FaultySite) -> dict[str, Any]:
    ended = run("history", site.name, "--json", cwd=site.home)
    newest: dict[str, Any] = ended.json["runs"][0]
    return newest


def _assert_refused(site: FaultySite, ended: Ended, gate: str, *figures: str) -> None:
    """One line names the gate and its figures, wherever a run is told of, and nothing else has changed."""
    assert ended.code == 4, ended
    last = _last(site)
    assert last.status == "failed"
    assert [closed.gate for closed in last.signs.gates] == [gate]
    line = f"{gate}: {last.signs.gates[0].message}"
    assert all(words in line for words in figures), line
    assert last.message == line
    assert ended.err.splitlines()[-1].endswith(line)
    log = (site.web / f"{directory_name(site.name)}.log").read_text()
    assert line in log
    assert _told_history(site)["gates"] == [{"gate": gate, "message": last.signs.gates[0].message}]
    assert "Needs a look" in _page(site)
    assert f"the last run failed: {line}" in _page(site)


def _assert_left(site: FaultySite, ended: Ended, gates: dict[str, str]) -> None:
    """The run is reported whole; nothing was asked for, and each gate is named with its figures."""
    assert ended.code == 0, ended
    site.assert_true()
    assert _asked(site) == 0
    assert {gate["gate"]: gate["message"] for gate in ended.json["gates"]} == gates
    last = _last(site)
    assert {gate.gate: gate.message for gate in last.signs.gates} == gates
    log = (site.web / f"{directory_name(site.name)}.log").read_text()
    assert last.message.startswith("not acted on: ")
    for gate, message in gates.items():
        assert f"{gate}: {message}" in last.message
        assert f"{gate}: {message}" in log
        assert f"not acted on: gate {gate}: {message}" in _page(site)
    assert "Needs a look" in _page(site)
    assert _told_history(site)["gates"] == ended.json["gates"]


@pytest.mark.fault(
    "the gates", "the store is mounted empty", "refused, `zero-files`; the findings before stay, nothing is asked for"
)
def test_a_store_that_is_mounted_empty(site: FaultySite) -> None:
    _fill(site)
    site.prepare(MaxMissing=0)
    assert site.check().code == 0
    lists, findings = _lists(site), _findings(site)
    for top in site.tops:
        site.path(top).rename(site.path(f"{top}-hidden"))
        site.make(top)
    ended = site.check()
    _assert_refused(site, ended, "zero-files", "0 files where the inventory has 61")
    assert (_lists(site), _findings(site), _asked(site)) == (lists, findings, 0)


@pytest.mark.fault(
    "the gates",
    "half of the store is gone, as when one of its mounts is",
    "refused, `fewer-files`; the findings before stay; accepted, it goes on from what was listed and becomes the usual",
)
def test_half_of_the_store_is_gone(site: FaultySite) -> None:
    _fill(site)
    site.prepare(MaxMissing=0)
    assert site.check().code == 0
    lists, findings = _lists(site), _findings(site)
    for number in range(2, _DIRECTORIES - 1):
        site.path(f"{site.tops[number % 2]}/{number}").rename(site.path(f"hidden-{number}"))
    ended = site.check()
    figures = "the store has 16 files where the last runs had 61, MinFiles is 0.5"
    _assert_refused(site, ended, "fewer-files", figures)
    assert (_lists(site), _findings(site), _asked(site)) == (lists, findings, 0)
    # The mount comes back: what was listed without it is not gone on with.
    site.path("hidden-2").rename(site.path("data/2"))
    again = site.check()
    _assert_refused(site, again, "fewer-files", "the store has 21 files")
    accepted = site.check("--accept-fewer")
    assert accepted.code == 0, accepted
    assert accepted.json["resumed"] > 0
    assert (accepted.json["requests"] > 0, accepted.json["missing"]) == (True, 41)
    site.assert_true()
    assert _last(site).message.startswith("accepted: fewer-files: the store has 21 files")
    assert _told_history(site)["accepted"] is True
    after = site.check()
    assert (after.code, after.json["resumed"]) == (0, 0)


@pytest.mark.quick_on("threads")
@pytest.mark.fault(
    "the gates",
    "the inventory is cut off: valid, and less than half of its lines",
    "refused, `fewer-files`, before the store is asked anything; no orphan is made of what it lacks",
)
def test_half_of_the_inventory_is_gone(site: FaultySite, runtime: str) -> None:
    _fill(site)
    site.prepare()
    assert site.check().code == 0
    lists, findings, asked = _lists(site), _findings(site), _asked(site)
    lines = site.inventory.read_bytes().splitlines(keepends=True)
    site.inventory.write_bytes(b"".join(lines[:25]))
    ended = site.check()
    _assert_refused(site, ended, "fewer-files", "the inventory has 24 files where the last runs had 61")
    assert _last(site).counts.requests == 0
    assert (_lists(site), _findings(site), _asked(site)) == (lists, findings, asked)
    site.inventory.write_bytes(b"".join(lines))
    assert site.check().code == 0
    site.assert_found(["mc/1/lost.root"], ["data/0/left.root"])


@pytest.mark.fault(
    "the gates",
    "one of two top directories cannot be listed",
    "the other one is reported; nothing is acted on, `top`, not even by `invalidate` later; the rest is not judged",
)
def test_one_top_directory_fails(site: FaultySite) -> None:
    _fill(site)
    site.prepare(MaxUnlisted=1)
    _hide(site, "data")
    try:
        ended = site.check()
        _assert_left(site, ended, {"top": f"could not be listed: {site.lfn}/data"})
        site.assert_found(["mc/1/lost.root"])
        assert site.unlisted() == {b"data": "permission denied"}
        later = run("invalidate", "--json", cwd=site.home)
        assert later.json["sites"][0]["left"] == f"top: could not be listed: {site.lfn}/data"
        assert _asked(site) == 0
    finally:
        _show(site, "data")


@pytest.mark.quick_on("ray")
@pytest.mark.fault(
    "the gates",
    "too many directories cannot be listed",
    "what was listed is reported; nothing is acted on, `unlisted`, not even by `invalidate` later",
)
def test_too_many_directories_are_unlisted(site: FaultySite, runtime: str) -> None:
    _fill(site)
    site.prepare()
    hidden = [f"{site.tops[number % 2]}/{number}" for number in range(2, 6)]
    for name in hidden:
        _hide(site, name)
    try:
        ended = site.check()
        figures = "4 of 14 directories are unlisted, MaxUnlisted is 0.1"
        _assert_left(site, ended, {"unlisted": figures})
        site.assert_found(["mc/1/lost.root"], ["data/0/left.root"])
        later = run("invalidate", "--json", cwd=site.home)
        assert later.json["sites"][0]["left"] == f"unlisted: {figures}"
        site.configure(MaxUnlisted=0.5)
        allowed = site.check()
        assert (allowed.code, allowed.json["gates"], _asked(site)) == (0, [], 2)
    finally:
        for name in hidden:
            _show(site, name)


@pytest.mark.fault(
    "the gates",
    "more is missing or orphaned than MaxMissing and MaxOrphan allow, in number, as a fraction, in bytes",
    "all is reported, nothing is acted on, `too-many`, and each limit that is exceeded is named; up to them it acts",
)
def test_more_than_the_limits(site: FaultySite) -> None:
    _fill(site)
    limits = [
        ({"MaxMissing": 0}, "1 missing files, MaxMissing is 0"),
        ({"MaxOrphan": 0}, "1 orphans, MaxOrphan is 0"),
        (
            {"MaxMissingFraction": 0.016},
            "1 missing files where the inventory has 61 files, MaxMissingFraction is 0.016",
        ),
        ({"MaxOrphanFraction": 0.016}, "1 orphans where the store has 61 files, MaxOrphanFraction is 0.016"),
        ({"MaxMissingSize": 999}, "1,000 bytes of missing files, MaxMissingSize is 999"),
        ({"MaxOrphanSize": "2.999kB"}, "3,000 bytes of orphans, MaxOrphanSize is 2,999"),
        ({"MaxOrphan": 0, "MaxMissingSize": 0}, "1,000 bytes of missing files, MaxMissingSize is 0; 1 orphans, MaxOr"),
    ]
    for keys, figures in limits:
        site.prepare(**keys)
        ended = site.check()
        (gate,) = ended.json["gates"]
        assert gate["message"].startswith(f"too many to act on: {figures}")
        _assert_left(site, ended, {"too-many": gate["message"]})
        site.assert_found(["mc/1/lost.root"], ["data/0/left.root"])
    enough = {"MaxMissing": 1, "MaxOrphan": 1, "MaxMissingSize": 1000, "MaxOrphanSize": "3kB"}
    site.prepare(**enough, MaxMissingFraction=0.02, MaxOrphanFraction=0.02)
    ended = site.check()
    assert (ended.code, ended.json["gates"], _asked(site)) == (0, [], 2)


@pytest.mark.fault(
    "the gates",
    "the findings are older than MaxRunAge: a run goes on after a long halt, or `invalidate` comes late",
    "all is reported, nothing is acted on, `old`",
)
def test_findings_that_are_too_old(
    start_xrootd: Callable[..., XRootDServer], make_site: Callable[..., FaultySite]
) -> None:
    server = start_xrootd()
    site = make_site([server.store], "/store", [server.url])
    _fill(site)
    site.prepare(MaxMissing=0, ListAge=9)
    assert site.check().code == 0
    site.configure(MaxRunAge=1e-7, ListAge=9)
    left = run("invalidate", "--json", cwd=site.home).json["sites"][0]["left"]
    assert left.startswith("old: the inventory was read 0.00 days ago, MaxRunAge is 1e-07")
    # A run that reads its inventory, is killed, and is gone on with two and a half days later.
    server.pause()
    process = site.start_check()
    state = site.home / "var/runs" / directory_name(site.name) / "run.json"
    eventually(
        "the inventory is read", lambda: state.exists() and '"inventory_read": true' in state.read_text(), process
    )
    process.kill()
    process.communicate()
    server.resume()
    begun = json.loads(state.read_text())
    state.write_text(json.dumps({**begun, "started": begun["started"] - 2.5 * 86400}))
    site.configure(MaxRunAge=2, ListAge=9)
    ended = site.check()
    _assert_left(site, ended, {"old": "the inventory was read 2.50 days ago, MaxRunAge is 2"})
    site.assert_found(["mc/1/lost.root"], ["data/0/left.root"])
    assert _told_history(site)["begun"] == begun["started"] - 2.5 * 86400
    later = run("invalidate", "--json", cwd=site.home).json["sites"][0]
    assert later["left"] == "old: the inventory was read 2.50 days ago, MaxRunAge is 2"
