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


def test_an_rse_that_is_not_there_says_which_key_names_it(element: Element) -> None:
    backends, site = element.backends(RSE="NOWHERE")
    assert isinstance(backends.sites, SiteSettings)
    for ask in (backends.sites.settings_of, backends.check.check_site):
        with pytest.raises(BackendError, match=r"NOWHERE.*; set Rucio\.RSE of the site to the name of its RSE"):
            ask(site.name)


def test_an_account_that_is_not_named_is_that_of_its_configuration(
    element: Element, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rucio.client.baseclient import BaseClient

    monkeypatch.setattr(BaseClient, "TOKEN_PATH_PREFIX", str(element.directory / "tokens_"))
    config = element.server.write_client_config("nobody", "wrong")
    backends, site = element.backends(Config=str(config), Patience=0)
    with pytest.raises(BackendError, match=r"the account of its configuration was refused: .*; see \[client\] in /"):
        backends.check.check_site(site.name)
