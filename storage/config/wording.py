"""What is wrong with a value, in the words of this program instead of those of pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from storage.config.keys import EmailKeys, Model, RucioKeys, SiteKeys, SQLKeys, TopKeys
from storage.config.problems import Problem
from storage.shown import printable, quoted, shown, unquoted


def problem_of(
    location: tuple[int | str, ...], kind: str, value: object, context: Mapping[str, Any], where: str
) -> Problem:
    """Say what is wrong at a location, by what pydantic says of it; ``where`` is the file, or ``environment``."""
    if kind == "string_unicode":
        # A lone surrogate, which JSON can write; the location is that of the mapping.
        location = (*location, str(value))
    path = location[:-1] if location[-1:] == ("[key]",) else location
    if kind in ("extra_forbidden", "string_unicode"):
        line, wrong, advice = _unknown_key(location)
    elif kind == "missing":
        wrong, advice = f"the key {quoted(str(location[-1]))} is missing", "add it"
        line = f"{_name(location[:-1])}: {wrong}"
    else:
        if location[-1] == "[key]":
            location = location[:-2]
        expected = context.get("expected") or ("a list" if kind == "tuple_type" else "a mapping")
        why = f" ({printable(context['why'])})" if context.get("why") else ""
        line = f"{_name(location)}: expected {expected}, found {shown(value)}{why}"
        wrong, advice = f"found {shown(value)}{why}", f"write {expected}"
        if value is None and len(location) == 2 and location[0] == "Sites":
            advice += ", {} for a site without keys of its own"
    site, key = _placed(location)
    return Problem(f"{where}: {line}", key, site, wrong, advice, where, path)


def _placed(location: tuple[int | str, ...]) -> tuple[str, str]:
    """Tell the site, empty for the top level, from the key and the place in it."""
    if location[0] == "Sites" and len(location) > 1:
        return unquoted(str(location[1])), _name(location[2:]) or "Sites"
    return "", _name(location)


def _unknown_key(location: tuple[int | str, ...]) -> tuple[str, str, str]:
    *parents, key = location
    model: type[Model] = SiteKeys if parents[:1] == ["Sites"] else TopKeys
    if parents[-1:] == ["Email"]:
        model = EmailKeys
    elif parents[-1:] == ["SQL"]:
        model = SQLKeys
    elif parents[-1:] == ["Rucio"]:
        model = RucioKeys
    known = {name.lower(): name for name in model.model_fields}
    nearest = get_close_matches(str(key).lower(), known, n=1)
    place = f"{_name(tuple(parents))}: " if parents else ""
    wrong = f"unknown key {quoted(str(key))}"
    if not nearest:
        return f"{place}{wrong}", wrong, "remove it; docs/configuration.md has the keys"
    meant = quoted(known[nearest[0]])
    return f"{place}{wrong}; did you mean {meant}?", wrong, f"write {meant}, or remove it"


def _name(location: tuple[int | str, ...]) -> str:
    """Name a place in the file: ``Sites.T2_X.Doors[0]``."""
    name = ""
    for part in location:
        name += f"[{part}]" if isinstance(part, int) else f"{'.' if name else ''}{unquoted(part)}"
    return name
