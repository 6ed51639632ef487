"""Orphans that this program takes away itself: put aside, brought back, deleted for good, as an operator types it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from engine.plan import ItemEvent
from storage.backends.queue import RequestQueue, queue_path
from storage.plans.audit import AuditLog
from storage.runs.directory import RunDirectory
from tests.cli.loaded import run
from tests.cli.park import OLD, Park
from tests.cli.program import Ended
from tests.servers.fixtures import ServedDirectory
from tests.servers.s3 import ENVIRONMENT, S3Server

SITE = "T2_ASIDE"
ORPHANS = {"d000/one", "d001/left", "d002/two  blanks"}


@pytest.fixture(params=["xrootd_directory", "http_directory", "apache_directory"])
def park(tmp_path: Path, request: pytest.FixtureRequest) -> Park:
    """A site that was checked, with three orphans, two empty directories, one in the other, and a missing file."""
    served: ServedDirectory = request.getfixturevalue(request.param)
    park = Park(tmp_path, served)
    park.add(SITE, Retries=0, Timeout=5, Deletion="store")
    for name in ORPHANS - {"d000/one"}:
        put(park, name)
    for name in ("empty/inner", "empty"):
        (disk(park) / name).mkdir(parents=True, exist_ok=True)
    let_anybody(park)
    for name in ("empty/inner", "empty"):
        os.utime(disk(park) / name, (OLD, OLD))
    assert check(park).code == 0
    return park


def disk(park: Park) -> Path:
    return park.served.path / SITE


def let_anybody(park: Park) -> None:
    """The server is somebody else."""
    park.served.path.chmod(0o777)
    for directory, _, _ in os.walk(disk(park)):
        os.chmod(directory, 0o777)


def put(park: Park, name: str, content: bytes = b"0123456789") -> Path:
    path = disk(park) / name
    path.write_bytes(content)
    os.utime(path, (OLD, OLD))
    return path


def check(park: Park) -> Ended:
    return run("check", SITE, "--json", cwd=park.home)


def plan(park: Park, command: str, *more: object) -> Ended:
    return run("plan", command, SITE, *more, cwd=park.home)


def files(park: Park) -> set[str]:
    """The files that are where they belong."""
    found = {str(path.relative_to(disk(park))) for path in disk(park).rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith("consistency-quarantine/")}


def aside(park: Park) -> list[Path]:
    return [path for path in (disk(park) / "consistency-quarantine").rglob("*") if path.is_file()]


def audit(park: Park) -> AuditLog:
    return AuditLog(RunDirectory(park.home / "var", SITE).audit)


def test_put_aside_shown_brought_back_and_purged(park: Park) -> None:
    assert plan(park, "show").out.splitlines()[1] == (
        "put aside 3 orphans, 21 bytes: on the store and not in the inventory"
    )
    before = files(park)
    done = plan(park, "apply", "--json").json
    # No directory is called empty over WebDAV, where servers hide what they like.
    over_webdav = park.served.url.startswith("dav")
    assert (done["done"], done["left"], done["now"]["failure"]) == (4 if over_webdav else 6, 0, None)
    assert files(park) == before - ORPHANS
    assert len(aside(park)) == 3
    assert (disk(park) / "empty").exists() == over_webdav
    # The missing file is the registry's business, and nothing else.
    queue = RequestQueue(queue_path(park.home / "var"))
    assert (len(list(queue.requests("deletions", SITE))), len(list(queue.requests("transfers", SITE)))) == (0, 1)

    # What was put aside is no finding: it lies in what is listed.
    again = check(park).json
    assert (again["orphan"], again["empty"], again["missing"]) == (0, 0, 1)

    shown = plan(park, "quarantine", "--json").json["list"]
    assert {entry["path"].partition(f"{SITE}/")[2] for entry in shown} == ORPHANS
    assert all(f"/{SITE}/consistency-quarantine/{entry['plan']}/" in entry["aside"] for entry in shown)
    young = plan(park, "purge")
    assert (young.code, young.out) == (0, f"{SITE}: 0 deleted for good, 3 put aside too late to go yet\n")

    back = plan(park, "undo", f"{park.served.lfn.decode()}/{SITE}/d001/left")
    assert (back.code, back.out) == (0, f"{SITE}: 1 brought back, 10 bytes\n"), back
    assert (disk(park) / "d001/left").read_bytes() == b"0123456789"

    gone = plan(park, "purge", "--older-than", 0)
    assert gone.code == 0, gone
    assert gone.out.startswith(f"{SITE}: 2 deleted for good, 11 bytes")
    assert os.listdir(disk(park) / "consistency-quarantine") == []
    assert plan(park, "quarantine").out == f"{SITE}: nothing is put aside\n"
    assert plan(park, "undo").err.endswith(f"{SITE}: nothing lies in the quarantine\n")
    words = [event.event for event in audit(park).events() if event.path.endswith(b"/left")]
    assert words == ["begun", "done", "restoring", "restored"]
    words = [event.event for event in audit(park).events() if event.path.endswith(b"/d000/one")]
    assert words == ["begun", "done", "purging", "purged"]


def test_what_was_brought_back_is_not_planned_again(park: Park) -> None:
    assert plan(park, "apply").code == 0
    assert plan(park, "undo").code == 0
    assert files(park) >= ORPHANS
    assert check(park).json["orphan"] == 3
    shown = plan(park, "show", "--json").json
    assert shown["sums"].get("orphan") is None
    assert shown["held"][0]["cause"] == "orphan"
    assert (shown["held"][0]["items"], "brought back" in shown["held"][0]["why"]) == (3, True)
    orphan = (park.home / "www" / f"{SITE}_compare_orphan.txt").read_text().splitlines()[0]
    told = run("explain", orphan, "--site", SITE, "--escaped", cwd=park.home)
    assert "It is left alone: it was brought back from a quarantine less than QuarantineDays ago" in told.out
    park.sites[SITE]["QuarantineDays"] = 0
    park.write()
    assert check(park).json["orphan"] == 3
    assert plan(park, "show", "--json").json["sums"]["orphan"]["items"] == 3


def test_what_the_inventory_wants_by_now_is_not_purged(park: Park) -> None:
    assert plan(park, "apply").code == 0
    inventory = park.home / f"{SITE}.txt"
    inventory.write_text(inventory.read_text() + f"{park.served.lfn.decode()}/{SITE}/d001/left\n")
    gone = plan(park, "purge", "--older-than", 0, "--json").json
    assert [path.rpartition("/")[2] for path in gone["expected"]] == ["left"]
    assert len(aside(park)) == 1
    assert plan(park, "undo", f"{park.served.lfn.decode()}/{SITE}/d001/left").code == 0
    assert (disk(park) / "d001/left").exists()


def test_something_new_in_the_place_of_what_was_put_aside_stays(park: Park) -> None:
    assert plan(park, "apply").code == 0
    put(park, "d001/left", b"new")
    ended = plan(park, "undo")
    assert ended.code == 4
    assert "stays: " in ended.out
    assert (disk(park) / "d001/left").read_bytes() == b"new"
    assert len(aside(park)) == 1


def test_without_a_quarantine_it_goes_at_once(park: Park) -> None:
    park.sites[SITE]["Quarantine"] = "none"
    park.write()
    refused = plan(park, "apply")
    assert (refused.code, "other-settings" in refused.err) == (4, True)
    assert check(park).code == 0
    assert plan(park, "show").out.splitlines()[1].startswith("delete 3 orphans, 21 bytes")
    before = files(park)
    assert plan(park, "apply").code == 0
    assert files(park) == before - ORPHANS
    assert aside(park) == []


def test_a_site_that_acts_puts_aside_by_itself(park: Park) -> None:
    assert run("set-status", SITE, "act", cwd=park.home).code == 0
    before = files(park)
    ended = run("check", SITE, cwd=park.home)
    assert ended.code == 0
    taken = 3 if park.served.url.startswith("dav") else 5
    assert f"taken away:    {taken} files and directories\nasked for:     1 transfer\n" in ended.out
    assert files(park) == before - ORPHANS
    assert len(aside(park)) == 3


def test_a_site_that_acts_says_what_it_could_not_take_away(park: Park) -> None:
    assert run("set-status", SITE, "act", cwd=park.home).code == 0
    (disk(park) / "d001").chmod(0o755)
    ended = run("check", SITE, cwd=park.home)
    assert "not deleted:   " in ended.out
    assert "d001/left: " in ended.out
    assert "could not be deleted: 1" in run("history", SITE, "--json", cwd=park.home).json["runs"][0]["message"]


def test_what_changes_between_plan_and_apply_stays(park: Park) -> None:
    put(park, "d001/left", b"another size")
    os.utime(disk(park) / "d000/one", (time.time(), time.time()))
    done = plan(park, "apply", "--json").json
    assert done["dropped"] == 2
    assert {"d001/left", "d000/one"} <= files(park)
    events = {event.path.rpartition(b"/")[2]: event.event for event in audit(park).events()}
    assert events[b"left"] == ItemEvent.DROPPED


def test_a_bucket_deletes_for_good_and_only_where_that_is_said(
    tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    bucket = f"quarantine{os.getpid()}"
    s3_server.make_bucket(bucket)
    for key in (b"store/data/kept", b"store/data/left", b"store/data/two  blanks"):
        s3_server.put(bucket, key, 5, OLD)
    (tmp_path / "inventory.txt").write_text("/store/data/kept\n")
    site = {"Doors": [f"{s3_server.url}/{bucket}"], "DirectoryList": ["data"], "Inventory": "inventory.txt"}
    site |= {"Deletion": "store", "IgnoreAge": 0}

    def configure(**more: object) -> None:
        content = {"Runtime": "threads", "Sites": {SITE: {**site, **more}}}
        (tmp_path / "consistency_config.json").write_text(json.dumps(content))

    configure()
    assert run("check", SITE, cwd=tmp_path).code == 0
    refused = run("plan", "apply", SITE, cwd=tmp_path)
    said = "an S3 store cannot move what is put aside; set Quarantine to none, which deletes for good at once"
    assert (refused.code, said in refused.err) == (4, True)
    assert said in run("config", "check", cwd=tmp_path).out
    configure(Quarantine="none")
    assert run("check", SITE, cwd=tmp_path).code == 0
    done = run("plan", "apply", SITE, "--json", cwd=tmp_path).json
    assert (done["done"], done["left"]) == (2, 0)
    again = run("check", SITE, "--json", cwd=tmp_path).json
    assert (again["orphan"], again["missing"], again["files"]) == (0, 0, 1)


def test_a_quarantine_around_what_is_listed_is_refused(park: Park) -> None:
    park.sites[SITE]["DirectoryList"] = ["d001"]
    park.sites[SITE]["Quarantine"] = "d001"
    park.write()
    assert check(park).code == 0
    refused = plan(park, "apply")
    assert refused.code == 4
    assert "the Quarantine has " in refused.err
    assert "d001/left" in files(park)


def test_files_that_may_not_be_moved_stay_and_are_named(park: Park) -> None:
    for folder in ("d000", "d001", "d002"):
        (disk(park) / folder).chmod(0o755)
    before = files(park)
    ended = plan(park, "apply")
    assert ended.code == 4
    assert ended.out.count("  stays: ") == 3
    assert files(park) == before
    assert plan(park, "show", "--json").json["failed"] == 3
    let_anybody(park)
    assert plan(park, "apply").code == 0
    assert files(park) == before - ORPHANS
