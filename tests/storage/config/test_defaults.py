from __future__ import annotations

from pathlib import Path

import pytest

from storage.config.defaults import Defaults
from storage.config.loading import KEYS, Config, ConfigError
from storage.config.site import KEYS as LIGHT_KEYS


def test_the_defaults_are_those_of_a_configuration_that_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    loaded, light = Config.default({}), Defaults()
    assert light.top_level("SITE") == loaded.top_level("SITE")
    assert (light.path, light.sites) == (loaded.path, loaded.sites)


def test_the_keys_are_those_of_the_model() -> None:
    assert sorted(KEYS) == sorted(LIGHT_KEYS)


def test_no_site_is_known() -> None:
    with pytest.raises(ConfigError, match="no site"):
        Defaults().site("SITE")
