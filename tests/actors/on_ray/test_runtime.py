"""What is only so on Ray; `tests/actors/test_runtime.py` holds for both runtimes."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.runtime import Runtime, RuntimeUnavailable


class Talker:
    def say(self, words: str) -> None:
        logging.getLogger("storage.listers").info(words)


def test_ray_shows_its_dashboard_and_the_names_of_the_actors(ray_runtime: Runtime) -> None:
    from ray.util.state import list_actors

    actor = ray_runtime.spawn("lister:T2_TEST:3", Talker)
    actor.ask("say", "here").result(60)
    assert ray_runtime.dashboard.startswith("http://127.0.0.1:")
    assert "lister:T2_TEST:3" in {state.name for state in list_actors(address=ray_runtime.dashboard)}


def test_the_log_of_an_actor_on_ray_says_which_run_and_which_actor_it_is(ray_runtime: Runtime) -> None:
    import ray

    ray_runtime.label("T2_TEST run 3")
    actor = ray_runtime.spawn("lister:T2_TEST:7", Talker)
    actor.ask("say", "slow today").result(60)
    node = ray._private.worker.global_worker.node
    said = [path.read_text() for path in Path(node.get_logs_dir_path()).glob("worker-*.err")]
    (line,) = [line for text in said for line in text.splitlines() if "slow today" in line]
    assert line.partition("Z ")[2] == "INFO T2_TEST run 3 lister:T2_TEST:7 storage.listers: slow today"


def test_a_node_of_our_own_is_on_loopback(ray_runtime: Runtime) -> None:
    from ray.util.state import list_nodes

    assert [node.node_ip for node in list_nodes(address=ray_runtime.dashboard)] == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:{port}", "nobody answers there"),
        ("ray://127.0.0.1:{port}", "nobody answers there"),
        ("127.0.0.1", "expected HOST:PORT"),
        ("auto", "no cluster runs on this machine"),
        ("127.0.0.1:{other}", "not a Ray cluster"),
    ],
)
def test_an_address_where_no_ray_is_says_so_in_one_line(
    address: str, words: str, unused_port: int, silent_listener: int
) -> None:
    from actors.on_ray.runtime import RayRuntime

    address = address.format(port=unused_port, other=silent_listener)
    with pytest.raises(RuntimeUnavailable, match=words) as told:
        RayRuntime(address)
    assert str(told.value).startswith(f"no Ray at {address}: ")
    assert "\n" not in str(told.value)


def test_a_node_that_loses_its_head_as_it_comes_up_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray
    from ray.exceptions import RaySystemError

    from actors.on_ray.runtime import RayRuntime

    def init(**_options: object) -> None:
        # As when the head is killed in the seconds in which it starts; the soak rows do that with a real one.
        raise RaySystemError("Failed to connect to GCS. Please check\nif the GCS server is running.")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(RuntimeUnavailable, match="no Ray on this machine: System error: Failed to connect") as told:
        RayRuntime(None)
    assert "\n" not in str(told.value)


@pytest.fixture
def silent_listener() -> Iterator[int]:
    """A port on which somebody listens who never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def test_what_ray_says_of_the_cluster_is_logged_and_not_printed(
    ray_runtime: Runtime, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    import ray

    asked: Any = ray
    with caplog.at_level("INFO", logger="actors.on_ray.runtime"):
        asked._private.utils.push_error_to_driver(asked._private.worker.global_worker, "test", "a node was lost")
        give_up = time.monotonic() + 60
        while "Ray: a node was lost" not in caplog.text:
            assert time.monotonic() < give_up
            time.sleep(0.05)
    assert capfd.readouterr().out == ""
