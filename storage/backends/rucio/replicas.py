"""What a Rucio says of the replicas at a storage element (RSE), from wherever it was learnt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

AVAILABLE = "A"
"""The state of a replica that has to be there. All others are on their way in or out, or were given up."""

DEFAULT_VO = "def"


@dataclass(frozen=True, slots=True)
class RSE:
    """A storage element: its name, its id in the database (empty where that is not needed), and how it makes paths.

    ``algorithm`` makes them of names where it is ``deterministic``; empty when only the server knows its default.
    """

    name: str
    id: object = ""
    deterministic: bool = True
    algorithm: str = ""


@dataclass(frozen=True, slots=True)
class Replicas:
    """Some replicas at an RSE, as columns of equal length.

    ``sizes`` are in bytes, ``mtimes`` in seconds since the epoch, or ``engine.columns.UNSETTLED_MTIME`` for a replica
    that is not to be judged; None is not known. ``paths`` has what the RSE calls a file whose path does not follow from
    its name, and is None for a deterministic one. ``adler32s`` and ``md5s`` are there where they were asked for.
    """

    scopes: Sequence[str]
    names: Sequence[str]
    sizes: Sequence[int | None]
    mtimes: Sequence[int | None]
    paths: Sequence[str | None] | None = None
    adler32s: Sequence[str | None] | None = None
    md5s: Sequence[str | None] | None = None


class ReplicaSource(Protocol):
    """Knows the replicas of a Rucio."""

    @property
    def label(self) -> str:
        """What it is, for people, without secrets."""

    def rse(self, name: str) -> RSE:
        """Look up a storage element; raises `BackendError` when there is none of this name."""

    def replicas(self, rse: RSE, hashed: bool = False) -> Iterator[Replicas]:
        """Give all replicas at it, in batches, in any order; raises `BackendError`.

        ``hashed`` says that their paths are those of the algorithm ``hash``, whose directories have a good order.
        """

    def checksums(self, rse: RSE, dids: Sequence[tuple[str, str]] | None) -> Iterator[Replicas]:
        """Give the replicas at it that have one of these scopes and names, or all, with checksums; as `replicas`."""


AskServer = Callable[[str], RSE]
"""Asks the REST server for a storage element."""
