"""Applying a plan of 10,000 items, and going on with one that was killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.measure import Broken, Command, Measured, Row, measure, program

ITEMS = 10_000
SITE = "T2_PLANNED"
OLD = 1_700_000_000


class _Home:
    """A site on disk whose every file but one is an orphan, and the directory in which its plan lies."""

    def __init__(self, home: Path, items: int, deletion: str) -> None:
        self.path = home
        self._deletion = deletion
        store = home / "disk" / "store" / "mc"
        for number in range(items):
            file = store / f"{number % 100:02d}" / f"orphan-{number}.root"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"x" * (1 + number % 7))
            os.utime(file, (OLD, OLD))
        (store / "kept").write_bytes(b"x")
        (home / "inventory.txt").write_text("/store/mc/kept\n")
        keys = {"Doors": [f"file://{home}/disk"], "Inventory": "inventory.txt", "MaxOrphan": items}
        keys |= {"Deletion": deletion, "QuarantineDays": 0}
        settings = {"Runtime": "threads", "IgnoreAge": 0, "DirectoryList": ["mc"], "Sites": {SITE: keys}}
        (home / "consistency_config.json").write_text(json.dumps(settings))

    @property
    def _runs(self) -> Path:
        return self.path / "var" / "runs" / SITE

    def plan(self) -> None:
        """Have a plan made of which nothing is done; what was put aside is brought back."""
        if self._deletion == "store" and self.begun():
            measure(Command((program(), "plan", "undo", SITE, "--json"), directory=self.path))
        for path in (self._runs / "audit.jsonl", self.path / "var" / "db" / "registry.db"):
            path.unlink(missing_ok=True)
        measure(Command((program(), "check", SITE, "--json"), directory=self.path))

    def begun(self) -> int:
        """Count the items that were begun so far, those that were begun again included."""
        try:
            return (self._runs / "audit.jsonl").read_bytes().count(b'"event": "begun"')
        except FileNotFoundError:
            return 0

    @property
    def apply(self) -> Command:
        return Command((program(), "plan", "apply", SITE, "--json"), directory=self.path)

    def seconds_until_it_goes_on(self, items: int) -> float:
        """Kill one that applies the plan at its half; give how long the next one takes to begin another item."""
        argv = self.apply.argv
        with subprocess.Popen(argv, cwd=self.path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
            while self.begun() < items // 2:
                if first.poll() is not None:
                    raise Broken("plan apply ended before half of it was begun")
                time.sleep(0.001)
            first.send_signal(signal.SIGKILL)
        before, start = self.begun(), time.perf_counter()
        with subprocess.Popen(argv, cwd=self.path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as second:
            while self.begun() == before:
                if second.poll() is not None:
                    raise Broken("nothing was left to apply")
                time.sleep(0.001)
            seconds = time.perf_counter() - start
            said = json.loads(second.communicate()[0])
        if (said["done"], said["left"]) != (items, 0):
            raise Broken(f"{said['done']} of {items} items were done")
        return seconds


def run(quick: bool) -> list[Row]:
    """Apply a plan as a whole, and in two, where a registry is asked and where files are put aside at the store."""
    return [row for deletion in ("registry", "store") for row in _rows(quick, deletion)]


def _rows(quick: bool, deletion: str) -> list[Row]:
    items, runs = (ITEMS // 5, 1) if quick else (ITEMS, 5)
    whole, gone_on = [], []
    with TemporaryDirectory(prefix="plans-") as directory:
        home = _Home(Path(directory), items, deletion)
        for _ in range(runs):
            home.plan()
            whole.append(measure(home.apply))
            home.plan()
            gone_on.append(home.seconds_until_it_goes_on(items))
    done = "put aside there" if deletion == "store" else "asked of the registry"
    return [
        Row(f"plan apply, {items:,} orphans of a local store, each asked for again and {done}", Measured.of(whole)),
        Row(
            "the same behind a kill in the middle, until the next item is begun, start-up and all",
            Measured(median(gone_on), runs=runs),
        ),
    ]
