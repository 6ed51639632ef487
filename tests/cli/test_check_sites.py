"""Checks of several sites, picked one after the other: one is good, one disabled, and one has a dead door."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from storage.backends.queue import RequestQueue, queue_path
from storage.sites.lock import SiteLock
from tests.cli.loaded import run
from tests.cli.planted import PlantedSite
from tests.cli.program import Ended
from tests.servers.smtp import MailServer, mail_server

GOOD, DISABLED, DEAD = "T2_PLANTED", "T2_DISABLED", "T2_DEAD"


@pytest.fixture
def three(site: PlantedSite) -> PlantedSite:
    configure(site)
    assert run("set-status", DISABLED, "disable", cwd=site.home).code == 0
    return site


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


def configure(site: PlantedSite, email: dict[str, Any] | None = None, **more: Any) -> None:
    """Write a configuration with three sites, and more keys of the good one."""
    settings = site.settings()
    good = settings["Sites"][GOOD]
    settings["Sites"] = {
        DEAD: {**good, "Doors": ["root://localhost:1"], "Retries": 0},
        DISABLED: good,
        GOOD: {**good, **more},
    }
    site.config.write_text(json.dumps({**settings, "Email": email}))


def check(site: PlantedSite, *arguments: object, **env: str) -> Ended:
    return run("check", *arguments, cwd=site.home, env=env)


def stats(site: PlantedSite) -> dict[str, tuple[Any, ...]]:
    with sqlite3.connect(site.home / "www/stats.db") as connection:
        rows = connection.execute("SELECT site, files, missing, orphan, unlisted, unlisted_bad FROM stats").fetchall()
    connection.close()
    return {site: tuple(counts) for site, *counts in rows}


def status(site: PlantedSite) -> dict[str, str]:
    return {row["site"]: row["status"] for row in run("sites", "--json", cwd=site.home).json["sites"]}


def test_the_one_that_waits_longest_comes_first_and_a_disabled_one_never(three: PlantedSite) -> None:
    first = check(three, "--site", "T2_")
    assert first.code == 4
    assert first.message.startswith(f"{DEAD} (root://localhost:1): root: no top directory could be listed")
    second = check(three, "--site", "T2_", "--json")
    assert (second.code, second.json["site"]) == (0, GOOD)
    assert stats(three) == {GOOD: (three.files, 3, 3, 1, 1)}
    assert status(three) == {GOOD: "ready", DISABLED: "disabled", DEAD: "ready"}
    # The dead one has waited longer by now.
    assert check(three, "--site", "T2_").message.startswith(DEAD)
    three.assert_reports()
    page = (three.home / "www/index.html").read_text()
    assert all(name in page for name in (GOOD, DISABLED, DEAD))
    assert run("history", DEAD, "--json", cwd=three.home).json["runs"][0]["status"] == "failed"
    last, failure = run("status", DEAD, cwd=three.home).out.splitlines()[1:]
    assert last == "  last result: none"
    assert failure.startswith("  last run:    run 3 of ")
    assert " failed: root: no top directory could be listed" in failure
    assert [row["failure"] for row in run("status", GOOD, "--json", cwd=three.home).json["sites"]] == [None]


def test_a_disabled_site_is_refused_by_its_name(three: PlantedSite) -> None:
    ended = check(three, DISABLED)
    assert ended.code == 2
    assert "is disabled" in ended.message


def test_a_pattern_that_matches_nothing_that_is_ready(three: PlantedSite) -> None:
    ended = check(three, "--site", "DISABLED$")
    assert (ended.code, DISABLED in ended.message, "disabled" in ended.message) == (2, True, True)
    ended = check(three, "--site", "T3_")
    assert (ended.code, ended.message) == (2, f'no site matches "T3_"; known: {DEAD}, {DISABLED}, {GOOD}')
    assert check(three, "--site", "(").code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((GOOD, "--site", "T2"), "give a SITE or --site PATTERN, not both"),
        ((GOOD, "--lock", "gfal"), "--lock goes with --site"),
        ((), f"which site? known: {DEAD}, {DISABLED}, {GOOD}; or --site PATTERN"),
        ((GOOD, "--email"), "--email: the key Email says to whom, and is not set"),
    ],
)
def test_options_that_do_not_go_together(three: PlantedSite, arguments: tuple[str, ...], said: str) -> None:
    ended = check(three, *arguments)
    assert ended.code == 2
    assert said in ended.message


def test_a_site_is_picked_by_the_lock_that_it_needs(three: PlantedSite) -> None:
    ended = check(three, "--site", "PLANTED", "--lock", "gfal")
    assert (ended.code, "lock" in ended.message) == (2, True)
    assert check(three, "--site", "PLANTED", "--lock", "", "--json").json["site"] == GOOD


def test_a_lock_that_is_held_keeps_other_sites_out(three: PlantedSite) -> None:
    configure(three, AccessMethod="SRM")
    lock = SiteLock(three.home / "var", "gfal")
    assert lock.acquire()
    ended = check(three, GOOD)
    lock.release()
    assert (ended.code, ended.message) == (2, f"{GOOD} needs the lock gfal, which another site's run holds now")


def test_no_orphan_reports_none(three: PlantedSite) -> None:
    ended = check(three, GOOD, "--no-orphan", "--json")
    assert (ended.json["orphan"], ended.json["missing"]) == (0, 3)
    assert three.report("compare_orphan") == []


def test_no_inventory_compares_nothing(three: PlantedSite) -> None:
    three.inventory.unlink()
    ended = check(three, GOOD, "--no-inventory")
    assert (ended.code, ended.err) == (0, "")
    assert len(ended.out.splitlines()) == 2
    assert [path.name for path in three.lists()] == [f"{GOOD}_storage.json"]
    assert stats(three) == {}


def test_a_site_that_acts_says_what_it_asked_for(three: PlantedSite) -> None:
    check(three, GOOD)
    assert run("set-status", GOOD, "act", cwd=three.home).code == 0
    ended = check(three, GOOD)
    assert "asked for:     4 deletions, 3 transfers" in ended.out
    queue = RequestQueue(queue_path(three.home / "var"))
    assert [request.lfn.decode() for request in queue.requests("deletions", GOOD)] == [*three.orphan, *three.empty]
    assert [request.lfn.decode() for request in queue.requests("transfers", GOOD)] == three.missing


def test_what_could_not_be_asked_for_is_said_and_mailed(three: PlantedSite, server: MailServer) -> None:
    configure(three, {"Sender": "a@b.example", "Recipients": ["c@d.example"], "Server": server.address})
    run("set-status", GOOD, "act", cwd=three.home)
    queue_path(three.home / "var").parent.mkdir(parents=True)
    queue_path(three.home / "var").write_bytes(b"no database at all" * 100)
    ended = check(three, GOOD, "--email")
    assert ended.code == 2
    assert "missing:       3 files" in ended.out
    said = f"dynamo-consistency: {GOOD}: what was found is recorded; nothing was asked for: "
    assert ended.err.startswith(f"{said}registry ")
    (message,) = server.messages
    assert "not a database of requests" in message.get_content()


def test_too_many_are_not_acted_on_and_it_is_said(three: PlantedSite) -> None:
    run("set-status", GOOD, "act", cwd=three.home)
    ended = check(three, GOOD, MaxMissing="2")
    assert "not acted on:  too-many: too many to act on: 3 missing files, MaxMissing is 2" in ended.out
    assert not queue_path(three.home / "var").exists()


def test_the_environment_can_make_it_no_news(three: PlantedSite) -> None:
    assert check(three, GOOD, ListAge="3").code == 0
    assert stats(three) == {}
    assert check(three, GOOD, "--update-summary", ListAge="3").code == 0
    assert GOOD in stats(three)


def test_a_failure_is_mailed(three: PlantedSite, server: MailServer) -> None:
    configure(three, {"Sender": "a@b.example", "Recipients": ["c@d.example"], "Server": server.address})
    assert check(three, DEAD, "--email").code == 4
    (message,) = server.messages
    assert message["Subject"] == f"dynamo-consistency: the check of {DEAD} failed"
    assert "no top directory could be listed" in message.get_content()
    assert check(three, GOOD, "--email").code == 0
    assert len(server.messages) == 1


def test_a_web_directory_that_cannot_be_written_is_said_before_the_listing(three: PlantedSite) -> None:
    for path in (three.home / "www").glob("stats.db*"):
        path.unlink()
    (three.home / "www/stats.db").mkdir()
    ended = check(three, GOOD)
    assert ended.code == 2
    assert ended.message.startswith(f"WebDir: {three.home}/www/stats.db: ")


def test_a_log_that_cannot_be_written_is_said_of_its_own_directory(three: PlantedSite) -> None:
    (three.home / "var").mkdir(exist_ok=True)
    (three.home / "var/logs").write_text("no directory")
    ended = check(three, GOOD)
    assert ended.code == 2
    assert ended.message.startswith(f"VarLocation: {three.home}/var/logs/{GOOD}/")


def test_a_page_shows_each_site_from_its_own_history(three: PlantedSite) -> None:
    settings = json.loads(three.config.read_text())
    settings["Sites"] = {GOOD: settings["Sites"][GOOD], "T2_APART": {**settings["Sites"][GOOD], "VarLocation": "apart"}}
    three.config.write_text(json.dumps(settings))
    pages = [three.home / "www/sites" / f"{name}.html" for name in (GOOD, "T2_APART")]
    for name in (GOOD, "T2_APART", GOOD):
        assert check(three, name).code == 0
    run("web", "install", cwd=three.home)
    # What the summary does not know, such as why a directory is unlisted.
    assert ["permission denied" in page.read_text() for page in pages] == [True, True]
    assert check(three, "T2_APART").code == 0
    assert ["permission denied" in page.read_text() for page in pages] == [True, True]
