"""Several sites on one server, for what looks after all of them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.states import State
from storage.history import HistoryDatabase
from storage.runs.directory import RunDirectory
from storage.sites.keeper import Keeper
from storage.snapshot import Snapshot, SnapshotError, part_of
from tests.cli.program import Ended
from tests.servers.fixtures import ServedDirectory

OLD = 1_700_000_000


@dataclass
class Park:
    """Several sites on one server, and the configuration that knows them."""

    home: Path
    served: ServedDirectory
    sites: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, Any] = field(default_factory=lambda: {"Runtime": "threads", "IgnoreAge": 0})

    def add(self, name: str, directories: int = 3, door: str = "", **keys: Any) -> None:
        """Plant a site of so many directories with two files each, of which one is missing and one an orphan."""
        inventory = []
        for number in range(directories):
            directory = self.served.path / name / f"d{number:03d}"
            directory.mkdir(parents=True)
            for file in ("one", "two"):
                (directory / file).write_bytes(b"x")
                os.utime(directory / file, (OLD, OLD))
                inventory.append(f"/d{number:03d}/{file}")
        (self.home / f"{name}.txt").write_text(
            "".join(f"{self._root(name)}{path}\n" for path in [*inventory[1:], "/gone"])
        )
        places = {"Doors": [door or self.served.url], "RootPath": self._root(name), "DirectoryList": []}
        self.sites[name] = {**places, "Inventory": f"{name}.txt", **keys}
        self.write()

    def write(self) -> None:
        """Write the configuration."""
        content = json.dumps({**self.keys, "Sites": self.sites})
        part = self.home / "config.part"
        part.write_text(content)
        part.replace(self.home / "consistency_config.json")

    def _root(self, name: str) -> str:
        return f"{self.served.lfn.decode()}/{name}"

    @property
    def keeper(self) -> Keeper:
        return Keeper(self.home / "var")

    def listed(self, name: str) -> int:
        """Count the directories in the journal of a site's check."""
        try:
            snapshot = Snapshot(part_of(RunDirectory(self.home / "var", name).listing))
        except (OSError, SnapshotError):
            return 0
        count = snapshot.table.count(State.LISTED)
        snapshot.close()
        return count

    def is_at_work(self, name: str) -> bool:
        """Whether a site is being checked."""
        return RunDirectory(self.home / "var", name).is_locked()

    def statuses(self, name: str) -> list[str]:
        """How the runs of a site ended, the last one first."""
        path = self.home / "var" / "db" / "consistency.db"
        if not path.exists():
            return []
        with HistoryDatabase(path) as history:
            return [str(row.status) for row in history.runs(name)]


SLOWLY = {"NumThreads": 1, "InFlight": 1}


def rows(ended: Ended) -> dict[str, dict[str, Any]]:
    """The object that was printed for each site."""
    return {row["site"]: row for row in map(json.loads, ended.out.splitlines())}


def counts(row: dict[str, Any]) -> tuple[int, int, int]:
    return row["results"]["files"], row["results"]["missing"], row["results"]["orphan"]
