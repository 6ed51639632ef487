"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.exits import ExitCode

RuntimeOption = Annotated[
    str | None, typer.Option("--runtime", metavar="NAME", help="Where actors live: ray or threads.")
]
AddressOption = Annotated[
    str | None, typer.Option("--address", metavar="HOST:PORT", help="The address of a running Ray cluster.")
]
ShipOption = Annotated[
    bool, typer.Option("--ship", help="Send this program to the nodes of the cluster, for this run.")
]
ListersOption = Annotated[int | None, typer.Option("--listers", metavar="N", min=1, max=1000, help="How many listers.")]
InFlightOption = Annotated[
    int | None,
    typer.Option("--in-flight", metavar="N", min=1, max=10000, help="Requests in flight for each lister, at most."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
ExitCodeOption = Annotated[
    bool, typer.Option("--exit-code", help="Exit with 1 after findings, with 5 when something could not be seen.")
]


def leave(code: ExitCode) -> None:
    """End the command; only what is not `ExitCode.DONE` needs saying."""
    if code != ExitCode.DONE:
        raise typer.Exit(code)
