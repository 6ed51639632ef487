from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from actors.threads import ThreadRuntime

if TYPE_CHECKING:
    from actors.runtime import Runtime


@pytest.fixture(scope="session")
def ray_runtime() -> Iterator[Runtime]:
    """One Ray node for all tests: it takes seconds to start."""
    from actors.on_ray.runtime import RayRuntime

    runtime = RayRuntime()
    yield runtime
    runtime.shutdown()


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
