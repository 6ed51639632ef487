from __future__ import annotations

import threading
from collections import deque
from queue import Queue
from typing import Any

import pytest

from actors.filling import CLOSE, DONE, IDLE, WORK, Filling, Orders
from engine.tree import DirectoryInfo
from engine.tree.growing import GrowingTree


class Worker(threading.Thread):
    """Takes directories from a plan, and hangs where there is no answer in it."""

    def __init__(self, number: int, filling: Filling, pending: deque[str], outputs: Queue[Any], plan: Any) -> None:
        super().__init__(daemon=True)
        self.parts = filling.orders[number], filling.reports[number], filling, pending, outputs, plan
        self.ordered: list[str] = []

    def run(self) -> None:
        orders, reports, filling, pending, outputs, plan = self.parts
        while filling.goes_on():
            try:
                path = pending.pop()
            except IndexError:
                reports.put((IDLE, 0))
                self.ordered.append(orders.recv())
                if self.ordered[-1] == CLOSE:
                    return
                continue
            if path not in plan:
                threading.Event().wait()
            outputs.put((path, [(name, 1) for name in plan[path]], [], ""))
            pending.extend([f"{path}/{name}".strip("/") for name in plan[path]])
            reports.put((DONE, 0))


def work(plan: dict[str, list[str]], count: int) -> tuple[Filling, GrowingTree[DirectoryInfo], list[Worker]]:
    pending, outputs = deque([""]), Queue[Any]()
    filling = Filling(count, pending, outputs)
    workers = [Worker(number, filling, pending, outputs, plan) for number in range(count)]
    return filling, GrowingTree(DirectoryInfo, "mc"), workers


PLAN = {"": ["a", "b"], "a": ["c"], "b": [], "a/c": []}


@pytest.mark.parametrize("count", [1, 3])
def test_it_ends_when_everything_that_was_named_is_listed(count: int) -> None:
    filling, growing, workers = work(PLAN, count)
    seen: list[int] = []
    filling.run(workers, growing, lambda: None, lambda tree: seen.append(tree.count_nodes()))
    assert growing.tree.count_nodes() == seen[-1] == 4
    assert not any(worker.is_alive() for worker in workers)
    assert {order for worker in workers for order in worker.ordered} <= {WORK, CLOSE}


def test_who_is_told_to_stop_waits_for_nobody(caplog: pytest.LogCaptureFixture) -> None:
    filling, growing, workers = work({"": ["a", "b"], "b": []}, 2)
    calls = 0

    def heed() -> None:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        filling.run(workers, growing, heed, None)
    assert not filling.goes_on()
    assert growing.tree.get_num_files(place_new=True)
    assert "1 of 2 listing threads hang" in caplog.text


def test_what_looks_at_the_tree_may_stop_it_too() -> None:
    filling, growing, workers = work(PLAN, 2)

    def look(_tree: DirectoryInfo) -> None:
        raise KeyError("seen enough")

    with pytest.raises(KeyError, match="seen enough"):
        filling.run(workers, growing, lambda: None, look)
    assert not any(worker.is_alive() for worker in workers)


def test_a_line_that_is_closed_has_no_more_orders() -> None:
    orders = Orders()
    orders.send(WORK)
    orders.close()
    assert orders.recv() == WORK
    with pytest.raises(EOFError):
        orders.recv()
