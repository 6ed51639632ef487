from pathlib import Path

import pytest

from tests.storage.page.planting import Planted


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    """A web directory and a place for a history, both without sites."""
    return Planted(tmp_path)
