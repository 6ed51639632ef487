from __future__ import annotations

import json
from pathlib import Path

import pytest

from storage.config.loading import Config, ConfigError


@pytest.mark.parametrize("path", ["//store&authz=secret", "//store/a&xrd.wantprot=secret", "//a?b&authz=secret"])
def test_parameters_do_not_belong_into_a_door(tmp_path: Path, path: str) -> None:
    file = tmp_path / "c.json"
    file.write_text(json.dumps({"Doors": [f"roots://door.example{path}"]}))
    with pytest.raises(ConfigError) as raised:
        Config.load(file, {})
    assert "Doors[0]" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_directory_may_be_called_like_that(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_text(json.dumps({"Doors": ["root://door.example//store/a&b=c"]}))
    assert Config.load(file, {}).top_level().doors == ("root://door.example//store/a&b=c",)
