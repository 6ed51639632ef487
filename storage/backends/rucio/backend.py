"""From the settings of a site to who answers what with a Rucio."""

from __future__ import annotations

from dataclasses import replace

from storage.backends.protocols import BackendError, Backends
from storage.backends.queue import RequestQueue, queue_path
from storage.backends.rucio.blocks import RucioBlocks
from storage.backends.rucio.copies import Copies
from storage.backends.rucio.database import RucioDatabase
from storage.backends.rucio.inventory import RucioInventory
from storage.backends.rucio.quarantine import Quarantine
from storage.backends.rucio.registry import RucioRegistry
from storage.backends.rucio.replicas import RSE, ReplicaSource
from storage.backends.rucio.rest import RucioServer
from storage.backends.rucio.rest_source import RestReplicas, rse_of
from storage.backends.rucio.sites import RucioCheck, RucioSites
from storage.config.site import KnownSites, RucioSettings, SiteConfig


def rucio_backend(config: KnownSites, site: SiteConfig, default: Backends) -> Backends:
    """Make the backend for the settings of a site; nothing is opened or asked yet.

    Raises:
        BackendError: the key Rucio is missing.
    """
    if site.rucio is None:
        raise BackendError('the backend "rucio" needs the key Rucio, which may be an empty mapping')
    settings = site.rucio
    server = RucioServer(settings)
    database = None if settings.database is None else RucioDatabase(settings.database, settings)
    source: ReplicaSource = RestReplicas(server) if database is None else database

    def settings_of(name: str) -> tuple[SiteConfig, RucioSettings]:
        own = site if name in ("", site.name) else config.site(name)
        return own, own.rucio or settings

    def ask_server(name: str) -> RSE:
        return rse_of(server, name)

    inventory = RucioInventory(source, settings_of, ask_server)
    queue = RequestQueue(queue_path(site.var_location))
    return replace(
        default,
        inventory=inventory,
        registry=RucioRegistry(server, inventory, Quarantine(server, inventory, database), queue, settings_of),
        sites=RucioSites(server, settings, default.sites),
        check=RucioCheck(server, settings, default.check),
        blocks=RucioBlocks(Copies(server, inventory, with_parents=True), site),
    )
