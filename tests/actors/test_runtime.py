from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.messages import Killed
from actors.runtime import ActorLost, ActorRef, Runtime, RuntimeUnavailable


class Counter:
    def __init__(self, start: int) -> None:
        self._count = start

    def add(self, number: int) -> int:
        self._count += number
        return self._count

    def fail(self) -> None:
        raise Killed("because")

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Caller:
    def __init__(self, other: ActorRef) -> None:
        self._other = other

    def add_there(self, number: int) -> int:
        # A handler must not wait for another actor; this one only shows that a reference travels.
        return int(self._other.ask("add", number).result(60))


class Talker:
    def say(self, words: str) -> None:
        logging.getLogger("storage.listers").info(words)


class Broken:
    def __init__(self) -> None:
        raise ValueError("cannot be made")

    def anything(self) -> None:
        """Is never called."""


def test_an_actor_handles_messages_in_the_order_in_which_they_were_asked(runtime: Runtime) -> None:
    counter = runtime.spawn("counter", Counter, 10)
    answers = [counter.ask("add", number) for number in range(5)]
    assert [answer.result(60) for answer in answers] == [10, 11, 13, 16, 20]


def test_an_error_reaches_whoever_asked_as_it_was_raised(runtime: Runtime) -> None:
    counter = runtime.spawn("failing", Counter, 0)
    with pytest.raises(Killed, match="because"):
        counter.ask("fail").result(60)
    assert counter.ask("add", 1).result(60) == 1


def test_a_reference_can_be_given_to_another_actor(runtime: Runtime) -> None:
    counter = runtime.spawn("called", Counter, 1)
    caller = runtime.spawn("caller", Caller, counter)
    assert caller.ask("add_there", 2).result(60) == 3


def test_an_answer_that_does_not_come_in_time_is_a_timeout(runtime: Runtime) -> None:
    counter = runtime.spawn("slow", Counter, 0)
    counter.ask("add", 0).result(60)
    answer = counter.ask("sleep", 1.0)
    assert not answer.done()
    with pytest.raises(TimeoutError):
        answer.result(0.01)
    answer.result(60)


def test_somebody_can_be_told_when_the_answer_is_there(runtime: Runtime) -> None:
    counter = runtime.spawn("telling", Counter, 0)
    told = threading.Event()
    answer = counter.ask("add", 7)
    answer.on_done(told.set)
    assert told.wait(60)
    assert answer.result(0) == 7


def test_an_actor_that_was_killed_is_lost(runtime: Runtime) -> None:
    counter = runtime.spawn("doomed", Counter, 0)
    assert counter.ask("add", 1).result(60) == 1
    counter.kill()

    def ask_for_long() -> None:
        # The end may take a moment, in which messages are still answered.
        for _ in range(1000):
            counter.ask("add", 1).result(60)
            time.sleep(0.01)

    with pytest.raises(ActorLost):
        ask_for_long()


def test_an_actor_that_cannot_be_made_raises_to_whoever_asks(runtime: Runtime) -> None:
    broken = runtime.spawn("broken", Broken)
    with pytest.raises((ValueError, ActorLost), match=r"cannot be made|creation task"):
        broken.ask("anything").result(60)


def test_ray_shows_its_dashboard_and_the_names_of_the_actors(ray_runtime: Runtime) -> None:
    from ray.util.state import list_actors

    actor = ray_runtime.spawn("lister:T2_TEST:3", Counter, 0)
    actor.ask("add", 1).result(60)
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
