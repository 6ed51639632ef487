"""Where the files of an RSE are, by its settings: from their names to the LFNs that a store is listed by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from engine import paths
from engine.lfn2path import (
    DID,
    HashPaths,
    IdentityPaths,
    Lfn2Path,
    NameRules,
    NoPath,
    PathRule,
    SameNames,
    lfn2path,
    storage_rules,
)
from storage.backends.protocols import BackendError
from storage.backends.rucio.patterns import matchers_of
from storage.backends.rucio.replicas import RSE, AskServer, Replicas
from storage.config.site import RucioSettings, SiteConfig
from storage.shown import printable, quoted

_OWN = ("hash", "identity")


@dataclass(frozen=True, slots=True)
class Naming:
    """Makes LFNs of replicas: paths are below ``prefix``, which ends with a slash, unless rules make absolute ones.

    ``made_by`` is None where paths follow from nothing but what Rucio wrote down.
    """

    prefix: bytes
    made_by: Lfn2Path | None

    def lfns(self, replicas: Replicas) -> list[bytes | None]:
        """Give the LFN of each replica; None where Rucio has no path.

        Raises:
            NoPath: no rule is about a name.
        """
        if replicas.paths is not None:
            prefix = self.prefix
            # Rucio has them with a slash before them and without.
            return [None if path is None else prefix + paths.encode(path).lstrip(b"/") for path in replicas.paths]
        assert self.made_by is not None
        dids = zip(_encoded(replicas.scopes), _encoded(replicas.names), strict=True)
        prefix = self.prefix
        return [path if path[:1] == b"/" else prefix + path for path in self.made_by.paths(dids)]

    def dids(self, lfn: bytes) -> list[DID]:
        """Give the names that have this LFN by the rules, the likeliest first."""
        if self.made_by is None:
            return []
        found = self.made_by.dids(lfn)
        path = self.below_prefix(lfn)
        return found if found or path is None else self.made_by.dids(path)

    @property
    def is_invertible(self) -> bool:
        """Whether `dids` gives all names that have an LFN, so that a file that is none of these has no name at all."""
        return isinstance(self.made_by, HashPaths | IdentityPaths)

    def below_prefix(self, lfn: bytes) -> bytes | None:
        """Give the path of a file below the prefix, None when it is not there."""
        return lfn[len(self.prefix) :] if lfn.startswith(self.prefix) else None

    def path_at_rse(self, lfn: bytes) -> bytes | None:
        """Give the path of a file as the RSE counts them: below its prefix, or, of names that are paths, the name."""
        return lfn if isinstance(self.made_by, SameNames | NameRules) else self.below_prefix(lfn)


def _encoded(texts: Sequence[str]) -> Iterable[bytes]:
    together = "\0".join(texts).encode("utf-8", "surrogateescape")
    return together.split(b"\0")


def naming_of(site: SiteConfig, settings: RucioSettings, rse: RSE, ask_server: AskServer) -> Naming:
    """Find out how the files of an RSE are called: the settings say it, else an attribute of the RSE or the server.

    Raises:
        BackendError: nobody says it, or the rules cannot be used.
    """
    prefix = settings.prefix or site.root_path
    return Naming(prefix.rstrip(b"/") + b"/", _made_by(settings, rse, ask_server))


def paths_of_names(site: SiteConfig, ask_server: AskServer | None = None) -> Callable[[bytes, bytes], bytes] | None:
    """Give what makes LFNs of names, None where the settings of a site do not say it and there is no server to ask.

    A server is asked when it comes to the first name; what is given may raise `BackendError` then.

    Raises:
        BackendError: the rules cannot be used.
    """
    settings = site.rucio
    if settings is None:
        return None
    rse = settings.rse or site.name
    said = _said(settings, rse)
    if said is None and ask_server is None:
        return None
    prefix = (settings.prefix or site.root_path).rstrip(b"/") + b"/"

    @cache
    def rules() -> Lfn2Path | None:
        return _made_by(settings, ask_server(rse), ask_server) if said is None and ask_server is not None else said

    def path_of(scope: bytes, name: bytes) -> bytes:
        made_by = rules()
        if made_by is None:
            raise ValueError("a path, which follows from no name where an RSE is not deterministic")
        try:
            (path,) = made_by.paths([(scope, name)])
        except NoPath as error:
            raise ValueError("a name of which a rule makes a path") from error
        return path if path[:1] == b"/" else prefix + path

    return path_of


def mark_of_paths(settings: RucioSettings) -> str:
    """Give what changes when the settings make other paths."""
    made_by = (settings.lfn2path, settings.prefix, settings.path_rules, settings.storage_json, settings.volume)
    return repr((*made_by, settings.protocol, _content_mark(settings.storage_json)))


def _content_mark(file: Path | None) -> str:
    """Give what changes with the content of a file; empty where it cannot be read, which whoever needs it says."""
    if file is None:
        return ""
    try:
        return hashlib.blake2b(file.read_bytes(), digest_size=8).hexdigest()
    except OSError:
        return ""


def _said(settings: RucioSettings, rse: str) -> Lfn2Path | None:
    if settings.path_rules:
        compiled = matchers_of("Rucio.PathRules")
        try:
            rules = [
                PathRule.of(paths.encode(pattern), paths.encode(path), compiled=compiled)
                for pattern, path in settings.path_rules
            ]
        except ValueError as error:
            raise BackendError(f"Rucio.PathRules: {printable(str(error))}") from error
        return lfn2path("did", rules, settings.scope or "")
    if settings.storage_json is not None:
        return _of_storage_json(settings, settings.storage_json, rse)
    return None if settings.lfn2path == "auto" else lfn2path(settings.lfn2path, scope=settings.scope or "cms")


def _made_by(settings: RucioSettings, rse: RSE, ask_server: AskServer) -> Lfn2Path | None:
    said = _said(settings, rse.name)
    if said is not None or not rse.deterministic:
        return said
    algorithm = rse.algorithm or ask_server(rse.name).algorithm
    if algorithm not in _OWN:
        with_what = quoted(algorithm or "its default")
        raise BackendError(
            f"Rucio.LFN2Path: Rucio makes the paths of {printable(rse.name)} with {with_what}; known are "
            f"{' and '.join(_OWN)}; set LFN2Path, PathRules or StorageJSON to what does the same"
        )
    return lfn2path(algorithm)


def _of_storage_json(settings: RucioSettings, file: Path, rse: str) -> Lfn2Path:
    name = printable(str(file))
    try:
        description = json.loads(file.read_bytes())
        rules = storage_rules(
            description,
            rse="" if settings.volume else rse,
            volume=settings.volume or "",
            protocol=settings.protocol or "",
            compiled=matchers_of(f"Rucio.StorageJSON: {name}"),
        )
    except OSError as error:
        raise BackendError(f"Rucio.StorageJSON: {name}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BackendError(f"Rucio.StorageJSON: {name}: {printable(str(error))}") from error
    return lfn2path("storage.json", rules, settings.scope or "cms")


def no_rule(rse: RSE, error: NoPath) -> BackendError:
    """Make the error for a name of which no rule makes a path."""
    return BackendError(
        f"Rucio, RSE {printable(rse.name)}: no rule makes a path of {quoted(str(error))}, so that nobody can tell "
        "which file that is; add one to Rucio.PathRules, or to the file of Rucio.StorageJSON"
    )
