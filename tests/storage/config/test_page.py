"""The page of the configuration holds what it says: every key, its default, and the examples."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from storage.config.files import parse_value
from storage.config.loading import KEYS, Config, SiteConfig

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def _load(directory: Path, values: Any) -> Config:
    path = directory / "site.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return Config.load(path, {})


def _documented() -> dict[str, list[str]]:
    """Read the rows of the tables that have five cells, by key."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    return {row[0]: row[1:] for row in rows if len(row) == 5 and row[0] not in ("Key", "---")}


def test_the_page_has_every_key_once_and_no_other() -> None:
    keys = re.findall(r"^\| (\w+) \|(?:[^|]*\|){4}$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(keys) == sorted([*KEYS, "Key"])


@pytest.mark.parametrize("key", KEYS)
def test_documented_defaults_are_the_defaults_and_examples_are_taken(key: str) -> None:
    meaning, kind, default, example = _documented()[key]
    assert meaning
    assert kind
    plain = Config.default({})
    if default == "`null`":
        # A variable of the environment cannot say null for text.
        values = {field.name.replace("_", ""): getattr(plain.top_level(), field.name) for field in fields(SiteConfig)}
        assert values[key.lower()] is None
    else:
        assert Config.default({key: default.strip("`")}).top_level() == plain.top_level()
    name = "T2_EXAMPLE_One"
    config = Config.default({key: example.strip("`")})
    site = config.site(name) if name in config.sites else config.top_level(name)
    assert site != plain.top_level(name)


def test_the_two_forms_on_the_page_mean_the_same(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| `([^|]*)` \| `([^|]*)` \|$", page, re.MULTILINE)
    assert len(rows) == 6
    for key, top, own in rows:
        by_name = _load(tmp_path, {key: parse_value(top), "Sites": {"T2_EXAMPLE_One": {}}})
        plain = _load(tmp_path, {"Sites": {"T2_EXAMPLE_One": {key: parse_value(own)}}})
        assert by_name.site("T2_EXAMPLE_One") == plain.site("T2_EXAMPLE_One")
        assert plain.site("T2_EXAMPLE_One") != _load(tmp_path, {}).top_level("T2_EXAMPLE_One")


def test_the_examples_on_the_page_load_and_agree(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    configs = []
    for suffix in ("yaml", "toml"):
        (example,) = re.findall(rf"```{suffix}\n(.*?)```", page, re.DOTALL)
        path = tmp_path / f"example.{suffix}"
        path.write_text(example)
        configs.append(Config.load(path, {}))
    first, second = configs
    assert first.sites == second.sites == ("T2_EXAMPLE_One", "T2_EXAMPLE_Two")
    assert [first.site(name) for name in first.sites] == [second.site(name) for name in second.sites]


def test_the_shell_example_on_the_page_works() -> None:
    (example,) = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    program = "import json, os; print(json.dumps(dict(os.environ)))"
    done = subprocess.run(
        ["/bin/sh", "-ec", f'{example}\nexec "$0" -c "$1"', sys.executable, program],
        check=True,
        capture_output=True,
        text=True,
    )
    site = Config.default(json.loads(done.stdout)).top_level()
    assert (site.timeout, site.directories, site.doors) == (300.0, (b"/store/mc",), ("root://localhost:1094",))
