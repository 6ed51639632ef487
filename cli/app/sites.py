"""The commands that ask about a site or tell it something."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.app.options import JsonOption, leave


def halt(
    context: typer.Context,
    site: Annotated[str, typer.Argument(metavar="SITE", help="The site whose run is to stop.")],
    wait: Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait until it has stopped.")] = 10.0,
) -> None:
    """Stop the run of a site; its journal stays, and the next check goes on from there."""
    from cli.site_commands import halt_site

    leave(halt_site(context.obj, site, wait))


def history(
    context: typer.Context,
    site: Annotated[str, typer.Argument(metavar="SITE", help="The site.")],
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many runs, newest first.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Show the last runs of a site."""
    from cli.site_commands import show_history

    leave(show_history(context.obj, site, limit, as_json))
