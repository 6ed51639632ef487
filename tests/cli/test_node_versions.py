"""Nodes of a cluster that have another program than the one that runs, or none: refused by name, never tried again."""

from __future__ import annotations

import json
import re
import shutil
import site as site_packages
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from actors.on_ray.guest import PACKAGES, program_here
from tests.cli.planted import PlantedSite, findings
from tests.cli.program import environment, run
from tests.servers.ray_cluster import RayCluster, ray_cluster

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """A head with the program of the tests."""
    with ray_cluster() as cluster:
        cluster.start_head()
        yield cluster


@pytest.fixture
def changed(cluster: RayCluster, tmp_path: Path) -> Iterator[None]:
    """A worker with the same version, whose sources are not the same."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / "there" / package)
    with (tmp_path / "there/engine/paths.py").open("a") as source:
        source.write("\n# Somebody was here.\n")
    worker = cluster.add_node(env={"PYTHONPATH": str(tmp_path / "there")})
    yield
    cluster.stop(worker)


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter with everything that the program depends on, and without the program."""
    place = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True, timeout=120)
    (libraries,) = place.glob("lib/python*/site-packages")
    # What an editable installation adds stands in files that are not read from here.
    (libraries / "all.pth").write_text("\n".join(site_packages.getsitepackages()) + "\n")
    return str(place / "bin/python")


@pytest.fixture(scope="module")
def without(cluster: RayCluster, bare_python: str) -> Iterator[None]:
    """A worker without the program, for all tests from here on: those that do not want it send the program along."""
    worker = cluster.add_node(env={"PYTHONPATH": ""}, python=bare_python)
    yield
    cluster.stop(worker)


@pytest.mark.usefixtures("changed")
def test_a_node_with_other_sources_is_refused_by_name_with_both_versions(
    site: PlantedSite, cluster: RayCluster
) -> None:
    site.configure(Runtime="ray", NumThreads=4)
    ended = run("check", "--address", cluster.address, cwd=site.home, env=cluster.env)
    assert ended.code == 2
    named = re.fullmatch(
        r"the node \S+ \(127\.0\.0\.1\) has dynamo-consistency (\S+) \(sources (\w{8}), Python \S+\), "
        r"and this program is (\S+) \(sources (\w{8}), Python \S+\): "
        r"install the same there \(\S+ -m pip install --force-reinstall WHEEL\), "
        r"or send this one along with --ship",
        last_line(ended.err),
    )
    assert named, ended.err
    assert named[1] == named[3] == version("dynamo-consistency")
    assert named[4] == program_here()[1] != named[2]
    assert "is replaced" not in ended.err
    (row,) = run("history", site.name, "--json", cwd=site.home).json["runs"]
    assert row["status"] == "failed"
    assert "has dynamo-consistency" in row["message"]
    # Nobody goes on as if nothing were, and the site can be checked where the nodes agree.
    again = run("check", "--runtime", "threads", "--json", cwd=site.home)
    assert findings(again.json) == site.expected()


@pytest.mark.usefixtures("without")
def test_a_node_without_the_program_says_so(site: PlantedSite, cluster: RayCluster) -> None:
    ended = run(
        *("list", site.source, "--runtime", "ray", "--listers", "4", "--address", cluster.address),
        cwd=site.home,
        env=cluster.env,
    )
    assert ended.code == 2
    assert " has no dynamo-consistency, and this program is " in last_line(ended.err)
    assert "/bin/python -m pip install --force-reinstall WHEEL), or send this one along with --ship" in ended.err


_WHERE = """
import json, sys
from actors.on_ray.runtime import RayRuntime
class Where:
    def look(self):
        import actors, os, ray
        return ray.get_runtime_context().get_node_id(), os.path.dirname(actors.__file__)
runtime = RayRuntime(sys.argv[1], environment=sys.argv[2] or None)
found = [runtime.spawn_anywhere(f"where:{n}", Where) for n in range(6)]
print(json.dumps([actor.ask("look").result(120) for actor in found]))
runtime.shutdown()
"""


@pytest.mark.usefixtures("without")
def test_a_node_without_the_program_is_sent_it(site: PlantedSite, cluster: RayCluster) -> None:
    site.configure(Runtime="ray", NumThreads=4)
    ended = run("check", "--ship", "--address", cluster.address, "--json", cwd=site.home, env=cluster.env)
    assert ended.code == 0, ended.err
    assert findings(ended.json) == site.expected()
    # The same by the configuration, and in Ray's own words; every node has what was sent and nothing else.
    asked = [sys.executable, "-c", _WHERE, cluster.address, '{"env_vars": {"XRD_LOGLEVEL": "Error"}}']
    done = subprocess.run(
        asked, cwd=site.home, env=environment(**cluster.env), check=True, capture_output=True, text=True, timeout=300
    )
    places = json.loads(done.stdout)
    assert len({node for node, _ in places}) == 2
    assert all("py_modules_files" in place for _, place in places), places


@pytest.mark.usefixtures("without")
def test_an_environment_that_cannot_be_had_says_why_and_is_not_tried_for_ever(
    site: PlantedSite, cluster: RayCluster
) -> None:
    site.configure(Runtime="ray", RuntimeEnv={"conda": "no-such-environment"})
    ended = run("check", "--address", cluster.address, cwd=site.home, env=cluster.env)
    assert ended.code == 2
    assert last_line(ended.err).startswith("a node cannot set up what RuntimeEnv says: "), ended.err
    assert ended.err.count("\n") == 2


@pytest.fixture(scope="module")
def poor_python(tmp_path_factory: pytest.TempPathFactory, bare_python: str) -> str:
    """The same interpreter, which does not find XRootD's library."""
    place = tmp_path_factory.mktemp("poor")
    hidden = "import sys\nsys.modules.update({'XRootD': None, 'pyxrootd': None})\n"
    (place / "sitecustomize.py").write_text(hidden)
    return str(place)


def test_a_node_that_lacks_a_package_says_which_and_nobody_goes_on_trying(
    site: PlantedSite, cluster: RayCluster, bare_python: str, poor_python: str
) -> None:
    worker = cluster.add_node('--resources={"near_T2": 1}', env={"PYTHONPATH": poor_python}, python=bare_python)
    site.configure(Runtime="ray", Lister="bindings", Placement={"near_T2": 0.1})
    ended = run("check", "--ship", "--address", cluster.address, cwd=site.home, env=cluster.env)
    cluster.stop(worker)
    assert ended.code == 2
    assert re.fullmatch(
        r"the node \S+ \(127\.0\.0\.1\) lacks the Python package \w+, which dynamo-consistency needs: install it there "
        r"with \S+/bin/python -m pip, or let Ray do so by the key RuntimeEnv",
        last_line(ended.err),
    ), ended.err


def last_line(said: str) -> str:
    """Give what is said of the error; the line before it names the dashboard."""
    *before, last = said.splitlines()
    assert [line.partition(": ")[0] for line in before] == ["Ray dashboard"], said
    return last.removeprefix("dynamo-consistency: ")
