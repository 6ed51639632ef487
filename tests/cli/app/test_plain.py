"""Arguments that are taken as they stand, against what typer makes of the same ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.core import TyperGroup

from cli.app.plain import PlainGroup
from engine.columns import FileColumns
from engine.record import DirectoryRecord
from engine.states import State
from storage.snapshot import SnapshotHeader, SnapshotWriter


def upper(text: str | None) -> str | None:
    return text and text.upper()


def application(group: type[TyperGroup], seen: list[Any]) -> typer.Typer:
    app = typer.Typer(cls=group, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

    @app.callback()
    def options(
        config: Annotated[Path | None, typer.Option()] = None, level: Annotated[str, typer.Option()] = "warning"
    ) -> None:
        seen.append((config, level))

    @app.command()
    def work(
        source: str,
        target: Annotated[Path | None, typer.Option()] = None,
        held: Annotated[Path | None, typer.Option(exists=True)] = None,
        resolved: Annotated[Path | None, typer.Option(resolve_path=True)] = None,
        loud: Annotated[str | None, typer.Option(callback=upper)] = None,
        parsed: Annotated[Any, typer.Option(parser=len)] = None,
        days: Annotated[float | None, typer.Option(min=0)] = None,
        count: Annotated[int, typer.Option(min=1, max=9)] = 3,
        many: Annotated[list[str] | None, typer.Option()] = None,
        flag: bool = False,
    ) -> None:
        seen.append((source, target, held, resolved, loud, parsed, days, count, many, flag))

    @app.command()
    def other() -> None:
        seen.append(())

    return app


def outcome(group: type[TyperGroup], arguments: list[str]) -> tuple[list[Any], str, str]:
    """Give what the functions were called with, and how it ended."""
    seen: list[Any] = []
    try:
        application(group, seen)(arguments, standalone_mode=False)
    except BaseException as error:
        shown = error.format_message() if hasattr(error, "format_message") else str(error)
        return seen, type(error).__name__, shown
    return seen, "", ""


@pytest.mark.parametrize(
    "arguments",
    [
        "work a",
        "work",
        "work a b",
        "work -- -a",
        "other",
        "nothing",
        "--config . work a",
        "--config none --level debug work a",
        "work a --target there",
        "work a --target secret",
        "work a --target none",
        "work a --held none",
        "work a --held there",
        "work a --resolved there/../x",
        "work a --loud words",
        "work a --parsed words",
        "work a --days 2",
        "work a --days -2",
        "work a --days x",
        "work a --count 9",
        "work a --count 10",
        "work a --many x --many y",
        "work a --flag",
        "work a --flog",
        "work \udcff --target \udcff",
    ],
)
def test_the_outcome_is_that_of_typer(
    arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").touch()
    (tmp_path / "secret").touch(mode=0)
    # Root may read everything, so the system's word is stood in for.
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: os.path.basename(path) != "secret" and access(path, mode))
    assert outcome(PlainGroup, arguments.split()) == outcome(TyperGroup, arguments.split())


def test_help_is_that_of_typer(capsys: pytest.CaptureFixture[str]) -> None:
    def shown(group: type[TyperGroup], *arguments: str) -> str:
        outcome(group, [*arguments, "--help"])
        return capsys.readouterr().out

    for arguments in ((), ("work",)):
        assert "--help" in shown(PlainGroup, *arguments)
        assert shown(PlainGroup, *arguments) == shown(TyperGroup, *arguments)


HEAVY = {"ray", "numpy", "pydantic", "sqlite3", "rich", "yaml", "XRootD", "pyxrootd"}


def loaded_by(*arguments: str) -> set[str]:
    """Run the program and give the packages that it had loaded at the end."""
    code = (
        "import json, sys, cli.main\n"
        "try: cli.main.main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[3],
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_two_files_are_compared_without_anything_heavy(tmp_path: Path) -> None:
    for name in ("a", "b"):
        writer = SnapshotWriter(tmp_path / name, SnapshotHeader("listing", "", 1))
        files = FileColumns.from_rows([(name.encode(), 1, 2), (b"both", ord(name), 3)])
        writer.append(DirectoryRecord(b"/", State.LISTED, files=files))
        writer.finish()
    loaded = loaded_by("compare", str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(tmp_path / "out"))
    assert loaded.isdisjoint(HEAVY)
    assert (tmp_path / "out_missing.txt").read_text() == "/a\n"
    assert (tmp_path / "out_orphan.txt").read_text() == "/b\n"
    assert (tmp_path / "out_size_mismatch.txt").read_text() == "/both\t97\t98\n"


def test_a_directory_is_listed_without_anything_heavy(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    assert loaded_by("list", str(tmp_path / "store"), "-o", str(tmp_path / "snap")).isdisjoint(HEAVY)
    assert (tmp_path / "snap").exists()
