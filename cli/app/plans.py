"""The commands of plans."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.app.options import AddressOption, JsonOption, RuntimeOption, ShipOption, leave
from cli.session import RunOptions

plan = typer.Typer(name="plan", help="Look at what a check wants done, and have it done.", no_args_is_help=True)

SiteArgument = Annotated[str, typer.Argument(metavar="SITE", help="The site.")]


@plan.command("show", short_help="Show what would be done at a site, and why.")
def show(
    context: typer.Context,
    site: SiteArgument,
    items: Annotated[bool, typer.Option("--list", help="Each item, and what became of it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the plan that the last check of a site made, how far it is, and whether it may be applied."""
    from cli.plan_command import show_plan

    leave(show_plan(context.obj, site, items, as_json))


@plan.command("apply", short_help="Do what the plan of a site says.")
def apply(
    context: typer.Context,
    site: SiteArgument,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=0, help="The first N items that are left, at most.")
    ] = None,
    most_bytes: Annotated[
        int | None, typer.Option("--max-bytes", metavar="N", min=0, help="No more bytes than this to be deleted.")
    ] = None,
    last_copies: Annotated[
        bool, typer.Option("--last-copies", help="Have Rucio give up missing files that have no other copy, too.")
    ] = False,
    runtime: RuntimeOption = None,
    address: AddressOption = None,
    ship: ShipOption = False,
    as_json: JsonOption = False,
) -> None:
    """Do what the plan of a site says, of what its store still confirms; a second call goes on from there."""
    from cli.plan_command import apply as run

    options = RunOptions(runtime, address, as_json=as_json, ship=ship)
    leave(run(context.obj, site, limit, most_bytes, options, last_copies))


@plan.command("reject", short_help="Have the plan of a site never applied.")
def reject(
    context: typer.Context,
    site: SiteArgument,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="What the audit log says about it.")] = "",
) -> None:
    """Note that the plan of a site is never to be applied; the next check makes another one."""
    from cli.plan_command import reject_plan

    leave(reject_plan(context.obj, site, why))


@plan.command("quarantine", short_help="Show what was put aside at the store of a site.")
def quarantine(context: typer.Context, site: SiteArgument, as_json: JsonOption = False) -> None:
    """Show what `Deletion: store` has put aside at a site, where, and when; all of it can still be brought back."""
    from cli.quarantine_command import show_quarantine

    leave(show_quarantine(context.obj, site, as_json))


@plan.command("undo", short_help="Bring back what was put aside at the store of a site.")
def undo(
    context: typer.Context,
    site: SiteArgument,
    lfns: Annotated[
        list[str] | None,
        typer.Argument(metavar="LFN...", help="These files; without any, all of the last plan that put some aside."),
    ] = None,
    plan: Annotated[str | None, typer.Option("--plan", metavar="PLAN", help="All of this plan.")] = None,
    runtime: RuntimeOption = None,
    address: AddressOption = None,
    ship: ShipOption = False,
    as_json: JsonOption = False,
) -> None:
    """Move files from the quarantine of a site back to where they were, where nothing is there by now."""
    from cli.quarantine_command import undo as run

    leave(run(context.obj, site, lfns or (), plan, RunOptions(runtime, address, as_json=as_json, ship=ship)))


@plan.command("purge", short_help="Delete for good what was put aside long enough ago.")
def purge(
    context: typer.Context,
    site: SiteArgument,
    older_than: Annotated[
        float | None,
        typer.Option("--older-than", metavar="DAYS", min=0, help="More than so many days ago [QuarantineDays]."),
    ] = None,
    runtime: RuntimeOption = None,
    address: AddressOption = None,
    ship: ShipOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete from the quarantine of a site what nobody has missed, of which the inventory is asked once more."""
    from cli.quarantine_command import empty

    leave(empty(context.obj, site, older_than, RunOptions(runtime, address, as_json=as_json, ship=ship)))
