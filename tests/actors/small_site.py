"""A small site on disk, for tests of whole runs, and a registry that can fail."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from actors.check_job import RunRequest
from actors.oversight import Oversight
from actors.runtime import Runtime
from actors.site_run import SiteResults, SiteRun, run_site
from engine.site_states import Reporting
from storage.backends import choose
from storage.backends.protocols import BackendError, Transfers
from storage.backends.queue import RequestQueue, Table, queue_path
from storage.config.loading import Config
from storage.doors.source import site_source
from storage.history import HistoryDatabase
from storage.sites.summary import SummaryDatabase

SITE = "T2_TEST"
OLD = 1_700_000_000
LOST = "mc/Era/Lost/AOD/v1/0000/lost.root"


@dataclass
class Site:
    """A small site on disk, and the program's directories beside it."""

    home: Path
    keys: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.home / "store").mkdir()
        for name in ("mc/kept", "mc/orphan", "data/kept"):
            self.put(name)
        self.expect("mc/kept", "mc/lost", "data/kept", "data/gone")
        (self.home / "store/mc/empty").mkdir()
        os.utime(self.home / "store/mc/empty", (OLD, OLD))

    def put(self, name: str) -> None:
        path = self.home / "store" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"0123456789")
        os.utime(path, (OLD, OLD))

    def lfn(self, name: str) -> str:
        return f"{self.home}/store/{name}"

    def expect(self, *names: str, header: str = "lfn,size,mtime", more: str = "") -> None:
        """Write the inventory."""
        rows = [f"{self.lfn(name)},10,{OLD}{more}" for name in names]
        (self.home / "inventory.csv").write_text("\n".join([header, *rows]) + "\n")

    @property
    def config(self) -> Config:
        path = self.home / "config.json"
        keys = {"Doors": ["file:///"], "RootPath": f"{self.home}/store", "Inventory": "inventory.csv", **self.keys}
        path.write_text(json.dumps({"Sites": {SITE: keys}}))
        return Config.load(path, {})

    @property
    def www(self) -> Path:
        return self.home / "www"

    def summary(self) -> SummaryDatabase:
        return SummaryDatabase(self.www / "stats.db")

    def history(self) -> HistoryDatabase:
        return HistoryDatabase(self.home / "var/db/consistency.db")

    def act(self) -> None:
        """Set the site to act; a run has to have made it known."""
        with self.summary() as summary:
            summary.set_reporting(SITE, Reporting.ACT)

    def requests(self, table: Table) -> list[str]:
        """Give what was asked for, without the beginning that all names have."""
        path = queue_path(self.home / "var")
        requests = RequestQueue(path).requests(table, SITE) if path.exists() else []
        return [request.lfn.decode().removeprefix(self.lfn("")) for request in requests]

    def lines(self, ending: str) -> list[str]:
        lines = (self.www / f"{SITE}_{ending}.txt").read_text().splitlines()
        return [line.replace(self.lfn(""), "") for line in lines]


def run(runtime: Runtime, site: Site, oversight: Oversight | None = None, **request: Any) -> SiteResults:
    config = site.config
    settings = config.site(SITE)
    what = SiteRun(config, settings, site_source(settings), choose(config, settings), RunRequest(**request))
    return run_site(runtime, what, oversight or Oversight())


@dataclass
class Registry:
    """A registry that keeps what it is asked for, and takes nothing that is, or whose name contains, ``refuses``."""

    refuses: str = ""
    deletions: list[str] = field(default_factory=list)
    transfers: list[str] = field(default_factory=list)

    def delete(self, site: str, lfns: Sequence[str]) -> int:
        self._take("deletion", lfns)
        self.deletions += lfns
        return len(lfns)

    def transfer(self, site: str, lfns: Sequence[str]) -> Transfers:
        self._take("transfer", lfns)
        self.transfers += lfns
        return Transfers(requested=lfns)

    def sources(self, site: str, lfns: Sequence[str]) -> Transfers:
        return Transfers(requested=lfns)

    def _take(self, what: str, lfns: Sequence[str]) -> None:
        if self.refuses and (self.refuses == what or any(self.refuses in lfn for lfn in lfns)):
            raise BackendError("nobody answers")


def run_with(runtime: Runtime, site: Site, registry: Registry, oversight: Oversight, **request: Any) -> SiteResults:
    config = site.config
    settings = config.site(SITE)
    backends = replace(choose(config, settings), registry=registry)
    return run_site(
        runtime, SiteRun(config, settings, site_source(settings), backends, RunRequest(**request)), oversight
    )
