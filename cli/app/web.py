"""The commands of the web page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.app.options import JsonOption, leave

web = typer.Typer(name="web", help="Put the summary page into the web directory, or serve it.", no_args_is_help=True)

DirectoryOption = Annotated[
    Path | None, typer.Option("--directory", metavar="DIR", help="The web directory, instead of WebDir.")
]


@web.command("install", short_help="Put the summary page into the web directory.")
def install(context: typer.Context, directory: DirectoryOption = None, as_json: JsonOption = False) -> None:
    """Put the summary page into the web directory, built from what is there."""
    from cli.web_command import install_page

    leave(install_page(context.obj, directory, as_json))


@web.command("serve", short_help="Serve the summary page, and keep it up to date.")
def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 8080,
    directory: DirectoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve the summary page and the lists, and keep the page up to date with the databases."""
    from cli.web_command import serve_page

    leave(serve_page(context.obj, directory, host, port, as_json))
