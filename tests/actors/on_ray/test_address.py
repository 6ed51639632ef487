"""Clusters that want a token, and clusters of another version: told in one line each, in seconds."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import environment
from tests.servers.ray_cluster import RayCluster, ray_cluster

_JOIN = """
import sys
from actors.on_ray.runtime import RayRuntime
from actors.runtime import RuntimeUnavailable
class Adding:
    def add(self, one, other):
        return one + other
try:
    runtime = RayRuntime(sys.argv[1])
except RuntimeUnavailable as error:
    sys.exit(str(error))
print(runtime.spawn("adding", Adding).ask("add", 1, 2).result(120))
runtime.shutdown()
"""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """A head that wants a token, and says that it has another Ray when a client asks."""
    with ray_cluster() as cluster:
        cluster.start_head("--include-dashboard=false")
        yield cluster


def join(cluster: RayCluster, home: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Join a cluster with the environment of somebody whose home is ``home``."""
    return subprocess.run(
        [sys.executable, "-c", _JOIN, cluster.address],
        cwd=home,
        env=environment(HOME=str(home), PYTHONPATH=os.pathsep.join([str(Path(__file__).parents[3])]), **env),
        capture_output=True,
        text=True,
        timeout=240,
    )


def token_file(home: Path, token: str) -> None:
    (home / ".ray").mkdir()
    (home / ".ray/auth_token").write_text(token)


def test_a_token_in_its_usual_place_is_used_without_being_told(cluster: RayCluster, tmp_path: Path) -> None:
    token_file(tmp_path, cluster.env["RAY_AUTH_TOKEN"])
    done = join(cluster, tmp_path)
    assert (done.stdout, done.returncode) == ("3\n", 0), done.stderr


@pytest.mark.parametrize("has_other", [False, True])
def test_a_cluster_that_wants_another_token_says_so_in_one_line(
    cluster: RayCluster, tmp_path: Path, has_other: bool
) -> None:
    if has_other:
        token_file(tmp_path, secrets.token_hex(32))
    done = join(cluster, tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"no Ray at {cluster.address}: the cluster wants another token: put that of its head (~/.ray/auth_token) into "
        "RAY_AUTH_TOKEN, or into the same file here, and set RAY_AUTH_MODE=token"
    ]


def test_a_machine_that_is_no_node_of_the_cluster_says_what_to_do(cluster: RayCluster, tmp_path: Path) -> None:
    # Another machine has no socket of a node; this one does as if it had none.
    hidden = "from actors.on_ray import address\naddress._is_socket_here = lambda path: False\n"
    done = subprocess.run(
        [sys.executable, "-c", hidden + _JOIN, cluster.address],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(Path(__file__).parents[3]), **cluster.env),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"no Ray at {cluster.address}: this machine is no node of the cluster: start one here (RAY_AUTH_MODE=token ray "
        f"start --address={cluster.address}), or run this on one that is"
    ]


def test_a_cluster_of_another_ray_names_both_versions(cluster: RayCluster, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import ray\nours, ray.__version__ = ray.__version__, '1.2.3'\n")
    done = subprocess.run(
        [sys.executable, "-c", _JOIN, cluster.address],
        cwd=tmp_path,
        env=environment(PYTHONPATH=os.pathsep.join([str(tmp_path), str(Path(__file__).parents[3])]), **cluster.env),
        capture_output=True,
        text=True,
        timeout=240,
    )
    from ray import __version__

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"no Ray at {cluster.address}: the cluster runs Ray {__version__} (Python {sys.version.split()[0]}), and this "
        "program has Ray 1.2.3: install the same on every machine"
    ]
