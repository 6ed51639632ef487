"""The command ``demo``: a small site with known faults, and a real check of it that has to find exactly these."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from cli.exits import CommandError, ExitCode
from cli.session import runtime_named

_SITE = "T2_DEMO"
_DATASETS = (
    ("mc", "Summer26/Zmumu/AODSIM/v1-v1"),
    ("mc", "Summer26/ttbar/MINIAODSIM/v2-v1"),
    ("data", "Run2026A/SingleMuon/RAW/v1"),
)
_BLOCKS = 4
_FILES = 25
_OLD = 40 * 86400
"""Seconds: everything in the demo is older than the age below which nothing is judged, unless it is meant not to be."""


@dataclass
class Plan:
    """What is on the store, what the inventory says, and what a check has to say of it.

    ``store`` and ``inventory`` map LFNs to sizes in bytes; ``empty`` and ``locked`` are directories.
    """

    store: dict[str, int] = field(default_factory=dict)
    inventory: dict[str, int] = field(default_factory=dict)
    young: dict[str, int] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    locked: list[str] = field(default_factory=list)
    expected: dict[str, int] = field(default_factory=dict)


def make_plan(can_lock: bool) -> Plan:
    """Plan the demo's site. With ``can_lock``, one directory cannot be read by the server."""
    plan = Plan()
    directories = [f"/store/{top}/{dataset}/{block:04d}" for top, dataset in _DATASETS for block in range(_BLOCKS)]
    for number, directory in enumerate(directories):
        for position in range(_FILES):
            size = 1000 * (number + 1) + position
            plan.store[f"{directory}/{number:02d}A7-{position:04d}.root"] = size
    plan.inventory = dict(plan.store)

    names = list(plan.store)
    lost_files, lost_directory = names[3:5], directories[5]
    for name in [*lost_files, *(n for n in names if n.startswith(lost_directory + "/"))]:
        del plan.store[name]
    orphans = {
        f"{directories[0]}/left over from a crash.root": 4096,
        f"{directories[1]}/übrig-β.root": 512,
        "/store/mc/Unknown/private/ntuple_1.root": 77,
        "/store/mc/Unknown/private/ntuple_2.root": 78,
    }
    plan.store.update(orphans)
    plan.young[f"{directories[2]}/just-written.root"] = 99
    truncated = names[60]
    plan.store[truncated] = 1
    plan.empty = ["/store/data/Run2025Z", "/store/data/Run2025Z/Empty", "/store/mc/Nothing"]
    protected = 0
    if can_lock:
        plan.locked = [directories[8]]
        protected = _FILES
    plan.expected = {
        "missing": len(lost_files) + _FILES,
        "orphan": len(orphans),
        "size_mismatch": 1,
        "empty": len(plan.empty),
        "unlisted": len(plan.locked),
        "protected": protected,
    }
    return plan


def make_site(plan: Plan, data: Path, inventory: Path) -> None:
    """Put the plan on disk: sparse files below ``data``, and an inventory of ``path size mtime`` lines."""
    old = time.time() - _OLD
    for name, size in (plan.store | plan.young).items():
        path = data / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(size)
        if name not in plan.young:
            os.utime(path, (old, old))
    for name in plan.empty:
        (data / name.lstrip("/")).mkdir(parents=True, exist_ok=True)
    for directory, _, _ in os.walk(data, topdown=False):
        os.utime(directory, (old, old))
    for name in plan.locked:
        (data / name.lstrip("/")).chmod(0o700 if os.geteuid() == 0 else 0)
    lines = [f"{name} {size} {int(old)}\n" for name, size in sorted(plan.inventory.items())]
    inventory.write_text("".join(lines))


def run(runtime: str | None, directory: Path | None, as_json: bool) -> ExitCode:
    """Make the site, check it, and compare what was found with what was planted."""
    if runtime is not None:
        runtime_named(runtime)
    home = _home(directory)
    data, inventory = home / "data", home / "inventory.txt"
    say = sys.stderr if as_json else sys.stdout
    with _served(data) as (door, can_lock):
        plan = make_plan(can_lock)
        make_site(plan, data, inventory)
        config = home / "consistency_config.json"
        site = {"Doors": [door], "Inventory": str(inventory), "NumThreads": 2}
        config.write_text(json.dumps({"Sites": {_SITE: site}}, indent=2) + "\n")
        print(f"the site:      {len(plan.store)} files under {data}/store, served at {door}", file=say)
        print(f"the inventory: {len(plan.inventory)} files in {inventory}", file=say)
        print(f"the command:   dynamo-consistency --config {config} check {_SITE}\n", file=say, flush=True)
        found = _check(config, runtime, as_json)
        served = not door.startswith("file:")
    for locked in plan.locked:
        (data / locked.lstrip("/")).chmod(0o755)
    _compare(plan.expected, found, home, served, say)
    return ExitCode.DONE


def _home(directory: Path | None) -> Path:
    if directory is None:
        home = Path(tempfile.mkdtemp(prefix="consistency-demo-"))
    else:
        home = directory.absolute()
        if home.exists() and any(home.iterdir()):
            raise CommandError(f"--directory: {home} is not empty; the demo wants a new directory")
        home.mkdir(parents=True, exist_ok=True)
    # The XRootD server is another user and has to reach what it serves.
    home.chmod(0o755)
    (home / "data" / "store").mkdir(parents=True)
    return home


@contextmanager
def _served(data: Path) -> Iterator[tuple[str, bool]]:
    """Give a door to the data, and whether a directory can be locked against whoever reads through it."""
    from cli.xrootd_server import CannotServe, XRootDServer

    try:
        server = XRootDServer(root=data)
        server.start()
    except CannotServe as error:
        # What follows the first line is the server's log.
        why = str(error).splitlines()[0].rstrip(":")
        print(f"no XRootD server ({why}); the demo reads the directory itself", file=sys.stderr)
        yield f"file://{data}", os.geteuid() != 0
        return
    try:
        yield server.url, True
    finally:
        server.stop()


def _check(config: Path, runtime: str | None, as_json: bool) -> dict[str, Any]:
    from cli.check_command import CheckRequest, check, show, summary
    from cli.session import RunOptions, Settings

    done = check(Settings(config), CheckRequest(_SITE), RunOptions(runtime))
    found = summary(done)
    if as_json:
        print(json.dumps(found))
    else:
        show(done)
    return found


def _compare(expected: dict[str, int], found: dict[str, Any], home: Path, served: bool, say: TextIO) -> None:
    wrong = [key for key, count in expected.items() if found[key] != count]
    lines = [f"{'':14}{'planted':>8}{'found':>8}"]
    lines += [f"{key.replace('_', ' '):14}{count:8}{found[key]:8}" for key, count in expected.items()]
    lines += [
        f"\nreports: {home / 'www'}",
        f"page:    {home / 'www' / 'index.html'}",
        f"history: dynamo-consistency --config {home / 'consistency_config.json'} history {_SITE}",
    ]
    if served:
        lines.append("server:  ended with the demo, so the site cannot be checked again")
    print("\n" + "\n".join(lines), file=say)
    if wrong:
        raise CommandError(f"the demo found something else than was planted: {', '.join(wrong)}", ExitCode.INTERNAL)
