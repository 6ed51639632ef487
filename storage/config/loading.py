"""The configuration: a file and the environment, checked once and then frozen.

Whoever starts the program builds a `Config` and hands out the `SiteConfig` of each site. The environment is the
operator's last word: a variable with the name of a key beats a site's own key, which beats the file's top level, which
beats the default. ``docs/configuration.md`` has the keys, `storage.config.keys` what each may be.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from engine import paths
from storage.config.files import ConfigError, parse_value, read_mapping
from storage.config.keys import KEYS, VERBATIM_KEYS, CommonKeys, EmailKeys, Model, SiteKeys, SQLKeys, TopKeys
from storage.config.site import Email, SiteConfig, SQLSettings
from storage.shown import printable, quoted, shown, unquoted

__all__ = ["KEYS", "Config", "ConfigError", "Email", "SiteConfig"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Config:
    """A validated configuration. Build it with `load` or `default`.

    ``given`` has the keys of the file, overridden from the environment, as they were written there.
    """

    path: Path | None
    _keys: TopKeys
    _overridden: frozenset[str]
    given: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

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
    def _build(cls, file: Path | None, values: Mapping[str, Any], where: str, environment: Mapping[str, str]) -> Config:
        here = Path.cwd()
        directory = here if file is None else (here / file).parent
        keys, problems = _validate(values, directory, where)
        overrides, unreadable = _read_environment(environment)
        override_keys, wrong = _validate(overrides, here, "environment")
        problems += unreadable + wrong
        if keys is None or override_keys is None or problems:
            raise ConfigError(*problems)
        defaults = {
            key: directory / getattr(keys, key) for key in ("VarLocation", "WebDir") if key not in keys.model_fields_set
        }
        changed = {key: getattr(override_keys, key) for key in override_keys.model_fields_set}
        return cls(file, keys.model_copy(update=defaults | changed), frozenset(changed), {**values, **overrides})

    def with_directories(self, directories: Sequence[str]) -> Config:
        """Give the same configuration with another DirectoryList, which goes before all others, for every site.

        Raises:
            ConfigError: with every problem that was found.
        """
        keys, problems = _validate({"DirectoryList": directories}, Path(), "DIRECTORYLIST")
        if keys is None:
            raise ConfigError(*problems)
        return replace(
            self,
            _keys=self._keys.model_copy(update={"DirectoryList": keys.DirectoryList}),
            _overridden=self._overridden | {"DirectoryList"},
            given={**self.given, "DirectoryList": list(directories)},
        )

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
            raise ConfigError(f"{source}: no site {quoted(name)} under Sites; known: {known}")
        return self._resolve(name, self._keys.Sites[name])

    def top_level(self, name: str = "") -> SiteConfig:
        """Give the settings of a site, or of a store without a name, that has no entry under ``Sites``."""
        return self._resolve(name, SiteKeys())

    def _resolve(self, name: str, own: SiteKeys) -> SiteConfig:
        top = self._keys
        own_keys = own.model_fields_set & CommonKeys.model_fields.keys() - self._overridden
        keys = top.model_copy(update={key: getattr(own, key) for key in own_keys})
        prefix = self._of_site("PathPrefix", top.PathPrefix, own.PathPrefix, name)
        logs = self._of_site("AdditionalLogDeletions", top.AdditionalLogDeletions, own.AdditionalLogDeletions, name)
        return SiteConfig(
            name=name,
            root_path=keys.RootPath,
            directories=_tops(keys.RootPath, keys.DirectoryList),
            ignore_directories=keys.IgnoreDirectories,
            ignore_age_days=keys.IgnoreAge,
            doors=tuple(dict.fromkeys(keys.Doors)),
            layout=keys.Layout,
            lister=keys.Lister,
            data_servers=keys.DataServers,
            path_prefix=prefix or b"",
            access_method=self._of_site("AccessMethod", top.AccessMethod, own.AccessMethod, name) or "XRootD",
            redirector=self._of_site("Redirectors", top.Redirectors, own.Redirectors, name),
            global_redirectors=keys.GlobalRedirectors,
            redirector_age=keys.RedirectorAge,
            banned_doors=keys.BannedDoors,
            dump=keys.Dump,
            dump_age=keys.DumpAge,
            max_malformed=keys.MaxMalformed,
            use_load_balancer=self._is_named("UseLoadBalancer", top.UseLoadBalancer, own.UseLoadBalancer, name),
            inventory=keys.Inventory,
            inventory_format=keys.InventoryFormat,
            inventory_table=keys.InventoryTable,
            inventory_processes=keys.InventoryProcesses,
            second_inventory=keys.SecondInventory,
            backend=keys.Backend,
            backends=tuple(sorted(keys.Backends.items())),
            sql=_sql_settings(keys.SQL),
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
            inventory_age=keys.InventoryAge,
            list_age=keys.ListAge,
            max_plan_age=keys.MaxPlanAge,
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
            unmerged=self._is_named("Unmerged", top.Unmerged, own.Unmerged, name),
            unmerged_logs_age=keys.UnmergedLogsAge,
            additional_log_deletions=_tops(keys.RootPath, logs) if logs else (),
            list_deletable=keys.ListDeletable,
            email=Email(keys.Email.Sender, keys.Email.Recipients, keys.Email.Server) if keys.Email else None,
        )

    def _of_site(self, key: str, by_site: Mapping[str, _T], own: _T | None, name: str) -> _T | None:
        if own is None or (key in self._overridden and name in by_site):
            return by_site.get(name)
        return own

    def _is_named(self, key: str, names: tuple[str, ...], own: bool | None, name: str) -> bool:
        return name in names if own is None or key in self._overridden else own


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


def _tops(root: bytes, directories: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Give the absolute directories, without those that another one covers; the root itself when none is named."""
    tops = list(dict.fromkeys([paths.join(root, directory) for directory in directories])) or [root]
    return tuple([top for top in tops if not any(top != other and paths.is_under(top, other) for other in tops)])


