"""The configuration: a file and the environment, checked once and then frozen.

Whoever starts the program builds a `Config` and hands out the `SiteConfig` of each site. The environment is the
operator's last word: a variable with the name of a key beats a site's own key, which beats the file's top level, which
beats the default. ``docs/configuration.md`` has the keys, `storage.config.keys` what each may be.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from engine import paths
from storage.config.files import ConfigError, parse_value, read_mapping
from storage.config.keys import KEYS, VERBATIM_KEYS, CommonKeys, RucioKeys, SiteKeys, SQLKeys, TopKeys
from storage.config.origins import Origin, Setting
from storage.config.problems import Problem
from storage.config.site import Email, RucioSettings, SiteConfig, SQLSettings
from storage.config.wording import problem_of
from storage.shown import printable, quoted

__all__ = ["KEYS", "Config", "ConfigError", "Email", "SiteConfig"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Config:
    """A validated configuration. Build it with `load` or `default`.

    ``given`` has the keys of the file, overridden from the environment, as they were written there; ``overridden`` are
    those that the environment has, ``in_file`` those of the file's top level, and ``of_backend``, by site, those that a
    backend has said.
    """

    path: Path | None
    _keys: TopKeys
    overridden: frozenset[str]
    in_file: frozenset[str] = frozenset()
    given: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    of_backend: Mapping[str, frozenset[str]] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def load(cls, path: str | os.PathLike[str], environment: Mapping[str, str], loader: Any = None) -> Config:
        """Read a file and override its keys from the environment; see `read_mapping` for ``loader``.

        Relative file names start from the file's directory, those in the environment from the working directory.

        Raises:
            ConfigError: with every problem that was found.
        """
        file = Path(path)
        return cls._build(file, read_mapping(file, loader), printable(str(file)), environment)

    @classmethod
    def default(cls, environment: Mapping[str, str]) -> Config:
        """Give the defaults, overridden from the environment; relative file names start from the working directory.

        Raises:
            ConfigError: with every problem that was found.
        """
        return cls._build(None, {}, "defaults", environment)

    @classmethod
    def salvage(
        cls, path: str | os.PathLike[str] | None, environment: Mapping[str, str]
    ) -> tuple[Config, tuple[Problem, ...]]:
        """Do as `load`, or without a path as `default`, but leave out each value that is wrong, and say of each why.

        Raises:
            ConfigError: the file cannot be read at all.
        """
        file = None if path is None else Path(path)
        values = {} if file is None else read_mapping(file)
        return cls._salvage(file, values, "defaults" if file is None else printable(str(file)), environment)

    @classmethod
    def _build(cls, file: Path | None, values: Mapping[str, Any], where: str, environment: Mapping[str, str]) -> Config:
        config, problems = cls._salvage(file, values, where, environment)
        if problems:
            raise ConfigError(*problems)
        return config

    @classmethod
    def _salvage(
        cls, file: Path | None, values: Mapping[str, Any], where: str, environment: Mapping[str, str]
    ) -> tuple[Config, tuple[Problem, ...]]:
        here = Path.cwd()
        directory = here if file is None else (here / file).parent
        keys, problems = _validate(values, directory, where)
        overrides, unreadable = _read_environment(environment)
        override_keys, wrong = _validate(overrides, here, "environment")
        in_file = frozenset(keys.model_fields_set)
        defaults = {key: directory / getattr(keys, key) for key in ("VarLocation", "WebDir") if key not in in_file}
        changed = {key: getattr(override_keys, key) for key in override_keys.model_fields_set}
        sites = {name: _with_rucio(site, keys.Rucio) for name, site in keys.Sites.items()}
        keys = keys.model_copy(update=defaults | {"Sites": sites} | changed)
        config = cls(file, keys, frozenset(changed), in_file, {**values, **overrides})
        return config, (*problems, *unreadable, *wrong)

    def with_directories(self, directories: Sequence[str]) -> Config:
        """Give the same configuration with another DirectoryList, which goes before all others, for every site.

        Raises:
            ConfigError: with every problem that was found.
        """
        keys, problems = _validate({"DirectoryList": directories}, Path(), "DIRECTORYLIST")
        if problems:
            raise ConfigError(*problems)
        return replace(
            self,
            _keys=self._keys.model_copy(update={"DirectoryList": keys.DirectoryList}),
            overridden=self.overridden | {"DirectoryList"},
            given={**self.given, "DirectoryList": list(directories)},
        )

    def with_site(self, name: str, values: Mapping[str, Any], where: str) -> Config:
        """Give the same configuration in which these keys go before a site's own, but not before the environment.

        Raises:
            ConfigError: with every problem that was found; ``where`` says where they come from.
        """
        keys, problems = _validate({"Sites": {name: dict(values)}}, Path(), where)
        if problems:
            raise ConfigError(*problems)
        new, own = keys.Sites[name], self._keys.Sites.get(name)
        if own is not None:
            new = own.model_copy(update={key: getattr(new, key) for key in new.model_fields_set})
        sites = {**self._keys.Sites, name: new}
        said = self.of_backend.get(name, frozenset()) | keys.Sites[name].model_fields_set
        of_backend = {**self.of_backend, name: said}
        return replace(self, _keys=self._keys.model_copy(update={"Sites": sites}), of_backend=of_backend)

    @property
    def sites(self) -> tuple[str, ...]:
        """The names under ``Sites``, in the order of the file."""
        return tuple(self._keys.Sites)

    def site(self, name: str) -> SiteConfig:
        """Give the settings of a site that stands under ``Sites``.

        Raises:
            ConfigError: there is no such site; the message lists those there are.
        """
        if name not in self._keys.Sites:
            known = ", ".join(self.sites) or "none"
            source = "defaults" if self.path is None else printable(str(self.path))
            if self.path is None:
                known += "; no configuration file was given; name one with --config"
            raise ConfigError(f"{source}: no site {quoted(name)} under Sites; known: {known}")
        return self._resolve(name, self._keys.Sites[name])

    def top_level(self, name: str = "") -> SiteConfig:
        """Give the settings of a site, or of a store without a name, that has no entry under ``Sites``."""
        return self._resolve(name, SiteKeys())

    def settings(self, name: str) -> tuple[Setting, ...]:
        """Give what each key comes to for a site, in the order of the documentation, and where that comes from."""
        own = self._keys.Sites.get(name) or SiteKeys()
        ours, top = own.model_dump(), self._keys.model_dump(exclude={"Sites"})

        def value(key: str, origin: Origin) -> Any:
            if origin == Origin.SITE:
                return ours[key]
            if key in _NAMED:
                return name in top[key]
            return top[key].get(name) if key in _BY_SITE else top[key]

        def shown(key: str, origin: Origin) -> Origin:
            return Origin.BACKEND if origin == Origin.SITE and key in self.of_backend.get(name, ()) else origin

        origins = {key: self._origin(key, own, name) for key in KEYS if key != "Sites"}
        return tuple(Setting(key, value(key, origin), shown(key, origin)) for key, origin in origins.items())

    def _origin(self, key: str, own: SiteKeys, name: str) -> Origin:
        """Say which value of a key counts for a site whose own keys are ``own``."""
        at_top: Any = getattr(self._keys, key)
        if key in _BY_SITE:
            is_set, in_file, is_own = name in at_top, name in at_top, getattr(own, key) is not None
        elif key in _NAMED:
            is_set, in_file, is_own = True, name in at_top, getattr(own, key) is not None
        else:
            is_set, in_file, is_own = True, key in self.in_file, key in own.model_fields_set
        if key in self.overridden and is_set:
            return Origin.ENVIRONMENT
        if is_own:
            return Origin.SITE
        return Origin.TOP_LEVEL if in_file else Origin.DEFAULT

    def _resolve(self, name: str, own: SiteKeys) -> SiteConfig:
        top = self._keys
        own_keys = [key for key in CommonKeys.model_fields if self._origin(key, own, name) == Origin.SITE]
        keys = top.model_copy(update={key: getattr(own, key) for key in own_keys})

        def of_site(key: str, by_site: Mapping[str, _T], own_value: _T | None) -> _T | None:
            return own_value if self._origin(key, own, name) == Origin.SITE else by_site.get(name)

        def is_named(key: str, names: tuple[str, ...], own_value: bool | None) -> bool:
            return bool(own_value) if self._origin(key, own, name) == Origin.SITE else name in names

        directories = _tops(keys.RootPath, keys.DirectoryList)
        quarantine = paths.join(keys.RootPath, keys.Quarantine) if keys.Quarantine else b""
        logs = of_site("AdditionalLogDeletions", top.AdditionalLogDeletions, own.AdditionalLogDeletions)
        return SiteConfig(
            name=name,
            root_path=keys.RootPath,
            directories=directories,
            ignore_directories=keys.IgnoreDirectories,
            ignore_age_days=keys.IgnoreAge,
            doors=tuple(dict.fromkeys(keys.Doors)),
            layout=keys.Layout,
            lister=keys.Lister,
            data_servers=keys.DataServers,
            path_prefix=of_site("PathPrefix", top.PathPrefix, own.PathPrefix) or b"",
            access_method=of_site("AccessMethod", top.AccessMethod, own.AccessMethod) or "XRootD",
            redirector=of_site("Redirectors", top.Redirectors, own.Redirectors),
            global_redirectors=keys.GlobalRedirectors,
            redirector_age=keys.RedirectorAge,
            banned_doors=keys.BannedDoors,
            dump=keys.Dump,
            dump_age=keys.DumpAge,
            max_malformed=keys.MaxMalformed,
            use_load_balancer=is_named("UseLoadBalancer", top.UseLoadBalancer, own.UseLoadBalancer),
            inventory=keys.Inventory,
            inventory_format=keys.InventoryFormat,
            inventory_table=keys.InventoryTable,
            inventory_processes=keys.InventoryProcesses,
            second_inventory=keys.SecondInventory,
            backend=keys.Backend,
            backends=tuple(sorted(keys.Backends.items())),
            sql=_sql_settings(keys.SQL),
            rucio=_rucio_settings(keys.Rucio),
            runtime=keys.Runtime,
            runtime_env=keys.RuntimeEnv,
            listers=keys.NumThreads,
            placement=keys.Placement,
            check_every=keys.CheckEvery,
            pool=top.Pool,
            door_limits=tuple(sorted(top.DoorLimits.items())),
            shared_location=top.VarLocation,
            gfal_threads=keys.GFALThreads,
            in_flight=keys.InFlight,
            connections=keys.Connections,
            retries=keys.Retries,
            timeout=keys.Timeout,
            stall_minutes=keys.StallMinutes,
            max_depth=keys.MaxDepth,
            incremental=keys.Incremental,
            incremental_sample=keys.IncrementalSample,
            incremental_full_runs=keys.IncrementalFullRuns,
            incremental_delay=keys.IncrementalDelay,
            checksums=keys.Checksums,
            max_checksums=keys.MaxChecksums,
            max_checksum_size=keys.MaxChecksumSize,
            checksum_minutes=keys.ChecksumMinutes,
            inventory_age=keys.InventoryAge,
            list_age=keys.ListAge,
            max_plan_age=keys.MaxPlanAge,
            deletion=keys.Deletion,
            quarantine=quarantine,
            quarantine_days=keys.QuarantineDays,
            save_cache=keys.SaveCache,
            var_location=keys.VarLocation,
            web_dir=keys.WebDir,
            metrics_dir=keys.MetricsDir,
            max_missing=keys.MaxMissing,
            max_orphan=keys.MaxOrphan,
            max_missing_fraction=keys.MaxMissingFraction,
            max_orphan_fraction=keys.MaxOrphanFraction,
            max_missing_size=keys.MaxMissingSize,
            max_orphan_size=keys.MaxOrphanSize,
            max_unlisted=keys.MaxUnlisted,
            max_run_age=keys.MaxRunAge,
            min_files=keys.MinFiles,
            missing_runs=keys.MissingRuns,
            missing_days=keys.MissingDays,
            orphan_runs=keys.OrphanRuns,
            orphan_days=keys.OrphanDays,
            delete_orphans=keys.DeleteOrphans,
            use_transfer_queue=keys.UseTransferQueue,
            free_mem=keys.FreeMem,
            unmerged=is_named("Unmerged", top.Unmerged, own.Unmerged),
            unmerged_logs_age=keys.UnmergedLogsAge,
            additional_log_deletions=_tops(keys.RootPath, logs) if logs else (),
            list_deletable=keys.ListDeletable,
            email=Email(keys.Email.Sender, keys.Email.Recipients, keys.Email.Server) if keys.Email else None,
        )


_BY_SITE = frozenset(("AccessMethod", "PathPrefix", "Redirectors", "AdditionalLogDeletions"))
"""Keys that have a value for each site at the top level."""

_NAMED = frozenset(("UseLoadBalancer", "Unmerged"))
"""Keys that name at the top level for which sites they are on."""


def _sql_settings(keys: SQLKeys | None) -> SQLSettings | None:
    if keys is None:
        return None
    return SQLSettings(
        keys.URL,
        keys.Files,
        keys.ProtectedDatasets,
        keys.PendingDeletions,
        keys.Sites,
        keys.ReadySites,
        keys.OtherCopies,
    )


def _with_rucio(site: SiteKeys, top: RucioKeys | None) -> SiteKeys:
    """Let each key of a site's own Rucio stand beside those of the top level, since most are the same for all."""
    own = site.Rucio
    if top is None or own is None:
        return site
    return site.model_copy(
        update={"Rucio": top.model_copy(update={key: getattr(own, key) for key in own.model_fields_set})}
    )


