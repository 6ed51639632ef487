"""The configuration: a file and the environment, checked once and then frozen.

Whoever starts the program builds a `Config` and hands out the `SiteConfig` of each site. The environment is the
operator's last word: a variable with the name of a key beats a site's own key, which beats the file's top level, which
beats the default. ``docs/configuration.md`` has the keys.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from engine import paths
from storage.config_file import ConfigError, parse_value, read_mapping
from storage.door_url import DOOR_FORMS, check_authority, parse_door
from storage.shown import printable, quoted, shown
from storage.site_config import Email, SiteConfig

__all__ = ["KEYS", "Config", "ConfigError", "Email", "SiteConfig"]

_T = TypeVar("_T")

_NO_PARAMETERS = "no '?' may stand in the path of a door"
_SITE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def _not(expected: str, why: str = "") -> PydanticCustomError:
    return PydanticCustomError("expected", "{expected}", {"expected": expected, "why": why})


def _expected(words: str) -> WrapValidator:
    """Say what is right in place of pydantic's own words."""

    def wrap(value: object, handler: ValidatorFunctionWrapHandler) -> object:
        try:
            return handler(value)
        except ValidationError as error:
            raise _not(words) from error

    return WrapValidator(wrap)


def _text(words: str, convert: Callable[[str], object]) -> PlainValidator:
    """Take text that ``convert`` accepts; its ``ValueError`` says why it does not."""

    def validate(value: object) -> object:
        if not isinstance(value, str):
            raise _not(words)
        try:
            return convert(value)
        except ValueError as error:
            raise _not(words, str(error)) from error

    return PlainValidator(validate)


def _site_name(text: str) -> str:
    # It becomes part of file names.
    if not _SITE_NAME.fullmatch(text):
        raise ValueError
    return text


