"""The commands sites, status and set-status, as an operator types them."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from storage.runs.directory import RunDirectory, RunInfo
from storage.sites.process import Owner
from storage.sites.summary import Heartbeat, StatsRow, SummaryDatabase
from tests.cli.loaded import run
from tests.test_docs import keys_of, page_of

SITES = {"T1_A": {}, "T2_B": {"AccessMethod": "SRM"}, "T2_C": {}}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "consistency_config.json").write_text(json.dumps({"Sites": SITES}))
    return tmp_path


def summary(home: Path) -> SummaryDatabase:
    return SummaryDatabase(home / "www" / "stats.db")


def rows(home: Path, *arguments: str) -> list[dict[str, Any]]:
    ended = run(*arguments, "--json", cwd=home)
    assert (ended.code, ended.err) == (0, "")
    found = ended.json["sites"]
    assert isinstance(found, list)
    return found


def test_sites_before_anything_was_checked(home: Path) -> None:
    assert run("sites", cwd=home).out.splitlines() == [
        "site  state  acting  last run (UTC)  why not now",
        "T1_A  ready  no      never",
        "T2_B  ready  no      never",
        "T2_C  ready  no      never",
    ]
    # Looking makes nothing.
    assert [path.name for path in home.iterdir()] == ["consistency_config.json"]


def test_sites_of_a_pattern(home: Path) -> None:
    assert [row["site"] for row in rows(home, "sites", "^T2")] == ["T2_B", "T2_C"]
    for pattern, words in (("XX", 'no site matches "XX"; known: T1_A, T2_B, T2_C'), ("(", "no regular expression")):
        ended = run("sites", pattern, cwd=home)
        assert ended.code == 2
        assert words in ended.message


def test_sites_say_why_they_are_not_next(home: Path) -> None:
    with summary(home) as database:
        database.sync({"T0_Gone": True})
        database.sync(dict.fromkeys(SITES, True))
        database.running("T1_A", Owner.this(), 1_000_000_000.0)
        database.update(StatsRow("T2_C", 1_000_000_100.0))
    assert run("set-status", "T2_C", "act", cwd=home).out == "T2_C: was dry, is act\n"
    assert run("set-status", "T2_B", "disable", cwd=home).out == "T2_B: was ready, is disabled\n"
    assert run("sites", cwd=home).out.splitlines() == [
        "site     state     acting  last run (UTC)       why not now",
        "T0_Gone  ready     no      never                not ready, says the backend",
        "T1_A     running   no      2001-09-09 01:46:40  running",
        "T2_B     disabled  no      never                disabled",
        "T2_C     ready     yes     2001-09-09 01:48:20",
    ]


def test_a_dead_process_is_not_believed(home: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = Owner(child.pid, Owner.this().host)
    with summary(home) as database:
        database.sync(dict.fromkeys(SITES, True))
        database.running("T1_A", owner, 1.0)
    assert [row["pid"] for row in rows(home, "status")] == [child.pid]
    child.kill()
    child.communicate(timeout=60)
    assert rows(home, "status") == []
    with summary(home) as database:
        assert database.site("T1_A").owner is None
    assert run("status", cwd=home).out == "nothing is being checked\n"


def test_a_run_shows_how_far_it_is_and_that_it_lives(home: Path) -> None:
    with summary(home) as database:
        database.sync(dict.fromkeys(SITES, True))
        database.running("T1_A", Owner.this(), 1_000_000_000.0)
        sign = Heartbeat("listing", 12_345, 678_901, "nothing has answered for 60 s", round(time.time()) - 12.5)
        database.beat("T1_A", Owner.this(), sign)
    shown = run("sites", "T1_A", cwd=home).out.splitlines()[1]
    assert re.search(r"T1_A  running: listing, 12,345 directories, sign of life 1[2-9]\.\d s ago  no", shown)
    told = run("status", cwd=home).out
    assert "  heartbeat:   listing, 12,345 directories and 678,901 files, sign of life 1" in told
    assert "  note:        nothing has answered for 60 s\n" in told
    for command in ("sites", "status"):
        (row,) = [row for row in rows(home, command) if row["site"] == "T1_A"]
        assert row["heartbeat"] == asdict(sign)


def test_a_silent_run_of_another_machine_takes_two_looks(home: Path) -> None:
    with summary(home) as database:
        database.sync(dict.fromkeys(SITES, True))
        elsewhere = Owner(42, "elsewhere.example", "boot 5")
        database.running("T1_A", elsewhere, 1_000_000_000.0)
        database.beat("T1_A", elsewhere, Heartbeat("listing", given=1_000_000_000.0))
    assert rows(home, "sites")[0]["status"] == "running"
    with closing(sqlite3.connect(home / "www" / "stats.db")) as connection, connection:
        # As if the look before had been fifteen minutes ago.
        assert connection.execute("UPDATE heartbeats_seen SET since = since - 900").rowcount == 1
    assert rows(home, "sites")[0]["status"] == "ready"
    with summary(home) as database:
        assert database.site("T1_A").owner is None


def test_status_of_one_site(home: Path) -> None:
    (row,) = rows(home, "status", "T2_C")
    assert row == dict.fromkeys(row) | {"site": "T2_C", "status": "ready", "reporting": "dry"}
    with summary(home) as database:
        database.update(StatsRow("T2_C", 1_000_000_100.0, 90.0, 4, missing=1))
    assert run("status", "T2_C", cwd=home).out.splitlines() == [
        "T2_C: ready; dry",
        "  last result: 2001-09-09 01:48:20 UTC, in 90.0 s: 4 files, 1 missing, 0 orphan, 0 empty, 0 unlisted",
    ]
    ended = run("status", "T2_None", cwd=home)
    assert ended.code == 2
    assert ended.message == 'no site "T2_None"; known: T1_A, T2_B, T2_C'


def test_every_json_key_is_documented(home: Path) -> None:
    with summary(home) as database:
        database.update(StatsRow("T2_C", 1.0))
    assert sorted(keys_of(page_of("sites"))) == sorted(rows(home, "sites")[0])
    (row,) = rows(home, "status", "T2_C")
    assert sorted(keys_of(page_of("status"))) == sorted([*row, *row["result"]])


def test_set_status(home: Path) -> None:
    told = [
        run("set-status", "T1_A", action, cwd=home).out
        for action in ("halt", "ready", "disable", "ready", "act", "dry")
    ]
    assert told == [
        "T1_A: was ready, is halt\n",
        "T1_A: was halt, is ready\n",
        "T1_A: was ready, is disabled\n",
        "T1_A: was disabled, is ready\n",
        "T1_A: was dry, is act\n",
        "T1_A: was act, is dry\n",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("T2_None", "ready"), 'no site "T2_None"; known: T1_A, T2_B, T2_C'),
        (("", "ready"), "known: T1_A, T2_B, T2_C"),
        (("T1_A\n", "ready"), "known: T1_A, T2_B, T2_C"),
        (("T1_A", "fly"), "expected one of ready, halt, disable, act, dry"),
        (("T1_A", "READY"), "expected one of ready, halt, disable, act, dry"),
    ],
)
def test_set_status_of_what_there_is_not(home: Path, arguments: tuple[str, str], words: str) -> None:
    ended = run("set-status", *arguments, cwd=home)
    assert ended.code == 2
    assert words in ended.message


def test_a_disabled_site_is_not_halted(home: Path) -> None:
    run("set-status", "T1_A", "disable", cwd=home)
    ended = run("set-status", "T1_A", "halt", cwd=home)
    assert ended.code == 2
    assert "T1_A is disabled" in ended.message
    assert rows(home, "sites", "T1_A")[0]["status"] == "disabled"


def test_a_site_is_not_taken_from_a_process_that_lives(home: Path) -> None:
    with summary(home) as database:
        database.sync(dict.fromkeys(SITES, True))
        database.running("T1_A", Owner.this(), 1.0)
    ended = run("set-status", "T1_A", "ready", cwd=home)
    assert ended.code == 2
    assert "being checked by another process" in ended.message


def test_a_run_is_told_to_halt(home: Path) -> None:
    directory = RunDirectory(home / "var", "T1_A")
    with summary(home) as database:
        database.sync(dict.fromkeys(SITES, True))
        database.running("T1_A", Owner.this(), time.time())
    directory.acquire(RunInfo(os.getpid(), Owner.this().host, time.time(), "threads", "127.0.0.1:8265"))
    with directory:
        (row,) = rows(home, "status")
        assert (row["pid"], row["runtime"], row["dashboard"]) == (os.getpid(), "threads", "127.0.0.1:8265")
        assert row["phase"] == "starting"
        assert 0 <= row["seconds"] < 100
        lines = run("status", cwd=home).out.splitlines()
        assert lines[0].startswith("T1_A: running since ")
        assert f" by process {os.getpid()} on " in lines[0]
        assert lines[1:] == [
            "  runtime:     threads, dashboard 127.0.0.1:8265",
            "  phase:       starting",
            "  last result: none",
        ]
        assert run("set-status", "T1_A", "halt", cwd=home).out.splitlines() == [
            "T1_A: was running, is halt",
            "T1_A: its run was told to halt, and is still at work",
        ]
        assert directory.halt_requested()


def test_a_web_directory_that_cannot_be_used_is_one_line(home: Path) -> None:
    (home / "www").touch()
    ended = run("set-status", "T1_A", "ready", cwd=home)
    assert ended.code == 2
    assert str(home / "www") in ended.message


def test_a_summary_that_is_damaged_is_one_line(home: Path) -> None:
    (home / "www").mkdir()
    (home / "www" / "stats.db").write_bytes(b"no database" * 1000)
    for arguments in (("sites",), ("status",), ("set-status", "T1_A", "ready")):
        ended = run(*arguments, cwd=home)
        assert ended.code == 2
        assert "move it away to start a new one" in ended.message


def test_without_a_configuration_there_are_no_sites(tmp_path: Path) -> None:
    assert run("sites", cwd=tmp_path).out.startswith("no sites: ")
    assert rows(tmp_path, "status") == []
    assert run("set-status", "T1_A", "ready", cwd=tmp_path).message == 'no site "T1_A"; known: none'
    assert list(tmp_path.iterdir()) == []
