"""The commands that list and compare."""

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
    ShipOption,
    leave,
)
from cli.session import RunOptions


def list_source(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A site, root://host[:port]//path, file:///path or a directory.")
    ],
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="The file to write.")] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="NAME", help="The file's format: snapshot, text or jsonl.")
    ] = "snapshot",
    runtime: RuntimeOption = None,
    address: AddressOption = None,
    ship: ShipOption = False,
    listers: ListersOption = None,
    in_flight: InFlightOption = None,
    exit_code: ExitCodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """List a store and save what was seen."""
    from cli.list_command import run

    options = RunOptions(runtime, address, listers, in_flight, exit_code, as_json, ship)
    leave(run(context.obj, source, output, form, options))


def compare(
    context: typer.Context,
    inventory: Annotated[str, typer.Argument(metavar="INVENTORY", help="A snapshot, an inventory file or a SOURCE.")],
    remote: Annotated[str, typer.Argument(metavar="REMOTE", help="A snapshot, a list of files or a SOURCE.")],
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="BASE", help="Write BASE_missing.txt and so on.")
    ] = None,
    ignore_age: Annotated[
        float | None, typer.Option("--ignore-age", min=0, metavar="DAYS", help="Leave younger files alone.")
    ] = None,
    second_inventory: Annotated[
        str | None,
        typer.Option("--second-inventory", metavar="LATER", help="An inventory of after the listing, to agree with."),
    ] = None,
    runtime: RuntimeOption = None,
    address: AddressOption = None,
    ship: ShipOption = False,
    listers: ListersOption = None,
    in_flight: InFlightOption = None,
    exit_code: ExitCodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare two lists of files."""
    from cli.compare_command import run

    options = RunOptions(runtime, address, listers, in_flight, exit_code, as_json, ship)
    leave(run(context.obj, inventory, remote, output, ignore_age, options, second_inventory))


def identify(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Lists of files, dumps and snapshots.")],
    site: Annotated[
        str | None, typer.Option("--site", metavar="SITE", help="The site whose settings and name count.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="NAME", help="Take the files for this format, as InventoryFormat does.")
    ] = "auto",
    as_json: JsonOption = False,
) -> None:
    """Say what files are: which list or dump, how old, how many entries, and what does not fit."""
    from cli.identify_command import run

    leave(run(context.obj, files, site, form, as_json))


def check(
    context: typer.Context,
    site: Annotated[str | None, typer.Argument(metavar="SITE", help="The site; the only one when left out.")] = None,
    inventory: Annotated[
        Path | None,
        typer.Option("--inventory", metavar="FILE", help="The inventory file, instead of the configuration's."),
    ] = None,
    remote: Annotated[
        str | None, typer.Option("--remote", metavar="SOURCE", help="The store, instead of the configuration's doors.")
    ] = None,
    second_inventory: Annotated[
        str | None,
        typer.Option("--second-inventory", metavar="LATER", help="again, none, or the file to read after the listing."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over, even if an unfinished run is there.")] = False,
    pattern: Annotated[
        str | None,
        typer.Option("--site", metavar="PATTERN", help="Pick the site that waits longest among those that match."),
    ] = None,
    lock: Annotated[
        str | None, typer.Option("--lock", metavar="NAME", help="Pick a site that needs this lock; '' for none.")
    ] = None,
    no_orphan: Annotated[bool, typer.Option("--no-orphan", help="Report no orphan.")] = False,
    no_inventory: Annotated[bool, typer.Option("--no-inventory", help="List the site, and compare nothing.")] = False,
    cms: Annotated[bool, typer.Option("--cms", help="Take the names of files for those of CMS.")] = False,
    unmerged: Annotated[bool, typer.Option("--unmerged", help="Look through the unmerged area, too.")] = False,
    more_logs: Annotated[
        bool, typer.Option("--more-logs", help="With --unmerged: the AdditionalLogDeletions as well.")
    ] = False,
    no_sam: Annotated[bool, typer.Option("--no-sam", help="Do not ask whether the site is fit to be checked.")] = False,
    update_summary: Annotated[
        bool, typer.Option("--update-summary", help="Update summary and page in any case.")
    ] = False,
    accept_fewer: Annotated[
        bool, typer.Option("--accept-fewer", help="Believe a store or inventory with far fewer files than before.")
    ] = False,
    last_copies: Annotated[
        bool, typer.Option("--last-copies", help="Have Rucio give up missing files that have no other copy, too.")
    ] = False,
    email: Annotated[bool, typer.Option("--email", help="Write to the addresses of Email when it fails.")] = False,
    runtime: RuntimeOption = None,
    address: AddressOption = None,
    ship: ShipOption = False,
    listers: ListersOption = None,
    in_flight: InFlightOption = None,
    exit_code: ExitCodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check a site: list it, compare it with its inventory, record and report what differs."""
    from cli.check_command import CheckRequest, run

    options = RunOptions(runtime, address, listers, in_flight, exit_code, as_json, ship)
    request = CheckRequest(
        site=site,
        pattern=pattern,
        lock=lock,
        inventory=inventory,
        remote=remote,
        second_inventory=second_inventory,
        fresh=fresh,
        no_orphan=no_orphan,
        no_inventory=no_inventory,
        cms=cms,
        unmerged=unmerged,
        more_logs=more_logs,
        no_sam=no_sam,
        update_summary=update_summary,
        email=email,
        accept_fewer=accept_fewer,
        last_copies=last_copies,
    )
    leave(run(context.obj, request, options))


def demo(
    runtime: RuntimeOption = None,
    directory: Annotated[
        Path | None,
        typer.Option("--directory", metavar="DIR", help="Where to put the demo; a new temporary directory by default."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a small site with known faults and check it, on a real XRootD server when there is one."""
    from cli.demo import run

    leave(run(runtime, directory, as_json))
