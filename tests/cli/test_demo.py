from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.demo import make_plan
from tests.cli.program import run

PLANTED = make_plan(can_lock=True).expected


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that the server may enter, which is another user when root starts it."""
    with tempfile.TemporaryDirectory(prefix="consistency-demo-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def test_the_demo_finds_exactly_what_it_planted(home: Path) -> None:
    ended = run("demo", "--runtime", "threads", "--directory", home / "demo", "--json", cwd=home)
    assert ended.code == 0, ended.err
    assert {key: ended.json[key] for key in PLANTED} == PLANTED
    assert min(PLANTED.values()) > 0
    assert "no XRootD server" not in ended.err
    settings = json.loads((home / "demo/consistency_config.json").read_text())
    assert settings["Sites"]["T2_DEMO"]["Doors"][0].startswith("root://localhost:")
    missing = (home / "demo/www/T2_DEMO_compare_missing.txt").read_text().splitlines()
    assert len(missing) == PLANTED["missing"]


def test_the_demo_shows_what_it_does_and_where_the_reports_are(home: Path) -> None:
    ended = run("demo", "--runtime", "threads", "--directory", "demo", cwd=home)
    assert (ended.code, ended.err) == (0, "")
    assert f"dynamo-consistency --config {home}/demo/consistency_config.json check T2_DEMO" in ended.out
    assert f"reports: {home}/demo/www" in ended.out
    assert ended.out.endswith("\nserver:  ended with the demo, so the site cannot be checked again\n")
    again = run("--config", "demo/consistency_config.json", "history", "T2_DEMO", cwd=home)
    assert " incomplete " in again.out


def test_without_an_xrootd_server_the_directory_is_read(home: Path) -> None:
    (home / "bin").mkdir()
    options = ("--runtime", "threads", "--directory", "demo", "--json")
    ended = run("demo", *options, cwd=home, env={"PATH": str(home / "bin")})
    assert ended.code == 0
    assert ended.err.startswith("no XRootD server (xrootd is not installed; ")
    assert ended.json["missing"] == PLANTED["missing"]


def test_nothing_is_made_for_a_runtime_that_there_is_not(home: Path) -> None:
    ended = run("demo", "--runtime", "slurm", "--directory", "demo", cwd=home)
    assert (ended.code, ended.out) == (2, "")
    assert ended.message == "--runtime: expected ray or threads, found 'slurm'"
    assert not list(home.iterdir())


def test_a_directory_that_is_in_use_is_left_alone(home: Path) -> None:
    (home / "precious").write_text("work")
    ended = run("demo", "--runtime", "threads", "--directory", ".", cwd=home)
    assert ended.code == 2
    assert ended.message == f"--directory: {home} is not empty; the demo wants a new directory"
    assert [path.name for path in home.iterdir()] == ["precious"]
