"""Requests to a Rucio: lost replicas are declared bad, or suspicious, and orphans quarantined.

Rucio itself brings back what is declared bad, from another copy, or gives the file up where there is none. So who has
the last copy is found out first, and it is declared only where that is wanted. All is asked for in whole batches; what
was, and what became of it, stands in the queue of `storage.backends.queue`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from engine import paths
from engine.lfn2path import DID
from engine.plan import Action, Cause
from storage.backends.protocols import BackendError, Transfers
from storage.backends.queue import RequestQueue, Table
from storage.backends.rucio.copies import BAD, Copies, Copy
from storage.backends.rucio.inventory import RucioInventory
from storage.backends.rucio.quarantine import Quarantine
from storage.backends.rucio.rest import RucioServer
from storage.backends.rucio.rest_source import ASKED_AT_ONCE, AVAILABLE
from storage.config.site import RucioSettings, SiteConfig
from storage.shown import printable

_log = logging.getLogger(__name__)

_LONGEST_REASON = 255
_SHOWN = 5
"""So many refused files are named in the log."""

_ALREADY = "Already declared"


class RucioRegistry:
    """Takes requests for one site after the other."""

    takes_directories = False
    """Rucio knows files alone; who deletes one deletes no directory."""

    actions: ClassVar = {Cause.ORPHAN: Action.QUARANTINE, Cause.MISSING: Action.DECLARE}

    def __init__(
        self,
        server: RucioServer,
        inventory: RucioInventory,
        quarantine: Quarantine,
        queue: RequestQueue,
        settings_of: Callable[[str], tuple[SiteConfig, RucioSettings]],
    ) -> None:
        self._server = server
        self._copies = Copies(server, inventory)
        self._quarantine = quarantine
        self._queue = queue
        self._settings_of = settings_of

    def delete(self, site: str, lfns: Sequence[str]) -> int:
        """Put files into the quarantine; gives how many were not there yet.

        Raises:
            BackendError: Rucio did not take them; what it had taken until then stays.
        """
        return self._quarantine.add(site, list(dict.fromkeys(lfns)), self._queue)

    def sources(self, site: str, lfns: Sequence[str]) -> Transfers:
        """Look where else the files are available.

        Raises:
            BackendError: Rucio cannot be asked.
        """
        lfns = list(dict.fromkeys(lfns))
        return _sorted(lfns, self._found(site, lfns))

    def transfer(self, site: str, lfns: Sequence[str]) -> Transfers:
        """Declare files bad, or suspicious, but for last copies, unless these are wanted as well.

        Raises:
            BackendError: Rucio did not take them; what it had taken until then stays.
        """
        _, settings = self._settings_of(site)
        lfns = list(dict.fromkeys(lfns))
        copies = self._found(site, lfns)
        found = _sorted(lfns, copies)
        declared = [lfn for lfn, copy in copies.items() if copy.state == BAD]
        wanted = [
            lfn
            for lfn, copy in copies.items()
            if copy.state == AVAILABLE and (settings.last_copies or not copy.is_last)
        ]
        refused: dict[str, str] = dict.fromkeys(found.refused, "not available there any more")
        for at in range(0, len(wanted), ASKED_AT_ONCE):
            batch = wanted[at : at + ASKED_AT_ONCE]
            not_taken = self._declare(site, settings, batch, copies, at)
            refused |= not_taken
            declared += [lfn for lfn in batch if lfn not in not_taken]
        self._say(site, refused)
        asked = frozenset(declared)
        return Transfers([lfn for lfn in lfns if lfn in asked], found.no_disk, found.unrecoverable, list(refused))

    def _found(self, site: str, lfns: Sequence[str]) -> dict[str, Copy]:
        found = self._copies.of(site, [paths.encode(lfn) for lfn in lfns])
        return {paths.decode(lfn): copy for lfn, copy in found.items()}

    def _declare(
        self, site: str, settings: RucioSettings, batch: list[str], copies: dict[str, Copy], before: int
    ) -> dict[str, str]:
        """Declare one batch; gives what was refused, and why."""
        rse, reason = settings.rse or site, settings.reason[:_LONGEST_REASON]
        self._queue.enter("transfers", site, batch)
        wanted = {lfn: copies[lfn] for lfn in batch}
        try:
            if settings.suspicious:
                refused = self._declare_suspicious(site, wanted, reason)
            else:
                refused = self._declare_bad(rse, wanted, reason)
        except BackendError as error:
            self._queue.settle_names("transfers", site, batch, "failed")
            raise BackendError(f"{error}; declared before that: {before}") from error
        _settle(self._queue, "transfers", site, batch, refused)
        return refused

    def _declare_bad(self, rse: str, wanted: dict[str, Copy], reason: str) -> dict[str, str]:
        replicas = [{"scope": copy.scope, "name": copy.name, "rse": rse} for copy in wanted.values()]
        answer = self._server.ask(
            "declaring bad replicas", lambda client: client.declare_bad_file_replicas(replicas, reason)
        )
        return _refused(answer, {lfn: _called(copy.scope, copy.name) for lfn, copy in wanted.items()})

    def _declare_suspicious(self, site: str, wanted: dict[str, Copy], reason: str) -> dict[str, str]:
        """Declare by PFN, since nothing else is offered.

        A server makes names of PFNs by rules of its own. The stock ones take the first directory for the scope and
        leave out all others, so that a file is not declared where that would be another one.
        """
        pfns = {lfn: copy.pfns[0] for lfn, copy in wanted.items() if copy.pfns}
        refused = dict.fromkeys([lfn for lfn in wanted if lfn not in pfns], "the RSE has no protocol that gives a PFN")
        stock = self._copies.stock_names(site, list(map(paths.encode, pfns)))
        others = self._copies.named(site, [did for lfn, did in stock.items() if did != wanted[paths.decode(lfn)].did])
        for lfn, did in stock.items():
            if did in others:
                refused[paths.decode(lfn)] = "the server may take its PFN for another file"
                del pfns[paths.decode(lfn)]
        if pfns:
            answer = self._server.ask(
                "declaring suspicious replicas",
                lambda client: client.declare_suspicious_file_replicas(list(pfns.values()), reason),
            )
            called = {
                lfn: (pfn, *_called(wanted[lfn].scope, wanted[lfn].name), *_called(*_texts(stock[paths.encode(lfn)])))
                for lfn, pfn in pfns.items()
            }
            refused |= _refused(answer, called)
        return refused

    def _say(self, site: str, refused: dict[str, str]) -> None:
        if refused:
            some = "; ".join(f"{printable(lfn)}: {why}" for lfn, why in list(refused.items())[:_SHOWN])
            more = f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
            _log.warning("%s: %s refused %d files: %s%s", site, self._server.label, len(refused), some, more)


def _sorted(lfns: Sequence[str], copies: dict[str, Copy]) -> Transfers:
    there = {lfn: copies[lfn] for lfn in lfns if lfn in copies and copies[lfn].state in (AVAILABLE, BAD)}
    return Transfers(
        requested=[lfn for lfn, copy in there.items() if not copy.is_last],
        no_disk=[lfn for lfn, copy in there.items() if not copy.on_disk],
        unrecoverable=[lfn for lfn, copy in there.items() if copy.is_last],
        refused=[lfn for lfn in lfns if lfn not in there],
    )


def _called(scope: str, name: str) -> tuple[str, str]:
    """Give how messages of the server call a file."""
    return f"{scope}:{name}", f"({scope}, {name!r})"


def _texts(did: DID) -> tuple[str, str]:
    return paths.decode(did[0]), paths.decode(did[1])


def _refused(answer: Any, called: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Read which files were refused, and why; one that is declared already is not.

    A message begins with what the file is called and ends with the reason.
    """
    refused: dict[str, str] = {}
    unread = []
    for message in [str(message) for of_rse in (answer or {}).values() for message in of_rse]:
        found = [(name, lfn) for lfn, names in called.items() for name in names if message.startswith(f"{name} ")]
        if not found:
            unread.append(message)
            continue
        # Of a name with a blank in it, another one may be the beginning.
        name, lfn = max(found, key=lambda pair: len(pair[0]))
        if not message.endswith(_ALREADY):
            refused[lfn] = printable(message.removeprefix(name).strip())
    if unread:
        # What cannot be told apart is not called done.
        refused |= {lfn: printable(unread[0]) for lfn in called if lfn not in refused}
    return refused


def _settle(queue: RequestQueue, table: Table, site: str, batch: Sequence[str], refused: dict[str, str]) -> None:
    queue.settle_names(table, site, [lfn for lfn in batch if lfn not in refused], "done")
    queue.settle_names(table, site, [lfn for lfn in batch if lfn in refused], "failed")
