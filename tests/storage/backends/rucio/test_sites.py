"""What RSEs may say of themselves, and what they may not."""

from __future__ import annotations

import json

import pytest

from storage.backends import BackendError
from storage.backends.protocols import SiteSettings
from tests.storage.backends.rucio.conftest import Element


@pytest.mark.parametrize("door", ["file:///etc", "FILE:///etc", "File:/etc", " file:///etc"])
def test_a_directory_of_this_machine_is_no_door_however_it_is_written(element: Element, door: str) -> None:
    value = json.dumps(["root://localhost", door])
    element.server.ask(lambda client: client.add_rse_attribute(element.name, "consistency.Doors", value))
    backends, _ = element.backends()
    assert isinstance(backends.sites, SiteSettings)
    with pytest.raises(BackendError, match="a directory of this machine is no door that an RSE may name"):
        backends.sites.settings_of(element.name)
