"""Data servers of a cluster that show nothing at all, as one whose disk is not mounted does.

Such a server answers, and denies all that it holds, so that each of its files would be called missing: the others have
files, and the store as a whole does not look empty.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from engine import paths
from engine.gates import HOLLOW, Refusal
from engine.listing import Failed, NamesListed
from engine.states import Reason
from storage.door_url import parse_door
from storage.doors import layout
from storage.listers.protocol import Ask, StoreSpec

_log = logging.getLogger(__name__)


def heed_hollow(label: str, spec: StoreSpec, root: bytes, tops: Sequence[bytes], heed: Callable[[], None]) -> StoreSpec:
    """Give the store of a cluster as one in which nothing is missing, where one of its servers shows nothing."""
    hollow = hollow_servers(spec, root, tops, heed)
    if not hollow:
        return spec
    _log.warning("%s: no file is called missing: %s", label, _words(hollow, root))
    return replace(spec, open_ended=True, hollow=hollow)


def hollow_gate(spec: StoreSpec, root: bytes, tops: Sequence[bytes], heed: Callable[[], None]) -> Refusal | None:
    """Refuse what was found of a cluster, one of whose servers shows nothing any more."""
    hollow = hollow_servers(spec, root, tops, heed) if spec.clustered and not spec.hollow else ()
    return Refusal(HOLLOW, f"{_words(hollow, root)}; it had something when the run began") if hollow else None


def hollow_servers(spec: StoreSpec, root: bytes, tops: Sequence[bytes], heed: Callable[[], None]) -> tuple[str, ...]:
    """Name the servers that have nothing where the site's files are, in or beside the ``tops``; none if all have none.

    One that does not answer, or may not look, shows nothing either way, and leaves directories unlisted anyhow.
    """
    way = _way(root, tops)
    with layout.panel(spec, heed) as asked:
        questions = [(door, Ask.NAMES, path) for door in range(len(asked)) for path in way]
        outcomes = asked.ask(questions)
    shows, silent = set[int](), set[int]()
    for (door, _, path), outcome in zip(questions, outcomes, strict=True):
        match outcome:
            case NamesListed(names) if names - way[path]:
                shows.add(door)
            case NamesListed() | Failed(Reason.NOT_FOUND):
                pass
            case _:
                silent.add(door)
    hollow = [door for number, door in enumerate(spec.doors) if number not in shows | silent]
    return tuple([parse_door(door).authority for door in hollow]) if shows else ()


def _way(root: bytes, tops: Sequence[bytes]) -> dict[bytes, set[bytes]]:
    """Give the root, the tops and what lies between them, each with the names in it that lead to a top.

    An empty mount point is there when nothing is mounted on it.
    """
    way: dict[bytes, set[bytes]] = {root: set()}
    for top in tops:
        way.setdefault(top, set())
        for above, name in _steps(root, top):
            way.setdefault(above, set()).add(name)
    return way


def _steps(root: bytes, top: bytes) -> Iterator[tuple[bytes, bytes]]:
    path, above = top, paths.parent_of(top)
    while path != root and above is not None and paths.is_under(above, root):
        yield above, paths.name_of(path)
        path, above = above, paths.parent_of(above)


def _words(hollow: Sequence[str], root: bytes) -> str:
    return (
        f"{', '.join(hollow)} shows nothing in {paths.escape(root)}, as if its disk were not mounted; if it is empty "
        "on purpose, make a directory there that DirectoryList does not name"
    )
