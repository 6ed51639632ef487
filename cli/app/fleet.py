"""The commands that look after all sites."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.app.options import (
    AddressOption,
    ExitCodeOption,
    InFlightOption,
    ListersOption,
    RuntimeOption,
    ShipOption,
    leave,
)
from cli.session import RunOptions


def run(
    context: typer.Context,
    pattern: Annotated[
        str | None, typer.Option("--site", metavar="PATTERN", help="Only sites whose names contain this expression.")
    ] = None,
    parallel: Annotated[int, typer.Option("--parallel", metavar="N", min=1, max=1000, help="Checks at a time.")] = 2,
    once: Annotated[bool, typer.Option("--once", help="Check each site that is due once, and end.")] = False,
    gap: Annotated[
        float, typer.Option("--gap", metavar="SECONDS", min=0, help="Seconds between the starts of two checks.")
    ] = 1.0,
    pool: Annotated[
        int | None,
        typer.Option(
            "--pool", metavar="N", min=1, max=1000, help="Listers in all checks together; before the key Pool."
        ),
    ] = None,
    runtime: RuntimeOption = None,
    address: AddressOption = None,
    ship: ShipOption = False,
    listers: ListersOption = None,
    in_flight: InFlightOption = None,
    exit_code: ExitCodeOption = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each check that has ended, one a line.")
    ] = False,
) -> None:
    """Check every site when it is due, several at a time, each in a process of its own, until told to stop."""
    from cli.run_command import run as run_all
    from cli.shift import RunRequest

    options = RunOptions(runtime, address, listers, in_flight, exit_code, as_json, ship)
    leave(run_all(context.obj, RunRequest(pattern, parallel, gap, pool, once), options))


def drain(
    context: typer.Context,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, help="Seconds to wait until it has ended.")
    ] = 0.0,
) -> None:
    """Let the run finish the checks that it has begun, and begin no other."""
    from cli.run_command import drain as drain_run

    leave(drain_run(context.obj, wait))
