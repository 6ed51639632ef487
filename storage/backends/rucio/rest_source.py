"""The replicas of a Rucio over REST, for an RSE of a small Rucio: all files of all scopes are asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from engine.columns import UNSETTLED_MTIME
from storage.backends.protocols import BackendError
from storage.backends.rucio.replicas import RSE, Replicas
from storage.backends.rucio.rest import RucioServer, names_of, object_of, objects_of
from storage.shown import printable

_log = logging.getLogger(__name__)

ASKED_AT_ONCE = 500
"""Files in one question."""

AVAILABLE = "AVAILABLE"

# Without another order the server looks for where each replica lies on the globe.
ORDER = "random"


class RestReplicas:
    """The replicas of a Rucio, from its server. No question of REST is about an RSE as a whole."""

    def __init__(self, server: RucioServer) -> None:
        self._server = server

    @property
    def label(self) -> str:
        """Which server it is: the same before it was asked and after, since a stopped run is known by it."""
        return self._server.name

    def rse(self, name: str) -> RSE:
        """Look up a storage element.

        Raises:
            BackendError: there is none, or the server cannot be asked.
        """
        return rse_of(self._server, name)

    def replicas(self, rse: RSE, hashed: bool = False) -> Iterator[Replicas]:
        """Ask for the replicas of all files of all scopes, which takes long where there are many of them.

        Raises:
            BackendError: the server cannot be asked, or has counted more files at the RSE than it shows.
        """
        prefixes = [] if rse.deterministic else _prefixes(self._described(rse))
        seen = 0
        for scope in self._server.ask("scopes", lambda client: names_of(client.list_scopes())):
            names = self._names(scope)
            for at in range(0, len(names), ASKED_AT_ONCE):
                entries = self._replicas(
                    [{"scope": scope, "name": name} for name in names[at : at + ASKED_AT_ONCE]], rse
                )
                seen += len(entries)
                if entries:
                    yield _columns(entries, rse, prefixes)
        self._check_count(rse, seen)

    def checksums(self, rse: RSE, dids: Sequence[tuple[str, str]] | None) -> Iterator[Replicas]:
        """Ask for replicas with their checksums, which the server tells in any case.

        Raises:
            BackendError: the server cannot be asked.
        """
        if dids is None:
            yield from self.replicas(rse)
            return
        prefixes = [] if rse.deterministic else _prefixes(self._described(rse))
        for at in range(0, len(dids), ASKED_AT_ONCE):
            asked = [{"scope": scope, "name": name} for scope, name in dids[at : at + ASKED_AT_ONCE]]
            entries = self._replicas(asked, rse)
            if entries:
                yield _columns(entries, rse, prefixes)

    def _names(self, scope: str) -> list[str]:
        return self._server.ask(
            f"files of the scope {printable(scope)}",
            lambda client: names_of(client.list_dids(scope, [{}], did_type="file")),
        )

    def _replicas(self, dids: list[dict[str, str]], rse: RSE) -> list[dict[str, Any]]:
        found = self._server.ask(
            f"replicas at {printable(rse.name)}",
            lambda client: objects_of(
                client.list_replicas(dids, all_states=True, rse_expression=rse.name, resolve_archives=False, sort=ORDER)
            ),
        )
        return [entry for entry in found if rse.name in entry.get("states", {})]

    def _described(self, rse: RSE) -> dict[str, Any]:
        return self._server.ask(f"RSE {printable(rse.name)}", lambda client: object_of(client.get_rse(rse.name)))

    def _check_count(self, rse: RSE, seen: int) -> None:
        """Hold what was seen against what Rucio has counted, where it counts.

        Files that are suppressed are in no list, and would be called orphans.
        """
        usages = self._server.ask(
            f"usage of {printable(rse.name)}",
            lambda client: objects_of(client.get_rse_usage(rse.name, filters={"source": "rucio"})),
        )
        counted = max((int(usage.get("files") or 0) for usage in usages if usage.get("source") == "rucio"), default=0)
        if counted > seen:
            where = f"{self._server.label}: RSE {printable(rse.name)}"
            raise BackendError(
                f"{where}: it has counted {counted} files there and shows {seen}, as where some are suppressed; the "
                "others would be called orphans; set Rucio.Database"
            )
        if not counted:
            _log.info("%s: RSE %s: Rucio has counted no files there to compare with", self._server.label, rse.name)


def rse_of(server: RucioServer, name: str) -> RSE:
    """Ask for a storage element.

    Raises:
        BackendError: there is none, or the server cannot be asked.
    """
    if "/" in name:
        # In an address it would be a question about something else.
        raise BackendError(f"RSE {printable(name)} (Rucio.RSE): that is no name of an RSE")
    described = server.ask(f"RSE {printable(name)} (Rucio.RSE)", lambda client: object_of(client.get_rse(name)))
    algorithm = described.get("lfn2pfn_algorithm")
    return RSE(
        name,
        described.get("id", ""),
        bool(described.get("deterministic", True)),
        algorithm if isinstance(algorithm, str) and algorithm != "default" else "",
    )


def _prefixes(described: dict[str, Any]) -> list[str]:
    found = []
    for protocol in described.get("protocols", ()):
        address = f"{protocol['scheme']}://{protocol['hostname']}"
        found += [f"{address}{port}{protocol['prefix']}" for port in (f":{protocol['port']}", "")]
    return found


def _columns(entries: list[dict[str, Any]], rse: RSE, prefixes: list[str]) -> Replicas:
    settled = [entry["states"][rse.name] == AVAILABLE for entry in entries]
    return Replicas(
        [entry["scope"] for entry in entries],
        [entry["name"] for entry in entries],
        [entry.get("bytes") if is_settled else None for entry, is_settled in zip(entries, settled, strict=True)],
        [None if is_settled else UNSETTLED_MTIME for is_settled in settled],
        None if rse.deterministic else [_path(entry.get("rses", {}).get(rse.name, ()), prefixes) for entry in entries],
        [entry.get("adler32") for entry in entries],
        [entry.get("md5") for entry in entries],
    )


def _path(pfns: list[str], prefixes: list[str]) -> str | None:
    """Take the path below the prefix of the RSE out of a PFN."""
    for pfn in pfns:
        for prefix in prefixes:
            if pfn.startswith(prefix):
                return pfn[len(prefix) :]
    return None
