"""What the keys come to for a site, where that comes from, and what is left of a configuration with mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from storage.config.files import ConfigError
from storage.config.keys import KEYS
from storage.config.loading import Config
from storage.config.origins import Origin, Setting
from storage.config.problems import Problem


def _write(directory: Path, values: Any) -> Path:
    path = directory / "sites.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def _settings(directory: Path, values: Any, site: str = "T2_A", **environment: str) -> dict[str, tuple[Any, Origin]]:
    config = Config.load(_write(directory, values), environment)
    return {setting.key: (setting.value, setting.origin) for setting in config.settings(site)}


def test_each_key_says_where_its_value_comes_from(tmp_path: Path) -> None:
    values = {"Timeout": 10, "Retries": 1, "Sites": {"T2_A": {"Timeout": 20, "Inventory": "a.csv", "Dump": None}}}
    found = _settings(tmp_path, values, Retries="2", MaxDepth=" ")
    assert found["Timeout"] == (20.0, Origin.SITE)
    assert found["Retries"] == (2, Origin.ENVIRONMENT)
    assert found["MaxDepth"] == (40, Origin.DEFAULT)
    assert found["Inventory"] == (str(tmp_path / "a.csv"), Origin.SITE)
    assert found["Dump"] == (None, Origin.SITE)
    assert found["VarLocation"] == (str(tmp_path / "var"), Origin.DEFAULT)
    assert list(found) == [key for key in KEYS if key != "Sites"]
    other = _settings(tmp_path, {"Timeout": 10, "Sites": {"T2_A": {}}})
    assert other["Timeout"] == (10.0, Origin.TOP_LEVEL)


@pytest.mark.parametrize(
    ("top", "own", "environment", "expected"),
    [
        ({"PathPrefix": {"T2_A": "/x"}}, {}, {}, ("/x", Origin.TOP_LEVEL)),
        ({"PathPrefix": {"T2_B": "/x"}}, {}, {}, (None, Origin.DEFAULT)),
        ({"PathPrefix": {"T2_A": "/x"}}, {"PathPrefix": "/y"}, {}, ("/y", Origin.SITE)),
        ({}, {"PathPrefix": "/y"}, {"PathPrefix": "{T2_A: /z}"}, ("/z", Origin.ENVIRONMENT)),
        ({"PathPrefix": {"T2_A": "/x"}}, {"PathPrefix": "/y"}, {"PathPrefix": "{T2_B: /z}"}, ("/y", Origin.SITE)),
        ({"Unmerged": ["T2_A"]}, {}, {}, (True, Origin.TOP_LEVEL)),
        ({"Unmerged": ["T2_A"]}, {"Unmerged": False}, {}, (False, Origin.SITE)),
        ({"Unmerged": ["T2_A"]}, {"Unmerged": True}, {"Unmerged": "[T2_B]"}, (False, Origin.ENVIRONMENT)),
        ({}, {}, {}, (False, Origin.DEFAULT)),
    ],
)
def test_keys_that_name_sites_at_the_top_level(
    tmp_path: Path, top: dict[str, Any], own: dict[str, Any], environment: dict[str, str], expected: Any
) -> None:
    (key,) = {*top, *own, *environment} or {"Unmerged"}
    values = {**top, "Sites": {"T2_A": own}}
    assert _settings(tmp_path, values, **environment)[key] == expected
    # The settings that a run goes by are the same ones.
    site = Config.load(_write(tmp_path, values), environment).site("T2_A")
    value = site.path_prefix.decode() or None if key == "PathPrefix" else site.unmerged
    assert value == expected[0]


def test_what_a_backend_knows_goes_before_the_keys_of_the_site(tmp_path: Path) -> None:
    path = _write(tmp_path, {"Retries": 1, "Sites": {"T2_A": {"Timeout": 20, "MaxDepth": 7, "Layout": "shared"}}})
    config = Config.load(path, {"MaxDepth": "9"})
    config = config.with_site("T2_A", {"Timeout": 30, "Retries": 2, "MaxDepth": 8}, "T2_A, of its backend")
    config = config.with_site("T2_B", {"Timeout": 40}, "T2_B, of its backend")
    found = {setting.key: (setting.value, setting.origin) for setting in config.settings("T2_A")}
    assert found["Timeout"] == (30.0, Origin.BACKEND)
    assert found["Retries"] == (2, Origin.BACKEND)
    assert found["MaxDepth"] == (9, Origin.ENVIRONMENT)
    assert found["Layout"] == ("shared", Origin.SITE)
    assert found["NumThreads"][1] == Origin.DEFAULT
    other = {setting.key: (setting.value, setting.origin) for setting in config.settings("T2_B")}
    assert (other["Timeout"], other["Retries"]) == ((40.0, Origin.BACKEND), (1, Origin.TOP_LEVEL))


def test_values_are_as_a_file_would_have_them(tmp_path: Path) -> None:
    given = {
        "RootPath": "/store",
        "DirectoryList": ["mc", "übrig"],
        "Doors": ["root://door.example:1094//cms"],
        "MaxOrphanSize": 5_000,
        "Placement": {"near": 0.5, "region": "north"},
        "RuntimeEnv": {"pip": ["msgpack"]},
        "ListDeletable": {"MIN_AGE": 5},
        "SecondInventory": "again",
        "Email": {"Sender": "a@b", "Recipients": ["c@d"], "Server": "h:25"},
        "Incremental": True,
    }
    config = Config.load(_write(tmp_path, {**given, "Sites": {"T2_A": {}}}), {})
    written = {setting.key: setting.value for setting in config.settings("T2_A") if setting.key in given}
    assert yaml.safe_load(yaml.safe_dump(_lists(written))) == given
    again = Config.load(_write(tmp_path, {**_lists(written), "Sites": {"T2_A": {}}}), {})
    assert again.site("T2_A") == config.site("T2_A")


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(inner) for key, inner in value.items()}
    return [_lists(inner) for inner in value] if isinstance(value, list | tuple) else value


def test_a_site_without_an_entry_has_the_top_level(tmp_path: Path) -> None:
    config = Config.load(_write(tmp_path, {"Timeout": 10, "PathPrefix": {"T2_Z": "/z"}}), {})
    assert Setting("PathPrefix", "/z", Origin.TOP_LEVEL) in config.settings("T2_Z")


def test_what_is_wrong_is_left_out_and_the_rest_stays(tmp_path: Path) -> None:
    values = {
        "Timeout": "soon",
        "Retrys": 1,
        "Retries": 9,
        "PathPrefix": {"../x": "/cms"},
        "Sites": {"T2_A": {"MaxDepth": 0, "Doors": ["x"], "MinFiles": 0.25}, "T2_B": None, "T2 C": {}},
    }
    path = _write(tmp_path, values)
    config, problems = Config.salvage(path, {"NumThreads": "[", "InFlight": "0", "ListAge": "3"})
    site = config.site("T2_A")
    assert config.sites == ("T2_A",)
    assert (site.retries, site.min_files, site.list_age) == (9, 0.25, 3.0)
    assert (site.timeout, site.max_depth, site.doors, site.listers, site.in_flight) == (30.0, 40, (), 1, 512)
    with pytest.raises(ConfigError) as caught:
        Config.load(path, {"NumThreads": "[", "InFlight": "0", "ListAge": "3"})
    assert caught.value.found == problems
    assert caught.value.problems == tuple(problem.line for problem in problems)
    assert {(problem.site, problem.key) for problem in problems} == {
        *(("", "Timeout"), ("", "Retrys"), ("", "PathPrefix"), ("", "NumThreads"), ("", "InFlight"), ("", "Sites")),
        *(("T2_A", "MaxDepth"), ("T2_A", "Doors[0]"), ("T2_B", "Sites")),
    }


def test_a_problem_comes_in_parts(tmp_path: Path) -> None:
    path = _write(tmp_path, {"Sites": {"T2_A": {"Timeout": -1}}})
    _, (problem,) = Config.salvage(path, {})
    words = ("found -1", "write a number of seconds above 0", str(path))
    assert (problem.key, problem.site) == ("Timeout", "T2_A")
    assert (problem.wrong, problem.advice, problem.place) == words
    assert str(problem) == f"{path}: Sites.T2_A.Timeout: expected a number of seconds above 0, found -1"
    assert ConfigError("a line", problem).found == (Problem("a line", wrong="a line"), problem)


def test_a_file_that_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Config.salvage(tmp_path / "none.yaml", {})
