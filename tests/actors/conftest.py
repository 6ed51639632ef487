from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from actors.threads import ThreadRuntime
from tests.together import Shared

if TYPE_CHECKING:
    from actors.runtime import Runtime


@contextmanager
def _running_ray() -> Iterator[Runtime]:
    from actors.on_ray.runtime import RayRuntime

    runtime = RayRuntime()
    yield runtime
    runtime.shutdown()


_ray = Shared(_running_ray)


@pytest.fixture
def ray_runtime() -> Runtime:
    """One Ray node for all tests: it takes seconds to start."""
    return _ray.get()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    yield
    _ray.end_behind(item, nextitem)


@pytest.fixture(params=["threads", "ray"])
def runtime(request: pytest.FixtureRequest) -> Iterator[Runtime]:
    """Every test that uses this runs on both runtimes."""
    if request.param == "ray":
        yield request.getfixturevalue("ray_runtime")
        return
    threads = ThreadRuntime()
    yield threads
    threads.shutdown()


@pytest.fixture
def start_threads() -> Iterator[Callable[[], Runtime]]:
    """Start runtimes inside this process, for what does not depend on the runtime."""
    started: list[ThreadRuntime] = []

    def start() -> Runtime:
        started.append(ThreadRuntime())
        return started[-1]

    yield start
    for runtime in started:
        runtime.shutdown()
