"""The commands of the Ray cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.app.options import AddressOption, JsonOption, leave

cluster = typer.Typer(name="cluster", help="Start, look at and end a Ray cluster.", no_args_is_help=True)

FileOption = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="What Ray's launcher reads; ./ray_cluster.yaml when left out.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask before anything is done.")]
LocalOption = Annotated[bool, typer.Option("--local", help="A cluster on this machine alone, without ssh.")]


@cluster.command("up", short_help="Start a cluster.")
def up(
    file: FileOption = None,
    yes: YesOption = False,
    local: LocalOption = False,
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", min=0, max=100, help="With --local: nodes beside the head.")
    ] = 0,
    resources: Annotated[
        str | None, typer.Option("--resources", metavar="JSON", help="With --local: what each worker has besides.")
    ] = None,
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=1, max=65535, help="With --local: where the head answers.")
    ] = 6379,
    dashboard_port: Annotated[
        int | None,
        typer.Option("--dashboard-port", metavar="PORT", min=1, max=65535, help="With --local: its dashboard."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Start the cluster of a file on its machines, with Ray's launcher, or one on this machine."""
    from cli.cluster_command import LocalRequest, bring_up, bring_up_local

    request = LocalRequest(workers, resources, port, dashboard_port)
    leave(bring_up_local(file, request, as_json) if local else bring_up(file, yes, request, as_json))


@cluster.command("down", short_help="End a cluster.")
def down(
    file: FileOption = None, yes: YesOption = False, local: LocalOption = False, as_json: JsonOption = False
) -> None:
    """End the cluster of a file, or the one that `cluster up --local` has started."""
    from cli.cluster_command import take_down, take_down_local

    leave(take_down_local(file, as_json) if local else take_down(file, yes, as_json))


@cluster.command("status", short_help="Show what a cluster is, and what runs on it.")
def status(address: AddressOption = None, as_json: JsonOption = False) -> None:
    """Show the nodes of a cluster, what they have, which program is there, and its actors by site."""
    from cli.cluster_command import show_status

    leave(show_status(address, as_json))
