"""What real programs print is read as what is there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.servers.fixtures import ServedDirectory
from tests.storage.inventory.foreign.reading import read

NEW, OLD = 1_767_323_045, 1_000_000_000
FILES = {
    "a/one.root": (7, NEW),
    "a/two  blanks": (0, OLD),
    "b/c/größe=7": (12345, NEW),
    "-l": (1, OLD),
    ".hidden": (2, NEW),
}


def fill(top: Path) -> None:
    for name, (size, mtime) in FILES.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
        os.utime(path, (mtime, mtime))


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_the_output_of_xrdfs(xrootd_directory: ServedDirectory, zone: str) -> None:
    fill(xrootd_directory.path)
    door, lfn = xrootd_directory.url.removeprefix("root://").partition("//")[0], xrootd_directory.lfn
    listed = subprocess.run(
        ["xrdfs", door, "ls", "-l", "-R", os.fsdecode(lfn)],
        check=True,
        capture_output=True,
        timeout=60,
        env={**os.environ, "TZ": zone},
    )
    found = read(listed.stdout)
    assert found.format == "xrdfs"
    assert sorted(found.facts) == sorted((lfn + b"/" + os.fsencode(name), *facts) for name, facts in FILES.items())
