"""Storage elements of one test, on the Rucio that all tests share, and the backend for one of them."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from storage.backends import Backends, choose
from storage.config.loading import Config
from storage.config.site import SiteConfig
from tests.servers.rucio import RucioServer

_numbers = itertools.count(1)

ROOT = "/store"


@dataclass(frozen=True)
class Element:
    """An RSE with the scopes ``mc`` and ``user``, which are this test's own, and another RSE and tape beside it."""

    server: RucioServer
    directory: Path
    name: str
    other: str
    tape: str
    mc: str
    user: str

    def backends(self, **keys: Any) -> tuple[Backends, SiteConfig]:
        """Give the backend and the settings of the site that is the RSE; ``keys`` are those of ``Rucio``."""
        config = self.config(**keys)
        site = config.site(self.name)
        return choose(config, site), site

    def config(self, **keys: Any) -> Config:
        """Give the configuration."""
        rucio = {"Config": str(self.server.client_config), **keys}
        path = self.directory / "config.yaml"
        sites = {self.name: {"RootPath": ROOT, "DirectoryList": []}}
        path.write_text(json.dumps({"Backend": "rucio", "Rucio": rucio, "Sites": sites}))
        return Config.load(path, {})


@pytest.fixture
def element(rucio_server: RucioServer, tmp_path: Path) -> Element:
    """Three new RSEs."""
    number = next(_numbers)
    found = Element(
        rucio_server,
        tmp_path,
        *(f"SITE{number}_{name}" for name in ("DISK", "OTHER", "TAPE")),
        mc=f"mc{number}",
        user=f"user.u{number}",
    )
    for name in (found.name, found.other, found.tape):
        rucio_server.add_rse(name, tape=name == found.tape)
    return found
