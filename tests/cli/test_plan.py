"""The commands of plans, as an operator types them, on sites that were checked."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from storage.backends.queue import RequestQueue, Table, queue_path
from storage.plans.audit import AuditLog
from storage.runs.directory import RunDirectory
from tests.cli.loaded import run
from tests.cli.park import OLD, Park
from tests.cli.program import Ended
from tests.servers.fixtures import ServedDirectory

SITE = "T2_PLANNED"


@pytest.fixture
def park(tmp_path: Path, xrootd_directory: ServedDirectory) -> Park:
    """A site with four orphans, an empty directory and a missing file, which was checked once."""
    park = Park(tmp_path, xrootd_directory)
    park.add(SITE, Retries=0, Timeout=5)
    for name in ("d001/left", "d001/over", "d002/more"):
        put(park, name)
    empty = park.served.path / SITE / "empty"
    empty.mkdir()
    os.utime(empty, (OLD, OLD))
    assert check(park).code == 0
    return park


def put(park: Park, name: str, content: bytes = b"0123456789") -> Path:
    path = park.served.path / SITE / name
    path.write_bytes(content)
    os.utime(path, (OLD, OLD))
    return path


def check(park: Park) -> Ended:
    return run("check", SITE, "--json", cwd=park.home)


def plan(park: Park, command: str, *more: object) -> Ended:
    return run("plan", command, SITE, *more, cwd=park.home)


def requests(park: Park, table: Table) -> list[str]:
    path = queue_path(park.home / "var")
    found = RequestQueue(path).requests(table, SITE) if path.exists() else []
    return [request.lfn.decode().partition(f"{SITE}/")[2] for request in found]


def test_a_dry_site_is_planned_for_and_acted_on_when_somebody_says_so(park: Park) -> None:
    shown = plan(park, "show").out.splitlines()
    assert shown[0].startswith(f"{SITE}: plan ")
    assert "after run 1" in shown[0]
    assert shown[1:] == [
        "delete 4 orphans, 31 bytes: on the store and not in the inventory",
        "delete 1 empty directory: a directory without any file below it",
        "bring back 1 missing file: in the inventory and not on the store",
        f"apply it with: dynamo-consistency plan apply {SITE}",
    ]
    assert (requests(park, "deletions"), requests(park, "transfers")) == ([], [])
    done = plan(park, "apply", "--json").json
    assert (done["items"], done["done"], done["left"], done["refusal"]) == (6, 6, 0, None)
    assert done["now"] == {
        "done": 6,
        "new_deletions": 5,
        "transfers": 1,
        "sourceless": 0,
        "refused": 0,
        "dropped": 0,
        "stays": [],
        "failure": None,
    }
    assert requests(park, "deletions") == ["d000/one", "d001/left", "d001/over", "d002/more", "empty"]
    assert requests(park, "transfers") == ["gone"]
    again = plan(park, "apply")
    assert (again.code, again.out) == (0, f"{SITE}: plan {done['plan']}: 0 done, nothing is left\n")
    assert "6 done, 0 left alone since they changed, 0 left" in plan(park, "show").out
    events = list(AuditLog(RunDirectory(park.home / "var", SITE).audit).events())
    assert [event.event for event in events] == ["planned", *["begun"] * 4, *["done"] * 4, *["begun", "done"] * 2]


def test_what_went_since_a_plan_had_it_deleted_did_not_go_by_itself(park: Park) -> None:
    put(park, "d001/other")
    assert check(park).json["orphan"] == 5
    assert plan(park, "apply").code == 0
    put(park, "d001/new")
    for name in ("d001/left", "d001/over"):
        (park.served.path / SITE / name).unlink()
    park.sites[SITE]["IgnoreDirectories"] = ["/d002/"]
    park.write()
    assert check(park).json["orphan"] == 3
    kinds = run("diff", SITE, "--json", cwd=park.home).json["kinds"]
    orphans = {fate: part["count"] for fate, part in kinds["orphan"].items()}
    assert orphans == {"new": 1, "still": 2, "gone": 0, "acted": 3, "unseen": 0}
    assert kinds["empty"]["still"]["count"] == 1
    listed = run("diff", SITE, "--list", cwd=park.home).out
    assert f"acted\torphan\t{xrootd_name(park)}/d001/left\t10" in listed


def test_history_tells_what_was_done(park: Park) -> None:
    name = plan(park, "apply", "--limit", 1, "--json").json["plan"]
    told = run("history", SITE, "--actions", cwd=park.home).out.splitlines()
    assert [line.split(" ", 3)[3] for line in told] == [
        f"{name} planned: run 1: 6 items",
        f"{name} begun 1 delete {xrootd_name(park)}/d000/one",
        f"{name} done 1 delete {xrootd_name(park)}/d000/one",
    ]
    last = run("history", SITE, "--actions", "--limit", 1, "--json", cwd=park.home).json["actions"]
    assert [(action["event"], action["item"]) for action in last] == [("done", 1)]


def test_a_part_of_a_plan_is_applied_and_then_the_rest(park: Park) -> None:
    assert plan(park, "apply", "--limit", 2).out.endswith("2 done, 4 left\n")
    assert requests(park, "deletions") == ["d000/one", "d001/left"]
    said = plan(park, "apply", "--max-bytes", 9).out
    assert said.endswith("0 done, 4 left, the next item has 10 bytes, more than --max-bytes\n")
    assert plan(park, "apply", "--max-bytes", 20).out.endswith("4 done, nothing is left\n")


def test_what_has_changed_since_is_left_alone_and_told_apart(park: Park) -> None:
    put(park, "d001/left", b"another one")
    (park.served.path / SITE / "d001/over").unlink()
    put(park, "empty/new")
    put(park, "gone")
    ended = plan(park, "apply")
    assert ended.code == 0
    assert ended.out.endswith(
        "2 done, left alone: 1 missing before and there now, 1 gone by themselves, 1 changed since the listing, "
        "1 not empty any more, nothing is left\n"
    )
    assert requests(park, "deletions") == ["d000/one", "d002/more"]
    listed = plan(park, "show", "--list", "--json").json["list"]
    assert [row["state"] for row in listed] == ["done", "dropped", "dropped", "done", "dropped", "dropped"]
    events = AuditLog(RunDirectory(park.home / "var", SITE).audit).events()
    assert [event.detail for event in events if event.event == "dropped"] == [
        "it has changed since the listing",
        "it is gone",
        "it is not empty",
        "it is there",
    ]


def refused(park: Park) -> str:
    ended = plan(park, "apply")
    assert ended.code == 4, ended
    assert (requests(park, "deletions"), requests(park, "transfers")) == ([], [])
    message = ended.message
    assert message.startswith(f"{SITE}: nothing was done: ")
    return message.partition("nothing was done: ")[2].rstrip("\n")


def test_a_plan_that_was_rejected_is_never_applied(park: Park) -> None:
    said = plan(park, "reject", "--why", "these belong to a user").out
    assert said.endswith("of run 1 is rejected; the next check makes another one\n")
    assert refused(park) == f"rejected: the plan was rejected; check {SITE} makes a new one"
    assert "it may not be applied: rejected" in plan(park, "show").out
    assert check(park).code == 0
    assert plan(park, "apply").code == 0
    assert len(requests(park, "deletions")) == 5


def test_a_plan_is_not_applied_when_the_site_has_changed(park: Park) -> None:
    assert run("set-status", SITE, "disable", cwd=park.home).code == 0
    assert refused(park) == f"site: the site is disabled; set-status {SITE} ready"
    assert run("set-status", SITE, "ready", cwd=park.home).code == 0
    park.sites[SITE]["MaxPlanAge"] = 0
    park.write()
    assert refused(park).startswith("plan-old: the plan is 0.0 days old, MaxPlanAge is 0; ")
    del park.sites[SITE]["MaxPlanAge"]
    park.sites[SITE]["IgnoreDirectories"] = ["tmp"]
    park.write()
    assert refused(park).startswith(f"other-settings: the settings of {SITE} name another store or inventory than ")


def test_what_came_into_the_inventory_since_is_left_alone(park: Park) -> None:
    inventory = park.home / f"{SITE}.txt"
    root = xrootd_name(park)
    # One is no orphan any more, and one is not missing any more.
    inventory.write_text(inventory.read_text().replace(f"{root}/gone\n", "") + f"{root}/d001/left\n")
    ended = plan(park, "apply")
    assert ended.out.endswith(
        "4 done, 2 left alone, of which inventory or settings say otherwise now, nothing is left\n"
    )
    assert requests(park, "deletions") == ["d000/one", "d001/over", "d002/more", "empty"]
    assert requests(park, "transfers") == []


def test_a_plan_is_held_to_the_settings_of_now(park: Park) -> None:
    site = park.sites[SITE]
    for key, value, gate in (("MaxOrphan", 3, "too-many"), ("MaxRunAge", 1e-9, "old")):
        site[key] = value
        park.write()
        assert refused(park).startswith(f"{gate}: ")
        assert f"it may not be applied: {gate}" in plan(park, "show").out
        del site[key]
    site |= {"DeleteOrphans": False, "UseTransferQueue": False}
    park.write()
    assert plan(park, "apply").code == 0
    assert (requests(park, "deletions"), requests(park, "transfers")) == (["empty"], [])


def test_an_inventory_that_is_gone_keeps_a_plan_from_being_applied(park: Park) -> None:
    inventory = park.home / f"{SITE}.txt"
    inventory.rename(park.home / "elsewhere.txt")
    assert refused(park).startswith("backend: ")
    (park.home / "elsewhere.txt").rename(inventory)
    assert plan(park, "apply").code == 0


def test_a_plan_made_with_another_inventory_is_not_applied(park: Park) -> None:
    other = park.home / "other.txt"
    other.write_text(f"{xrootd_name(park)}/d000/two\n")
    assert run("check", SITE, "--inventory", other, cwd=park.home).code == 0
    assert refused(park).startswith("other-settings: ")


def test_a_plan_outlives_runs_that_find_nothing_out(park: Park) -> None:
    assert run("check", SITE, "--no-inventory", cwd=park.home).code == 0
    assert plan(park, "show", "--json").json["refusal"] is None
    (park.served.path / SITE).rename(park.served.path / "away")
    for _ in range(11):
        assert check(park).code == 4
    # The store looked empty: whatever the plan says of it is not to be done.
    assert refused(park).startswith("root: run ")
    (park.served.path / "away").rename(park.served.path / SITE)
    assert run("check", SITE, "--no-inventory", cwd=park.home).code == 0
    assert plan(park, "apply").code == 0


def test_a_store_of_which_most_is_gone_is_not_acted_on(park: Park) -> None:
    for number in range(10):
        put(park, f"d001/more-{number}", b"x" * (20 + number))
    assert check(park).code == 0
    for number in range(9):
        (park.served.path / SITE / f"d001/more-{number}").unlink()
    ended = plan(park, "apply")
    assert ended.code == 4
    assert f"{SITE}: nothing was asked for: 9 of 14 are gone or have changed since the listing" in ended.err
    assert requests(park, "deletions") == []
    assert plan(park, "show", "--json").json["dropped"] == 0


def test_empty_directories_go_one_after_another(park: Park) -> None:
    deep = park.served.path / SITE / "e1/e2/e3"
    deep.mkdir(parents=True)
    for path in (deep, deep.parent, deep.parent.parent):
        os.utime(path, (OLD, OLD))
    assert check(park).code == 0
    for _ in range(8):
        assert plan(park, "apply", "--limit", 1).code == 0
    assert requests(park, "deletions")[4:] == ["e1/e2/e3", "e1/e2", "e1", "empty"]


def test_a_plan_whose_log_is_gone_is_not_applied(park: Park) -> None:
    assert plan(park, "apply", "--limit", 1).code == 0
    audit = RunDirectory(park.home / "var", SITE).audit
    audit.rename(audit.with_name("put-away.jsonl"))
    ended = plan(park, "apply")
    assert ended.code == 4
    assert f"{SITE}: nothing was done: log: the audit log does not know the plan" in ended.message
    assert len(requests(park, "deletions")) == 1


def test_what_is_said_of_a_rejection_cannot_forge_the_log(park: Park) -> None:
    assert plan(park, "reject", "--why", "x\n2030-01-01 root abc done \x1b[31m").code == 0
    told = run("history", SITE, "--actions", cwd=park.home).out
    assert len(told.splitlines()) == 2
    assert "\x1b" not in told


def test_the_plan_of_a_dump_is_applied_to_what_the_dump_says(park: Park) -> None:
    dump = park.home / "dump.txt"
    root = xrootd_name(park)
    dump.write_text("".join(f"{root}/d{n:03d}/{name} 1 19000\n" for n in range(3) for name in ("one", "two")))
    park.sites[SITE] |= {"AccessMethod": "RAL-Reader", "Dump": str(dump)}
    park.write()
    assert check(park).code == 0
    assert plan(park, "show", "--json").json["refusal"] is None


def test_a_plan_behind_a_closed_gate_is_shown_and_not_applied(park: Park) -> None:
    park.sites[SITE]["MaxOrphan"] = 2
    park.write()
    assert check(park).code == 0
    assert refused(park).startswith("too-many: too many to act on: 4 orphans, MaxOrphan is 2")


def test_a_plan_that_was_edited_is_refused(park: Park) -> None:
    path = RunDirectory(park.home / "var", SITE).plan
    path.write_bytes(path.read_bytes().replace(b"d001/left", b"d001/two"))
    for command in ("show", "apply", "reject"):
        ended = plan(park, command)
        assert ended.code == 2
        assert "it was changed by hand, cut off or damaged, and is not applied" in ended.message
    assert requests(park, "deletions") == []


def test_a_registry_that_fails_leaves_the_plan_for_later(park: Park) -> None:
    queue = queue_path(park.home / "var")
    queue.write_bytes(b"no database at all" * 100)
    ended = plan(park, "apply")
    assert ended.code == 2
    assert f"{SITE}: nothing was asked for: registry " in ended.err
    assert ended.err.endswith(f"; plan apply {SITE} goes on from there\n")
    assert "of which 4 were tried in vain" in plan(park, "show").out
    queue.unlink()
    assert plan(park, "apply").code == 0
    assert len(requests(park, "deletions")) == 5


def test_findings_from_which_nothing_follows_are_told_with_the_reason(park: Park) -> None:
    park.sites[SITE] |= {"OrphanRuns": 2, "MissingRuns": 3, "MissingDays": 1}
    park.write()
    put(park, "d002/new")
    assert check(park).code == 0
    shown = plan(park, "show").out.splitlines()
    assert shown[1].startswith("delete 4 orphans, ")
    assert shown[2].startswith("delete 1 empty directory: ")
    assert shown[3:5] == [
        "leave 1 orphan: not known for 2 runs yet",
        "leave 1 missing file: not known for 3 runs and 1 day yet",
    ]
    assert plan(park, "show", "--json").json["held"][1] == {
        "cause": "missing",
        "items": 1,
        "why": "not known for 3 runs and 1 day yet",
    }
    park.sites[SITE] |= {"MissingRuns": 2, "MissingDays": 0, "UseTransferQueue": False}
    park.write()
    assert check(park).code == 0
    assert "leave 1 missing file: UseTransferQueue is off" in plan(park, "show").out


def test_a_site_without_a_plan_says_what_makes_one(tmp_path: Path, xrootd_directory: ServedDirectory) -> None:
    park = Park(tmp_path, xrootd_directory)
    park.add(SITE)
    ended = plan(park, "show")
    assert (ended.code, ended.message) == (2, f"{SITE} has no plan; check {SITE} makes one")


def test_the_json_is_as_documented(park: Park) -> None:
    shown = plan(park, "show", "--json", "--list").json
    assert json.loads(json.dumps(shown["sums"]))["missing"] == {"items": 1, "bytes": 0}
    assert shown["made"] == pytest.approx(time.time(), abs=120)
    assert shown["list"][0] == {
        "item": 1,
        "action": "delete",
        "cause": "orphan",
        "path": f"{xrootd_name(park)}/d000/one",
        "state": "-",
        "reason": "on the store and not in the inventory",
    }


def xrootd_name(park: Park) -> str:
    return f"{park.served.lfn.decode()}/{SITE}"
