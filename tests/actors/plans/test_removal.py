"""Having things done at a store by an actor: all of it, until somebody asks to stop, or until too much goes wrong."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.jobs import store_job
from actors.oversight import Killed, Oversight
from actors.plans.removal import RemovalActor, StoreHand, Task
from actors.runtime import Runtime
from actors.store_job import ListingFailed, StoreJob
from engine import outage
from engine.quarantine import Fate, Order
from storage.config.site import SiteConfig
from storage.doors.source import StoreSource
from storage.listers import memory
from storage.listers.protocol import StoreSpec
from storage.removers.keeper import Keeper
from tests.servers.xrootd import XRootDServer

OLD = 1_600_000_000


def job_of(spec: StoreSpec, home: Path) -> StoreJob:
    return store_job(StoreSource(spec, (b"/store",), None, "T2_X"), SiteConfig(), home / "none.snapshot")


def planted(top: Path, count: int) -> list[Order]:
    (top / "data").mkdir(parents=True)
    orders = []
    for number in range(count):
        path = top / "data" / str(number)
        path.write_bytes(b"12345")
        os.utime(path, (OLD, OLD))
        lfn = b"/data/%d" % number
        orders.append(Order(number, lfn, 5, OLD, b"/q/p/%d" % number))
    for folder in (top, top / "data"):
        folder.chmod(0o777)
    return orders


def test_orders_are_carried_out_and_taken_back(runtime: Runtime, tmp_path: Path) -> None:
    orders = planted(tmp_path, 100)
    with StoreHand(runtime, job_of(StoreSpec((f"file://{tmp_path}",)), tmp_path), Oversight()) as hand:
        fates = hand.carry_out(Task.PUT_ASIDE, orders)
        assert {number: settled.fate for number, settled in fates.items()} == dict.fromkeys(range(100), Fate.DONE)
        assert os.listdir(tmp_path / "data") == []
        assert hand.were_put(orders[:3]) == {0: True, 1: True, 2: True}
        back = hand.carry_out(Task.BRING_BACK, orders[:50])
        assert all(settled.fate is Fate.DONE for settled in back.values())
        gone = hand.carry_out(Task.PURGE, orders[50:])
        assert all(settled.fate is Fate.DONE for settled in gone.values())
        hand.tidy([b"/q/p"])
        assert os.listdir(tmp_path / "q") == []
        assert len(os.listdir(tmp_path / "data")) == 50


def test_a_halt_begins_no_more_and_says_what_was_done(
    start_threads: Callable[[], Runtime], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = planted(tmp_path, 200)
    done = threading.Semaphore(0)
    put_aside = Keeper.put_aside

    def slowly(keeper: Keeper, order: Order) -> object:
        time.sleep(0.05)
        settled = put_aside(keeper, order)
        done.release()
        return settled

    monkeypatch.setattr(Keeper, "put_aside", slowly)
    halted = [False]

    def stop() -> str:
        # When some are done.
        halted[0] = halted[0] or done.acquire(blocking=False)
        return "enough" if halted[0] else ""

    with StoreHand(start_threads(), job_of(StoreSpec((f"file://{tmp_path}",)), tmp_path), Oversight(stop)) as hand:
        fates = hand.carry_out(Task.PUT_ASIDE, orders)
        assert 0 < len(fates) < 200
        assert sorted(os.listdir(tmp_path / "q/p"), key=int) == sorted(map(str, fates), key=int)
        with pytest.raises(Killed):
            hand.were_put(orders[:1])


def test_a_server_that_goes_away_costs_no_more_than_a_few_orders(
    start_threads: Callable[[], Runtime],
    start_xrootd: Callable[..., XRootDServer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outage, "_OUTAGE", 1.0)
    server = start_xrootd()
    orders = planted(server.store, 400)
    spec = StoreSpec((f"{server.url}//store",), timeout=1, connections=4)
    with StoreHand(start_threads(), job_of(spec, tmp_path), Oversight()) as hand:
        assert hand.carry_out(Task.PUT_ASIDE, orders[:10])[9].fate is Fate.DONE
        server.kill()
        fates = hand.carry_out(Task.PUT_ASIDE, orders[10:])
    assert 0 < len(fates) < 20
    assert {settled.fate for settled in fates.values()} <= {Fate.FAILED, Fate.DOUBTFUL}
    assert len(os.listdir(server.store / "data")) == 390


def test_an_actor_that_is_lost_is_said_to_be_lost(
    start_threads: Callable[[], Runtime], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = planted(tmp_path, 3)
    runtime = start_threads()
    begin = RemovalActor.begin

    def die(actor: RemovalActor, task: Task, orders: list[Order]) -> None:
        begin(actor, task, orders)
        raise TimeoutError("no answer")

    monkeypatch.setattr(RemovalActor, "begin", die)
    hand = StoreHand(runtime, job_of(StoreSpec((f"file://{tmp_path}",)), tmp_path), Oversight())
    with hand, pytest.raises(ListingFailed, match="what was begun may have been done"):
        hand.carry_out(Task.PUT_ASIDE, orders)


def test_a_store_that_nothing_is_deleted_at(start_threads: Callable[[], Runtime], tmp_path: Path) -> None:
    store = memory.MemoryStore()
    door = memory.publish("nothing is deleted here", store)
    hand = StoreHand(start_threads(), job_of(StoreSpec((door,)), tmp_path), Oversight())
    with hand, pytest.raises(ListingFailed, match="nothing can be deleted through memory doors"):
        hand.carry_out(Task.PUT_ASIDE, planted(tmp_path, 1))
