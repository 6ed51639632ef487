from __future__ import annotations

import resource
import tempfile
from collections.abc import Iterator
from typing import IO, Any

import pytest


@pytest.fixture
def small_files() -> Iterator[None]:
    """Have files filled up after 20 bytes, as on a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture
def scratch_files(monkeypatch: pytest.MonkeyPatch) -> list[IO[bytes]]:
    """Hold the files without a name that were made, to be damaged."""
    made: list[IO[bytes]] = []
    make = tempfile.TemporaryFile

    def remember(**options: Any) -> Any:
        made.append(make(**options))
        return made[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", remember)
    return made