def _plain(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError
    return text


def _substring(text: str) -> bytes:
    if not text:
        raise ValueError("it would leave out everything")
    return paths.encode(text)


def _absolute(text: str) -> bytes:
    if not text.startswith("/"):
        raise ValueError
    return paths.canonical(paths.encode(text))


def _relative(text: str) -> bytes:
    if text.startswith("/"):
        raise ValueError
    return paths.canonical(paths.encode(text))


def _prefix(text: str) -> bytes:
    path = _absolute(text) if text else b""
    if b"?" in path:
        raise ValueError(_NO_PARAMETERS)
    return b"" if path == b"/" else path


def _door(text: str) -> str:
    door = parse_door(text)
    if b"?" in door.path:
        raise ValueError(_NO_PARAMETERS)
    return str(door)


def _host(text: str) -> str:
    check_authority(text)
    return text


def _flag(value: object) -> bool:
    if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise _not("true or false")


def _local_path(value: object, info: ValidationInfo) -> Path:
    """Read a file name; a relative one starts from the directory in the context."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise _not("a file name")
    return Path(info.context or "", value)


def _json_object(value: object) -> str:
    words = "a mapping of what JSON can hold"
    if not isinstance(value, dict):
        raise _not(words)
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise _not(words) from error


_Site = Annotated[str, _text("a site name of letters, digits, '_', '-' and '.'", _site_name)]
_Plain = Annotated[str, _text("a line of text", _plain)]
_Substring = Annotated[bytes, _text("a part of a path", _substring)]
_Absolute = Annotated[bytes, _text("an absolute path without '.' and '..'", _absolute)]
_Relative = Annotated[bytes, _text("a directory inside RootPath, without a leading '/', '.' and '..'", _relative)]
_Prefix = Annotated[bytes, _text("an absolute path without '.' and '..', or an empty one", _prefix)]
_Door = Annotated[str, _text(DOOR_FORMS, _door)]
_Host = Annotated[str, _text("host or host:port", _host)]
_LocalPath = Annotated[Path, PlainValidator(_local_path)]
_Flag = Annotated[bool, PlainValidator(_flag)]
_JSONObject = Annotated[str, PlainValidator(_json_object)]
_Method = Annotated[
    Literal["XRootD", "SRM", "directx", "RAL-Reader"], _expected("one of XRootD, SRM, directx and RAL-Reader")
]
_Format = Annotated[
    Literal["auto", "paths", "sizes", "csv", "tsv"], _expected("one of auto, paths, sizes, csv and tsv")
]
_Runtime = Annotated[Literal["ray", "threads"], _expected("ray or threads")]
_Seconds = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False), _expected("a number of seconds above 0")]
_Days = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False), _expected("a number of days, 0 or more")]
_Gigabytes = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False), _expected("a number of GB, 0 or more")]
_Count = Annotated[int, Field(strict=True, ge=0), _expected("a whole number, 0 or more")]
_Positive = Annotated[int, Field(strict=True, ge=1), _expected("a whole number, 1 or more")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _EmailKeys(_Model):
    Sender: _Plain
    Recipients: tuple[_Plain, ...]


class _CommonKeys(_Model):
    """The keys that read the same at the top level and in a site."""

    RootPath: _Absolute = b"/store"
    DirectoryList: tuple[_Relative, ...] = (b"mc", b"data")
    IgnoreDirectories: tuple[_Substring, ...] = ()
    IgnoreAge: _Days = 1.0
    Doors: tuple[_Door, ...] = ()
    GlobalRedirectors: tuple[_Host, ...] = ()
    RedirectorAge: _Days = 1.0
    Inventory: _LocalPath | None = None
    InventoryFormat: _Format = "auto"
    Runtime: _Runtime | None = None
    NumThreads: _Positive = 1
    GFALThreads: _Positive = 32
    InFlight: _Positive = 64
    Connections: _Positive = 2
    Retries: _Count = 3
    Timeout: _Seconds = 30.0
    MaxDepth: _Positive = 40
    InventoryAge: _Days = 0.00005
    ListAge: _Days = 1
    SaveCache: _Flag = False
    VarLocation: _LocalPath = Path("var")
    WebDir: _LocalPath = Path("www")
    MaxMissing: _Count = 100
    MaxOrphan: _Count = 1000
    DeleteOrphans: _Flag = True
    UseTransferQueue: _Flag = True
    FreeMem: _Gigabytes = 0.0
    UnmergedLogsAge: _Days = 28.0
    ListDeletable: _JSONObject = "{}"
    Email: _EmailKeys | None = None


class _SiteKeys(_CommonKeys):
    """The keys of one entry of ``Sites``; what names sites at the top level is a plain value here."""

    AccessMethod: _Method | None = None
    PathPrefix: _Prefix | None = None
    Redirectors: _Host | None = None
    UseLoadBalancer: _Flag | None = None
    Unmerged: _Flag | None = None
    AdditionalLogDeletions: tuple[_Relative, ...] | None = None


class _TopKeys(_CommonKeys):
    AccessMethod: dict[_Site, _Method] = {}
    PathPrefix: dict[_Site, _Prefix] = {}
    Redirectors: dict[_Site, _Host] = {}
    UseLoadBalancer: tuple[_Site, ...] = ()
    Unmerged: tuple[_Site, ...] = ()
    AdditionalLogDeletions: dict[_Site, tuple[_Relative, ...]] = {}
    Sites: dict[_Site, _SiteKeys] = {}


KEYS: tuple[str, ...] = tuple(_TopKeys.model_fields)
"""Every key of the top level; an environment variable of the same name overrides it."""

_VERBATIM_KEYS = frozenset(("RootPath", "Inventory", "InventoryFormat", "VarLocation", "WebDir", "Runtime"))
"""Keys whose value is text, which an environment variable holds as it is."""


@dataclass(frozen=True, slots=True)
class Config:
    """A validated configuration. Build it with `load` or `default`.

    ``given`` has the keys of the file, overridden from the environment, as they were written there.
    """

    path: Path | None
    _keys: _TopKeys
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
        return self._resolve(name, _SiteKeys())

    def _resolve(self, name: str, own: _SiteKeys) -> SiteConfig:
        top = self._keys
        own_keys = own.model_fields_set & _CommonKeys.model_fields.keys() - self._overridden
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
            path_prefix=prefix or b"",
            access_method=self._of_site("AccessMethod", top.AccessMethod, own.AccessMethod, name) or "XRootD",
            redirector=self._of_site("Redirectors", top.Redirectors, own.Redirectors, name),
            global_redirectors=keys.GlobalRedirectors,
            redirector_age=keys.RedirectorAge,
            use_load_balancer=self._is_named("UseLoadBalancer", top.UseLoadBalancer, own.UseLoadBalancer, name),
            inventory=keys.Inventory,
            inventory_format=keys.InventoryFormat,
            runtime=keys.Runtime,
            listers=keys.NumThreads,
            gfal_threads=keys.GFALThreads,
            in_flight=keys.InFlight,
            connections=keys.Connections,
            retries=keys.Retries,
            timeout=keys.Timeout,
            max_depth=keys.MaxDepth,
            inventory_age=keys.InventoryAge,
            list_age=keys.ListAge,
            save_cache=keys.SaveCache,
            var_location=keys.VarLocation,
            web_dir=keys.WebDir,
            max_missing=keys.MaxMissing,
            max_orphan=keys.MaxOrphan,
            delete_orphans=keys.DeleteOrphans,
            use_transfer_queue=keys.UseTransferQueue,
            free_mem=keys.FreeMem,
            unmerged=self._is_named("Unmerged", top.Unmerged, own.Unmerged, name),
            unmerged_logs_age=keys.UnmergedLogsAge,
            additional_log_deletions=_tops(keys.RootPath, logs) if logs else (),
            list_deletable=keys.ListDeletable,
            email=Email(keys.Email.Sender, keys.Email.Recipients) if keys.Email else None,
        )

    def _of_site(self, key: str, by_site: Mapping[str, _T], own: _T | None, name: str) -> _T | None:
        if own is None or (key in self._overridden and name in by_site):
            return by_site.get(name)
        return own

    def _is_named(self, key: str, names: tuple[str, ...], own: bool | None, name: str) -> bool:
        return name in names if own is None or key in self._overridden else own


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
            values[key] = text if key in _VERBATIM_KEYS else parse_value(text)
        except ValueError as error:
            problems.append(f"environment: {key}: neither JSON nor YAML: {printable(str(error))}")
    return values, problems


def _validate(values: Mapping[str, Any], directory: Path, where: str) -> tuple[_TopKeys | None, list[str]]:
    try:
        return _TopKeys.model_validate(values, context=directory), []
    except ValidationError as error:
        return None, [f"{where}: {_problem(e['loc'], e['type'], e['input'], e.get('ctx', {}))}" for e in error.errors()]


def _problem(location: tuple[int | str, ...], kind: str, value: object, context: Mapping[str, Any]) -> str:
    if kind == "extra_forbidden":
        return _unknown_key(location)
    if kind == "missing":
        return f"{_name(location[:-1])}: the key {quoted(str(location[-1]))} is missing"
    if location[-1] == "[key]":
        location = location[:-2]
    expected = context.get("expected") or ("a list" if kind == "tuple_type" else "a mapping")
    why = f" ({printable(context['why'])})" if context.get("why") else ""
    return f"{_name(location)}: expected {expected}, found {shown(value)}{why}"


def _unknown_key(location: tuple[int | str, ...]) -> str:
    *parents, key = location
    model: type[_Model] = _SiteKeys if parents[:1] == ["Sites"] else _TopKeys
    if parents[-1:] == ["Email"]:
        model = _EmailKeys
    known = {name.lower(): name for name in model.model_fields}
    nearest = get_close_matches(str(key).lower(), known, n=1)
    place = f"{_name(tuple(parents))}: " if parents else ""
    hint = f"; did you mean {quoted(known[nearest[0]])}?" if nearest else ""
    return f"{place}unknown key {quoted(str(key))}{hint}"


def _name(location: tuple[int | str, ...]) -> str:
    """Name a place in the file: ``Sites.T2_X.Doors[0]``."""
    name = ""
    for part in location:
        name += f"[{part}]" if isinstance(part, int) else f"{'.' if name else ''}{printable(part)}"
    return name
