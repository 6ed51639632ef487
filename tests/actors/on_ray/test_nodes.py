"""Whether listers find a place on the nodes of a cluster, and what is said when they do not."""

from __future__ import annotations

from dataclasses import replace

from actors.on_ray.nodes import Node, alive, why_not, why_wait
from actors.runtime import ANYWHERE, Placement, Runtime

NORTH = Node("192.0.2.1", {"near_a": 1.0, "disk": 4.0}, {"near_a": 1.0, "disk": 4.0}, {"region": "north"})
SOUTH = Node("192.0.2.2", {"near_b": 2.0}, {"near_b": 0.5}, {"region": "south"})
NODES = [NORTH, SOUTH]


def wanted(**what: float | str) -> Placement:
    return Placement.of(what.items())


def test_a_placement_is_amounts_of_resources_and_values_of_labels() -> None:
    placement = wanted(near_a=0.5, region="north")
    assert placement == Placement((("near_a", 0.5),), (("region", "north"),))
    assert placement.words == "near_a: 0.5, region: north"


def test_one_node_has_to_have_it_all() -> None:
    assert why_not(NODES, wanted(near_a=1, region="north")) == ""
    assert why_not(NODES, ANYWHERE) == ""
    said = "no node has near_a: 1, region: south; the 2 nodes have: "
    has = "disk: 4, near_a: 1, near_b: 2, region: north, region: south"
    assert why_not(NODES, wanted(near_a=1, region="south")) == said + has
    assert why_not(NODES, wanted(near_b=2.5)).startswith("no node has near_b: 2.5; ")
    assert why_not([Node("192.0.2.3")], wanted(x=1)) == ("no node has x: 1; the only node has: nothing of the kind")


def test_what_is_in_use_is_waited_for() -> None:
    assert why_wait(NODES, wanted(near_b=0.5)) == ""
    assert why_wait(NODES, wanted(near_b=1)) == "all of near_b: 1 is in use"
    assert why_wait([replace(NORTH, free={})], ANYWHERE) == ""


def test_a_node_that_has_just_started_has_nothing_but_its_own(ray_runtime: Runtime) -> None:
    (node,) = alive()
    assert (node.resources, node.free, node.labels) == ({}, {}, {})
    assert ray_runtime.why_not(ANYWHERE) == ray_runtime.why_wait(ANYWHERE) == ""
    assert ray_runtime.why_not(wanted(near=1)).startswith("no node has near: 1; ")
