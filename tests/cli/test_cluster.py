"""A cluster on this machine, and what is said of those on others."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.on_ray.guest import program_here
from actors.on_ray.local import recorded
from tests.cli import loaded
from tests.cli.planted import PlantedSite, findings
from tests.cli.program import environment, run
from tests.servers.ray_cluster import free_port

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(900)

_ACTORS = """
import sys
from actors.on_ray.runtime import RayRuntime
class Waiting:
    def wait(self):
        return True
runtime = RayRuntime(sys.argv[1])
names = ["coordinator:T2_ONE", "lister:T2_ONE:1", "lister:T2_ONE:2", "coordinator:T2_TWO"]
actors = [runtime.spawn(name, Waiting) for name in names]
print(all(actor.ask("wait").result(120) for actor in actors), flush=True)
sys.stdin.read()
runtime.shutdown()
"""


@dataclass(frozen=True)
class Place:
    """Where a cluster is, and the environment of whoever uses it; nothing of it is where another one's would be."""

    home: Path
    env: dict[str, str]
    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def states(self) -> Path:
        return self.home / "state/dynamo-consistency"


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    # Paths of sockets are short, so not below pytest's directory.
    home = Path(tempfile.mkdtemp(prefix="dc-local-"))
    (home / "ray").mkdir()
    env = {"HOME": str(home), "RAY_TMPDIR": str(home / "ray"), "XDG_STATE_HOME": str(home / "state")}
    place = Place(home, env, free_port())
    yield place
    run("cluster", "down", "--local", cwd=home, env=env)
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def cluster(place: Place) -> Place:
    """A head and a worker, started by the command."""
    ports = ("--port", place.port, "--dashboard-port", free_port())
    own = ("--workers", "1", "--resources", '{"near_T2_ONE": 1}')
    ended = run("cluster", "up", "--local", *ports, *own, "--json", cwd=place.home, env=place.env)
    assert ended.code == 0, ended.err
    assert ended.json == {"address": place.address, "dashboard": f"http://127.0.0.1:{ports[3]}", "nodes": 2}
    assert ended.err == "made a token for Ray in ~/.ray/auth_token: without it nobody is let in\n"
    token = place.home / ".ray/auth_token"
    assert token.stat().st_mode & 0o077 == 0
    return place


def test_everything_of_it_listens_on_loopback_only(cluster: Place) -> None:
    started = recorded(cluster.states)
    assert started is not None
    # Sockets of the processes in the sessions of its nodes.
    ours = {node.pid for node in started.nodes}
    listening = subprocess.run(["ss", "-ltnpH"], check=True, capture_output=True, text=True, timeout=60).stdout
    seen = 0
    for line in listening.splitlines():
        pids = {int(part.partition(",")[0]) for part in line.split("pid=")[1:]}
        if any(session_of(pid) & ours for pid in pids):
            address = line.split()[3]
            seen += 1
            assert address.startswith(("127.", "[::1]", "[::ffff:127.")), line
    assert seen > 5


def session_of(pid: int) -> set[int]:
    """Give a process and those that it descends from."""
    found = set()
    while pid > 1:
        found.add(pid)
        try:
            status = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except OSError:
            break
        pid = int(status.rpartition(")")[2].split()[1])
    return found


def test_a_check_finds_it_without_an_address_and_a_token_without_being_told(cluster: Place, site: PlantedSite) -> None:
    site.configure(Runtime="ray", NumThreads=2)
    ended = run("check", "--json", cwd=site.home, env=cluster.env)
    assert ended.code == 0, ended.err
    assert findings(ended.json) == site.expected()
    assert ended.err == f"Ray dashboard: {dashboard_of(cluster)}\n"


def test_a_run_of_all_sites_shares_it(cluster: Place, site: PlantedSite) -> None:
    site.configure(Runtime="ray")
    ended = run("run", "--once", "--json", cwd=site.home, env=cluster.env)
    assert ended.code == 0, ended.err
    assert ended.json["ended"] == "done"
    assert findings(ended.json["results"]) == site.expected()
    said = (site.home / "var/run" / f"{site.name}.err").read_text()
    assert said == f"Ray dashboard: {dashboard_of(cluster)}\n"


def dashboard_of(cluster: Place) -> str:
    started = recorded(cluster.states)
    assert started is not None
    return started.dashboard


