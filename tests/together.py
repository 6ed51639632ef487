"""Which tests run one after another in one process when ``pytest -n`` has several.

Those of a file stay together. What shares something that takes seconds to start, a Ray node or a browser, is one group:
it is started once, and ended when the group is over, for even a Ray node that nobody uses keeps a processor busy.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

import pytest
from xdist.scheduler import LoadScopeScheduling

_ON_RAY = r".*\[(.*-)?ray(-.*)?\]$"

_GROUPS = {
    "Ray in this process": re.compile(rf"tests/actors/(on_ray/|{_ON_RAY})", re.DOTALL),
    "a Ray node": re.compile(rf"tests/faults/{_ON_RAY}", re.DOTALL),
    "a browser": re.compile("tests/browser/"),
    "a Rucio": re.compile(r"tests/[^:]*\brucio/|tests/[^:]*/test_rucio\.py"),
}
"""What is shared, and by which tests: what says ``ray`` among its parameters shares the node of its folder."""

_FIRST = ("tests/cli/test_run.py", *_GROUPS, "tests/cli/", "tests/faults/", "tests/monitoring/", "tests/test_")
"""What begins first, because it takes longest: at the end only short files are left, for all processes alike."""


def group_of(nodeid: str) -> str:
    """Give the group of a test, which is that of its file where it shares nothing with others."""
    return next((group for group, tests in _GROUPS.items() if tests.match(nodeid)), nodeid.partition("::")[0])


def in_order(items: list[pytest.Item]) -> list[pytest.Item]:
    """Give the tests group by group, those first that take longest."""
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        groups.setdefault(group_of(item.nodeid), []).append(item)

    def rank(group: str) -> int:
        return next((number for number, first in enumerate(_FIRST) if group.startswith(first)), len(_FIRST))

    return [item for group in sorted(groups, key=rank) for item in groups[group]]


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each process the next group when it is about to be done with one."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        # It would begin with what has most tests, which are the quick ones.
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


T = TypeVar("T")


class Shared(Generic[T]):
    """Something that the tests of a group share, started when one of them asks for it first."""

    def __init__(self, start: Callable[[], AbstractContextManager[T]]) -> None:
        self._start = start
        self._running: tuple[AbstractContextManager[T], T] | None = None

    def get(self) -> T:
        """Give what is running."""
        if self._running is None:
            context = self._start()
            self._running = (context, context.__enter__())
        return self._running[1]

    def end_behind(self, item: pytest.Item, following: pytest.Item | None) -> None:
        """End it when the test that follows is of another group."""
        if following is not None and group_of(following.nodeid) == group_of(item.nodeid):
            return
        if self._running is not None:
            context, _ = self._running
            self._running = None
            context.__exit__(None, None, None)
