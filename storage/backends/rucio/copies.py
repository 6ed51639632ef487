"""What a Rucio says of some files when they are about to be acted on: who they are, and where else they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from engine import paths
from engine.lfn2path import DID
from storage.backends.rucio.inventory import RucioInventory, is_text
from storage.backends.rucio.rest import RucioServer, objects_of
from storage.backends.rucio.rest_source import ASKED_AT_ONCE, AVAILABLE, ORDER
from storage.shown import printable

BAD = "BAD"

_TAPE, _CACHES = "rse_type=TAPE", "volatile=True"


@dataclass(frozen=True, slots=True)
class Copy:
    """A file at an RSE: its name, its state there (empty when there is no replica), and its other available copies.

    A copy in a cache, which may be gone at any moment, is none.
    ``pfns`` are where the server says that it is, ``parents`` the datasets that it belongs to, where they were asked
    for; ``size`` is in bytes, None when not known.
    """

    did: DID
    state: str
    on_disk: int = 0
    on_tape: int = 0
    pfns: tuple[str, ...] = ()
    size: int | None = None
    parents: tuple[str, ...] = ()

    @property
    def is_last(self) -> bool:
        """Whether no other copy is available."""
        return not (self.on_disk or self.on_tape)

    @property
    def scope(self) -> str:
        """The scope, as the client wants it."""
        return paths.decode(self.did[0])

    @property
    def name(self) -> str:
        """The name, as the client wants it."""
        return paths.decode(self.did[1])

    def lies_at(self, path: bytes) -> bool:
        """Whether the server agrees that this is its path; where it knows no PFN it does not disagree."""
        ending = paths.decode(path)
        return not self.pfns or any(ending in (pfn[-len(ending) :], unquote(pfn)[-len(ending) :]) for pfn in self.pfns)


class Copies:
    """Asks the server for files by their LFNs, and, where that is wanted, for their datasets."""

    def __init__(self, server: RucioServer, inventory: RucioInventory, with_parents: bool = False) -> None:
        self._with_parents = with_parents
        self._server = server
        self._inventory = inventory
        self._known: dict[str, frozenset[str]] = {}

    def of(self, site: str, lfns: Sequence[bytes]) -> dict[bytes, Copy]:
        """Give what there is of each file; one that Rucio does not have at the site, under that path, is left out.

        Names come from paths where the rules lead back. Where they may not, all replicas of the RSE are looked through.

        Raises:
            BackendError: Rucio cannot be asked.
        """
        if not lfns:
            return {}
        rse, naming = self._inventory.place(site)
        guessed = {lfn: naming.dids(lfn) for lfn in lfns}
        known = self._asked(rse.name, (did for dids in guessed.values() for did in dids))
        found: dict[bytes, Copy] = {}
        for lfn, dids in guessed.items():
            ending = naming.below_prefix(lfn) or lfn
            for did in dids:
                copy = known.get(did)
                if copy is not None and copy.state and copy.lies_at(ending):
                    found[lfn] = copy
                    break
        left = [lfn for lfn in lfns if lfn not in found]
        if left and not (rse.deterministic and naming.is_invertible):
            looked_up = self._inventory.find(site, left)
            known = self._asked(rse.name, looked_up.values())
            found |= {lfn: known[did] for lfn, did in looked_up.items() if did in known and known[did].state}
        return found

    def described(self, site: str, lfn: bytes) -> str:
        """Say in words who a file is, its state at the RSE, its datasets, if these are asked for, and its other copies.

        Raises:
            BackendError: Rucio cannot be asked.
        """
        copy = self.of(site, [lfn]).get(lfn)
        rse, _ = self._inventory.place(site)
        head = f"{self._server.label}, RSE {printable(rse.name)}"
        if copy is None:
            return f"{head}: no replica has this path"
        parents = f", in {', '.join(map(printable, copy.parents))}" if copy.parents else ""
        others = f"{copy.on_disk} on disk and {copy.on_tape} on tape" if not copy.is_last else "none"
        who = printable(f"{copy.scope}:{copy.name}")
        return f"{head}: {who}, {printable(copy.state)}{parents}; other copies that are available: {others}"

    def named(self, site: str, dids: Iterable[DID]) -> frozenset[DID]:
        """Give those of some names that have a replica at the site.

        Raises:
            BackendError: Rucio cannot be asked.
        """
        dids = list(dids)
        if not dids:
            return frozenset()
        rse, _ = self._inventory.place(site)
        return frozenset(did for did, copy in self._asked(rse.name, dids).items() if copy.state)

    def stock_names(self, site: str, lfns: Iterable[bytes]) -> dict[bytes, DID]:
        """Give what a server without rules of its own takes each path for: first directory and last part."""
        _, naming = self._inventory.place(site)
        found = {}
        for lfn in lfns:
            parts = (naming.below_prefix(lfn) or lfn).strip(b"/").split(b"/")
            found[lfn] = (parts[0], parts[-1])
        return found

    def _asked(self, rse: str, dids: Iterable[DID]) -> dict[DID, Copy]:
        found: dict[DID, Copy] = {}
        for some in _in_batches([did for did in dict.fromkeys(dids) if is_text(did)]):
            wanted = [{"scope": scope.decode(), "name": name.decode()} for scope, name in some]
            entries = self._server.ask(
                "replicas of files",
                lambda client, wanted=wanted: objects_of(  # type: ignore[misc]
                    client.list_replicas(
                        wanted,
                        all_states=True,
                        resolve_archives=False,
                        resolve_parents=self._with_parents,
                        sort=ORDER,
                    )
                ),
            )
            for entry in entries:
                copy = self._copy(entry, rse)
                found[copy.did] = copy
        return found

    def _copy(self, entry: dict[str, Any], rse: str) -> Copy:
        states = {name: state for name, state in entry.get("states", {}).items() if state}
        others = [name for name, state in states.items() if name != rse and state == AVAILABLE]
        others = [name for name in others if name not in self._rses("caches", _CACHES)]
        tapes = self._rses("tape", _TAPE) if others else frozenset()
        return Copy(
            (paths.encode(entry["scope"]), paths.encode(entry["name"])),
            states.get(rse, ""),
            sum(name not in tapes for name in others),
            sum(name in tapes for name in others),
            tuple(entry.get("rses", {}).get(rse, ())),
            entry.get("bytes"),
            tuple(entry.get("parents", ())),
        )

    def _rses(self, what: str, expression: str) -> frozenset[str]:
        if expression not in self._known:
            found = self._server.ask(f"RSEs that are {what}", lambda client: _rses_of(client, expression))
            self._known[expression] = frozenset(found)
        return self._known[expression]


def _rses_of(client: Any, expression: str) -> list[str]:
    from rucio.common.exception import InvalidRSEExpression

    try:
        return [entry["rse"] for entry in objects_of(client.list_rses(expression))]
    except InvalidRSEExpression:
        # This is what an expression that no RSE fits is called.
        return []


def _in_batches(dids: list[DID]) -> Iterator[list[DID]]:
    for at in range(0, len(dids), ASKED_AT_ONCE):
        yield dids[at : at + ASKED_AT_ONCE]
