"""The arrows between packages run one way, heavy modules load where they are used, and no module outgrows one idea."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MAY_IMPORT = {
    "engine": {"engine"},
    "storage": {"storage", "engine"},
    "actors": {"actors", "storage", "engine"},
    "cli": {"cli", "actors", "storage", "engine"},
    "dynamo_consistency": {"dynamo_consistency", "actors", "storage", "engine"},
}
"""What each package may use of this project."""

ENGINE_LIBRARIES = {"numpy", "msgpack"}

NOT_IN_ENGINE = {
    "datetime",
    "http",
    "io",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "random",
    "secrets",
    "shutil",
    "socket",
    "sqlite3",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib",
    "uuid",
}
"""Modules of the standard library that know a clock, the environment, chance, a file or a network."""

HEAVY = {"ray", "numpy", "pydantic", "sqlite_utils", "rich", "XRootD", "pyxrootd"}
"""What the command line must not load before a command needs it."""

LONGEST = 600


@dataclass(frozen=True, slots=True)
class Import:
    """One import: who, what, on which line, and whether it happens when the module itself is imported."""

    importer: str
    module: str
    line: int
    at_import: bool

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.module}"


def _is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _walk(nodes: list[ast.stmt], at_import: bool) -> Iterator[tuple[ast.stmt, bool]]:
    """Give every statement, and whether it runs when the module is imported; bodies of functions do not."""
    for node in nodes:
        yield node, at_import
        inner_runs = at_import and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        checked_only = _is_type_checking(node)
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            for child in getattr(node, field, []):
                runs = inner_runs and not (checked_only and field == "body")
                if isinstance(child, ast.stmt):
                    yield from _walk([child], runs)
                else:
                    yield from _walk(child.body, runs)


def imports_in(source: str, importer: str) -> list[Import]:
    """Read the imports of a module from its text; names are absolute."""
    found = []
    package = importer.removesuffix(".py").split("/")[:-1]
    for node, at_import in _walk(ast.parse(source).body, True):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            names = [".".join([*package[: len(package) + 1 - node.level], *filter(None, [node.module])])]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        found += [Import(importer, name, node.lineno, at_import) for name in names]
    return found


def modules() -> list[Path]:
    """List the modules of all packages."""
    return sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))


@pytest.fixture(scope="module")
def imports() -> list[Import]:
    return [
        found
        for path in modules()
        for found in imports_in(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())
    ]


def upward(imports: list[Import]) -> list[str]:
    """Name the imports that run against the arrows."""
    return [
        str(found)
        for found in imports
        if (found.package in MAY_IMPORT or found.package in ("tests", "benchmarks"))
        and found.package not in MAY_IMPORT[found.importer.partition("/")[0]]
    ]


def outside_of_engine(imports: list[Import]) -> list[str]:
    """Name the imports of the engine that are neither its own, nor of the standard library, nor agreed on."""
    allowed = (sys.stdlib_module_names - NOT_IN_ENGINE) | ENGINE_LIBRARIES | {"engine"}
    return [str(found) for found in imports if found.importer.startswith("engine/") and found.package not in allowed]


def stray_ray(imports: list[Import]) -> list[str]:
    """Name the imports of Ray outside the modules that deploy on it, and whatever loads those while being imported."""
    return [
        str(found)
        for found in imports
        if not found.importer.startswith("actors/on_ray/")
        and (found.package == "ray" or (found.at_import and found.module.startswith("actors.on_ray")))
    ]


def test_the_packages_have_modules() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in modules()} == set(MAY_IMPORT)


def test_no_arrow_runs_back_up(imports: list[Import]) -> None:
    assert upward(imports) == []


def test_the_engine_knows_no_clock_no_chance_and_no_outside(imports: list[Import]) -> None:
    assert outside_of_engine(imports) == []


def test_ray_is_imported_where_actors_are_deployed_and_nowhere_else(imports: list[Import]) -> None:
    assert stray_ray(imports) == []


def test_no_module_is_longer_than_one_idea() -> None:
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_bytes().splitlines()) for path in modules()}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_the_command_line_loads_nothing_heavy() -> None:
    code = "import json, sys, cli.main; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    )
    assert HEAVY.isdisjoint(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("engine/a.py", "import storage.snapshot"),
        ("engine/a.py", "from storage import snapshot"),
        ("storage/a.py", "def f():\n    from actors.lister import Lister"),
        ("storage/listers/a.py", "try:\n    pass\nexcept OSError:\n    import cli.main"),
        ("actors/a.py", "import dynamo_consistency"),
        ("cli/a.py", "from dynamo_consistency import datatypes"),
        ("engine/a.py", "from ..cli import main"),
        ("storage/a.py", "import tests.servers"),
    ],
)
def test_an_arrow_that_runs_up_is_seen(importer: str, source: str) -> None:
    assert len(upward(imports_in(source, importer))) == 1


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("engine/a.py", "from engine import paths\nimport numpy as np"),
        ("dynamo_consistency/a.py", "from actors.runtime import Runtime"),
        ("cli/a.py", "from . import progress"),
        ("engine/a.py", "from .paths import join"),
    ],
)
def test_an_arrow_that_runs_down_is_fine(importer: str, source: str) -> None:
    assert upward(imports_in(source, importer)) == []


@pytest.mark.parametrize("source", ["import time", "from os import path", "import pydantic", "import ray.util"])
def test_what_the_engine_may_not_use_is_seen(source: str) -> None:
    assert len(outside_of_engine(imports_in(source, "engine/a.py"))) == 1


def test_ray_is_seen_wherever_it_hides() -> None:
    runtime = imports_in("import ray", "actors/on_ray/runtime.py")
    lazily = imports_in("def f():\n    from actors.on_ray.runtime import start", "cli/main.py")
    typing_only = imports_in("if TYPE_CHECKING:\n    from actors.on_ray.runtime import start", "cli/main.py")
    eagerly = imports_in("from actors.on_ray.runtime import start", "actors/start.py")
    directly = imports_in("def f():\n    import ray", "actors/start.py")
    assert stray_ray([*runtime, *lazily, *typing_only]) == []
    assert len(stray_ray([*runtime, *eagerly])) == 1
    assert len(stray_ray([*runtime, *directly])) == 1
