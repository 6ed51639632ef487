"""The open tasks of one kind: each path is pending, delayed or leased, and forgotten when its task ends.

A path that was never tried costs its bytes and one entry in a dictionary. The order is last in, first out, so that a
walk goes depth first and the open set stays small. What failed before is kept apart by the listers that failed it:
finding work for one lister then never means a search through tasks that it must not get.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from functools import lru_cache
from heapq import heappop, heappush


@dataclass(frozen=True, slots=True)
class History:
    """The past of an open task: failed tries, the number of the last attempt, and the listers that failed it."""

    tries: int = 0
    attempt: int = 0
    failed_by: frozenset[str] = frozenset()


FRESH = History()


@dataclass(slots=True)
class Lease:
    """One attempt at a task, in a lister's hands ``since`` a moment in seconds; ``history`` is what came before."""

    lister: str
    attempt: int
    since: float
    history: History


@lru_cache(maxsize=4096)
def _after_failure(before: History, lister: str) -> History:
    # Shared, because a set of its own for each failed task would cost more than the task.
    return History(before.tries + 1, before.attempt + 1, before.failed_by | {lister})


@lru_cache(maxsize=4096)
def _after_return(before: History) -> History:
    return History(before.tries, before.attempt + 1, before.failed_by)


class Lane:
    """Open tasks of one kind, by path."""

    __slots__ = ("_again", "_delayed", "_fresh", "_leased", "_retried")

    def __init__(self) -> None:
        self._fresh: dict[bytes, History] = {}
        self._retried: dict[bytes, History] = {}
        self._again: dict[frozenset[str], dict[bytes, None]] = {}
        self._delayed: list[tuple[float, bytes]] = []
        self._leased: dict[bytes, Lease] = {}

    def __len__(self) -> int:
        return len(self._fresh) + len(self._retried) + len(self._leased)

    def __iter__(self) -> Iterator[bytes]:
        yield from self._fresh
        yield from self._retried
        yield from self._leased

    @property
    def pending(self) -> int:
        """How many tasks could be handed out now."""
        return len(self._fresh) + len(self._retried) - len(self._delayed)

    @property
    def delayed(self) -> int:
        """How many tasks wait for the end of their back-off."""
        return len(self._delayed)

    @property
    def leased(self) -> int:
        """How many tasks listers have in hand."""
        return len(self._leased)

    def add(self, directories: Iterable[bytes], history: History = FRESH) -> int:
        """Make tasks of these, the last one on top; give the number of those that were not open already."""
        fresh, retried, leased = self._fresh, self._retried, self._leased
        before = len(fresh)
        for path in directories:
            if path not in fresh and path not in leased and path not in retried:
                fresh[path] = history
        return len(fresh) - before

    def ripen(self, now: float) -> None:
        """Make tasks pending whose back-off is over."""
        while self._delayed and self._delayed[0][0] <= now:
            _, path = heappop(self._delayed)
            self._offer_again(path)

    def lease(self, lister: str, alive: Set[str], want: int, now: float) -> list[tuple[bytes, int]]:
        """Hand at most ``want`` tasks to a lister; give path and attempt of each.

        A lister gets no task back that it failed while another one of ``alive`` has not tried it. Tasks that failed
        before go first: they are the oldest.
        """
        chosen: list[tuple[bytes, History]] = []
        for failed_by in list(self._again):
            if len(chosen) >= want:
                break
            if lister not in failed_by or alive <= failed_by:
                chosen += self._take_again(failed_by, want - len(chosen))
        fresh = self._fresh
        chosen += [fresh.popitem() for _ in range(min(want - len(chosen), len(fresh)))]
        leased = self._leased
        for path, history in chosen:
            leased[path] = Lease(lister, history.attempt + 1, now, history)
        return [(path, history.attempt + 1) for path, history in chosen]

    def release(self, path: bytes, lister: str, attempt: int) -> Lease | None:
        """End the lease that a report answers; None when there is no such lease (any more)."""
        lease = self._leased.get(path)
        if lease is None or lease.attempt != attempt or lease.lister != lister:
            return None
        del self._leased[path]
        return lease

    def leases(self) -> list[tuple[bytes, Lease]]:
        """Give all leases with their paths."""
        return list(self._leased.items())

    def put_back(self, path: bytes, lease: Lease, due: float | None) -> None:
        """Keep a task open whose lease was released in failure: delayed until ``due``, or pending at once."""
        self._retried[path] = _after_failure(lease.history, lease.lister)
        if due is None:
            self._offer_again(path)
        else:
            heappush(self._delayed, (due, path))

    def give_back(self, path: bytes, lease: Lease) -> None:
        """Make a task pending again whose lease was released without anybody's fault; no try is counted."""
        self._retried[path] = _after_return(lease.history)
        self._offer_again(path)

    def check(self) -> None:
        """Assert that every open path is in exactly one place."""
        delayed = [path for _, path in self._delayed]
        again = [path for group in self._again.values() for path in group]
        assert sorted(delayed + again) == sorted(self._retried)
        assert all(self._again.values())
        for failed_by, group in self._again.items():
            assert all(self._retried[path].failed_by == failed_by for path in group)
        assert len(set(self)) == len(self) == self.pending + self.delayed + self.leased

    def _offer_again(self, path: bytes) -> None:
        self._again.setdefault(self._retried[path].failed_by, {})[path] = None

    def _take_again(self, failed_by: frozenset[str], want: int) -> list[tuple[bytes, History]]:
        group = self._again[failed_by]
        taken = [group.popitem()[0] for _ in range(min(want, len(group)))]
        if not group:
            del self._again[failed_by]
        return [(path, self._retried.pop(path)) for path in taken]
