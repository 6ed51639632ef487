"""The files of docs/deploy are what their readers take, and each command in them is one that the program has."""

from __future__ import annotations

import copy
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml
from ray.scripts.scripts import start

from cli.main import app
from storage.config.loading import Config
from tests.test_project import constraints, pyproject

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "docs/deploy"
UNITS = ("dynamo-consistency.service", "dynamo-consistency-ray.service")
INSTALLED = "/opt/dynamo-consistency"
KUBERNETES = ("1.28", "1.32")
"""Versions whose schemas the manifest is held against."""

GROUP: Any = typer.main.get_command(app)

_MOST_EXPOSED = 20
"""Of 100, as systemd counts."""


def manifest() -> dict[str, dict[str, Any]]:
    """Give the objects of the manifest by their kind."""
    objects = list(yaml.safe_load_all((DEPLOY / "kuberay.yaml").read_text()))
    return {found["kind"]: found for found in objects}


def joined(text: str) -> str:
    return text.replace("\\\n", " ")


def commands() -> Iterator[tuple[str, list[str]]]:
    """Give each call of the program in these files, with the file."""
    for path in sorted(DEPLOY.iterdir()):
        for whole in joined(path.read_text()).splitlines():
            # What kubectl and runuser are told to run stands behind two hyphens.
            line = whole.partition(" -- ")[2] or whole
            # A variable of the shell is one word, and stands for one.
            for call in re.findall(r"(?:^|[\s`]|/bin/)dynamo-consistency ([^`>|]+)", line):
                words = shlex.split(call.strip().strip('"'), comments=True)
                if is_call(line, words):
                    yield path.name, words


def is_call(line: str, words: list[str]) -> bool:
    known = set(GROUP.commands)
    if line.lstrip().startswith(("Description", "kubectl create", "-")) or not words:
        return False
    return words[0].startswith("--") or words[0] in known


def parse(words: list[str]) -> None:
    """Have the command line parsed to its end, without doing anything."""
    group, rest = GROUP, words
    context = group.make_context("dynamo-consistency", list(rest), resilient_parsing=False)
    while hasattr(group, "commands"):
        name, group, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        context = group.make_context(name, list(rest), parent=context, resilient_parsing=False)


CALLS = list(commands())


@pytest.mark.parametrize(("file", "words"), CALLS, ids=[f"{file}: {' '.join(words)}" for file, words in CALLS])
def test_each_call_of_the_program_is_one_that_it_understands(file: str, words: list[str]) -> None:
    parse(words)


def test_there_are_such_calls_in_every_file_that_starts_something() -> None:
    assert {file for file, _ in CALLS} >= {"README.md", "crontab", "dynamo-consistency.service", "kuberay.yaml"}
    assert [words for _, words in CALLS if "run" in words]
    assert [words for _, words in CALLS if "drain" in words]


