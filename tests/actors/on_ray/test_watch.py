from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.on_ray.watch import RayWatch

_PATIENCE = 10.0


def _eventually(happened: Callable[[], bool]) -> None:
    give_up = time.monotonic() + _PATIENCE
    while not happened():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_a_head_is_gone_when_nobody_answers_for_long_enough() -> None:
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        watch = RayWatch(address, look_every=0.01, head_patience=0.2)
        head.accept()[0].close()
        assert watch.gone == ""
    _eventually(lambda: bool(watch.gone))
    assert watch.gone.startswith(f"Ray's head at {address} has been gone for 0 s (")


def test_one_that_comes_back_in_time_is_not_gone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as head:
        place = head.getsockname()
        watch = RayWatch(f"127.0.0.1:{place[1]}", look_every=0.01, head_patience=60.0)
        head.accept()[0].close()
    time.sleep(0.1)
    with socket.create_server(place, reuse_port=False) as head:
        head.accept()[0].close()
    assert watch.gone == ""
    watch.close()


@pytest.mark.parametrize("address", ["", "nowhere", "127.0.0.1:"])
def test_without_an_address_there_is_nothing_to_look_after(address: str) -> None:
    watch = RayWatch(address, look_every=0.001, head_patience=0.0)
    time.sleep(0.05)
    assert watch.gone == ""


def test_the_raylet_of_this_machine_is_gone_when_nobody_listens_at_its_socket(tmp_path: Path) -> None:
    place = tmp_path / "raylet"
    with socket.socket(socket.AF_UNIX) as raylet:
        raylet.bind(str(place))
        raylet.listen()
        watch = RayWatch("", str(place), look_every=0.01, raylet_patience=0.2)
        raylet.accept()[0].close()
        assert watch.gone == ""
    _eventually(lambda: bool(watch.gone))
    assert watch.gone.startswith("Ray's raylet on this machine has been gone for 0 s (")
