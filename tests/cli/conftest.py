from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.planted import PlantedSite
from tests.servers.fixtures import ServedDirectory


@pytest.fixture
def site(xrootd_directory: ServedDirectory, tmp_path: Path) -> Iterator[PlantedSite]:
    """A site with known differences, on the XRootD server that all tests share."""
    planted = PlantedSite(tmp_path, xrootd_directory.path, xrootd_directory.lfn.decode(), xrootd_directory.url)
    yield planted
    planted.unlock()