@pytest.mark.parametrize("call", ["run --for-ever", "walk", "cluster status now", "--conf x run"])
def test_another_call_would_be_found(call: str) -> None:
    with pytest.raises(Exception, match=r"(?i)no such|unexpected"):
        parse(call.split())


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units, with programs and files that are here in the place of those that an installation has."""
    for name in UNITS:
        text = (DEPLOY / name).read_text().replace(f"{INSTALLED}/bin", str(Path(sys.executable).parent))
        (tmp_path / name).write_text(text.replace("/etc/dynamo-consistency/ray.env", str(DEPLOY / "ray.env")))
    return [tmp_path / name for name in UNITS]


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *map(str, arguments)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


def test_systemd_has_nothing_to_say_against_the_units(units: list[Path]) -> None:
    done = analyze("verify", *units)
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_would_find_a_slip(units: list[Path]) -> None:
    units[0].write_text(units[0].read_text().replace("ProtectSystem=strict", "ProtectSistem=strict"))
    assert "ProtectSistem" in analyze("verify", units[0]).stderr


def test_the_units_are_hardened(units: list[Path]) -> None:
    for unit in units:
        done = analyze("security", "--offline=yes", "--no-pager", f"--threshold={_MOST_EXPOSED}", unit)
        assert done.returncode == 0, done.stdout
    bare = units[0].with_name("bare.service")
    bare.write_text("[Service]\nExecStart=/bin/true\n")
    assert analyze("security", "--offline=yes", f"--threshold={_MOST_EXPOSED}", bare).returncode != 0


@pytest.mark.parametrize("role", ["head", "worker"])
def test_ray_understands_what_its_unit_tells_it(role: str) -> None:
    lines = [line.lstrip("# ") for line in (DEPLOY / "ray.env").read_text().splitlines() if "RAY_NODE=-" in line]
    options = lines[0 if role == "head" else 1].removeprefix("RAY_NODE=")
    (started,) = re.findall(r"^ExecStart=\S+/ray start (.*)$", (DEPLOY / UNITS[1]).read_text(), re.MULTILINE)
    # systemd splits at blanks, and takes no quotes out of what is inside a word.
    words = started.replace("$RAY_NODE", options).split()
    parsed = start.make_context("start", words).params
    assert parsed["head"] is (role == "head")
    assert parsed["block"]
    if role == "worker":
        assert parsed["resources"] == '{"near_T2_EXAMPLE":1}'


def test_the_line_of_the_crontab_is_one() -> None:
    lines = [line for line in (DEPLOY / "crontab").read_text().splitlines() if line and not line.startswith("#")]
    setting, line = lines
    assert re.fullmatch(r"\w+=\S+", setting)
    assert "%" not in line
    fields = re.match(r"(\S+) (\S+) (\S+) (\S+) (\S+) (.*)", line)
    assert fields
    for field, most in zip(fields.groups(), (59, 23, 31, 12, 7), strict=False):
        assert re.fullmatch(r"\*(/\d+)?|\d+", field)
        assert int(field.partition("/")[2] or 0) <= most
    subprocess.run(["bash", "-n", "-c", fields[6]], check=True, timeout=30)


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("kind", ["Namespace", "ConfigMap", "PersistentVolumeClaim", "Deployment"])
def test_kubernetes_would_accept_each_object_of_its_own(kind: str, version: str) -> None:
    kubernetes_validate.validate(manifest()[kind], version, strict=True)


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_would_accept_the_pods_of_the_ray_cluster(version: str) -> None:
    objects = manifest()
    spec = objects["RayCluster"]["spec"]
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        deployment = copy.deepcopy(objects["Deployment"])
        deployment["spec"]["template"] = group["template"]
        kubernetes_validate.validate(deployment, version, strict=True)


def test_kubernetes_would_refuse_a_slip() -> None:
    wrong = manifest()["Deployment"]
    wrong["spec"]["template"]["spec"]["containers"][0]["imagePulPolicy"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES[0], strict=True)


def containers() -> list[dict[str, Any]]:
    objects = manifest()
    spec = objects["RayCluster"]["spec"]
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"], objects["Deployment"]["spec"]]
    return [container for group in groups for container in group["template"]["spec"]["containers"]]


def test_the_ray_cluster_has_what_its_operator_needs() -> None:
    cluster = manifest()["RayCluster"]
    assert cluster["apiVersion"] == "ray.io/v1"
    assert set(cluster["spec"]) == {"rayVersion", "headGroupSpec", "workerGroupSpecs"}
    assert cluster["spec"]["rayVersion"] == constraints()["ray"]
    for group in cluster["spec"]["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert re.fullmatch(r"[a-z0-9-]+", group["groupName"])
    for group in [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]:
        # The operator writes the command from them, and takes nothing but text.
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        options = " ".join(f"--{name}={value}" for name, value in group["rayStartParams"].items())
        start.make_context("start", ["--block", *shlex.split(options)])


def test_all_pods_have_one_image_of_this_version_and_ask_for_one_token() -> None:
    (image,) = {container["image"] for container in containers()}
    assert image.endswith(f"/dynamo-consistency:{pyproject()['project']['version']}")
    assert image in (DEPLOY / "Dockerfile").read_text()
    assert f"rayproject/ray:{constraints()['ray']}-py" in (DEPLOY / "Dockerfile").read_text()
    for container in containers():
        env = {variable["name"]: variable for variable in container["env"]}
        assert env["RAY_AUTH_MODE"]["value"] == "token"
        secret = env["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]
        assert f"secret generic {secret['name']} --from-literal={secret['key']}=" in (DEPLOY / "README.md").read_text()


def test_what_the_pod_of_run_mounts_and_names_is_there(tmp_path: Path) -> None:
    objects = manifest()
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert (
        volumes["state"]["persistentVolumeClaim"]["claimName"] == objects["PersistentVolumeClaim"]["metadata"]["name"]
    )
    assert volumes["configuration"]["configMap"]["name"] == objects["ConfigMap"]["metadata"]["name"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    (script,) = container["args"]
    assert f"--config {mounts['configuration']}/sites.yaml run " in script
    subprocess.run(["bash", "-n", "-c", script], check=True, timeout=30)
    (tmp_path / "sites.yaml").write_text(objects["ConfigMap"]["data"]["sites.yaml"])
    config = Config.load(tmp_path / "sites.yaml", {})
    for name in config.sites:
        site = config.site(name)
        assert all(str(path).startswith(mounts["state"] + "/") for path in (site.var_location, site.web_dir))
    address = {variable["name"]: variable.get("value") for variable in container["env"]}["RAY_ADDRESS"]
    assert address == f"{objects['RayCluster']['metadata']['name']}-head-svc:6379"
    assert {found["metadata"].get("namespace", found["metadata"]["name"]) for found in objects.values()} == {
        objects["Namespace"]["metadata"]["name"]
    }
