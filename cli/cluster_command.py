"""The commands ``cluster up``, ``cluster down`` and ``cluster status``."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.exits import CommandError, ExitCode

if TYPE_CHECKING:
    from actors.on_ray.status import ClusterFacts, NodeFacts

DEFAULT_FILE = Path("ray_cluster.yaml")

TOKEN = "~/.ray/auth_token"
"""Where Ray looks for it."""

_EXAMPLES = tuple(ipaddress.ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"))
"""Addresses that stand in documentation, and on no machine."""


@dataclass(frozen=True, slots=True)
class LocalRequest:
    """The options of a cluster on this machine."""

    workers: int = 0
    resources: str | None = None
    port: int = 6379
    dashboard_port: int | None = None


def bring_up(file: Path | None, yes: bool, request: LocalRequest, as_json: bool) -> ExitCode:
    """Have Ray's launcher start the cluster of a file."""
    if request != LocalRequest() or as_json:
        raise CommandError("--workers, --resources, --port, --dashboard-port and --json of cluster up go with --local")
    path = _cluster_file(file)
    if TOKEN in path.read_text(encoding="utf-8", errors="replace"):
        _ensure_token()
    _must_be_ready(path)
    return _launch("up", path, yes)


def take_down(file: Path | None, yes: bool, as_json: bool) -> ExitCode:
    """Have Ray's launcher end the cluster of a file."""
    if as_json:
        raise CommandError("--json of cluster down goes with --local")
    path = _cluster_file(file)
    print(
        "ray down runs `ray stop` there, which ends every Ray process of that user, other clusters' too",
        file=sys.stderr,
    )
    return _launch("down", path, yes)


def _cluster_file(file: Path | None) -> Path:
    path = file or DEFAULT_FILE
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise CommandError(f"{path}: {what}; give the FILE of the cluster, or --local for one on this machine alone")
    return path.absolute()


def _must_be_ready(path: Path) -> None:
    """Find out what Ray's launcher would say after a while, or with a traceback, or not at all."""
    import yaml

    try:
        cluster = yaml.safe_load(path.read_text(encoding="utf-8"))
        provider, mounts = cluster["provider"], dict(cluster.get("file_mounts") or {})
        machines = [provider["head_ip"], *(provider.get("worker_ips") or [])] if provider["type"] == "local" else []
    except (ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise CommandError(f"{path}: not a file of Ray's launcher: {str(error).splitlines()[0]}") from error
    for machine in machines:
        if _is_example(str(machine)):
            raise CommandError(f"{path}: provider: {machine} is an example; put the addresses of your machines there")
    for target, source in mounts.items():
        place = path.parent / os.path.expanduser(str(source))
        if not place.exists() or (place.name == "dist" and not any(place.glob("*.whl"))):
            raise CommandError(f"{path}: file_mounts: {source}, for {target}, is not there; see the head of the file")
    for program in ("ssh", "rsync"):
        if shutil.which(program) is None:
            raise CommandError(f"{program} is not installed here, and Ray's launcher needs it")


def _is_example(machine: str) -> bool:
    try:
        address = ipaddress.ip_address(machine)
    except ValueError:
        return False
    return any(address in net for net in _EXAMPLES)


def _launch(what: str, path: Path, yes: bool) -> ExitCode:
    if not yes and not sys.stdin.isatty():
        raise CommandError(f"ray {what} asks before it does anything, and nobody is here to answer; --yes says yes")
    command = [sys.executable, "-P", "-m", "ray.scripts.scripts", what, str(path), *(["--yes"] if yes else [])]
    # Ray takes what is to be copied from the working directory.
    code = subprocess.run(command, cwd=path.parent, check=False).returncode
    if code:
        raise CommandError(f"{path}: ray {what} failed with exit code {code}; what it said is above", ExitCode.USAGE)
    return ExitCode.DONE


def bring_up_local(file: Path | None, request: LocalRequest, as_json: bool) -> ExitCode:
    """Start a cluster on this machine, and say where it answers."""
    from actors.on_ray import local

    _no_file(file)
    resources = _resources(request.resources)
    _ensure_token()
    directory = local.state_directory()
    started = local.start(directory, request.port, request.dashboard_port, request.workers, resources)
    if as_json:
        print(json.dumps({"address": started.address, "dashboard": started.dashboard, "nodes": len(started.nodes)}))
        return ExitCode.DONE
    nodes = "1 node" if len(started.nodes) == 1 else f"{len(started.nodes)} nodes"
    print(f"Ray cluster at {started.address}: {nodes} on this machine; dashboard: {started.dashboard}")
    print(f"to use it: dynamo-consistency check SITE --address {started.address}")
    print("to end it: dynamo-consistency cluster down --local")
    return ExitCode.DONE


def take_down_local(file: Path | None, as_json: bool) -> ExitCode:
    """End the cluster that was started on this machine, and nothing else."""
    from actors.on_ray import local

    _no_file(file)
    ended = local.stop(local.state_directory())
    if as_json:
        print(json.dumps({"address": ended.address if ended else None, "nodes": len(ended.nodes) if ended else 0}))
    elif ended is None:
        print("no cluster that cluster up --local has started runs on this machine")
    else:
        print(f"ended the Ray cluster at {ended.address}")
    return ExitCode.DONE


def _ensure_token() -> None:
    from actors.on_ray import local

    if local.ensure_token():
        print(f"made a token for Ray in {TOKEN}: without it nobody is let in", file=sys.stderr)


def _no_file(file: Path | None) -> None:
    if file is not None:
        raise CommandError("give a FILE or --local, not both")


def _resources(text: str | None) -> dict[str, float]:
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict) or not all(isinstance(n, int | float) and n > 0 for n in value.values()):
        raise CommandError(f'--resources: expected numbers by name, such as {{"near_T2_EXAMPLE": 1}}, found {text}')
    return value


