from __future__ import annotations

import os
import pty
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from cli.main import app
from tests.cli.planted import PlantedSite
from tests.cli.program import PATIENCE, PROGRAM, environment, run

COMMANDS = [
    *(command.name or command.callback.__name__ for command in app.registered_commands if command.callback),
    *(group.typer_instance.info.name for group in app.registered_groups if group.typer_instance),
]
"""Typer puts groups behind the plain commands."""


def test_the_help_lists_every_command_whole(tmp_path: Path) -> None:
    ended = run("--help", cwd=tmp_path, env={"COLUMNS": "80"})
    assert (ended.code, ended.err) == (0, "")
    listed = ended.out.partition("Commands:\n")[2]
    assert re.findall(r"^  ([\w-]+)  ", listed, re.MULTILINE) == COMMANDS
    known = [
        *("list", "compare", "identify", "check", "run", "drain", "halt", "history", "diff", "search", "explain"),
        *("doctor", "sites", "status", "set-status", "invalidate", "unmerged", "dump-tree", "demo", "plan", "web"),
        *("cluster", "config"),
    ]
    assert known == COMMANDS
    assert "..." not in listed


def test_without_a_command_the_help_goes_to_stderr(tmp_path: Path) -> None:
    ended = run(cwd=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == run("-h", cwd=tmp_path).out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help(tmp_path: Path, command: str) -> None:
    ended = run(command, "--help", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert f"dynamo-consistency {command} [OPTIONS]" in ended.out


def test_version(tmp_path: Path) -> None:
    assert run("--version", cwd=tmp_path).out.strip() == version("dynamo-consistency")


def test_the_log_goes_to_stderr(site: PlantedSite) -> None:
    ended = run("--log-level", "DEBUG", "list", site.source, "--json", cwd=site.home)
    assert ended.code == 0
    assert ended.json["files"] == site.files


def test_progress_is_drawn_on_a_terminal_and_stdout_stays_clean(site: PlantedSite) -> None:
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, "list", site.source, "--json"],
        cwd=site.home,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=end,
    )
    os.close(end)
    drawn = b""
    while chunk := read(terminal):
        drawn += chunk
    os.close(terminal)
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert out.startswith(b'{"files": ')
    assert out.count(b"\n") == 1
    assert b"listing" in drawn
    assert b"directories" in drawn
    assert b"in flight" in drawn
    # The line is taken away at the end.
    assert drawn.rstrip().endswith(b"\x1b[2K")


def read(terminal: int) -> bytes:
    """Read what was drawn; nothing once the other end is closed, which Linux calls an error."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""
