"""Terminals and pipes that are not there, full, or gone before the program is done."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.planted import PlantedSite
from tests.cli.program import PATIENCE, PROGRAM, environment


def shell(command: str, cwd: Path, **env: str) -> tuple[int, str, str]:
    """Run a line of shell, in which ``$P`` is the program, to its end; gives its exit code, stdout and stderr."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=cwd,
        env=environment(P=PROGRAM, **env),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr, done
    return done.returncode, done.stdout, done.stderr


def test_a_run_without_streams_does_all_its_work(site: PlantedSite) -> None:
    assert shell("$P check <&- >&- 2>&-", site.home) == (0, "", "")
    site.assert_reports()


@pytest.mark.parametrize("closed", ["2>&-", "2>/dev/full"])
def test_what_cannot_be_said_on_stderr_ends_nothing(site: PlantedSite, closed: str) -> None:
    code, out, _ = shell(f"$P --log-level debug check --json {closed}", site.home)
    assert code == 0
    assert out.startswith('{"site": ')
    assert out.count("\n") == 1
    assert shell(f"$P --log-level debug check NONE {closed}", site.home) == (2, "", "")


def test_what_is_opened_is_never_taken_for_stderr(site: PlantedSite) -> None:
    code, _, _ = shell("$P --log-level debug list . -o here.snap 2>&-", site.home)
    assert code == 0
    code, _, err = shell("$P compare here.snap here.snap", site.home)
    assert (code, err) == (0, "")


@pytest.mark.parametrize("command", ["check", "check --json", "list . --json", "sites", "--help", "--version"])
def test_a_full_stdout_is_named(site: PlantedSite, command: str) -> None:
    said = "dynamo-consistency: standard output: No space left on device\n"
    assert shell(f"$P {command} >/dev/full", site.home) == (2, "", said)


@pytest.mark.parametrize("command", ["check --exit-code", "sites", "--version"])
def test_a_reader_that_is_gone_is_not_told_of_and_not_taken_for_findings(site: PlantedSite, command: str) -> None:
    code, out, err = shell(f"($P {command}; echo $? >&2) | true", site.home)
    assert (code, out, err) == (0, "", "141\n")


def test_names_that_a_terminal_cannot_show_are_escaped(site: PlantedSite) -> None:
    for encoding in ("ascii:strict", "ascii:surrogateescape"):
        code, out, err = shell("$P dump-tree --remote --display", site.home, PYTHONIOENCODING=encoding)
        assert (code, err) == (0, "")
        assert "\\xfcbrig.root" in out


@pytest.mark.parametrize(
    "command",
    ["list . -o pipe", "list . -o pipe --format text", "list . -o pipe --format jsonl", "dump-tree --remote -o pipe"],
)
def test_what_is_no_plain_file_is_never_replaced(site: PlantedSite, command: str) -> None:
    # A pipe stands for the devices, such as the one that swallows everything: root could replace that as well.
    pipe = site.home / "pipe"
    os.mkfifo(pipe)
    said = "dynamo-consistency: pipe is no plain file, and would be replaced; -o takes the name of a file\n"
    assert shell(f"$P {command}", site.home) == (2, "", said)
    assert pipe.is_fifo()


def test_a_number_of_runs_that_nobody_can_count_is_refused(site: PlantedSite) -> None:
    code, out, err = shell(f"$P history {site.name} --limit {10**30}", site.home)
    assert (code, out) == (2, "")
    assert "'--limit'" in err