def _rucio_settings(keys: RucioKeys | None) -> RucioSettings | None:
    if keys is None:
        return None
    return RucioSettings(
        rse=keys.RSE,
        database=keys.Database,
        schema=keys.Schema,
        config=keys.Config,
        account=keys.Account,
        vo=keys.VO,
        rse_expression=keys.RSEExpression,
        lfn2path=keys.LFN2Path,
        prefix=keys.Prefix,
        path_rules=keys.PathRules,
        storage_json=keys.StorageJSON,
        volume=keys.Volume,
        protocol=keys.Protocol,
        scope=keys.Scope,
        skip_without_path=keys.SkipWithoutPath,
        suspicious=keys.Suspicious,
        last_copies=keys.LastCopies,
        reason=keys.Reason,
        timeout=keys.Timeout,
        patience=keys.Patience,
        scanner_files=keys.ScannerFiles,
        auditor_results=keys.AuditorResults,
    )


def _tops(root: bytes, directories: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Give the absolute directories, without those that another one covers; the root itself when none is named."""
    tops = list(dict.fromkeys([paths.join(root, directory) for directory in directories])) or [root]
    return tuple([top for top in tops if not any(top != other and paths.is_under(top, other) for other in tops)])


def _read_environment(environment: Mapping[str, str]) -> tuple[dict[str, Any], list[Problem]]:
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for key in KEYS:
        # A variable that is set to nothing counts as not set.
        text = environment.get(key, "")
        if not text.strip():
            continue
        try:
            values[key] = text if key in VERBATIM_KEYS else parse_value(text)
        except ValueError as error:
            wrong = f"neither JSON nor YAML: {printable(str(error))}"
            line = f"environment: {key}: {wrong}"
            problems.append(Problem(line, key, "", wrong, "write its value as in a file", "environment", (key,)))
    return values, problems


def _validate(values: Mapping[str, Any], directory: Path, where: str) -> tuple[TopKeys, list[Problem]]:
    """Read the keys; what is wrong is left out, and said."""
    problems: list[Problem] = []
    left: Any = values
    while True:
        try:
            return TopKeys.model_validate(left, context=directory), problems
        except ValidationError as error:
            found = [problem_of(e["loc"], e["type"], e["input"], e.get("ctx", {}), where) for e in error.errors()]
        problems += found
        fewer = _without(left, found)
        left = fewer if fewer != left else {}


def _without(values: Any, problems: Sequence[Problem]) -> Any:
    """Leave out the keys, or sites, in which something is wrong."""
    left = deepcopy(dict(values))
    for problem in problems:
        sites = left.get("Sites")
        key, *rest = problem.path
        if key == "Sites" and isinstance(sites, dict) and rest:
            name, *inner = rest
            of_site = sites.get(name)
            if inner and isinstance(of_site, dict):
                of_site.pop(inner[0], None)
            else:
                sites.pop(name, None)
        else:
            left.pop(key, None)
    return left
