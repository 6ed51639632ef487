"""A small site with known differences from its inventory."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OLD = 1_700_000_000

FINDINGS = ("missing", "missing_bytes", "orphan", "orphan_bytes", "size_mismatch", "empty", "unlisted", "protected")


@dataclass
class PlantedSite:
    """A site's files below ``store``, which a door shows as ``lfn``, and its configuration in ``home``.

    The lists are the paths that a check has to find, in tree order.
    """

    home: Path
    store: Path
    lfn: str
    door: str
    name: str = "T2_PLANTED"
    wide: int = 0
    missing: list[str] = field(default_factory=list)
    orphan: list[str] = field(default_factory=list)
    mismatch: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    files: int = 0

    def __post_init__(self) -> None:
        self._inventory: dict[str, int] = {}
        kept = [f"mc/a/good{i}.root" for i in range(4)] + [f"mc/wide/{i:04d}/f.root" for i in range(self.wide)]
        for name in [*kept, "mc/a/with blank.root", "data/c/übrig.root", "data/c/good.root"]:
            self._put(name, 10)
            self._inventory[name] = 10
        self._put("data/c/cut.root", 1)
        self._inventory["data/c/cut.root"] = 500
        for name in ("data/c/left over.root", "mc/unknown/o1.root", "mc/unknown/o2.root"):
            self._put(name, 7)
        self._put("data/c/just written.root", 3, time.time())
        for name in ("mc/a/lost.root", "mc/gone/x.root", "mc/gone/y.root"):
            self._inventory[name] = 100
        (self.store / "mc/empty").mkdir()
        os.utime(self.store / "mc/empty", (OLD, OLD))
        self._put("mc/locked/unseen.root", 10)
        self._inventory["mc/locked/unseen.root"] = 10
        self.files -= 1
        # The server is another user when root starts it.
        (self.store / "mc/locked").chmod(0o700 if os.geteuid() == 0 else 0)
        self.missing = self._lfns("mc/a/lost.root", "mc/gone/x.root", "mc/gone/y.root")
        self.orphan = self._lfns("data/c/left over.root", "mc/unknown/o1.root", "mc/unknown/o2.root")
        self.mismatch = [f"{self.lfn}/data/c/cut.root\t500\t1"]
        self.empty = self._lfns("mc/empty")
        self.unlisted = self._lfns("mc/locked")
        self.write_inventory(with_sizes=True)
        self.configure()

    def _put(self, name: str, size: int, mtime: float = OLD) -> None:
        path = self.store / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
        os.utime(path, (mtime, mtime))
        self.files += 1

    def _lfns(self, *names: str) -> list[str]:
        return [f"{self.lfn}/{name}" for name in names]

    def unlock(self) -> None:
        """Let whoever cleans up remove everything."""
        (self.store / "mc/locked").chmod(0o755)

    @property
    def inventory(self) -> Path:
        return self.home / "inventory.txt"

    @property
    def config(self) -> Path:
        return self.home / "consistency_config.json"

    @property
    def source(self) -> str:
        """The site as a URL, for commands without a configuration."""
        return f"{self.door}/{self.lfn}"

    def write_inventory(self, *, with_sizes: bool) -> None:
        """Write what should be there: names, and sizes and times if asked for."""
        tail = {name: f" {size} {OLD}" if with_sizes else "" for name, size in self._inventory.items()}
        self.inventory.write_text("".join(f"{self.lfn}/{name}{tail[name]}\n" for name in self._inventory))

    def settings(self, **keys: Any) -> dict[str, Any]:
        """Give the configuration, with keys of the site changed."""
        site = {"Doors": [self.door], "Inventory": "inventory.txt", **keys}
        return {"RootPath": self.lfn, "Runtime": "threads", "Sites": {self.name: site}}

    def configure(self, **keys: Any) -> None:
        """Write the configuration, with keys of the site changed."""
        self.config.write_text(json.dumps(self.settings(**keys)))

    def expected(self) -> dict[str, int]:
        """Give the counts that a check has to print."""
        return dict(zip(FINDINGS, (3, 300, 3, 21, 1, 1, 1, 1), strict=True))

    def report(self, ending: str) -> list[str]:
        """Read a list that a check wrote."""
        return (self.home / "www" / f"{self.name}_{ending}.txt").read_text().splitlines()

    def lists(self) -> list[Path]:
        """Give the lists that are in the web directory, whole or not; the log is none."""
        found = (self.home / "www").glob(f"*{self.name}*")
        return [path for path in found if path.name != f"{self.name}.log"]

    def assert_reports(self) -> None:
        """The lists hold exactly what was planted."""
        assert self.report("compare_missing") == self.missing
        assert self.report("compare_orphan") == self.orphan
        assert self.report("compare_size_mismatch") == self.mismatch
        assert self.report("empty") == self.empty
        assert [line.split("\t")[:2] for line in self.report("unlisted")] == [[self.unlisted[0], "permission denied"]]


def findings(result: dict[str, Any]) -> dict[str, Any]:
    """Give of a check's JSON what depends on the site alone."""
    return {key: result[key] for key in FINDINGS}
