"""What the tests of several rooms of the storage use."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def unwritable() -> Iterator[Path]:
    """Give a directory that this process cannot write; root gives up its rights for as long."""
    user = os.geteuid()
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o555)
    if user == 0:
        os.seteuid(65534)
    try:
        yield directory
    finally:
        if user == 0:
            os.seteuid(user)
        directory.rmdir()
