"""Plans that are applied while the program, the store or the disk fails."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import paths
from engine.plan import ItemEvent
from storage.backends.queue import RequestQueue, queue_path
from storage.plans.audit import AuditLog
from storage.plans.plan_file import read_plan
from storage.plans.put_aside import put_aside
from storage.runs.directory import RunDirectory
from tests.cli.loaded import run
from tests.cli.program import start
from tests.faults.site import FaultySite
from tests.servers.xrootd import XRootDServer

ORPHANS = 6000


def planted(site: FaultySite, **keys: object) -> RunDirectory:
    """Plant orphans of several batches, and lost files, and have them planned for."""
    site.put("data/kept.root")
    for number in range(ORPHANS):
        site.put(f"data/{number % 7}/orphan-{number}.root", 1 + number % 5, known=False)
    for number in range(1500):
        site.know(f"data/kept/lost-{number}.root")
    site.prepare(MaxOrphan=ORPHANS, MaxMissing=2000, **keys)
    assert site.check().code == 0
    return RunDirectory(site.home / "var", site.name)


def apply_and_kill(site: FaultySite, directory: RunDirectory, after: float) -> bool:
    """Apply, and kill it so many seconds after it has begun an item; gives whether it was at work until then."""
    size = directory.audit.stat().st_size
    process = start("plan", "apply", site.name, cwd=site.home)
    while directory.audit.stat().st_size == size and process.poll() is None:
        time.sleep(0.001)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    return process.returncode == -signal.SIGKILL


def assert_done_once(site: FaultySite, directory: RunDirectory) -> None:
    """Each item was asked for once, and is noted as done once, between what stands before it and behind it."""
    plan = read_plan(directory.plan, site.name)
    wanted = {"deletions": set(), "transfers": set()}
    for item in plan.items:
        wanted["deletions" if item.action == "delete" else "transfers"].add(item.path)
    queue = RequestQueue(queue_path(site.home / "var"))
    for table in ("deletions", "transfers"):
        asked = Counter(request.lfn for request in queue.requests(table))
        assert set(asked) == wanted[table]
        assert set(asked.values()) == {1}
    events = [event for event in AuditLog(directory.audit).events() if event.item is not None]
    done = Counter(event.item for event in events if event.event == ItemEvent.DONE)
    assert set(done) == {item.number for item in plan.items}
    assert set(done.values()) == {1}
    begun = {event.item for event in events if event.event == ItemEvent.BEGUN}
    assert begun == set(done)
    paths_of = {item.number: item.path for item in plan.items}
    assert all(event.path == paths_of[event.item] for event in events)


@pytest.mark.fault(
    "plans",
    "plan apply is killed (kill -9) at random moments, again and again",
    "the last one goes on from there; each item is asked for and noted as done once, and none is forgotten",
)
@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.soak)])
def test_killed_again_and_again(site: FaultySite, kills: int) -> None:
    directory = planted(site)
    chance = random.Random(kills)
    # All of it takes about a second: the later ones find ever less to do.
    struck = sum(apply_and_kill(site, directory, chance.uniform(0.0, 1.0 / kills)) for _ in range(kills))
    assert struck > kills // 2
    ended = run("plan", "apply", site.name, "--json", cwd=site.home)
    assert ended.code == 0, ended
    assert ended.json["left"] == 0
    assert_done_once(site, directory)


@pytest.mark.fault(
    "plans",
    "the same where the program itself puts orphans aside at the store",
    "each lies in the quarantine in the end, none is lost or noted twice, and all of them can be brought back",
)
@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.soak)])
def test_killed_again_and_again_at_the_store(site: FaultySite, kills: int) -> None:
    directory = planted(site, Deletion="store")
    for folder, _, _ in os.walk(site.stores[0]):
        # The server is somebody else.
        os.chmod(folder, 0o777)
    there = {path.relative_to(site.stores[0]) for path in site.stores[0].glob("data/?/*")}
    chance = random.Random(kills)
    struck = sum(apply_and_kill(site, directory, chance.uniform(0.0, 8.0 / kills)) for _ in range(kills))
    assert struck > kills // 2
    ended = run("plan", "apply", site.name, "--json", cwd=site.home)
    assert ended.code == 0, ended
    assert ended.json["left"] == 0
    assert not list(site.stores[0].glob("data/?/*"))
    plan = read_plan(directory.plan, site.name)
    top = site.stores[0] / "consistency-quarantine" / plan.name
    aside = [path for path in top.rglob("*") if path.is_file()]
    assert {Path(*path.parts[-3:]) for path in aside} == there
    events = [event for event in AuditLog(directory.audit).events() if event.action == "quarantine"]
    done = Counter(event.item for event in events if event.event == ItemEvent.DONE)
    assert set(done.values()) == {1}
    assert len(done) == ORPHANS == len(aside)
    back = run("plan", "undo", site.name, "--json", cwd=site.home)
    assert (back.code, back.json["done"], back.json["stays"]) == (0, ORPHANS, [])
    assert {path.relative_to(site.stores[0]) for path in site.stores[0].glob("data/?/*")} == there


@pytest.mark.fault(
    "plans",
    "plan undo, and then plan purge, are killed (kill -9) again and again",
    "each file is where it belongs, or in the quarantine and in its list, or gone and noted as purged",
)
def test_undo_and_purge_killed_again_and_again(site: FaultySite) -> None:
    names = [f"data/{number % 7}/orphan-{number}.root" for number in range(1200)]
    for number, name in enumerate(names):
        site.put(name, 1 + number, known=False)
    site.put("data/kept.root")
    site.prepare(MaxOrphan=len(names), Deletion="store")
    assert site.check().code == 0
    directory = RunDirectory(site.home / "var", site.name)
    for folder, _, _ in os.walk(site.stores[0]):
        os.chmod(folder, 0o777)
    assert run("plan", "apply", site.name, cwd=site.home).code == 0
    chance = random.Random(7)

    def kill(*command: object) -> None:
        after = directory.audit.stat().st_size + chance.randrange(1000, 60_000)
        process = start("plan", *command, cwd=site.home)
        while directory.audit.stat().st_size < after and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)

    def where() -> tuple[set[str], set[str], set[str]]:
        back = {name for name in names if site.path(name).exists()}
        top = site.stores[0] / "consistency-quarantine"
        aside = {"/".join(path.parts[-3:]) for path in top.rglob("*") if path.is_file()}
        listed = {paths.decode(entry.item.path) for entry in put_aside(AuditLog(directory.audit))}
        return back, aside, {name for name in names if f"{site.lfn}/{name}" in listed}

    for _ in range(3):
        kill("undo", site.name)
        back, aside, listed = where()
        assert (back | aside, back & aside) == (set(names), set())
        assert aside <= listed
    for _ in range(3):
        kill("purge", site.name, "--older-than", 0)
        assert where()[0] == back
        assert where()[1] <= where()[2]
    assert run("plan", "purge", site.name, "--older-than", 0, cwd=site.home).code == 0
    assert where() == (back, set(), set())
    assert os.listdir(site.stores[0] / "consistency-quarantine") == []
    last = {event.path: event.event for event in AuditLog(directory.audit).events() if event.item is not None}
    noted = {event: [path for path, word in last.items() if word == event] for event in ("restored", "purged")}
    assert (len(noted["restored"]), len(noted["purged"])) == (len(back), len(names) - len(back))


@pytest.mark.fault(
    "plans",
    "the server goes away between two parts of a plan, and is back later",
    "it ends and says so; what was not done is done by the next one",
)
def test_the_store_goes_away(start_xrootd: Callable[..., XRootDServer], make_site: Callable[..., FaultySite]) -> None:
    server = start_xrootd()
    site = make_site([server.store], "/store", [server.url])
    directory = planted(site)
    ended = run("plan", "apply", site.name, "--limit", 2000, cwd=site.home)
    assert ended.code == 0
    server.kill()
    ended = run("plan", "apply", site.name, cwd=site.home)
    assert ended.code == 4
    assert "goes on from there" in ended.err
    state = AuditLog(directory.audit).state_of(read_plan(directory.plan, site.name).name, 0)
    assert state.count(ItemEvent.DONE) == 2000
    assert state.count(ItemEvent.DROPPED) == 0
    server.restart()
    ended = run("plan", "apply", site.name, "--json", cwd=site.home)
    assert (ended.code, ended.json["left"]) == (0, 0)
    assert_done_once(site, directory)


@pytest.mark.fault(
    "plans",
    "a name of any bytes is in a plan",
    "it is shown escaped, asked for as it is, and noted as it is",
)
def test_names(tmp_path: Path, make_site: Callable[..., FaultySite]) -> None:
    disk = tmp_path / "disk"
    site = make_site([disk / "store"], "/store", [f"file://{disk}"])
    names = [b"data/a b.root", b"data/n\newline", b"data/\xff\xfe", b"data/-x \"q' \\udc80", b"data/\xe2\x82\xac%41"]
    for size, name in enumerate(names):
        site.put(name, 11 + size, known=False)
    site.put("data/kept.root")
    site.prepare()
    assert site.check().code == 0
    ended = run("plan", "apply", site.name, cwd=site.home)
    assert ended.code == 0
    directory = RunDirectory(site.home / "var", site.name)
    asked = {request.lfn for request in RequestQueue(queue_path(site.home / "var")).requests("deletions")}
    assert asked == {site.lfn.encode() + b"/" + name for name in names}
    shown = run("plan", "show", site.name, "--list", cwd=site.home).out
    for path in asked:
        assert f" done {paths.escape(path)}\n" in shown
    noted = {event.path for event in AuditLog(directory.audit).events() if event.event == ItemEvent.DONE}
    assert noted == asked