def _read_environment(environment: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    problems: list[str] = []
    for key in KEYS:
        # A variable that is set to nothing counts as not set.
        text = environment.get(key, "")
        if not text.strip():
            continue
        try:
            values[key] = text if key in VERBATIM_KEYS else parse_value(text)
        except ValueError as error:
            problems.append(f"environment: {key}: neither JSON nor YAML: {printable(str(error))}")
    return values, problems


def _validate(values: Mapping[str, Any], directory: Path, where: str) -> tuple[TopKeys | None, list[str]]:
    try:
        return TopKeys.model_validate(values, context=directory), []
    except ValidationError as error:
        return None, [f"{where}: {_problem(e['loc'], e['type'], e['input'], e.get('ctx', {}))}" for e in error.errors()]


def _problem(location: tuple[int | str, ...], kind: str, value: object, context: Mapping[str, Any]) -> str:
    if kind == "extra_forbidden":
        return _unknown_key(location)
    if kind == "string_unicode":
        # A lone surrogate, which JSON can write; the location is that of the mapping.
        return _unknown_key((*location, str(value)))
    if kind == "missing":
        return f"{_name(location[:-1])}: the key {quoted(str(location[-1]))} is missing"
    if location[-1] == "[key]":
        location = location[:-2]
    expected = context.get("expected") or ("a list" if kind == "tuple_type" else "a mapping")
    why = f" ({printable(context['why'])})" if context.get("why") else ""
    return f"{_name(location)}: expected {expected}, found {shown(value)}{why}"


def _unknown_key(location: tuple[int | str, ...]) -> str:
    *parents, key = location
    model: type[Model] = SiteKeys if parents[:1] == ["Sites"] else TopKeys
    if parents[-1:] == ["Email"]:
        model = EmailKeys
    elif parents[-1:] == ["SQL"]:
        model = SQLKeys
    known = {name.lower(): name for name in model.model_fields}
    nearest = get_close_matches(str(key).lower(), known, n=1)
    place = f"{_name(tuple(parents))}: " if parents else ""
    hint = f"; did you mean {quoted(known[nearest[0]])}?" if nearest else ""
    return f"{place}unknown key {quoted(str(key))}{hint}"


def _name(location: tuple[int | str, ...]) -> str:
    """Name a place in the file: ``Sites.T2_X.Doors[0]``."""
    name = ""
    for part in location:
        name += f"[{part}]" if isinstance(part, int) else f"{'.' if name else ''}{unquoted(part)}"
    return name
