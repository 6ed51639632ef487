"""Programs below a lister that hang, fail, or end before they have said it all: ``gfal-ls`` and ``xrdfs``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.program import eventually, wait_for
from tests.faults.site import FaultySite
from tests.servers.xrootd import XRootDServer

HALF = 120
"""Bytes that end in the middle of a line of ``gfal-ls -l``."""

DOES = {
    "hangs": "exec sleep 1000",
    "garbage": "exec head -c 3000 /dev/urandom",
    "fails": "echo 'gfal-ls error: 5 (Input/output error) - the disk is broken' >&2; exit 5",
    "dies": "kill -9 $$",
    "says nothing": "exit 0",
    "ends in a line": f'"$real" "$@" | head -c {HALF}; exit 0',
    "ends early": '"$real" "$@" | head -n 3; exit 0',
}
"""What a ``gfal-ls`` does instead of listing the directory that is called ``bad``."""


def put_first_on_path(site: FaultySite, does: str) -> None:
    """Let a program of the name stand before the real one, which it runs for everything but one directory."""
    real = shutil.which("gfal-ls")
    assert real is not None
    program = site.home / "bin" / "gfal-ls"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nreal={real}\nfor last; do :; done\ncase "$last" in */data/bad) {does} ;; esac\nexec "$real" "$@"\n'
    )
    program.chmod(0o755)
    site.env["PATH"] = f"{program.parent}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture
def planted(site: FaultySite) -> FaultySite:
    """A site with six files in a directory that is going to be bad, and a missing file and an orphan elsewhere."""
    for number in range(6):
        site.put(f"data/bad/kept{number}.root")
    site.put("data/good/kept.root")
    site.know("data/good/lost.root")
    site.put("data/good/left.root", known=False)
    return site


@pytest.mark.fault(
    "programs",
    "gfal-ls hangs, prints garbage or nothing, fails, dies, or ends early or in the middle of a line, on one directory",
    "that one is unlisted, with a reason; nothing in it is called missing, and the rest is found",
)
@pytest.mark.parametrize(
    ("does", "reason"),
    [
        ("hangs", "timeout"),
        pytest.param("garbage", "a name that cannot be carried", marks=pytest.mark.soak),
        pytest.param("fails", "server error", marks=pytest.mark.soak),
        pytest.param("dies", "server error", marks=pytest.mark.soak),
        ("ends in a line", "a name that cannot be carried"),
        ("ends early", "listing cut short"),
        pytest.param("says nothing", "listing cut short", marks=pytest.mark.soak),
    ],
)
def test_a_gfal_ls_that_goes_wrong(planted: FaultySite, does: str, reason: str) -> None:
    put_first_on_path(planted, DOES[does])
    planted.prepare(AccessMethod="SRM", Timeout=4, Retries=0)
    ended = planted.check()
    assert ended.code == 0, ended.err
    planted.assert_found(["data/good/lost.root"], ["data/good/left.root"])
    assert planted.unlisted() == {b"data/bad": reason}
    assert _left_running(planted) == []


def _left_running(site: FaultySite) -> list[str]:
    """Give the command lines of the programs that still run for a site: by what only its own children have."""
    mark = f"{site.home}/bin".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


@pytest.mark.fault(
    "programs",
    "each gfal-ls says that nothing is there, as of a store that is not mounted",
    "refused, `root`; nothing is called missing",
)
def test_a_gfal_ls_that_denies_all(planted: FaultySite) -> None:
    put_first_on_path(planted, DOES["fails"])
    program = planted.home / "bin" / "gfal-ls"
    program.write_text("#!/bin/sh\necho 'gfal-ls error: 2 (No such file or directory) - nothing is here' >&2\nexit 2\n")
    planted.prepare(AccessMethod="SRM", Timeout=4, Retries=0)
    ended = planted.check()
    assert ended.code == 4
    assert "root: " in ended.message
    assert not planted.web.exists() or list(planted.web.glob("*_compare_*")) == []


@pytest.mark.fault(
    "programs",
    "with xrdfs shells: a directory is removed, and another may be read no more, when their parent has been listed",
    "what was in them is missing, or not judged; nothing else is",
)
def test_directories_change_below_xrdfs(
    start_xrootd: Callable[..., XRootDServer], make_site: Callable[..., FaultySite]
) -> None:
    server = start_xrootd()
    site = make_site([server.store], "/store", [server.url])
    for number in range(300):
        site.put(f"data/{number:03}/kept.root")
    site.know("data/000/lost.root")
    site.prepare(AccessMethod="directx", Connections=1, Timeout=20)
    process = site.start_check("--listers", "1", "--in-flight", "1")
    eventually("begun to list", lambda: site.listed > 3, process)
    server.pause()
    listed = site.listed
    assert listed < 290
    shutil.rmtree(site.path("data/299"))
    closed = site.path("data/298")
    closed.chmod(0)
    server.resume()
    ended = wait_for(process)
    closed.chmod(0o755)
    assert ended.code == 0, ended.err
    site.assert_true()
    assert set(site.found("compare_missing")) <= {b"data/000/lost.root", b"data/299/kept.root"}
    assert b"data/000/lost.root" in site.found("compare_missing")
    assert set(site.unlisted()) <= {b"data/298", b"data/299"}
    assert site.unlisted()[b"data/298"] == "permission denied"
