from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest

from actors.ray_head import HeadWatch

_PATIENCE = 10.0


def _eventually(happened: Callable[[], bool]) -> None:
    give_up = time.monotonic() + _PATIENCE
    while not happened():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_a_head_is_gone_when_nobody_answers_for_long_enough() -> None:
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        watch = HeadWatch(address, look_every=0.01, patience=0.2)
        head.accept()[0].close()
        assert watch.gone == ""
    _eventually(lambda: bool(watch.gone))
    assert watch.gone.startswith(f"Ray's head at {address} has been gone for 0 s (")


def test_one_that_comes_back_in_time_is_not_gone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as head:
        place = head.getsockname()
        watch = HeadWatch(f"127.0.0.1:{place[1]}", look_every=0.01, patience=60.0)
        head.accept()[0].close()
    time.sleep(0.1)
    with socket.create_server(place, reuse_port=False) as head:
        head.accept()[0].close()
    assert watch.gone == ""
    watch.close()


@pytest.mark.parametrize("address", ["", "nowhere", "127.0.0.1:"])
def test_without_an_address_there_is_nothing_to_look_after(address: str) -> None:
    watch = HeadWatch(address, look_every=0.001, patience=0.0)
    time.sleep(0.05)
    assert watch.gone == ""
