"""What a Ray cluster is at the moment: its nodes, what they have, which program is on them, and this program's actors.

The head is asked, so no node need be on this machine. Which program a node has only the node can say, and only those
who are on a node of the cluster can ask it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray._private import ray_constants
from ray.core.generated import gcs_pb2
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.on_ray import guest
from actors.on_ray.address import current_cluster, must_answer
from actors.on_ray.runtime import NAMESPACE, RayRuntime, in_thread
from actors.runtime import RuntimeUnavailable

_PATIENCE = 20.0
"""Seconds that the head may take for all of its answers."""

_ASKING = 30.0
"""Seconds that the nodes may take to say which program they have; a process has to be started for that."""

_OF_RAY = ("CPU", "GPU", "memory", "object_store_memory")
_LIVING = ("ALIVE", "PENDING_CREATION", "DEPENDENCIES_UNREADY", "RESTARTING")

_raylet: Any = ray._raylet
_messages: Any = gcs_pb2


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node. ``cpus`` and ``resources``, by name, are how much is free and how much there is.

    ``program`` says in words which program is there, and ``is_fit`` whether it is that of whoever asked; it is empty
    when nobody asked. ``why`` is what there is to say of a node that is dead, or of one that does not answer.
    """

    name: str
    address: str
    is_head: bool
    is_alive: bool
    cpus: tuple[float, float] = (0.0, 0.0)
    resources: tuple[tuple[str, float, float], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    program: str = ""
    is_fit: bool = True
    why: str = ""
    number: str = ""


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """A cluster. ``actors`` are those of this program that live: their names and those of their nodes.

    ``program`` is that of whoever asks; ``note`` says why the nodes were not asked for theirs.
    """

    address: str
    dashboard: str
    ray: str
    program: str
    nodes: tuple[NodeFacts, ...]
    actors: tuple[tuple[str, str], ...]
    note: str = ""


def look_at(address: str | None, with_programs: bool = True) -> ClusterFacts:
    """Ask a cluster what it is; without an address the one that was started on this machine.

    Raises:
        RuntimeUnavailable: there is none, or it does not answer.
    """
    address = address or current_cluster()
    if address is None:
        raise RuntimeUnavailable(
            "no Ray cluster runs on this machine: dynamo-consistency cluster up starts one, or give --address HOST:PORT"
        )
    try:
        must_answer(address, from_a_node=False)
        facts = in_thread(lambda: _ask_head(address)).result(_PATIENCE)
    except ConnectionError as error:
        raise RuntimeUnavailable(f"no Ray at {address}: {error}") from error
    except (FutureTimeout, RayError, RuntimeError) as error:
        said = str(error).splitlines()[0] if str(error) else f"no answer within {_PATIENCE:.0f} s"
        raise RuntimeUnavailable(f"the head at {address} does not say what it has: {said}") from error
    return _with_programs(facts) if with_programs else facts


def _ask_head(address: str) -> ClusterFacts:
    accessor = _raylet.GlobalStateAccessor(_raylet.GcsClientOptions.create(address, None, True, False))
    if not accessor.connect():
        raise RuntimeError("it does not answer")
    free = _by_node(accessor.get_all_available_resources(), _messages.AvailableResources, "resources_available")
    total = _by_node(accessor.get_all_total_resources(), _messages.TotalResources, "resources_total")
    nodes = [_node(row, free.get(row["NodeID"], {}), total.get(row["NodeID"], {})) for row in accessor.get_node_table()]
    nodes.sort(key=lambda node: (not node.is_alive, not node.is_head, node.name, node.number))
    where = (ray_constants.KV_NAMESPACE_DASHBOARD, ray_constants.DASHBOARD_ADDRESS.encode())
    url = accessor.get_internal_kv(*where)
    dashboard = f"http://{url.decode()}" if url else ""
    ours = guest.words_of(guest.program_here())
    actors = _actors(accessor, {node.number: node.name for node in nodes})
    return ClusterFacts(address, dashboard, ray.__version__, ours, tuple(nodes), tuple(actors))


def _by_node(answers: Iterable[bytes], message: Any, field: str) -> dict[str, dict[str, float]]:
    parsed = [message.FromString(answer) for answer in answers]
    return {one.node_id.hex(): dict(getattr(one, field)) for one in parsed}


def _node(row: dict[str, Any], free: dict[str, float], total: dict[str, float]) -> NodeFacts:
    own = sorted(name for name in total if name not in _OF_RAY and not name.startswith(("node:", "accelerator_type:")))
    return NodeFacts(
        row["NodeName"] if row["NodeName"] != row["NodeManagerAddress"] else row["NodeManagerHostname"],
        row["NodeManagerAddress"],
        "node:__internal_head__" in (total or row["Resources"]),
        row["Alive"],
        (free.get("CPU", 0.0), total.get("CPU", 0.0)),
        tuple((name, free.get(name, 0.0), total[name]) for name in own),
        tuple(sorted((name, value) for name, value in row["Labels"].items() if not name.startswith("ray.io/"))),
        why=row.get("DeathReasonMessage") or "",
        number=row["NodeID"],
    )


def _actors(accessor: Any, names: dict[str, str]) -> list[tuple[str, str]]:
    found = []
    for state in _LIVING:
        for answer in accessor.get_actor_table(None, state):
            actor = _messages.ActorTableData.FromString(answer)
            if actor.ray_namespace == NAMESPACE and actor.name:
                found.append((actor.name, names.get(actor.address.node_id.hex(), "no node yet")))
    return sorted(found)


def _with_programs(facts: ClusterFacts) -> ClusterFacts:
    """Have every node say which program it has."""
    try:
        programs = _ask_nodes(facts.address, [node.number for node in facts.nodes if node.is_alive])
    except RuntimeUnavailable as error:
        return replace(facts, note=f"no node was asked which program it has: {error}")
    return replace(facts, nodes=tuple(_with_program(node, programs) for node in facts.nodes))


def _with_program(node: NodeFacts, programs: dict[str, guest.Program | None]) -> NodeFacts:
    if not node.is_alive:
        return node
    there = programs[node.number]
    if there is None:
        return replace(node, is_fit=False, why=f"no process of it answered within {_ASKING:.0f} s")
    words = guest.words_of(there) if there[1] else "none"
    return replace(node, program=words, is_fit=guest.are_same(there, guest.program_here()))


def _ask_nodes(address: str, numbers: list[str]) -> dict[str, guest.Program | None]:
    runtime = RayRuntime(address)
    try:
        task: Any = ray.remote(num_cpus=0, max_retries=0)(guest.program_here)
        asked = {}
        for number in numbers:
            there = NodeAffinitySchedulingStrategy(number, soft=False)
            asked[number] = task.options(name="which program", scheduling_strategy=there).remote()
        done, _ = ray.wait(list(asked.values()), num_returns=len(asked), timeout=_ASKING)
        return {number: _said(answer) if answer in done else None for number, answer in asked.items()}
    finally:
        runtime.shutdown()


def _said(answer: Any) -> guest.Program | None:
    try:
        program: guest.Program = ray.get(answer)
    except RayError:
        return None
    return program


def is_of_this_machine(address: str) -> bool:
    """Whether an IP address is one of this machine's."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
