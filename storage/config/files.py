"""Configuration files as plain mappings: JSON, YAML and TOML, none of which may say the same thing twice.

ConfigError          a configuration cannot be used
└── ConfigUnreadable its file cannot be read; also an OSError
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from storage.config.problems import Problem
from storage.shown import printable, quoted


class ConfigError(Exception):
    """A configuration cannot be used. ``problems`` are one line each, and so is each line of the message."""

    def __init__(self, *problems: str | Problem) -> None:
        super().__init__(*problems)

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong, one line for each key or place."""
        return tuple(map(str, self.args))

    @property
    def found(self) -> tuple[Problem, ...]:
        """The same, taken apart where that is known."""
        return tuple(part if isinstance(part, Problem) else Problem(part, wrong=part) for part in self.args)

    def __str__(self) -> str:
        return "\n".join(self.problems)


class ConfigUnreadable(ConfigError, OSError):
    """The file of a configuration is not there or cannot be read."""


def read_mapping(path: Path, loader: Any = None) -> dict[str, Any]:
    """Read a configuration file.

    The suffix tells the format: ``.json``, ``.yaml``, ``.yml`` or ``.toml``; with another or none, JSON is tried, then
    YAML. A ``loader``, if given, decides instead: an object whose ``load`` is called with the open text, or one of the
    modules ``json``, ``yaml`` and ``tomllib``, which stand for the strict readers here.

    Raises:
        ConfigUnreadable: the file is not there or cannot be read.
        ConfigError: it is malformed, has a key twice, or is not a mapping.
    """
    where = printable(str(path))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigUnreadable(f"{where}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{where}: not a file name: {error}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{where}: line {line}: not UTF-8") from error
    reader = _READERS.get(path.suffix.lower(), parse_value) if loader is None else _reader_of(loader)
    try:
        value = reader(text)
    except ValueError as error:
        wrong = f"{where}: {printable(str(error))}"
        advice = _how_to_write(reader, text) if _is_of_parser(error) else ""
        raise ConfigError(Problem(f"{wrong}; {advice}" if advice else wrong, wrong=wrong, advice=advice)) from error
    if not isinstance(value, dict):
        found = "nothing" if value is None else "a list" if isinstance(value, list) else "a single value"
        raise ConfigError(f"{where}: expected a mapping of keys to values, found {found}")
    return value


def _is_of_parser(error: ValueError) -> bool:
    """Tell whether these are the words of a library, which say what it met and not what to do."""
    cause = error.__cause__
    if isinstance(cause, yaml.MarkedYAMLError):
        return isinstance(cause, yaml.scanner.ScannerError | yaml.parser.ParserError)
    if isinstance(cause, json.JSONDecodeError):
        return bool(cause.doc.strip())
    # Others of TOML are of keys that stand twice.
    return isinstance(error, tomllib.TOMLDecodeError) and str(error).startswith(("Expected", "Invalid"))


def _how_to_write(reader: Callable[[str], Any], text: str) -> str:
    """Say what to look for in a file that is not of the format that it is read as."""
    if reader is _read_toml:
        return "in TOML a key is followed by =, and text stands in double quotes"
    if reader is _read_json or (reader is parse_value and text.lstrip().startswith("{")):
        if not text.lstrip().startswith("{") and _is_mapping_of_yaml(text):
            return "it is YAML, which belongs into a file whose name ends in .yaml"
        return "in JSON all text stands in double quotes, there are no comments, and no comma behind the last one"
    return "in YAML keys side by side are indented alike, with blanks; text with ? : # , [ or { in it stands in quotes"


def _is_mapping_of_yaml(text: str) -> bool:
    try:
        return isinstance(_read_yaml(text), dict)
    except ValueError:
        return False


def parse_value(text: str) -> Any:
    """Read a JSON or YAML value.

    Raises:
        ValueError: it is neither; the message says why, with the line.
    """
    try:
        return _read_json(text)
    except ValueError:
        if text.lstrip().startswith("{"):
            try:
                return _read_yaml(text)
            except ValueError:
                # It was meant as JSON, so the words of the JSON reader help more.
                return _read_json(text)
        return _read_yaml(text)


def _read_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        if not text.strip():
            raise ValueError("it is empty") from error
        raise ValueError(f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key, value in pairs:
        if key in mapping:
            raise ValueError(f"the key {quoted(key)} stands twice")
        mapping[key] = value
    return mapping


_MOST_VALUES = 100_000

_NAMED = re.compile(r"\b(alias|anchor|tag|handle) '[^']*'")
"""What PyYAML names in its messages and may be a password that begins with a ``*``, ``&`` or ``!``."""


class _StrictLoader(yaml.SafeLoader):
    """Refuses repeated keys and keys that YAML does not read as text, such as an unquoted ``NO``."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        # Before merge keys are expanded, since what they bring in may well be overridden.
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
                shown = quoted(key.value) if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                raise _yaml_error(key, f"YAML does not read the key {shown} as text; put it in quotes")
            if key.value in seen:
                raise _yaml_error(key, f"the key {quoted(key.value)} stands twice")
            seen.add(key.value)
        return node


def _expanded(node: Any, known: dict[int, int]) -> int:
    """Count the values below a node with its aliases written out; a few lines can stand for billions of them.

    ``known`` has the counts by node, 0 for those that are being counted.
    """
    count = known.get(id(node))
    if count == 0:
        raise _yaml_error(node, "an alias stands inside of what it stands for")
    if count is not None:
        return count
    known[id(node)] = 0
    count = 1
    if isinstance(node, yaml.CollectionNode):
        for inner in node.value:
            count += sum(_expanded(one, known) for one in (inner if isinstance(inner, tuple) else (inner,)))
    if count > _MOST_VALUES:
        raise _yaml_error(node, f"with its aliases written out it has more than {_MOST_VALUES} values")
    known[id(node)] = count
    return count


def _yaml_error(node: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def _read_yaml(text: str) -> Any:
    loader = None
    try:
        loader = _StrictLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _expanded(node, {})
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        begin = f" ({error.context}, line {error.context_mark.line + 1})" if error.context_mark else ""
        words = _NAMED.sub(r"\1 '...'", f"{error.problem or error.context}{begin}")
        raise ValueError(f"{place}{words}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ValueError(f"line {line}: a character that YAML does not allow") from error
    except (KeyError, AttributeError, TypeError) as error:
        # What PyYAML lets through for values that do not fit an explicit tag, such as `!!bool maybe`.
        raise ValueError("a value does not fit its YAML tag") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    finally:
        if loader is not None:
            loader.dispose()


def _read_toml(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _reader_of(loader: Any) -> Callable[[str], Any]:
    if isinstance(loader, ModuleType) and loader.__name__ in _MODULES:
        return _MODULES[loader.__name__]

    def read(text: str) -> Any:
        try:
            return loader.load(StringIO(text))
        except Exception as error:
            # Only the loader's own module knows what it raises.
            raise ValueError(f"{type(error).__name__}: {error}") from error

    return read


_READERS: dict[str, Callable[[str], Any]] = {
    ".json": _read_json,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".toml": _read_toml,
}

_MODULES: dict[str, Callable[[str], Any]] = {"json": _read_json, "yaml": _read_yaml, "tomllib": _read_toml}
