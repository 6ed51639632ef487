from __future__ import annotations

import importlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynamo_consistency import config
from tests.dynamo_consistency.sites import Site
from tests.servers.fixtures import ServedDirectory


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Every test works in a directory of its own and starts without a configuration."""
    monkeypatch.chdir(tmp_path)
    importlib.reload(config)
    yield tmp_path
    importlib.reload(config)


@pytest.fixture
def site(xrootd_directory: ServedDirectory, tmp_path: Path) -> Site:
    """A site that misses one file, has two orphans, of which one is young, and a directory that cannot be listed."""
    site = Site(tmp_path, xrootd_directory.path, xrootd_directory.lfn.decode(), xrootd_directory.url)
    for name in ("mc/a/good.root", "mc/a/with blank.root", "data/b/good.root"):
        site.hold(name)
        site.expect(name)
    site.expect("mc/a/lost.root", 100)
    site.hold("data/b/left over.root", 7)
    site.hold("data/b/young.root", 5, time.time() - 60)
    site.hold("elsewhere/unasked.root")
    site.expect("elsewhere/not kept.root")
    # The server is another user when root starts it.
    site.hold("mc/locked/unseen.root")
    site.expect("mc/locked/unseen.root")
    (site.store / "mc/locked").chmod(0o700 if os.geteuid() == 0 else 0)
    config.LOCATION = site.configure()
    return site
