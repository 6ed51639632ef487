"""The schema takes what the program takes: the examples of the documentation, and any values that it can read."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from storage.config.files import ConfigError, parse_value
from storage.config.keys import KEYS
from storage.config.loading import Config
from storage.config.meanings import MEANINGS
from storage.config.schema import json_schema

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/configuration.md"
SCHEMA = json_schema()
CHECK = jsonschema.Draft202012Validator(SCHEMA)


def _wrong(values: Any) -> list[str]:
    return [error.json_path for error in CHECK.iter_errors(values)]


def _examples() -> list[tuple[str, Any]]:
    """Give every configuration that stands in the documentation."""
    found = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for language, text in re.findall(r"^```(yaml|toml)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            values = yaml.safe_load(text) if language == "yaml" else tomllib.loads(text)
            if set(values) <= set(KEYS):
                found.append((page.name, values))
    return found


def _rows() -> dict[str, list[str]]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in rows if len(row) == 5 and row[0] != "Key"}


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    assert sorted(SCHEMA["properties"]) == sorted(KEYS)


@pytest.mark.parametrize(("page", "values"), _examples())
def test_it_takes_the_examples_of_the_documentation(page: str, values: Any) -> None:
    assert _wrong(values) == [], page


def test_there_are_examples() -> None:
    assert {"README.md", "configuration.md", "backends.md", "unmerged.md"} <= {page for page, _ in _examples()}


@pytest.mark.parametrize("key", KEYS)
def test_it_takes_the_default_and_the_example_of_each_key_and_says_what_it_means(key: str) -> None:
    meaning, _, default, example = _rows()[key]
    assert _wrong({key: parse_value(default.strip("`"))}) == []
    assert _wrong({key: parse_value(example.strip("`"))}) == []
    assert SCHEMA["properties"][key]["default"] == parse_value(default.strip("`"))
    assert MEANINGS[key] == re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", meaning)
    assert SCHEMA["properties"][key]["description"] == MEANINGS[key]


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"Timeout": "soon"}, "$.Timeout"),
        ({"Timeout": 0}, "$.Timeout"),
        ({"Timeout": 1e7}, "$.Timeout"),
        ({"Timout": 5}, "$"),
        ({"NumThreads": True}, "$.NumThreads"),
        ({"NumThreads": 1001}, "$.NumThreads"),
        ({"RootPath": "store"}, "$.RootPath"),
        ({"RootPath": "/store/.."}, "$.RootPath"),
        ({"DirectoryList": ["/mc"]}, "$.DirectoryList[0]"),
        ({"DirectoryList": ["mc/./a"]}, "$.DirectoryList[0]"),
        ({"Doors": ["door.example"]}, "$.Doors[0]"),
        ({"Inventory": "~/one.csv"}, "$.Inventory"),
        ({"Inventory": "$HOME/one.csv"}, "$.Inventory"),
        ({"Layout": "own"}, "$.Layout"),
        ({"MaxOrphanSize": "50 tons"}, "$.MaxOrphanSize"),
        ({"Backends": {"weather": "files"}}, "$.Backends"),
        ({"Placement": {"CPU": 1}}, "$.Placement"),
        ({"RuntimeEnv": {"docker": "x"}}, "$.RuntimeEnv"),
        ({"PathPrefix": {"../x": "/cms"}}, "$.PathPrefix"),
        ({"PathPrefix": {"T2_A": "cms"}}, "$.PathPrefix.T2_A"),
        ({"Email": {"Recipients": ["a@b"]}}, "$.Email"),
        ({"Email": {"Sender": "a@b", "Recipients": [], "Server": "localhost"}}, "$.Email"),
        ({"Rucio": {"PathRules": [{"DID": "mc:(.*)"}]}}, "$.Rucio"),
        ({"SQL": {"Files": "SELECT 1"}}, "$.SQL"),
        ({"Sites": {"T2 A": {}}}, "$.Sites"),
        ({"Sites": {"T2_A": {"PathPrefix": {"T2_A": "/cms"}}}}, "$.Sites.T2_A.PathPrefix"),
        ({"Sites": {"T2_A": {"Pool": 4}}}, "$.Sites.T2_A"),
        ({"Sites": {"T2_A": None}}, "$.Sites.T2_A"),
    ],
)
def test_it_refuses_what_the_program_refuses(tmp_path: Path, values: Any, place: str) -> None:
    assert _wrong(values) == [place]
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(values))
    with pytest.raises(ConfigError):
        Config.load(path, {})


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["/a", "a//b/", "..\n", "root://x", "A", "again", "x:1", "[::1]:1094", "1.5 TB", "ray", "files"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)


@given(values=st.dictionaries(st.sampled_from(KEYS), _VALUES, max_size=3))
def test_it_refuses_nothing_that_the_program_takes(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(values))
    try:
        Config.load(path, {})
    except ConfigError:
        return
    assert _wrong(values) == []
