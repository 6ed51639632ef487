"""Which sites there are, by an RSE expression; what RSEs say of themselves; whether one can be read now."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from storage.backends.protocols import BackendError, SiteCheck, SiteInfo
from storage.backends.rucio.rest import RucioServer, object_of, objects_of
from storage.config.files import parse_value
from storage.config.site import RucioSettings
from storage.shown import printable, quoted

PREFIX = "consistency."
"""How the attributes of an RSE begin that are settings of the site."""

SETTINGS = (
    *("RootPath", "DirectoryList", "IgnoreDirectories", "IgnoreAge", "Doors", "PathPrefix", "Layout", "DataServers"),
    *("NumThreads", "InFlight", "Connections", "Retries", "Timeout", "StallMinutes", "MaxDepth"),
    *("MaxMissing", "MaxOrphan", "MaxMissingFraction", "MaxOrphanFraction", "MaxMissingSize", "MaxOrphanSize"),
    *("MaxUnlisted", "MinFiles", "MissingRuns", "MissingDays", "OrphanRuns", "OrphanDays"),
)
"""The keys that an RSE may have an attribute for: none names a file or a program on the machine of this one."""

_TEXTS = ("RootPath", "PathPrefix", "Layout")
_LOCAL = "file:"


class RucioSites:
    """The sites: the RSEs of an expression, each under its own name; without one, those of the default backend."""

    def __init__(self, server: RucioServer, settings: RucioSettings, inner: SiteInfo) -> None:
        self._server = server
        self._settings = settings
        self._inner = inner

    def site_list(self) -> Sequence[str]:
        """Name the sites.

        Raises:
            BackendError: the server cannot be asked, or no RSE fits.
        """
        expression = self._settings.rse_expression
        if expression is None:
            return self._inner.site_list()
        return sorted(
            self._server.ask(
                f"RSEs of {quoted(expression)} (Rucio.RSEExpression)",
                lambda client: [entry["rse"] for entry in objects_of(client.list_rses(expression))],
            )
        )

    def ready_sites(self) -> Collection[str]:
        """Name all RSEs; each is asked before it is checked."""
        return self._inner.ready_sites() if self._settings.rse_expression is None else frozenset(self.site_list())

    def settings_of(self, site: str) -> Mapping[str, Any]:
        """Give the keys of the configuration that the RSE of a site has attributes for.

        Raises:
            BackendError: the server cannot be asked, or an attribute names what no RSE may set.
        """
        rse = self._settings.rse or site
        attributes = self._server.ask(
            f"attributes of {printable(rse)} (Rucio.RSE)", lambda client: object_of(client.list_rse_attributes(rse))
        )
        return {
            key.removeprefix(PREFIX): self._value(rse, key, value)
            for key, value in sorted(attributes.items())
            if key.startswith(PREFIX)
        }

    def _value(self, rse: str, attribute: str, value: Any) -> Any:
        key, where = attribute.removeprefix(PREFIX), f"RSE {printable(rse)}: attribute {printable(attribute)}"
        if key not in SETTINGS:
            raise BackendError(f"{where}: no RSE may set this; what may be set: {', '.join(SETTINGS)}")
        if not isinstance(value, str) or key in _TEXTS:
            return value
        try:
            parsed = parse_value(value)
        except ValueError as error:
            raise BackendError(f"{where}: neither JSON nor YAML: {printable(str(error))}") from error
        if key == "Doors" and isinstance(parsed, list) and any(map(_is_local, parsed)):
            raise BackendError(f"{where}: a directory of this machine is no door that an RSE may name")
        return parsed


def _is_local(door: object) -> bool:
    """Whether a door is a directory of this machine, however its scheme is written."""
    return str(door).strip().lower().startswith(_LOCAL)


class RucioCheck:
    """Asks whether an RSE is available for reading, and whoever was asked before."""

    def __init__(self, server: RucioServer, settings: RucioSettings, inner: SiteCheck) -> None:
        self._server = server
        self._settings = settings
        self._inner = inner

    def check_site(self, site: str) -> str:
        """Say why a site should not be checked now."""
        why = self._inner.check_site(site)
        if why:
            return why
        rse = self._settings.rse or site
        described = self._server.ask(f"RSE {printable(rse)} (Rucio.RSE)", lambda client: object_of(client.get_rse(rse)))
        if described.get("availability_read") is False:
            return f"the RSE {printable(rse)} is not available for reading, says {self._server.label}"
        return ""