def show_status(address: str | None, as_json: bool) -> ExitCode:
    """Ask a cluster what it is, and show it."""
    from actors.on_ray.status import look_at

    facts = look_at(address or os.environ.get("RAY_ADDRESS") or None)
    if as_json:
        print(json.dumps(_object(facts)))
    else:
        _show(facts)
    return ExitCode.DONE


def _show(facts: ClusterFacts) -> None:
    dashboard = facts.dashboard or "none"
    print(f"Ray {facts.ray} at {facts.address}; dashboard: {dashboard}{_tunnel(facts)}")
    print(f"program here: {facts.program}")
    for node in facts.nodes:
        print(f"{node.name} ({node.address}): {', '.join(_words(node))}")
    sites = _by_site(facts)
    for site, actors in sites.items():
        print(f"{site}: {', '.join(_counted(actors))}")
    if not sites:
        print("nothing of this program runs on it")
    if facts.note:
        print(facts.note)
    unfit = [node.name for node in facts.nodes if node.program and not node.is_fit]
    if unfit:
        print(f"to be done: install the program of here on {', '.join(unfit)}, or give checks --ship")


def _tunnel(facts: ClusterFacts) -> str:
    """Say how a dashboard on the loopback of another machine is reached."""
    from actors.on_ray.status import is_of_this_machine

    host, _, port = facts.dashboard.removeprefix("http://").rpartition(":")
    head = next((node.address for node in facts.nodes if node.is_head), "")
    if host not in ("localhost", "127.0.0.1") or not head or is_of_this_machine(head):
        return ""
    return f" on the head: ssh -N -L {port}:localhost:{port} {head}"


def _words(node: NodeFacts) -> list[str]:
    role = ["head"] if node.is_head else []
    if not node.is_alive:
        return ["dead", *role, *filter(None, [node.why])]
    said = ["alive", *role, f"{_amount(node.cpus[0])} of {_amount(node.cpus[1])} CPUs free"]
    said += [f"{name} {_amount(free)} of {_amount(total)} free" for name, free, total in node.resources]
    said += [f"{name}={value}" for name, value in node.labels]
    if node.program:
        said.append("the same program" if node.is_fit else f"another program: {node.program}")
    return said + list(filter(None, [node.why]))


def _amount(number: float) -> str:
    return f"{number:.4g}"


def _by_site(facts: ClusterFacts) -> dict[str, list[tuple[str, str]]]:
    """Give by site what its actors are and where."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, node in facts.actors:
        role, _, rest = name.partition(":")
        site, _, number = rest.rpartition(":")
        found.setdefault(site if number.isdigit() else rest, []).append((role, node))
    return dict(sorted(found.items()))


def _counted(actors: list[tuple[str, str]]) -> list[str]:
    return [f"{count} {role} on {node}" for (role, node), count in sorted(Counter(actors).items())]


def _object(facts: ClusterFacts) -> dict[str, Any]:
    nodes = [
        {
            "name": node.name,
            "address": node.address,
            "head": node.is_head,
            "alive": node.is_alive,
            "cpus": {"free": node.cpus[0], "total": node.cpus[1]},
            "resources": {name: {"free": free, "total": total} for name, free, total in node.resources},
            "labels": dict(node.labels),
            "program": node.program or None,
            "same": node.is_fit if node.program else None,
            "why": node.why or None,
        }
        for node in facts.nodes
    ]
    actors = {site: [{"role": role, "node": node} for role, node in found] for site, found in _by_site(facts).items()}
    return {
        "address": facts.address,
        "dashboard": facts.dashboard or None,
        "ray": facts.ray,
        "program": facts.program,
        "nodes": nodes,
        "sites": actors,
        "note": facts.note or None,
    }
