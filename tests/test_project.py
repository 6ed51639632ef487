"""What is in the project is fit to leave the machine that it was written on."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

PLACES = rb"(?<![\w/.-])/(?:home/[a-z_][a-z0-9_-]*|Users/[A-Za-z]+|root|work|tmp/venv|opt/pypi)/"
"""Directories of a developer's machine."""

HOSTS = rb"pypi\.org|pythonhosted\.org|--(?:extra-)?index-url|--find-links"
"""Where packages come from: that is for whoever installs to choose."""

PRIVATE = re.compile(PLACES + rb"|" + HOSTS)


def tracked() -> list[Path]:
    """List the files that belong to the project: those that git knows or would take."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )
    names = [name.decode() for name in listed.stdout.split(b"\0") if name]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def private_lines(content: bytes) -> list[bytes]:
    return [line for line in content.splitlines() if PRIVATE.search(line)]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def constraints() -> dict[str, str]:
    """Give the constrained version of each package."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {canonical(name): version for name, _, version in (line.partition("==") for line in lines)}


def test_no_file_names_a_machine_or_a_package_host() -> None:
    found = {
        path.relative_to(ROOT).as_posix(): private_lines(path.read_bytes())
        for path in tracked()
        if path != Path(__file__)
    }
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize("line", [b"see /home/jane/src", b"pip install --index-url=x", b"cp a /root/.cache"])
def test_such_a_line_would_be_found(line: bytes) -> None:
    assert private_lines(b"first\n" + line + b"\nlast\n") == [line]


def test_constraints_are_names_and_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][A-Za-z0-9.]*", line)] == []
    assert len(constraints()) == len(lines) > 0


def test_every_dependency_has_a_tested_version() -> None:
    project = pyproject()["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {canonical(re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0]) for requirement in wanted}
    assert names - constraints().keys() == set()


def test_every_package_is_typed_and_none_is_left_out_of_the_build() -> None:
    patterns = pyproject()["tool"]["setuptools"]["packages"]["find"]["include"]
    packages = {pattern.removesuffix("*") for pattern in patterns}
    assert packages == {"actors", "engine", "storage", "cli", "dynamo_consistency"}
    for package in packages:
        assert (ROOT / package / "__init__.py").is_file()
        assert (ROOT / package / "py.typed").is_file()


@pytest.mark.parametrize("script", ["scripts/setup.sh", ".ci/run"])
def test_scripts_parse(script: str) -> None:
    subprocess.run(["bash", "-n", str(ROOT / script)], check=True, timeout=30)
