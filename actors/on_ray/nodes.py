"""The nodes of a Ray cluster: what they have, and whether an actor finds a place there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray

from actors.runtime import Placement

_OWN = ("node:", "accelerator_type:")
"""How the resources begin that Ray makes for itself."""

_COUNTED = ("CPU", "GPU", "memory", "object_store_memory")
_OWN_LABELS = "ray.io/"


@dataclass(frozen=True, slots=True)
class Node:
    """A node that is alive: its address, and the resources, what is free of them, and the labels that it was given."""

    address: str
    resources: Mapping[str, float] = field(default_factory=dict)
    free: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def is_fit_for(self, placement: Placement) -> bool:
        """Whether it has what a placement wants, in use or not."""
        return all(self.labels.get(name) == value for name, value in placement.labels) and all(
            self.resources.get(name, 0.0) >= amount for name, amount in placement.resources
        )

    def has_room_for(self, placement: Placement) -> bool:
        """Whether what a placement wants is free there."""
        return self.is_fit_for(placement) and all(
            self.free.get(name, 0.0) >= amount for name, amount in placement.resources
        )


def alive() -> list[Node]:
    """Ask the cluster for its nodes."""
    asked: Any = ray
    # A client of a cluster is not told what is free.
    is_client = asked.util.client.ray.is_connected()
    free = {} if is_client else asked._private.state.available_resources_per_node()
    return [
        Node(
            str(node["NodeManagerAddress"]),
            _given(node["Resources"]),
            _given(free.get(node["NodeID"], node["Resources"])),
            {name: value for name, value in node.get("Labels", {}).items() if not name.startswith(_OWN_LABELS)},
        )
        for node in asked.nodes()
        if node["Alive"]
    ]


def _given(resources: Mapping[str, float]) -> dict[str, float]:
    return {
        name: float(amount) for name, amount in resources.items() if name not in _COUNTED and not name.startswith(_OWN)
    }


def why_not(nodes: Sequence[Node], placement: Placement) -> str:
    """Say in one line why none of the nodes is fit for a placement; empty when one is."""
    if any(node.is_fit_for(placement) for node in nodes):
        return ""
    has = sorted({f"{name}: {amount:g}" for node in nodes for name, amount in node.resources.items()})
    has += sorted({f"{name}: {value}" for node in nodes for name, value in node.labels.items()})
    count = "the only node has" if len(nodes) == 1 else f"the {len(nodes)} nodes have"
    return f"no node has {placement.words}; {count}: {', '.join(has) or 'nothing of the kind'}"


def why_wait(nodes: Sequence[Node], placement: Placement) -> str:
    """Say in one line why none of the nodes has room for a placement now; empty when one has."""
    if any(node.has_room_for(placement) for node in nodes):
        return ""
    return f"all of {placement.words} is in use"