def test_its_status_has_nodes_resources_programs_and_actors_by_site(cluster: Place) -> None:
    holding = subprocess.Popen(
        [sys.executable, "-c", _ACTORS, cluster.address],
        cwd=cluster.home,
        env=environment(PYTHONPATH=str(ROOT), **cluster.env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holding.stdout is not None
    try:
        assert holding.stdout.readline() == "True\n"
        as_json = run("cluster", "status", "--address", cluster.address, "--json", cwd=cluster.home, env=cluster.env)
        ended = run("cluster", "status", cwd=cluster.home, env=cluster.env)
    finally:
        holding.communicate(timeout=120)
    assert as_json.code == 0, as_json.err
    facts = as_json.json
    assert facts["address"] == cluster.address
    assert facts["dashboard"] == dashboard_of(cluster)
    assert facts["note"] is None
    assert [(node["name"], node["head"], node["alive"], node["same"]) for node in facts["nodes"]] == [
        ("head", True, True, True),
        ("worker-1", False, True, True),
    ]
    assert facts["nodes"][0]["resources"] == {}
    assert facts["nodes"][1]["resources"] == {"near_T2_ONE": {"free": 1.0, "total": 1.0}}
    assert program_here()[1] in facts["program"] == facts["nodes"][1]["program"]
    assert {site: sorted(actor["role"] for actor in actors) for site, actors in facts["sites"].items()} == {
        "T2_ONE": ["coordinator", "lister", "lister"],
        "T2_TWO": ["coordinator"],
    }
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0].endswith(f" at {cluster.address}; dashboard: {dashboard_of(cluster)}")
    assert lines[2].startswith("head (127.0.0.1): alive, head, ")
    assert "near_T2_ONE 1 of 1 free, the same program" in lines[3]
    assert lines[4].startswith("T2_ONE: 1 coordinator on ")
    assert "2 lister on " in lines[4]


def test_a_second_one_is_not_started_over_it(cluster: Place) -> None:
    ended = run("cluster", "up", "--local", cwd=cluster.home, env=cluster.env)
    assert ended.code == 2
    assert ended.message == (
        f"a cluster that was started here runs at {cluster.address}: use it, or end it with dynamo-consistency cluster "
        "down --local"
    )


def test_its_end_ends_what_was_started_and_nothing_else(cluster: Place) -> None:
    started = recorded(cluster.states)
    assert started is not None
    bystander = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    ended = run("cluster", "down", "--local", cwd=cluster.home, env=cluster.env)
    assert (ended.code, ended.out) == (0, f"ended the Ray cluster at {cluster.address}\n")
    assert not started.is_running
    assert not any(str(cluster.home / "ray") in command for command in command_lines())
    assert bystander.poll() is None
    bystander.communicate(timeout=60)
    assert not (cluster.home / "ray/ray_current_cluster").exists()
    again = run("cluster", "down", "--local", cwd=cluster.home, env=cluster.env)
    assert (again.code, again.out) == (0, "no cluster that cluster up --local has started runs on this machine\n")
    status = run("cluster", "status", cwd=cluster.home, env=cluster.env)
    assert status.code == 2
    assert status.message.startswith("no Ray cluster runs on this machine: ")


def command_lines() -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(process.read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return found


def test_a_head_that_does_not_come_up_leaves_nothing(place: Place) -> None:
    # Ray does not take a temporary directory whose name does not fit into that of a socket.
    long = place.home / ("d" * 120)
    long.mkdir()
    port = free_port()
    ended = run("cluster", "up", "--local", "--port", port, cwd=place.home, env={**place.env, "RAY_TMPDIR": str(long)})
    assert ended.code == 2
    assert "Ray's head did not come up: " in ended.err
    assert not any(str(long) in command for command in command_lines())
    assert recorded(place.states) is None


@pytest.mark.parametrize("option", ["--port", "--dashboard-port"])
def test_a_port_that_is_taken_is_named_with_the_option(tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        given = {"--port": free_port(), "--dashboard-port": free_port(), option: port}
        arguments = [str(part) for pair in given.items() for part in pair]
        env = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
        ended = loaded.run("cluster", "up", "--local", *arguments, cwd=tmp_path, env=env)
    assert ended.code == 2
    assert ended.err.splitlines()[-1] == (
        f"dynamo-consistency: 127.0.0.1:{port} cannot be listened on (Address already in use): "
        f"{option} N takes another port"
    )


@pytest.mark.parametrize("text", ["near", "[1]", '{"near": 0}', '{"near": "much"}', '{"near": true'])
def test_resources_are_numbers_by_name(tmp_path: Path, text: str) -> None:
    ended = loaded.run("cluster", "up", "--local", "--resources", text, cwd=tmp_path, env={"HOME": str(tmp_path)})
    assert ended.code == 2
    assert ended.message.startswith("--resources: expected numbers by name, such as ")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:{port}", "nobody answers there (Connection refused); is the cluster up, and its port open"),
        ("nowhere.invalid:6379", "nobody answers there ("),
        ("127.0.0.1", "expected HOST:PORT, found '127.0.0.1'"),
        ("http://127.0.0.1:8265", "expected HOST:PORT, found 'http://127.0.0.1:8265'"),
    ],
)
def test_the_status_of_what_cannot_be_reached(tmp_path: Path, address: str, words: str) -> None:
    address = address.format(port=free_port())
    ended = loaded.run("cluster", "status", "--address", address, cwd=tmp_path)
    assert ended.code == 2
    assert ended.message.startswith(f"no Ray at {address}: {words}")


def test_the_status_of_what_is_no_ray(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        ended = loaded.run("cluster", "status", "--address", address, cwd=tmp_path)
    assert ended.code == 2
    assert (
        ended.message
        == f"no Ray at {address}: what answers there is not a Ray cluster, or one of quite another version"
    )


def cluster_file(directory: Path, **changes: Any) -> Path:
    """Write a file for Ray's launcher, with keys changed."""
    cluster = {
        "cluster_name": "test",
        "provider": {"type": "local", "head_ip": "127.0.0.1", "worker_ips": []},
        "auth": {"ssh_user": "nobody"},
        **changes,
    }
    path = directory / "ray_cluster.yaml"
    path.write_text(yaml.safe_dump(cluster))
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"provider": {"type": "local", "head_ip": "192.0.2.10"}}, "provider: 192.0.2.10 is an example; put"),
        ({"file_mounts": {"~/dist": "dist"}}, "file_mounts: dist, for ~/dist, is not there; see the head of the file"),
        ({"provider": ["local"]}, "not a file of Ray's launcher: "),
        ({"file_mounts": ["dist"]}, "not a file of Ray's launcher: "),
    ],
)
def test_what_rays_launcher_would_stumble_over_is_said_before(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    path = cluster_file(tmp_path, **changes)
    ended = loaded.run("cluster", "up", "--yes", cwd=tmp_path)
    assert ended.code == 2
    assert ended.message.startswith(f"{path}: {words}")


def test_the_example_of_the_project_is_not_launched_as_it_is(tmp_path: Path) -> None:
    shutil.copy(ROOT / "ray_cluster.yaml", tmp_path)
    ended = loaded.run("cluster", "up", "ray_cluster.yaml", "--yes", cwd=tmp_path)
    assert ended.code == 2
    assert ": provider: 192.0.2.10 is an example; " in ended.message


@pytest.mark.parametrize("command", ["up", "down"])
def test_a_cluster_without_a_file_or_without_anybody_to_answer(tmp_path: Path, command: str) -> None:
    ended = loaded.run("cluster", command, cwd=tmp_path)
    assert ended.code == 2
    assert (
        ended.message
        == "ray_cluster.yaml: does not exist; give the FILE of the cluster, or --local for one on this machine alone"
    )
    cluster_file(tmp_path)
    ended = loaded.run("cluster", command, cwd=tmp_path)
    assert ended.code == 2
    nobody = f"ray {command} asks before it does anything, and nobody is here to answer; --yes says yes"
    assert ended.err.splitlines()[-1] == f"dynamo-consistency: {nobody}"


def test_what_rays_launcher_refuses_is_said_with_the_file(tmp_path: Path) -> None:
    path = cluster_file(tmp_path, setup_command=["true"])
    ended = run_launcher("up", "--yes", cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == (
        f"dynamo-consistency: {path}: ray up failed with exit code 1; what it said is above"
    )


def run_launcher(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run what says more than one line, since Ray speaks as well."""
    from tests.cli.program import PROGRAM

    command = [PROGRAM, "cluster", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("up", "a.yaml", "--local"),
        ("down", "a.yaml", "--local"),
        ("up", "--workers", "1"),
        ("up", "--json"),
        ("down", "--json"),
    ],
)
def test_options_that_exclude_each_other(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ended = loaded.run("cluster", *arguments, cwd=tmp_path)
    assert ended.code == 2
    assert "--local" in ended.message


def test_what_is_written_down_may_be_anything(tmp_path: Path) -> None:
    for content in (
        "",
        "{}",
        "[]",
        '{"nodes": [1]}',
        json.dumps({"address": 1, "dashboard": 2, "nodes": [{"pid": 1}]}),
    ):
        (tmp_path / "cluster.json").write_text(content)
        assert recorded(tmp_path) is None
    assert recorded(tmp_path / os.devnull) is None
