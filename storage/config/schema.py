"""A configuration in the terms of JSON Schema, for editors: made from the models that it is read into.

A configuration that the program takes fits the schema. One that fits may still be refused: what a pattern cannot tell,
as whether a door is well formed to its end, only the program tells.
"""

from __future__ import annotations

from typing import Any

from storage.config.keys import CommonKeys, SiteKeys, TopKeys
from storage.config.meanings import MEANINGS
from storage.config.published import without_secrets

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Give the schema of a configuration file, be it JSON, YAML or TOML."""
    schema = _plain(TopKeys.model_json_schema())
    defaults = without_secrets(TopKeys().model_dump())
    own = schema["$defs"][SiteKeys.__name__]["properties"]
    for key, value in schema["properties"].items():
        value |= {"description": MEANINGS[key], "default": defaults[key]}
    for key, value in own.items():
        # What a site does not say, the top level says.
        value.pop("default", None)
        value["description"] = MEANINGS[key] if key in CommonKeys.model_fields else f"{MEANINGS[key]}; of this site"
    title = "Configuration of dynamo-consistency"
    return {"$schema": DIALECT, "title": title, **schema}


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave out what pydantic makes of names in Python, and let no other names of a mapping through."""
    return {
        key: {name: _plain_value(value) for name, value in inner.items()}
        if key in ("properties", "$defs")
        else _plain_value(inner)
        for key, inner in _without_patterns(schema).items()
        if key not in ("title", "description")
    }


def _plain_value(value: Any) -> Any:
    match value:
        case dict():
            return _plain(value)
        case list():
            return [_plain_value(inner) for inner in value]
        case _:
            return value


def _without_patterns(schema: dict[str, Any]) -> dict[str, Any]:
    patterns = schema.get("patternProperties")
    if not patterns:
        return schema
    ((pattern, value),) = patterns.items()
    others = {key: inner for key, inner in schema.items() if key != "patternProperties"}
    return {**others, "propertyNames": {"pattern": pattern}, "additionalProperties": value}
