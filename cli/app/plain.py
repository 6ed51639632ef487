"""Spares the command line what it does not need: most arguments are taken as they stand.

typer converts each with pydantic, even those that were not given, and pydantic takes longer to load than everything
else that a short command does. A text, a path that typer would not object to, and an option that was not given need no
conversion; whatever else there is, and each error, is left to typer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from typer.core import TyperGroup


class PlainGroup(TyperGroup):
    """A group whose arguments, and those of its commands, are converted only where that changes them."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Give the group's own parameters."""
        parameters = super().get_params(ctx)
        _spare(parameters)
        return parameters

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command that the arguments name."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            _spare(command.get_params(ctx))
        return name, command, rest


def _spare(parameters: Iterable[Any]) -> None:
    for parameter in parameters:
        # A typer that knows no such thing converts without pydantic.
        if hasattr(parameter, "type_descriptor") and "process_value" not in vars(parameter):
            parameter.process_value = _processing(parameter)


def _processing(parameter: Any) -> Any:
    process = parameter.process_value

    def process_value(context: Any, value: Any) -> Any:
        if not _stands(parameter, value):
            return process(context, value)
        if parameter.type_descriptor.annotation is Path and value is not None:
            value = Path(value)
        return value if parameter.callback is None else parameter.callback(context, parameter, value)

    return process_value


def _stands(parameter: Any, value: Any) -> bool:
    """Tell whether typer would have nothing to say against a value, and not change it either."""
    described = parameter.type_descriptor
    info, annotation = described.parameter_info, described.annotation
    if parameter.nargs != 1 or parameter.multiple or info.parser is not None:
        return False
    if value is None:
        return not parameter.required
    if type(value) is not str or info.resolve_path or info.allow_dash or info.path_type is not None:
        return False
    if annotation is str:
        return True
    unchecked = not info.exists and info.file_okay and info.dir_okay and not info.writable
    return annotation is Path and unchecked and _may_be_read(value)


def _may_be_read(path: str) -> bool:
    try:
        return os.access(path, os.R_OK) or not os.path.exists(path)
    except ValueError:
        return False
