"""The commands about the configuration."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.app.options import JsonOption, leave

config = typer.Typer(name="config", help="Show and check the configuration.", no_args_is_help=True)


@config.command("show", short_help="Show what the keys come to for a site.")
def show(
    context: typer.Context,
    site: Annotated[str, typer.Argument(metavar="SITE", help="The site.")],
    changed: Annotated[bool, typer.Option("--changed", help="Leave out what has its default.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what each key of the configuration comes to for a site, and where that comes from."""
    from cli.answers.config import show_settings

    leave(show_settings(context.obj, site, changed, as_json))


@config.command("check", short_help="Say everything that is wrong with it.")
def check(context: typer.Context, as_json: JsonOption = False) -> None:
    """Say everything that is wrong with the configuration, and what to do about it."""
    from cli.answers.config import check_settings

    leave(check_settings(context.obj, as_json))


@config.command("schema", short_help="Print its JSON Schema, for editors.")
def schema() -> None:
    """Print the JSON Schema of a configuration file, for editors."""
    from cli.answers.config import print_schema

    leave(print_schema())
