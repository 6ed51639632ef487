"""The cluster file is what Ray's own launcher accepts, and its commands are ones that Ray's own command line has."""

from __future__ import annotations

import copy
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import start

from tests.cli.program import environment, run
from tests.servers.ray_cluster import free_port

ROOT = Path(__file__).parents[1]

COMMANDS = ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands")


def cluster() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text(encoding="utf-8"))
    return loaded


def start_options(key: str) -> dict[str, Any]:
    """What ``ray start`` understands of the arguments that the file gives it."""
    # What the shell puts in has no blanks in it.
    command = re.sub(r"\$\([^)]*\)", "{}", cluster()[key][-1].rpartition(";")[2])
    program, subcommand, *arguments = shlex.split(command)
    assert program.endswith("/ray")
    assert subcommand == "start"
    return dict(start.make_context("start", arguments).params)


def test_ray_accepts_the_file() -> None:
    prepared = prepare_config(cluster())
    validate_config(prepared)
    assert prepared["max_workers"] == len(cluster()["provider"]["worker_ips"])


def test_ray_would_refuse_a_misspelt_key() -> None:
    config = copy.deepcopy(cluster())
    config["setup_command"] = config["setup_commands"]
    with pytest.raises(ValidationError, match="setup_command"):
        validate_config(prepare_config(config))


@pytest.mark.parametrize("key", COMMANDS)
def test_each_command_is_a_line_that_the_shell_can_parse(key: str) -> None:
    for command in cluster()[key]:
        assert "\n" not in command
        subprocess.run(["bash", "-n", "-c", command], check=True, timeout=30)


def test_head_and_workers_agree_on_the_port() -> None:
    head, worker = start_options("head_start_ray_commands"), start_options("worker_start_ray_commands")
    assert head["head"] is True
    assert worker["address"] == f"$RAY_HEAD_IP:{head['port']}"


def test_the_dashboard_listens_on_loopback_only() -> None:
    assert start_options("head_start_ray_commands")["dashboard_host"] == "127.0.0.1"


def test_every_port_is_chosen_and_no_two_are_the_same() -> None:
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        options = start_options(key)
        ports = [value for name, value in options.items() if name.endswith("_port") or name == "port"]
        chosen = [port for port in ports if port is not None]
        assert len(set(chosen)) == len(chosen)
        for name in ("node_manager_port", "object_manager_port", "min_worker_port", "max_worker_port"):
            assert options[name]


def test_what_is_copied_to_the_machines_is_what_the_commands_install() -> None:
    config = cluster()
    installing = " ".join(config["setup_commands"])
    for remote, local in config["file_mounts"].items():
        assert remote in installing
        # The wheel is built before the cluster is launched; the rest is part of the project.
        assert local in ("dist", "~/.ray/auth_token") or (ROOT / local).exists()


@pytest.mark.parametrize("key", ["head_start_ray_commands", "worker_start_ray_commands"])
def test_every_node_wants_the_token(key: str) -> None:
    assert "export RAY_AUTH_MODE=token" in cluster()[key][-1]
    assert "~/.ray/auth_token" in cluster()["file_mounts"]


_STARTS = 3
"""So often a node is started: Ray gives its processes half a minute, which is short where tests keep a machine busy."""


class Machine:
    """The start commands of the file with a home, ports and an address of a test's own, and no `ray stop`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "dynamo-consistency").mkdir()
        (home / "dynamo-consistency/venv").symlink_to(sys.prefix)
        (home / "ray").mkdir()
        provider = {"type": "local", "head_ip": "127.0.0.2", "worker_ips": []}
        config = {**cluster(), "provider": provider, "file_mounts": {}, "max_workers": 0}
        (home / "ray_bootstrap_config.yaml").write_text(yaml.safe_dump(prepare_config(config)))
        (home / ".ray").mkdir()
        (home / ".ray/auth_token").write_text(secrets.token_hex(32))
        self.ports = {"6379": str(free_port())}

    def start(self, key: str, address: str) -> None:
        """Run what starts Ray; each node has other ports, but for those that they agree on."""
        command: str = cluster()[key][-1]
        first = 30_000 + 10 * secrets.randbelow(1500)
        own = {str(number): str(first + number - 6380) for number in range(6380, 6387)}
        workers = {"20000": str(first + 100), "20999": str(first + 300)}
        ports = {**own, **workers, "8265": str(free_port()), **self.ports}
        command = re.sub(r"(?<==)\d+|(?<=:)\d+", lambda found: ports.get(found[0], found[0]), command)
        env = {"HOME": str(self.home), "RAY_TMPDIR": str(self.home / "ray"), "RAY_HEAD_IP": "127.0.0.2"}
        for _ in range(_STARTS):
            done = subprocess.run(
                ["bash", "-c", command],
                env=environment(SSH_CONNECTION=f"127.0.0.1 50000 {address} 22", **env),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=300,
            )
            if "timed out during startup" not in done.stdout + done.stderr:
                break
            self.end(address)
        assert done.returncode == 0, done.stdout + done.stderr

    def end(self, address: str = "") -> None:
        """End what was started, all or at one address, and nothing else: its command line has the directory."""
        for _ in range(200):
            alive = [
                process
                for process in Path("/proc").glob("[0-9]*/cmdline")
                if self._is_ours(process) and self._is_at(process, address)
            ]
            for process in alive:
                with suppress(ProcessLookupError):
                    os.kill(int(process.parent.name), signal.SIGKILL)
            if not alive:
                return
            time.sleep(0.1)
        raise AssertionError("processes of Ray would not end")

    def _is_at(self, process: Path, address: str) -> bool:
        try:
            return address.encode() in process.read_bytes()
        except OSError:
            return False

    def _is_ours(self, process: Path) -> bool:
        try:
            return str(self.home).encode() in process.read_bytes() or (
                f"HOME={self.home}\0".encode() in process.with_name("environ").read_bytes()
            )
        except OSError:
            return False


@pytest.fixture
def machine() -> Iterator[Machine]:
    # Paths of sockets are short, so not below pytest's directory.
    home = Path(tempfile.mkdtemp(prefix="dc-file-"))
    machine = Machine(home)
    yield machine
    machine.end()
    shutil.rmtree(home)


@pytest.mark.timeout(900)
def test_its_commands_start_a_head_and_a_worker_that_has_what_its_file_says(machine: Machine) -> None:
    machine.start("head_start_ray_commands", "127.0.0.2")
    (machine.home / "dynamo-consistency/resources.json").write_text('{"near_T2_EXAMPLE": 1}')
    machine.start("worker_start_ray_commands", "127.0.0.3")
    env = {"HOME": str(machine.home), "RAY_TMPDIR": str(machine.home / "ray")}
    address = f"127.0.0.2:{machine.ports['6379']}"
    ended = run("cluster", "status", "--address", address, "--json", cwd=machine.home, env=env)
    assert ended.code == 0, ended.err
    nodes = ended.json["nodes"]
    assert [(node["address"], node["head"], node["alive"]) for node in nodes] == [
        ("127.0.0.2", True, True),
        ("127.0.0.3", False, True),
    ]
    assert nodes[1]["resources"] == {"near_T2_EXAMPLE": {"free": 1.0, "total": 1.0}}
    # It says on its loopback, and nowhere else, what is in the dashboard.
    assert ended.json["dashboard"].startswith("http://127.0.0.1:")
