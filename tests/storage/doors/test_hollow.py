"""Data servers that show nothing at all; here each is a directory on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.doors.hollow import heed_hollow, hollow_gate, hollow_servers
from storage.listers.protocol import StoreSpec

ROOT, TOPS = b"/store", (b"/store/mc/new", b"/store/data")


@pytest.fixture
def spec(tmp_path: Path) -> StoreSpec:
    """Two servers, of which the first has a file in a top."""
    for number in (0, 1):
        (tmp_path / str(number)).mkdir()
    put(tmp_path, 0, "store/data/file")
    return StoreSpec(tuple(f"file://{tmp_path}/{number}" for number in (0, 1)), timeout=5.0, clustered=True)


def put(tmp_path: Path, number: int, name: str) -> None:
    path = tmp_path / str(number) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")


def hollow(spec: StoreSpec) -> int:
    return len(hollow_servers(spec, ROOT, TOPS, lambda: None))


def test_a_server_without_the_root_or_with_nothing_but_the_way_to_the_tops(spec: StoreSpec, tmp_path: Path) -> None:
    assert hollow(spec) == 1
    for empty in ("store", "store/data", "store/mc/new"):
        (tmp_path / "1" / empty).mkdir(parents=True)
        assert hollow(spec) == 1


@pytest.mark.parametrize("name", ["store/data/a", "store/mc/new/a", "store/mc/old", "store/other/a"])
def test_anything_in_or_beside_the_tops_is_something(spec: StoreSpec, tmp_path: Path, name: str) -> None:
    put(tmp_path, 1, name)
    assert hollow(spec) == 0


def test_where_none_shows_anything_none_is_named(spec: StoreSpec, tmp_path: Path) -> None:
    (tmp_path / "0" / "store/data/file").unlink()
    assert hollow(spec) == 0


def test_a_server_that_does_not_say_is_none(spec: StoreSpec, tmp_path: Path) -> None:
    put(tmp_path, 1, "store")
    assert hollow(spec) == 0


def test_nothing_of_such_a_cluster_is_missing(spec: StoreSpec) -> None:
    heeded = heed_hollow("T2_X", spec, ROOT, TOPS, lambda: None)
    assert (heeded.open_ended, len(heeded.hollow)) == (True, 1)
    # What was known when the run began is no news when it ends.
    assert hollow_gate(heeded, ROOT, TOPS, lambda: None) is None
    refusal = hollow_gate(spec, ROOT, TOPS, lambda: None)
    assert refusal is not None
    assert refusal.gate == "server-empty"
