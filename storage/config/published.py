"""The copy of the configuration that stands beside the page, without what nobody else may know."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storage.atomic import AtomicFile, ReportError

NAME = "consistency_config.json"
"""The name of the copy in WebDir."""

BLOT = "***"

_SECRET_KEY = re.compile(r"pass(word|wd|phrase)?$|passw|pwd|token|secret|credential|bearer|api_?key|private|auth", re.I)
_ENVIRONMENT = "env_vars"
# A password may hold a slash, so everything up to the last @ goes.
_USER = re.compile(r"(?<=://)\S*@")
# Which parameters a server takes for a password nobody knows. The path behind an endpoint of SRM is none.
_QUERY = re.compile(r"(://[^\s?]*\?)(?!SFN=[^\s?&]*(?:\s|\Z))\S+")
_PARAMETER = re.compile(
    r"\b(\w*(?:passw(?:or)?d|passphrase|pwd|token|secret|credential|bearer|api_?key|authz?)\w*\s*[=:]\s*)"
    r"('[^']*'|\"[^\"]*\"|[^\s&;,]+)",
    re.I,
)
_BEARER = re.compile(r"\b(Bearer\s+)\S+", re.I)
_TOKEN = re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*")


def without_secrets(value: Any) -> Any:
    """Give a copy of a value of JSON or YAML in which secrets are blotted out.

    These are the user, the password and the parameters of a URL, what stands under a key or behind a parameter that
    sounds like a password or a token, all values of variables of an environment, and whatever looks like a token
    itself. What JSON cannot hold becomes text.
    """
    match value:
        case Mapping():
            return {str(key): _of_key(str(key), inner) for key, inner in value.items()}
        case list() | tuple():
            return [without_secrets(inner) for inner in value]
        case str():
            return _blotted(value)
        case None | bool() | int() | float():
            return value
        case _:
            return _blotted(str(value))


def _of_key(key: str, value: Any) -> Any:
    if _SECRET_KEY.search(key) and value is not None:
        return BLOT
    if key == _ENVIRONMENT and isinstance(value, Mapping):
        # Their names are anybody's, such as AWS_ACCESS_KEY_ID, and it is secrets that they are for.
        return dict.fromkeys(map(str, value), BLOT)
    return without_secrets(value)


def _blotted(text: str) -> str:
    text = _QUERY.sub(rf"\1{BLOT}", _USER.sub(f"{BLOT}@", text))
    text = _BEARER.sub(rf"\1{BLOT}", text)
    text = _PARAMETER.sub(rf"\1{BLOT}", text)
    return _TOKEN.sub(BLOT, text)


def publish(given: Mapping[str, Any], source: Path, web_dir: Path) -> bool:
    """Write the keys of a configuration, as they were given, to ``web_dir``; gives whether that changed anything.

    ``source`` is the configuration's own file, which is never written.

    Raises:
        ReportError: it cannot be written.
    """
    target = web_dir / NAME
    if _is_same(source, target):
        return False
    text = json.dumps(without_secrets(given), ensure_ascii=False, indent=2) + "\n"
    try:
        if target.read_bytes() == text.encode("utf-8", "backslashreplace"):
            return False
    except OSError:
        # It is not there yet, or is replaced by one that can be read.
        pass
    if target.is_dir():
        raise ReportError(f"{target}: cannot be written: Is a directory")
    AtomicFile.clear_up(target)
    with AtomicFile(target) as file:
        file.write(text)
    return True


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
