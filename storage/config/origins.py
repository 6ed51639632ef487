"""Where the value of a key comes from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Origin(StrEnum):
    """Where a value comes from, from the weakest to the strongest."""

    DEFAULT = "default"
    TOP_LEVEL = "top level"
    SITE = "site"
    BACKEND = "backend"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True)
class Setting:
    """What a key comes to for a site, as a file would have it: with file names that are absolute."""

    key: str
    value: Any
    origin: Origin
