"""The kinds of values that a configuration has: what is taken for one, and how one is written.

Each is a type for the models of `storage.config.keys`. It says what is right where a value is not, what is right in
the terms of JSON Schema (`storage.config.schema`), which may let more through but refuses nothing that is taken here,
and gives a value back as a file would have it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction as ExactFraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from engine import lfn2path as rules
from engine import paths
from engine.checksums.share import Share as ChecksumShare
from storage.door_url import DOOR_FORMS, check_authority, parse_door, with_port

_NO_PARAMETERS = "no '?' may stand in the path of a door"
_OPAQUE = re.compile(rb"&(authz|xrd\.[\w.]+)=")
"""What XRootD takes for parameters wherever a ``?`` is before it; in a path it is a slip, and likely a secret."""
_MOST_RETRIES = 99
_MOST_AT_A_TIME = 1000
"""Listers, programs and connections that one machine can have at a time, and more."""
_MOST_IN_FLIGHT = 10_000
_MOST = 10**9
_LONGEST = 1_000_000
"""Days, minutes and seconds; a clock can still count and a library wait for as many, which it cannot for any number."""
_LONGEST_NAME = 150
"""Characters of a site; with what comes before and behind it in the name of a list a file system takes 255."""
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_SIZE = re.compile(rf"([0-9]{{1,15}}(?:\.[0-9]{{1,15}})?) ?({'|'.join(_UNITS)})")
_SHELL = re.compile(r"^~|(?:^|/)\$[{A-Za-z_]")
"""What a shell would put something else in the place of; a directory of such a name is nobody's wish."""
_NODE_WORD = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_./-]{0,252}[A-Za-z0-9_])?")
"""A resource or a label of a node, or the label's value."""
_OWN_RESOURCES = ("CPU", "GPU", "memory", "object_store_memory")
_SITE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


NO_QUARANTINE = "none"
"""What stands where nothing is put aside."""


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


SITE_WORDS = "a site name of letters, digits, '_', '-' and '.'"


def is_site_name(text: str) -> bool:
    """Tell whether a site may be called so."""
    return _SITE_NAME.fullmatch(text) is not None and len(text) <= _LONGEST_NAME


def _site_name(text: str) -> str:
    # It becomes part of file names.
    if not _SITE_NAME.fullmatch(text):
        raise ValueError
    if len(text) > _LONGEST_NAME:
        raise ValueError(f"{len(text)} characters, of which {_LONGEST_NAME} are allowed")
    return text


def _plain(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError
    return text


def _query(text: str) -> str:
    if not text.strip() or "\0" in text:
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


def _quarantine(text: str) -> bytes:
    path = b"" if text == NO_QUARANTINE else _relative(text)
    if not path.isascii() or b"%" in path or not path.decode().isprintable():
        raise ValueError("not all protocols carry other letters as they are")
    return path


def _prefix(text: str) -> bytes:
    path = _absolute(text) if text else b""
    if b"?" in path:
        raise ValueError(_NO_PARAMETERS)
    return b"" if path == b"/" else path


def _door(text: str) -> str:
    door = parse_door(text)
    if b"?" in door.path and door.scheme != "srm":
        raise ValueError(_NO_PARAMETERS)
    if _OPAQUE.search(door.path):
        raise ValueError("tokens and other parameters do not belong into a door; the environment has them")
    return str(door)


def _host(text: str) -> str:
    check_authority(text)
    return text


def _host_and_port(text: str) -> str:
    check_authority(text)
    if not re.search(r":\d+$", text):
        raise ValueError
    return text


def _address(text: str) -> str:
    check_authority(text)
    return with_port(text)


def _is_node_word(value: object) -> bool:
    return isinstance(value, str) and _NODE_WORD.fullmatch(value) is not None


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _MOST


def _placement(value: object) -> tuple[tuple[str, float | str], ...]:
    """Read what the nodes have on which listers may run: amounts of resources, and labels."""
    words = "a mapping of resources to amounts above 0, and of labels to their values"
    if not isinstance(value, dict):
        raise _not(words)
    for name, wanted in value.items():
        if name in _OWN_RESOURCES:
            raise _not(words, f"{name} is what Ray counts by itself")
        if not _is_node_word(name) or not (_is_node_word(wanted) or _is_amount(wanted)):
            raise _not(words)
    return tuple(sorted((name, wanted if isinstance(wanted, str) else float(wanted)) for name, wanted in value.items()))


def _flag(value: object) -> bool:
    if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise _not("true or false")


@dataclass(frozen=True, slots=True)
class _AtMost:
    """Says up to which number a value makes sense, where ``words`` is what it is."""

    most: int
    words: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "maximum": self.most}

    def _check(self, value: float) -> float:
        if value > self.most:
            raise _not(f"{self.words}, at most {self.most:,}")
        return value


