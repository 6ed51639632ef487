"""Orphans put into the quarantine of a Rucio, from where its dark reaper deletes them.

A call in which nothing is left to be added, since all of it is in the quarantine already or registered by now, fails on
the server, with the words that stand for any trouble of its database. Where the database can be read such paths are
never sent; elsewhere what was put there before is sent by itself. A batch that fails is sent again as soon as the
server can answer, and then halved until it is known which of it is at fault.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from engine import paths
from storage.backends.protocols import BackendError
from storage.backends.queue import RequestQueue
from storage.backends.rucio.database import RucioDatabase
from storage.backends.rucio.inventory import RucioInventory
from storage.backends.rucio.naming import Naming
from storage.backends.rucio.replicas import RSE
from storage.backends.rucio.rest import RucioFault, RucioServer, object_of
from storage.backends.rucio.rest_source import ASKED_AT_ONCE
from storage.shown import printable

_log = logging.getLogger(__name__)

_LONGEST_PATH = 1024
_LONGEST_SCOPE = 25
_LONGEST_NAME = 250
"""Characters of a column; a longer text would have the whole batch refused."""

_OF_SCOPES = ("user", "group")


@dataclass(frozen=True, slots=True)
class _Orphan:
    lfn: str
    path: str
    scope: str
    name: str

    def as_replica(self) -> dict[str, str]:
        """Describe it to the server, which leaves out what is registered under this name."""
        if not 0 < len(self.scope) <= _LONGEST_SCOPE or not 0 < len(self.name) <= _LONGEST_NAME:
            return {"path": self.path}
        return {"path": self.path, "scope": self.scope, "name": self.name}


class Quarantine:
    """Adds files to the quarantine."""

    def __init__(self, server: RucioServer, inventory: RucioInventory, database: RucioDatabase | None) -> None:
        self._server = server
        self._inventory = inventory
        self._database = database

    def add(self, site: str, lfns: Sequence[str], queue: RequestQueue) -> int:
        """Put files there; gives how many were not there yet.

        Raises:
            BackendError: Rucio did not take them; what it had taken until then stays.
        """
        if not lfns:
            return 0
        rse, naming = self._inventory.place(site)
        orphans = self._described(site, naming, lfns)
        if self._database is not None:
            if not rse.deterministic:
                orphans = self._unregistered(site, rse, naming, self._database, orphans)
            there = self._database.quarantined(rse, [orphan.path for orphan in orphans])
            known, unknown = [], [orphan for orphan in orphans if orphan.path not in there]
        else:
            before = queue.names("deletions", site, "done")
            known = [orphan for orphan in orphans if orphan.lfn in before]
            unknown = [orphan for orphan in orphans if orphan.lfn not in before]
        new = 0
        for at in range(0, len(known), ASKED_AT_ONCE):
            self._add_again(rse.name, known[at : at + ASKED_AT_ONCE])
        for at in range(0, len(unknown), ASKED_AT_ONCE):
            batch = unknown[at : at + ASKED_AT_ONCE]
            new += self._add_new(site, rse, batch, queue, new)
        return new

    def _unregistered(
        self, site: str, rse: RSE, naming: Naming, database: RucioDatabase, orphans: list[_Orphan]
    ) -> list[_Orphan]:
        """Leave out what is registered by now: where paths do not follow from names, the server cannot tell."""
        lfns = [paths.encode(orphan.lfn) for orphan in orphans]
        places = [paths.decode(naming.below_prefix(lfn) or lfn.lstrip(b"/")) for lfn in lfns]
        registered = database.registered(rse, places)
        if registered:
            _log.warning("%s: %d orphans are left alone: they are registered by now", site, len(registered))
        return [orphan for orphan, place in zip(orphans, places, strict=True) if place not in registered]

    def _described(self, site: str, naming: Naming, lfns: Sequence[str]) -> list[_Orphan]:
        orphans: dict[str, _Orphan] = {}
        left = 0
        for lfn in lfns:
            orphan = _orphan(naming, lfn)
            if orphan is None:
                left += 1
            else:
                orphans.setdefault(orphan.path, orphan)
        if left:
            _log.warning(
                "%s: %d orphans are left alone: their paths are longer than %d characters or no text, or not below "
                "the prefix of the RSE, so that Rucio cannot hold them",
                site,
                left,
                _LONGEST_PATH,
            )
        return list(orphans.values())

    def _add_new(self, site: str, rse: RSE, batch: list[_Orphan], queue: RequestQueue, before: int) -> int:
        lfns = [orphan.lfn for orphan in batch]
        queue.enter("deletions", site, lfns)
        try:
            taken = self._taken(rse, batch)
        except BackendError as error:
            queue.settle_names("deletions", site, lfns, "failed")
            raise BackendError(f"{error}; put into the quarantine before that: {before}") from error
        if len(taken) < len(batch):
            _log.warning(
                "%s: %s did not take %d of %d orphans: they are in the quarantine already, or registered by now",
                site,
                self._server.label,
                len(batch) - len(taken),
                len(batch),
            )
        # Of what is there already nothing else is to be asked for either.
        queue.settle_names("deletions", site, lfns, "done")
        return len(taken)

    def _taken(self, rse: RSE, batch: list[_Orphan]) -> list[_Orphan]:
        """Add a batch; gives what of it was not there before."""
        with suppress(RucioFault):
            self._send(rse.name, batch)
            return batch
        # A database that is in trouble fails here as well, and has to be over it.
        self._server.ask(f"RSE {printable(rse.name)}", lambda client: object_of(client.get_rse(rse.name)))
        if self._database is None:
            return self._halved(rse.name, batch)
        # What was not there when it was looked for may have been added by a call of which the answer was lost.
        there = self._database.quarantined(rse, [orphan.path for orphan in batch])
        rest = [orphan for orphan in batch if orphan.path not in there]
        return [orphan for orphan in batch if orphan.path in there] + (self._halved(rse.name, rest) if rest else [])

    def _halved(self, rse: str, batch: list[_Orphan]) -> list[_Orphan]:
        """Add a batch, or what of it can be added; gives what was."""
        try:
            self._send(rse, batch)
        except RucioFault:
            if len(batch) == 1:
                return []
            middle = len(batch) // 2
            return self._halved(rse, batch[:middle]) + self._halved(rse, batch[middle:])
        return batch

    def _add_again(self, rse: str, batch: list[_Orphan]) -> None:
        try:
            self._send(rse, batch)
        except RucioFault:
            # All of it is still there, or the next run asks again.
            _log.info("%s: %d orphans that were put into the quarantine before are there", rse, len(batch))

    def _send(self, rse: str, batch: list[_Orphan]) -> None:
        replicas = [orphan.as_replica() for orphan in batch]
        self._server.ask(
            "quarantining replicas",
            lambda client: client.quarantine_replicas(replicas, rse=rse),
            faults_heal=False,
        )


def _orphan(naming: Naming, lfn: str) -> _Orphan | None:
    """Say how a file is called in Rucio's terms; None when it has no name there."""
    path = naming.path_at_rse(paths.encode(lfn))
    try:
        text = None if path is None else path.decode()
    except UnicodeDecodeError:
        return None
    if not text or len(text) > _LONGEST_PATH:
        return None
    scope, name = _name(naming, paths.encode(lfn), text)
    return _Orphan(lfn, text, scope, name)


def _name(naming: Naming, lfn: bytes, path: str) -> tuple[str, str]:
    """Give the name that has this path; where none has, that path is no registered file's, and any name will do."""
    for scope, name in naming.dids(lfn):
        return paths.decode(scope), paths.decode(name)
    parts = path.strip("/").split("/")
    if len(parts) > 2 and parts[0] in _OF_SCOPES:
        return ".".join(parts[:2]), parts[-1]
    return parts[0] if len(parts) > 1 else "", parts[-1]
