"""Stores that go silent in the middle of a listing: for a while, and for good."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from subprocess import Popen

import pytest

from tests.cli.program import Ended, eventually, wait_for
from tests.faults.kills import find_below, wait_until
from tests.faults.site import FaultySite
from tests.servers.processes import is_running, processes_below
from tests.servers.xrootd import XRootDServer

_WIDE = 400
"""So many directories that a listing with one request at a time can be caught in the middle."""

_SLOWLY = ("--listers", "1", "--in-flight", "1")


@pytest.fixture
def server(start_xrootd: Callable[..., XRootDServer]) -> XRootDServer:
    """A server that may be paused."""
    return start_xrootd()


@pytest.fixture
def site(server: XRootDServer, make_site: Callable[..., FaultySite]) -> FaultySite:
    """A site with much to list, one missing file, one orphan and one empty directory."""
    site = make_site([server.store], "/store", [server.url])
    site.plant_wide(_WIDE)
    return site


def _children(process: Popen[str], program: str) -> list[int]:
    """Give the processes of a program that descend from another one."""
    parents: dict[int, tuple[int, str]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = entry.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        parents[int(entry.parent.name)] = (int(rest.split()[1]), name)

    def descends(pid: int) -> bool:
        while pid in parents:
            pid = parents[pid][0]
            if pid == process.pid:
                return True
        return False

    return [pid for pid, (_, name) in parents.items() if name == program and descends(pid)]


def _silenced_in_the_middle(site: FaultySite, server: XRootDServer, seconds: float | None = None) -> Ended:
    """Stop the server when a part of the site is in the journal, for ``seconds`` or until the run is over."""
    process = site.start_check(*_SLOWLY)
    eventually("begun to list", lambda: site.listed > 3, process)
    server.pause()
    if seconds is not None:
        time.sleep(seconds)
        server.resume()
    ended = wait_for(process)
    server.resume()
    return ended


@pytest.mark.fault(
    "stalls", "the store goes silent in the middle of a listing and comes back", "the run goes on; all is listed"
)
def test_a_store_that_comes_back(site: FaultySite, server: XRootDServer) -> None:
    site.prepare(Timeout=2, Retries=6)
    site.assert_wide(_silenced_in_the_middle(site, server, 5.0))


@pytest.mark.quick_on("ray")
@pytest.mark.fault(
    "stalls",
    "the store goes silent in the middle of a listing for good",
    "the run ends with one line that says what it waited for; the next one asks for nothing again that was listed",
)
def test_a_store_that_does_not_come_back(site: FaultySite, server: XRootDServer, runtime: str) -> None:
    site.prepare(Timeout=1, Retries=6, StallMinutes=0.05)
    ended = _silenced_in_the_middle(site, server)
    assert ended.code == 4
    last = ended.err.splitlines()[-1]
    assert last.startswith(f"dynamo-consistency: {site.name}: nothing has answered for ")
    assert "waiting for /store/data/" in last
    assert last.endswith("the next run goes on from there")
    assert not list(site.web.glob("*_compare_*"))
    # The one that waited was replaced once, before the run was given up.
    assert f"lister:{site.name}:1 is replaced: it waits for answers and gets none" in site.log
    assert f"lister:{site.name}:2 is replaced" not in site.log

    # On a busy machine a lister may need longer than that to begin.
    site.configure(Retries=6)
    again = site.check()
    site.assert_wide(again)
    assert again.json["resumed"] > 3
    # One question for each directory that is left, and those that confirm what is missing.
    assert again.json["requests"] <= again.json["directories"] - again.json["resumed"] + 4


@pytest.mark.soak
@pytest.mark.fault(
    "stalls",
    "on Ray the head is killed (kill -9) while the store is silent",
    "the run ends with one line that names the head, before Ray ends the program, and takes its node with it; the next "
    "run asks for nothing again that was listed",
)
def test_ray_loses_its_head_while_the_store_is_silent(site: FaultySite, server: XRootDServer) -> None:
    # The names of sockets are short.
    with tempfile.TemporaryDirectory(prefix="stalls") as directory:
        site.runtime, site.env = "ray", {"RAY_TMPDIR": directory}
        site.prepare(Timeout=100)
        process = site.start_check(*_SLOWLY)
        eventually("begun to list", lambda: site.listed > 3, process)
        server.pause()
        below = processes_below(process.pid)
        os.kill(next(find_below(process, "gcs_server")), signal.SIGKILL)
        ended = wait_for(process)
        server.resume()
        assert ended.code == 4
        last = ended.err.splitlines()[-1]
        assert last.startswith(f"dynamo-consistency: {site.name}: Ray's head at 127.0.0.1:")
        assert last.endswith("what was listed is kept, and the next run goes on from there")
        wait_until(lambda: not any(map(is_running, below)), "processes of Ray are left")
        again = site.check()
    site.assert_wide(again)
    assert again.json["resumed"] > 3


@pytest.mark.fault(
    "stalls",
    "each xrdfs shell of a lister is stopped in the middle of a listing and never goes on",
    "it is ended and another one asked; all is listed",
)
def test_shells_that_hang(site: FaultySite) -> None:
    site.prepare(Timeout=2, Retries=6, AccessMethod="directx")
    process = site.start_check(*_SLOWLY)
    eventually("begun to list", lambda: site.listed > 3, process)
    stopped = _children(process, "xrdfs")
    assert stopped
    for pid in stopped:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    site.assert_wide(wait_for(process))
    assert not any(Path(f"/proc/{pid}").exists() for pid in stopped)
