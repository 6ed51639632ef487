"""A site that a Rucio manages, with replicas in all states and known differences from them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.lfn2path import hash_path
from tests.cli.loaded import run
from tests.cli.program import Ended
from tests.servers.fixtures import ServedDirectory
from tests.servers.rucio import RucioServer

OLD = 1_700_000_000


@dataclass
class ManagedSite:
    """An XRootD site that is an RSE, with a copy of some of its files at another one."""

    home: Path
    served: ServedDirectory
    rucio: RucioServer
    keys: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = f"{self.served.path.name.upper()}_DISK"
        self.other = f"{self.name}_OTHER"
        self.scope = self.served.path.name
        self.root = self.served.lfn.decode()
        port = int(self.served.url.rpartition(":")[2].strip("/"))
        self.rucio.add_rse(self.name, f"/{self.root}/", port=port)
        self.rucio.add_rse(self.other)
        names = ("good", "lost", "last", "going", "gone", "coming", "half", "bad")
        self.rucio.add_files(self.name, {(self.scope, name): 10 for name in names})
        self.rucio.add_files(self.other, {(self.scope, name): 10 for name in ("lost", "gone", "bad")})
        for name, state in {"going": "B", "gone": "B", "coming": "C", "half": "C", "bad": "D"}.items():
            self.rucio.set_state(self.name, name, state)
        self.rucio.execute(
            "UPDATE replicas SET updated_at = '2024-01-02 03:04:05', created_at = '2024-01-02 03:04:05' "
            "WHERE scope = :scope",
            scope=self.scope,
        )
        for name in ("good", "going", "dark"):
            self.put(self.path(name))
        self.put(self.path("half"), 3)
        self.put("stray/file")
        (self.served.path / "stray/empty").mkdir()
        os.utime(self.served.path / "stray/empty", (OLD, OLD))

    def path(self, name: str) -> str:
        return hash_path(self.scope.encode(), name.encode()).decode()

    def lfn(self, name: str) -> str:
        return f"{self.root}/{self.path(name)}"

    def put(self, path: str, size: int = 10) -> None:
        file = self.served.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * size)
        os.utime(file, (OLD, OLD))

    def configure(self, backends: Mapping[str, str] | None = None, **keys: Any) -> None:
        """Write the configuration; ``keys`` are those of ``Rucio``."""
        rucio = {"Config": str(self.rucio.client_config), "Database": self.rucio.database, **keys}
        site = {
            "Doors": [self.served.url],
            "RootPath": self.root,
            "DirectoryList": [],
            "Runtime": "threads",
            "Layout": "shared",
            **self.keys,
        }
        document = {"Backend": "rucio", "Backends": dict(backends or {}), "Rucio": rucio, "Sites": {self.name: site}}
        (self.home / "consistency_config.json").write_text(json.dumps(document))

    def program(self, *arguments: object) -> Ended:
        return run(*arguments, cwd=self.home)

    def check(self, *arguments: object) -> dict[str, Any]:
        ended = self.program("check", self.name, "--json", *arguments)
        assert (ended.code, ended.err) == (0, "")
        return ended.json