def _bytes(value: object) -> int:
    """Read a size: a whole number of bytes, or a number with a unit, of which each is 1000 times the one before."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise _not("bytes, 0 or more, or a size such as 500GB or 1.5 TB")
    return int(ExactFraction(match[1]) * 1000 ** _UNITS.index(match[2]))


def _local_path(value: object, info: ValidationInfo) -> Path:
    """Read a file name; a relative one starts from the directory in the context."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise _not("a file name")
    if _SHELL.search(value):
        raise _not("a file name", "nothing is put in the place of ~ and $ here; write it out")
    return Path(info.context or "", value)


def _second_inventory(value: object, info: ValidationInfo) -> str | Path:
    """Read which inventory is held against the findings: a word, or else a file name."""
    if value in ("again", "none"):
        return str(value)
    return _local_path(value, info)


def _list_deletable(value: object, info: ValidationInfo) -> str:
    """Keep the mapping as JSON; its values are checked when a site is cleaned (`storage.unmerged.settings`)."""
    words = "a mapping of what JSON can hold"
    if not isinstance(value, dict):
        raise _not(words)
    source = value.get("PROTECTED_LIST")
    if isinstance(source, str) and source.strip() and "://" not in source:
        value = {**value, "PROTECTED_LIST": str(Path(info.context or "", source))}
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise _not(words) from error


_RUNTIME_ENV = ("pip", "uv", "conda", "env_vars", "config")


def _runtime_env(value: object) -> str:
    """Take what Ray is to set up on the nodes, as JSON; the packages of the program go with it."""
    words = f"a mapping with some of {', '.join(_RUNTIME_ENV)}"
    if not isinstance(value, dict) or not set(value) <= set(_RUNTIME_ENV):
        raise _not(words)
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise _not(words) from error


def _pattern(pattern: str, **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, **more})


_WITHOUT_DOTS = r"(?!(.*/)?\.\.?(?![^/]))"
_FILE_NAME = {"type": "string", "minLength": 1, "not": {"pattern": _SHELL.pattern}}
_AUTHORITY = _pattern(r"^[^/@\s]+$")
_AS_TEXT = PlainSerializer(paths.decode)
_AS_NAME = PlainSerializer(str)
_AS_JSON = PlainSerializer(json.loads)


def _path_rule(value: object) -> tuple[str, str]:
    """Take a regular expression for ``scope:name`` and the path that follows from it."""
    words = "a mapping with DID, a regular expression, and Path, in which $1 is its first group"
    if not isinstance(value, dict) or set(value) != {"DID", "Path"}:
        raise _not(words)
    pattern, path = value["DID"], value["Path"]
    if not isinstance(pattern, str) or not isinstance(path, str) or not path:
        raise _not(words)
    try:
        rules.PathRule.of(paths.encode(pattern), paths.encode(path))
    except ValueError as error:
        raise _not(words, str(error)) from error
    return pattern, path


