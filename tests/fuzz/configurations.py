"""Configurations that were damaged: each key is in effect as it was written, or all is refused with its reasons."""

from __future__ import annotations

import json
import pickle
import random
import tomllib
from pathlib import Path
from typing import Any

import yaml

from engine.work import QueueLimits
from storage.config.files import ConfigError
from storage.config.loading import KEYS, Config
from storage.config.published import without_secrets
from tests.fuzz.damage import damaged

_YAML = b"""\
RootPath: /store
DirectoryList: [mc, data]
Timeout: 30
Retries: 3
Doors: [root://door.example:1094]
AccessMethod: {T2_A: SRM}
Sites: &sites
  T2_A:
    Inventory: a.txt
    MaxMissing: 5
  T2_B: {DirectoryList: [], UseLoadBalancer: true}
"""
_TOML = b"""\
RootPath = "/store"
DirectoryList = ["mc"]
IgnoreAge = 1.5
Email = {Sender = "a@b", Recipients = ["c@d"], Server = "h:25"}
[Sites.T2_A]
Timeout = 5
[PathPrefix]
T2_A = "/cms"
"""
_JSON = json.dumps(
    {
        "RootPath": "/store",
        "IgnoreDirectories": ["tmp"],
        "Redirectors": {"T2_A": "host:1094"},
        "SQL": {"URL": "sqlite:///x", "Files": "SELECT 1"},
        "ListDeletable": {"PROTECTED_LIST": "list.txt"},
        "Sites": {"T2_A": {"NumThreads": 2, "Runtime": "ray", "SQL": None}, "T3_B-c.d": {}},
    }
).encode()
_BASES = ((".yaml", _YAML), (".toml", _TOML), (".json", _JSON), ("", _JSON), (".yml", _JSON))
_TOKENS = (
    *(key.encode() for key in KEYS),
    *(
        b": ",
        b"\n  ",
        b"\n",
        b"- ",
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b"'",
        b"=",
        b",",
        b"#",
        b"|",
        b">",
        b"&a ",
        b"*a",
        b"*sites",
    ),
    *(
        b"<<: ",
        b"!!",
        b"!!python/object:x ",
        b"!!binary ",
        b"!!set ",
        b"!!timestamp ",
        b"---\n",
        b"...",
        b"%YAML 1.1\n",
        b"\t",
    ),
    *(
        b"null",
        b"~",
        b"true",
        b"NO",
        b"0",
        b"-1",
        b"1e400",
        b".inf",
        b".nan",
        b"NaN",
        b"Infinity",
        b"9" * 30,
        b"9" * 5000,
        b"0x10",
    ),
    *(
        b"0o7",
        b"1_000",
        b"1:30",
        b"2026-01-02",
        b"../x",
        b"/",
        b"\\u0000",
        b"\\ud800",
        b"\xff",
        b"\0",
        b"\xef\xbb\xbf",
        b"\xe2\x80\xa8",
    ),
    *(
        b"file:///",
        b"root://u:secret@h//p",
        b"http://x",
        b"https://[",
        b"root://[::1]:99999",
        b"dump:///d",
        b"a" * 300,
        b"[" * 200,
    ),
)
_VALUES = (
    "",
    "5",
    "-1",
    "true",
    "[a, b]",
    '{"T2_A": 1}',
    "/x",
    "x",
    "NaN",
    "[",
    "\udcff",
    "a\nb",
    "9" * 5000,
    "{}",
    "*a",
)
_NUMBERS = ("Timeout", "Retries", "NumThreads", "InFlight", "Connections", "MaxDepth", "MaxMissing", "MaxOrphan")
_FIELDS = {"Timeout": "timeout", "Retries": "retries", "NumThreads": "listers", "InFlight": "in_flight"} | {
    "Connections": "connections",
    "MaxDepth": "max_depth",
    "MaxMissing": "max_missing",
    "MaxOrphan": "max_orphan",
}


class ConfigurationFuzzer:
    """Damages configurations in each format, and the environment that overrides them."""

    name = "configurations"

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def try_one(self, chance: random.Random) -> str:
        """Try one damaged configuration."""
        suffix, base = chance.choice(_BASES)
        content = damaged(chance, base, [other for _, other in _BASES], _TOKENS)
        path = self._directory / f"config{suffix}"
        path.write_bytes(content)
        environment = {}
        if chance.random() < 0.3:
            environment = {chance.choice(KEYS): chance.choice(_VALUES) for _ in range(chance.choice((1, 2)))}
        try:
            config = Config.load(path, environment)
        except ConfigError as error:
            _check_words(error)
            return f"{suffix or 'other'} refused"
        self._check(config, suffix, content, environment)
        return f"{suffix or 'other'} read"

    def _check(self, config: Config, suffix: str, content: bytes, environment: dict[str, str]) -> None:
        given = _plain(suffix, content.decode("utf-8-sig"))
        assert given.keys() <= set(KEYS), "a key that nobody knows was read"
        if "Sites" not in environment:
            assert config.sites == tuple(given.get("Sites", {})), "sites were lost"
        top = config.top_level()
        for key in _NUMBERS:
            if key in given and key not in environment:
                assert getattr(top, _FIELDS[key]) == _in_effect(key, given[key]), f"{key} is not in effect"
        for name in (*config.sites, ""):
            site = config.site(name) if name else top
            own = (given.get("Sites") or {}).get(name) if "Sites" not in environment else None
            for key in _NUMBERS:
                if own and key in own and key not in environment:
                    assert getattr(site, _FIELDS[key]) == _in_effect(key, own[key]), f"{key} of a site is not in effect"
            assert site.root_path.startswith(b"/")
            assert all(top.startswith(b"/") for top in site.directories)
            site.store_spec()
            QueueLimits(max_attempts=site.retries + 1, max_depth=site.max_depth)
            assert pickle.loads(pickle.dumps(site)) == site
        json.dumps(without_secrets(config.given), ensure_ascii=False).encode("utf-8", "backslashreplace")


def _in_effect(key: str, given: Any) -> Any:
    return float(given) if key == "Timeout" else given


def _plain(suffix: str, text: str) -> dict[str, Any]:
    """Read a configuration that was accepted with the plain reader of its format."""
    if suffix == ".toml":
        return tomllib.loads(text)
    if suffix in (".json", ""):
        try:
            found: dict[str, Any] = json.loads(text)
            return found
        except ValueError:
            if suffix == ".json":
                raise
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def _check_words(error: ConfigError) -> None:
    assert error.problems
    for problem in error.problems:
        assert problem.isprintable(), f"no printable line: {problem!r}"
        assert "secret" not in problem or "u:secret@" not in problem, f"a secret is shown: {problem}"
        assert len(problem) < 5000, "a line of thousands of characters"
    assert pickle.loads(pickle.dumps(error)).problems == error.problems
