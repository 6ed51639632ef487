"""What is put aside is never forgotten, whatever happens between it and its return: as an operator types it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from engine.plan import ItemEvent
from storage.plans.audit import AuditLog
from storage.plans.plan_file import read_plan
from storage.plans.put_aside import put_aside
from storage.runs.directory import RunDirectory
from tests.cli.loaded import run
from tests.cli.program import Ended
from tests.faults.site import FaultySite

ORPHANS = [f"data/{number}/left" for number in range(3)]


@pytest.fixture
def site(tmp_path: Path) -> FaultySite:
    """A site on disk that was checked, with three orphans that are planned for."""
    disk = tmp_path / "disk"
    site = FaultySite(tmp_path, [disk / "store"], "/store", [f"file://{disk}"])
    for number, name in enumerate(ORPHANS):
        site.put(name, 10 + number, known=False)
    for number in range(20):
        site.put(f"data/kept/{number}")
    prepare(site)
    assert site.check().code == 0
    return site


def prepare(site: FaultySite, **keys: object) -> None:
    site.prepare(**{"Deletion": "store", **keys})


def plan(site: FaultySite, command: str, *more: object) -> Ended:
    return run("plan", command, site.name, *more, cwd=site.home)


def directory(site: FaultySite) -> RunDirectory:
    return RunDirectory(site.home / "var", site.name)


def audit(site: FaultySite) -> AuditLog:
    return AuditLog(directory(site).audit)


def lying(site: FaultySite) -> set[str]:
    """The LFNs of what the program knows to lie in the quarantine, or perhaps."""
    return {entry["path"] for entry in plan(site, "quarantine", "--json").json["list"]}


def lfns(*names: str) -> set[str]:
    return {f"/store/{name}" for name in names}


def begin_and_die(site: FaultySite, *moved: str) -> None:
    """Be a process that has noted all items as begun, has put these aside, and was killed then."""
    made = read_plan(directory(site).plan, site.name)
    items = [item for item in made.items if item.path.startswith(b"/store/data/") and item.path.endswith(b"/left")]
    top = site.stores[0] / "consistency-quarantine" / made.name
    asides = [f"/store/consistency-quarantine/{made.name}".encode() + item.path for item in items]
    audit(site).note(made.name, ItemEvent.BEGUN, items, asides=asides)
    for name in moved:
        target = top / "store" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        site.path(name).rename(target)


def test_a_store_that_shows_nothing_makes_nothing_forgotten(site: FaultySite) -> None:
    assert plan(site, "apply").code == 0
    assert lying(site) == lfns(*ORPHANS)
    # As a mount whose server is gone.
    site.stores[0].rename(site.home / "away")
    site.stores[0].mkdir()
    for command in (("undo",), ("undo", "/store/data/0/left"), ("purge", "--older-than", 0)):
        ended = plan(site, *command)
        assert ended.code == 4, ended
        assert lying(site) == lfns(*ORPHANS)
    site.stores[0].rmdir()
    (site.home / "away").rename(site.stores[0])
    assert plan(site, "undo").code == 0
    assert all(site.path(name).exists() for name in ORPHANS)


def test_other_doors_make_nothing_forgotten(site: FaultySite) -> None:
    assert plan(site, "apply").code == 0
    other = site.home / "other"
    (other / "store/consistency-quarantine").mkdir(parents=True)
    prepare(site, Doors=[f"file://{other}"])
    assert plan(site, "purge", "--older-than", 0).code == 4
    assert plan(site, "undo").code == 4
    assert lying(site) == lfns(*ORPHANS)


def test_what_the_inventory_wants_of_what_a_dead_process_has_put_aside_can_be_brought_back(site: FaultySite) -> None:
    begin_and_die(site, *ORPHANS[:2])
    site.know(ORPHANS[0], 10)
    prepare(site)
    ended = plan(site, "apply")
    assert lying(site) == lfns(*ORPHANS)
    assert ended.code == 4, ended
    assert f"stays: /store/{ORPHANS[0]}: " in ended.out
    assert plan(site, "undo", f"/store/{ORPHANS[0]}").code == 0
    assert site.path(ORPHANS[0]).exists()


def test_something_new_in_the_place_of_what_a_dead_process_has_put_aside(site: FaultySite) -> None:
    begin_and_die(site, *ORPHANS)
    site.put(ORPHANS[0], 99, known=False)
    assert plan(site, "apply").code == 0
    assert lying(site) == lfns(*ORPHANS)
    assert site.path(ORPHANS[0]).stat().st_size == 99
    site.path(ORPHANS[0]).unlink()
    assert plan(site, "undo").code == 0
    assert site.path(ORPHANS[0]).stat().st_size == 10


def test_a_name_that_was_put_aside_by_two_plans_is_brought_back_once(site: FaultySite) -> None:
    assert plan(site, "apply").code == 0
    for number, name in enumerate(ORPHANS):
        site.put(name, 50 + number, known=False)
    assert site.check().code == 0
    assert plan(site, "apply").code == 0
    plans = {entry.plan for entry in put_aside(audit(site))}
    assert len(plans) == 2
    refused = plan(site, "undo", "--plan", "")
    assert refused.code != 0
    assert "begin so" in refused.err
    assert len(lying(site)) == 3
    assert plan(site, "undo", *sorted(lfns(*ORPHANS))).code == 0
    assert [site.path(name).stat().st_size for name in ORPHANS] == [50, 51, 52]
    assert len(put_aside(audit(site))) == 3


def test_what_was_put_aside_is_no_orphan_of_other_settings(site: FaultySite) -> None:
    assert plan(site, "apply").code == 0
    for keys in ({"Quarantine": "none"}, {"Quarantine": "elsewhere"}, {"Quarantine": "none", "Deletion": "registry"}):
        prepare(site, DirectoryList=[], **keys)
        assert site.check().code == 0
        assert plan(site, "show", "--json").json["sums"].get("orphan") is None, keys
        assert plan(site, "apply").code == 0
    assert plan(site, "undo").code == 0
    assert all(site.path(name).exists() for name in ORPHANS)


def test_what_a_dead_undo_has_brought_back_is_not_called_deleted(site: FaultySite) -> None:
    assert plan(site, "apply").code == 0
    entries = put_aside(audit(site))
    audit(site).note(entries[0].plan, ItemEvent.RESTORING, [entry.item for entry in entries])
    made = site.stores[0] / "consistency-quarantine" / entries[0].plan / "store" / ORPHANS[0]
    made.rename(site.path(ORPHANS[0]))
    ended = plan(site, "purge", "--older-than", 0, "--json")
    assert (ended.code, ended.json["done"], ended.json["absent"]) == (0, 2, 1)
    events = {event.path: event.event for event in audit(site).events()}
    assert events[f"/store/{ORPHANS[0]}".encode()] == "restored"
    assert site.check().code == 0
    assert plan(site, "show", "--json").json["sums"].get("orphan") is None


def test_what_somebody_took_from_the_quarantine_is_said_and_ends_it(site: FaultySite) -> None:
    assert plan(site, "apply").code == 0
    made = put_aside(audit(site))[0].plan
    (site.stores[0] / "consistency-quarantine" / made / "store" / ORPHANS[0]).unlink()
    ended = plan(site, "undo")
    assert (ended.code, "not in the quarantine" in ended.out) == (4, True)
    assert lying(site) == set()
    assert [site.path(name).exists() for name in ORPHANS] == [False, True, True]


def test_a_clock_that_was_set_back_when_it_was_put_aside_makes_nothing_old(site: FaultySite) -> None:
    assert plan(site, "apply").code == 0
    lines = directory(site).audit.read_text().splitlines(keepends=True)
    rows = [json.loads(line) for line in lines]
    for row in rows:
        if row["event"] in ("begun", "done"):
            row["at"] -= 60 * 86400
    directory(site).audit.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ended = plan(site, "purge", "--json")
    assert (ended.json["done"], ended.json["young"]) == (0, 3)


def test_another_file_in_its_place_in_the_quarantine_is_not_purged(site: FaultySite) -> None:
    assert plan(site, "apply").code == 0
    top = site.stores[0] / "consistency-quarantine" / put_aside(audit(site))[0].plan / "store"
    (top / ORPHANS[0]).write_bytes(b"something else")
    (top / ORPHANS[1]).unlink()
    (top / ORPHANS[1]).mkdir()
    ended = plan(site, "purge", "--older-than", 0, "--json")
    assert (ended.code, ended.json["done"], len(ended.json["stays"])) == (4, 1, 2)
    assert (top / ORPHANS[0]).read_bytes() == b"something else"


@pytest.mark.parametrize("target", ["../kept/0", "/proc/version"])
def test_a_link_is_put_aside_and_brought_back_or_stays(site: FaultySite, target: str) -> None:
    link = site.path("data/0/link")
    link.symlink_to(target)
    assert site.check().code == 0
    plan(site, "apply")
    assert link.is_symlink() or lfns("data/0/link") <= lying(site)
    plan(site, "undo")
    assert os.readlink(link) == target


def test_a_log_that_was_cut_off_forgets_nothing(site: FaultySite) -> None:
    planned = directory(site).audit.stat().st_size
    assert plan(site, "apply").code == 0
    # Its disk has lost what was written last.
    os.truncate(directory(site).audit, planned)
    assert plan(site, "apply").code == 0
    assert lying(site) == lfns(*ORPHANS)
    assert plan(site, "undo").code == 0
    assert all(site.path(name).exists() for name in ORPHANS)


def test_an_empty_mount_does_not_say_what_a_dead_process_has_done(site: FaultySite) -> None:
    begin_and_die(site, *ORPHANS)
    site.stores[0].rename(site.home / "away")
    site.stores[0].mkdir()
    plan(site, "apply")
    assert lying(site) == lfns(*ORPHANS)
    site.stores[0].rmdir()
    (site.home / "away").rename(site.stores[0])
    assert plan(site, "apply").code == 0
    assert plan(site, "undo").code == 0
    assert all(site.path(name).exists() for name in ORPHANS)


def test_nothing_but_what_a_plan_has_made_is_cleared_away(site: FaultySite) -> None:
    assert plan(site, "apply").code == 0
    inner = site.stores[0] / "consistency-quarantine"
    prepare(site, Quarantine="none")
    assert plan(site, "purge", "--older-than", 0).code == 0
    assert os.listdir(inner) == []
    assert lying(site) == set()


@pytest.mark.parametrize("lost", ["begun", "done"])
def test_a_log_with_a_hole_forgets_nothing(site: FaultySite, lost: str) -> None:
    assert plan(site, "apply").code == 0
    log = directory(site).audit
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(line for line in lines if json.loads(line)["event"] != lost))
    assert lying(site) == lfns(*ORPHANS)
    assert plan(site, "undo").code == 0
    assert all(site.path(name).exists() for name in ORPHANS)


def perhaps(site: FaultySite) -> set[str]:
    """The LFNs of which the program does not know whether they lie in the quarantine."""
    return {entry["path"] for entry in plan(site, "quarantine", "--json").json["list"] if not entry["certain"]}


def test_what_a_plan_had_begun_whose_place_another_one_takes_is_found_out_by_looking_once(site: FaultySite) -> None:
    begin_and_die(site, ORPHANS[0])
    older = read_plan(directory(site).plan, site.name).name
    assert site.check().code == 0
    assert perhaps(site) == lfns(*ORPHANS)
    assert plan(site, "apply").code == 0
    assert perhaps(site) == set()
    # One lies where the older plan has put it, the others where the later one has.
    assert {entry.item.path.decode(): entry.plan == older for entry in put_aside(audit(site))} == {
        f"/store/{name}": name == ORPHANS[0] for name in ORPHANS
    }
    assert plan(site, "undo", *sorted(lfns(*ORPHANS))).code == 0
    assert all(site.path(name).exists() for name in ORPHANS)


@pytest.mark.parametrize("command", [("undo",), ("purge", "--older-than", "0")])
def test_what_was_never_put_aside_for_a_plan_that_is_rejected_is_forgotten(
    site: FaultySite, command: tuple[str, ...]
) -> None:
    begin_and_die(site)
    told = plan(site, *command, "--json")
    assert (told.json["never"], lying(site)) == (3, lfns(*ORPHANS)), "the plan may still be applied"
    assert plan(site, "reject").code == 0
    assert plan(site, *command).code in (0, 2)
    assert lying(site) == set()
    assert all(site.path(name).exists() for name in ORPHANS)


@pytest.mark.parametrize("command", [("apply",), ("purge",)])
def test_a_plan_without_anything_to_do_and_a_purge_of_nothing_old_look_as_well(
    site: FaultySite, command: tuple[str, ...]
) -> None:
    begin_and_die(site, *ORPHANS[:2])
    site.path(ORPHANS[2]).unlink()
    assert site.check().code == 0
    assert perhaps(site) == lfns(*ORPHANS)
    assert plan(site, *command).code == 0
    assert (perhaps(site), lying(site)) == (set(), lfns(*ORPHANS[:2]))


def test_an_empty_mount_does_not_say_what_a_plan_had_begun_whose_place_another_one_takes(site: FaultySite) -> None:
    begin_and_die(site, *ORPHANS)
    assert site.check().code == 0
    site.stores[0].rename(site.home / "away")
    site.stores[0].mkdir()
    plan(site, "undo")
    assert lying(site) == lfns(*ORPHANS)
    site.stores[0].rmdir()
    (site.home / "away").rename(site.stores[0])
    assert plan(site, "undo").code == 0
    assert all(site.path(name).exists() for name in ORPHANS)
