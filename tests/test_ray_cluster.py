"""The cluster file is what Ray's own launcher accepts, and its commands are ones that Ray's own command line has."""

from __future__ import annotations

import copy
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import start

ROOT = Path(__file__).parents[1]

COMMANDS = ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands")


def cluster() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text(encoding="utf-8"))
    return loaded


def start_options(key: str) -> dict[str, Any]:
    """What ``ray start`` understands of the arguments that the file gives it."""
    command = cluster()[key][-1].rpartition(";")[2]
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
        assert local == "dist" or (ROOT / local).exists()
