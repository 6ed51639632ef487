"""The README's section about clusters, followed as a new user would: word by word, but for the ports."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import PROGRAM, environment
from tests.servers.ray_cluster import free_port
from tests.test_docs import HOME, README, Example, examples, scratch, without_chance

__all__ = ["scratch"]

SECTION = README.partition("\n## On a cluster\n")[2].partition("\n## ")[0]


def session() -> list[Example]:
    """Give the commands of the section, each with what it is said to print."""
    (block,) = re.findall(r"^```shell-session\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [Example(command, output) for command, _, output in (part.partition("\n") for part in parts)]


def plain(output: str) -> str:
    """Blot out what is another machine's: the dashboard's port, versions, and how many processors there are."""
    output = re.sub(r"http://127\.0\.0\.1:\d+", "DASHBOARD", without_chance(output))
    output = re.sub(r"^Ray \S+ at", "Ray VERSION at", output, flags=re.MULTILINE)
    output = re.sub(r"sources \w{8}, Python [\d.]+", "SOURCES", output)
    return re.sub(r"\b[\d.]+ of \d+ CPUs", "N of N CPUs", output)


@pytest.fixture
def env() -> Iterator[dict[str, str]]:
    """Whatever is left of it, and Ray's notes, is nobody else's."""
    # Paths of sockets are short, so not below pytest's directory.
    home = Path(tempfile.mkdtemp(prefix="dc-readme-"))
    path = f"{Path(PROGRAM).parent}{os.pathsep}{os.environ['PATH']}"
    env = environment(HOME=str(home), RAY_TMPDIR=str(home), XDG_STATE_HOME=str(home), PATH=path)
    yield env
    subprocess.run([PROGRAM, "cluster", "down", "--local"], env=env, cwd=home, timeout=120, check=True)
    shutil.rmtree(home)


@pytest.mark.timeout(900)
def test_the_cluster_of_the_readme_is_started_used_shown_and_ended(scratch: Path, env: dict[str, str]) -> None:
    port = str(free_port())
    # The section goes on where the ones before it have left the site.
    before = [example.command for example in examples() if "sites.yaml check" in example.command]
    for command in before:
        subprocess.run(shlex.split(command), cwd=scratch, env=env, check=True, capture_output=True, timeout=240)
    played = []
    for example in session():
        command = example.command.replace("6379", port)
        if " up --local" in command:
            command += f" --port {port}"
        done = subprocess.run(
            shlex.split(command),
            cwd=scratch,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, (command, done.stderr)
        output = done.stdout.replace(str(scratch), HOME).replace(port, "6379")
        played.append(Example(example.command, plain(output)))
    assert played == [Example(example.command, plain(example.output)) for example in session()]
    assert len(played) == 4


def test_what_ray_is_told_by_hand_is_what_it_understands() -> None:
    from ray.scripts.scripts import get_auth_token, start

    lines = [line.strip() for line in SECTION.splitlines() if line.startswith("    ")]
    starts = [shlex.split(line)[3:] for line in lines if line.startswith("RAY_AUTH_MODE=token ray start ")]
    head, worker = (start.make_context("start", words).params for words in starts)
    assert head["head"]
    assert head["dashboard_host"] == "127.0.0.1"
    assert worker["address"] == f"head.example.org:{head['port']}"
    assert "ray get-auth-token --generate" in lines
    assert get_auth_token.make_context("get-auth-token", ["--generate"]).params["generate"]
