from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from storage.threads import actor_of, named


def in_thread(name: str, call: Callable[[], str]) -> str:
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(call()), name=name)
    thread.start()
    thread.join()
    return said[0]


@pytest.mark.parametrize(
    ("thread", "actor"),
    [
        ("lister:T2_X:1", "lister:T2_X:1"),
        ("lister:T2_X:1 pump", "lister:T2_X:1"),
        ("coordinator:T2_X", "coordinator:T2_X"),
        ("MainThread", ""),
        ("lister-worker", ""),
        ("a lister:T2_X:1", ""),
    ],
)
def test_a_thread_is_that_of_the_actor_whose_name_it_begins_with(thread: str, actor: str) -> None:
    assert actor_of(thread) == actor


def test_a_thread_that_is_started_for_an_actor_is_its_own() -> None:
    assert in_thread("lister:T2_X:1 pump", lambda: named("wire-lister")) == "lister:T2_X:1 wire-lister"
    assert in_thread("other", lambda: named("wire-lister")) == "wire-lister"
