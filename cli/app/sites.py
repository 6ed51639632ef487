"""The commands that ask about a site or tell it something."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.app.options import (
    AddressOption,
    ExitCodeOption,
    InFlightOption,
    JsonOption,
    ListersOption,
    RuntimeOption,
    leave,
)
from cli.session import RunOptions


def halt(
    context: typer.Context,
    site: Annotated[str, typer.Argument(metavar="SITE", help="The site whose run is to stop.")],
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, help="Seconds to wait until it has stopped.")
    ] = 10.0,
) -> None:
    """Stop the run of a site; its journal stays, and the next check goes on from there."""
    from cli.site_commands import halt_site

    leave(halt_site(context.obj, site, wait))


def history(
    context: typer.Context,
    site: Annotated[str, typer.Argument(metavar="SITE", help="The site.")],
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=1_000_000, help="How many runs, newest first.")
    ] = 10,
    actions: Annotated[
        bool, typer.Option("--actions", help="What was done because of plans, instead of runs.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the last runs of a site, or what was done there."""
    from cli.site_commands import show_actions, show_history

    leave((show_actions if actions else show_history)(context.obj, site, limit, as_json))


def unmerged(
    context: typer.Context,
    site: Annotated[str, typer.Argument(metavar="SITE", help="The site whose unmerged area is looked through.")],
    protected_list: Annotated[
        str, typer.Option("--list", metavar="URL", help="The protected list: a URL or a file.")
    ] = "",
    mode: Annotated[
        str, typer.Option("--mode", metavar="NAME", help="What may be deleted: files or directories.")
    ] = "",
    more_logs: Annotated[
        bool, typer.Option("--more-logs", help="Clean the directories of AdditionalLogDeletions as well.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over, even if an unfinished listing is there.")] = False,
    runtime: RuntimeOption = None,
    address: AddressOption = None,
    listers: ListersOption = None,
    in_flight: InFlightOption = None,
    exit_code: ExitCodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find out what may be deleted in the unmerged area of a site; it deletes nothing."""
    from cli.unmerged_command import UnmergedRequest, run

    options = RunOptions(runtime, address, listers, in_flight, exit_code, as_json)
    leave(run(context.obj, UnmergedRequest(site, protected_list, mode, more_logs, fresh), options))


def sites(
    context: typer.Context,
    pattern: Annotated[
        str | None, typer.Argument(metavar="PATTERN", help="A regular expression that the names contain.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how the sites stand, and why one is not checked next."""
    from cli.sites_command import show_sites

    leave(show_sites(context.obj, pattern, as_json))


def status(
    context: typer.Context,
    site: Annotated[str | None, typer.Argument(metavar="SITE", help="The site; all that run when left out.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what runs now, or how one site stands, with the last result."""
    from cli.sites_command import show_status

    leave(show_status(context.obj, site, as_json))


def set_status(
    context: typer.Context,
    site: Annotated[str, typer.Argument(metavar="SITE", help="The site.")],
    action: Annotated[str, typer.Argument(metavar="ACTION", help="ready, halt, disable, act or dry.")],
) -> None:
    """Set a site ready, halt or disable it, or say whether its findings are acted on."""
    from cli.sites_command import set_status as change

    leave(change(context.obj, site, action))


def invalidate(
    context: typer.Context,
    pattern: Annotated[
        str | None, typer.Argument(metavar="PATTERN", help="A site, or a regular expression that the names contain.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be asked for.")] = False,
    without_asking: Annotated[
        bool, typer.Option("--without-asking", help="Do not ask the stores once more whether the files are missing.")
    ] = False,
    last_copies: Annotated[
        bool, typer.Option("--last-copies", help="Have Rucio give up files that have no other copy, too.")
    ] = False,
    runtime: RuntimeOption = None,
    address: AddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have the missing files brought back of which the history knows, at sites that are set to act."""
    from cli.invalidate_command import run

    options = RunOptions(runtime, address, as_json=as_json)
    leave(run(context.obj, pattern, dry_run, without_asking, options, last_copies))


def dump_tree(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The name of the cache; inventory or remote when left out.")
    ] = None,
    site: Annotated[
        str | None, typer.Option("--site", metavar="SITE", help="The site; the only one when left out.")
    ] = None,
    remote: Annotated[bool, typer.Option("--remote", help="What is at the site, not what should be there.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Save the tree in this file as well.")
    ] = None,
    display: Annotated[bool, typer.Option("--display", help="Print each directory and file of the tree.")] = False,
    runtime: RuntimeOption = None,
    address: AddressOption = None,
    listers: ListersOption = None,
    in_flight: InFlightOption = None,
    as_json: JsonOption = False,
) -> None:
    """Save the tree of a site: of its inventory, or of what is there."""
    from cli.dump_tree_command import DumpRequest, run

    options = RunOptions(runtime, address, listers, in_flight, as_json=as_json)
    leave(run(context.obj, DumpRequest(site, remote, name, output, display), options))
