"""From the keys ``Backend`` and ``Backends`` to who answers which question."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from engine.plan import Action, Cause
from storage.backends import foreign
from storage.backends.protocols import (
    BackendError,
    Backends,
    Registry,
    Transfers,
    registry_actions,
    takes_directories,
)
from storage.config.site import KnownSites, SiteConfig
from storage.shown import printable, quoted

DEFAULT = "files"

QUESTIONS = tuple(field.name for field in fields(Backends))
"""What ``Backends`` may name a backend for."""


def choose(config: KnownSites, site: SiteConfig) -> Backends:
    """Give who answers which question about a site: the one that ``Backends`` names, else that of ``Backend``.

    Nothing is opened or asked yet. A question that the backend of ``Backend`` has no answer to is left to ``files``;
    one that ``Backends`` names must be answered by the backend named. Where UseTransferQueue is false the registry only
    tells which sources there are.

    Raises:
        BackendError: there is no backend of a name, or it does not answer the question, or it cannot be loaded.
    """
    default = _files(config, site)
    made = {DEFAULT: default}
    by_question = dict(site.backends)

    def backend(name: str, question: str) -> Backends:
        if name not in made:
            key = "Backend" if name == site.backend else f"Backends.{question}"
            made[name] = _make(name, key, config, site, default)
        return made[name]

    chosen: dict[str, Any] = {}
    for question in QUESTIONS:
        name = by_question.get(question, site.backend)
        answering = getattr(backend(name, question), question)
        if question in by_question and name != DEFAULT and answering is getattr(default, question):
            raise BackendError(
                f"Backends.{question}: the backend {quoted(name)} does not answer this; "
                f"name another one, or leave it out to have {DEFAULT}"
            )
        chosen[question] = answering
    backends = Backends(**chosen)
    return backends if site.use_transfer_queue else replace(backends, registry=_WithoutTransfers(backends.registry))


def with_cms_names(backends: Backends) -> Backends:
    """Give the same, but for datasets, which are told apart by the names of CMS."""
    from storage.backends.files import NamedDatasets

    return replace(backends, datasets=NamedDatasets(b"/store"))


@dataclass(frozen=True, slots=True)
class _WithoutTransfers:
    """A registry that is not asked to bring anything back."""

    registry: Registry

    @property
    def takes_directories(self) -> bool:
        return takes_directories(self.registry)

    @property
    def actions(self) -> Mapping[Cause, Action]:
        return registry_actions(self.registry)

    def delete(self, site: str, lfns: Any) -> int:
        return self.registry.delete(site, lfns)

    def sources(self, site: str, lfns: Any) -> Transfers:
        return self.registry.sources(site, lfns)

    def transfer(self, site: str, lfns: Any) -> Transfers:
        return replace(self.registry.sources(site, lfns), requested=())


def _make(name: str, key: str, config: KnownSites, site: SiteConfig, default: Backends) -> Backends:
    known = _BUILT_IN.get(name)
    if known is not None:
        return known(config, site, default)
    entries = foreign.found()
    if name not in entries:
        valid = ", ".join(printable(each) for each in sorted({*_BUILT_IN, DEFAULT, *entries}))
        raise BackendError(f"{key}: no backend {quoted(name)}; valid: {valid}")
    return foreign.load(name, entries[name], config, site, default)


def _files(config: KnownSites, site: SiteConfig) -> Backends:
    from storage.backends.files import files_backend

    return files_backend(config, site)


def _sql(config: KnownSites, site: SiteConfig, default: Backends) -> Backends:
    from storage.backends.sql import sql_backend

    return sql_backend(config, site, default)


def _dynamo_v1(config: KnownSites, site: SiteConfig, default: Backends) -> Backends:
    from storage.backends.dynamo_v1 import dynamo_v1_backend

    return dynamo_v1_backend(config, site, default)


def _rucio(config: KnownSites, site: SiteConfig, default: Backends) -> Backends:
    from storage.backends.rucio.backend import rucio_backend

    return rucio_backend(config, site, default)


_BUILT_IN: dict[str, Callable[[KnownSites, SiteConfig, Backends], Backends]] = {
    "sql": _sql,
    "dynamo-v1": _dynamo_v1,
    "rucio": _rucio,
}
"""By name, without the default, which every other one is given."""