Site = Annotated[
    str,
    _text(SITE_WORDS, _site_name),
    _pattern(f"^{_SITE_NAME.pattern}$", maxLength=_LONGEST_NAME),
]
Plain = Annotated[str, _text("a line of text", _plain), WithJsonSchema({"type": "string", "minLength": 1})]
Query = Annotated[str, _text("a query", _query), _pattern(r"\S")]
Substring = Annotated[
    bytes, _text("a part of a path", _substring), WithJsonSchema({"type": "string", "minLength": 1}), _AS_TEXT
]
Absolute = Annotated[
    bytes, _text("an absolute path without '.' and '..'", _absolute), _pattern(f"^{_WITHOUT_DOTS}/"), _AS_TEXT
]
Relative = Annotated[
    bytes,
    _text("a directory inside RootPath, without a leading '/', '.' and '..'", _relative),
    _pattern(rf"^(?!/){_WITHOUT_DOTS}[\s\S]"),
    _AS_TEXT,
]
Quarantine = Annotated[
    bytes,
    _text("a directory inside RootPath of plain letters, without a leading '/', '.' and '..', or none", _quarantine),
    _pattern(rf"^(?!/){_WITHOUT_DOTS}[^%\x00-\x20\x7f-\uffff]+$"),
    PlainSerializer(lambda path: paths.decode(path) or NO_QUARANTINE),
]
Deletion = Annotated[Literal["registry", "store"], _expected("registry or store")]
Prefix = Annotated[
    bytes,
    _text("an absolute path without '.' and '..', or an empty one", _prefix),
    _pattern(f"^({_WITHOUT_DOTS}/|$)"),
    _AS_TEXT,
]
Door = Annotated[str, _text(DOOR_FORMS, _door), _pattern(r"^[A-Za-z][A-Za-z0-9+.-]*://")]
Host = Annotated[str, _text("host or host:port", _host), _AUTHORITY]
HostAndPort = Annotated[str, _text("host:port", _host_and_port), _pattern(r"^[^/@\s]+:[0-9]+$")]
Address = Annotated[str, _text("host or host:port", _address), _AUTHORITY]
Placement = Annotated[
    tuple[tuple[str, float | str], ...],
    PlainValidator(_placement),
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": f"^{_NODE_WORD.pattern}$", "not": {"enum": list(_OWN_RESOURCES)}},
            "additionalProperties": {
                "anyOf": [
                    {"type": "number", "exclusiveMinimum": 0, "maximum": _MOST},
                    {"type": "string", "pattern": f"^{_NODE_WORD.pattern}$"},
                ]
            },
        }
    ),
    PlainSerializer(dict),
]
LocalPath = Annotated[Path, PlainValidator(_local_path), WithJsonSchema(_FILE_NAME), _AS_NAME]
SecondInventory = Annotated[
    str | Path,
    PlainValidator(_second_inventory),
    WithJsonSchema({"anyOf": [{"enum": ["again", "none"]}, _FILE_NAME]}),
    _AS_NAME,
]
Flag = Annotated[bool, PlainValidator(_flag), WithJsonSchema({"enum": [True, False, 1, 0]})]
RuntimeEnv = Annotated[
    str,
    PlainValidator(_runtime_env),
    WithJsonSchema(
        {"type": "object", "properties": {name: {} for name in _RUNTIME_ENV}, "additionalProperties": False}
    ),
    _AS_JSON,
]
ListDeletable = Annotated[str, PlainValidator(_list_deletable), WithJsonSchema({"type": "object"}), _AS_JSON]
Method = Annotated[
    Literal["XRootD", "SRM", "directx", "RAL-Reader"], _expected("one of XRootD, SRM, directx and RAL-Reader")
]
Lister = Annotated[Literal["auto", "bindings", "wire"], _expected("one of auto, bindings and wire")]
Layout = Annotated[Literal["auto", "shared", "clustered"], _expected("one of auto, shared and clustered")]
Format = Annotated[
    Literal[
        "auto",
        "paths",
        "sizes",
        "csv",
        "tsv",
        "pipe",
        "ral",
        "rucio",
        "dcache",
        "syncat",
        "eos",
        "xrdfs",
        "rclone",
        "parquet",
        "avro",
    ],
    _expected(
        "one of auto, paths, sizes, csv, tsv, pipe, ral, rucio, dcache, syncat, eos, xrdfs, rclone, parquet and avro"
    ),
]
Part = Annotated[
    Literal["inventory", "registry", "sites", "deletions", "check", "blocks", "datasets"],
    _expected("one of inventory, registry, sites, deletions, check, blocks and datasets"),
]
PathRule = Annotated[
    tuple[str, str],
    PlainValidator(_path_rule),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {"DID": {"type": "string"}, "Path": {"type": "string", "minLength": 1}},
            "required": ["DID", "Path"],
            "additionalProperties": False,
        }
    ),
    PlainSerializer(lambda rule: {"DID": rule[0], "Path": rule[1]}),
]
LFN2Path = Annotated[Literal["auto", "hash", "identity", "name"], _expected("one of auto, hash, identity and name")]
Runtime = Annotated[Literal["ray", "threads"], _expected("ray or threads")]
Seconds = Annotated[
    float,
    Field(strict=True, gt=0, allow_inf_nan=False),
    _expected("a number of seconds above 0"),
    _AtMost(_LONGEST, "a number of seconds"),
]
PatienceSeconds = Annotated[
    float,
    Field(strict=True, ge=0, allow_inf_nan=False),
    _expected("a number of seconds, 0 or more"),
    _AtMost(_LONGEST, "a number of seconds"),
]
Days = Annotated[
    float,
    Field(strict=True, ge=0, allow_inf_nan=False),
    _expected("a number of days, 0 or more"),
    _AtMost(_LONGEST, "a number of days"),
]
Minutes = Annotated[
    float,
    Field(strict=True, ge=0, allow_inf_nan=False),
    _expected("a number of minutes, 0 or more"),
    _AtMost(_LONGEST, "a number of minutes"),
]
Gigabytes = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False), _expected("a number of GB, 0 or more")]
Fraction = Annotated[
    float, Field(strict=True, ge=0, le=1, allow_inf_nan=False), _expected("a fraction between 0 and 1")
]
Share = Annotated[
    str,
    _text(
        "a share such as 1/1000, n parts of t with n at least 1 and t at most 1000000",
        lambda text: str(ChecksumShare.parse(text)),
    ),
    _pattern(r"^\s*[0-9]{1,7}\s*/\s*[0-9]{1,7}\s*$"),
]
Bytes = Annotated[
    int,
    PlainValidator(_bytes),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": f"^({_SIZE.pattern})$"}]}
    ),
]
Count = Annotated[
    int, Field(strict=True, ge=0), _expected("a whole number, 0 or more"), _AtMost(_MOST, "a whole number")
]
Retries = Annotated[
    int, Field(strict=True, ge=0), _expected("a whole number, 0 or more"), _AtMost(_MOST_RETRIES, "a whole number")
]
Positive = Annotated[
    int, Field(strict=True, ge=1), _expected("a whole number, 1 or more"), _AtMost(_MOST, "a whole number")
]
AtATime = Annotated[
    int,
    Field(strict=True, ge=1),
    _expected("a whole number, 1 or more"),
    _AtMost(_MOST_AT_A_TIME, "a whole number"),
]
InFlight = Annotated[
    int, Field(strict=True, ge=1), _expected("a whole number, 1 or more"), _AtMost(_MOST_IN_FLIGHT, "a whole number")
]
