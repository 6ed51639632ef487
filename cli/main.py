"""The command ``dynamo-consistency``: its options, and how errors become messages and exit codes.

Each command's work is in a module of its own, loaded when the command runs, so that the program starts quickly.
"""

from __future__ import annotations

import signal
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.exits import CommandError, ExitCode, as_command_error
from cli.session import RunOptions, Settings

app = typer.Typer(
    name="dynamo-consistency",
    help="Compare what a store holds with what its inventory says.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RuntimeOption = Annotated[str | None, typer.Option("--runtime", help="Where actors live: ray or threads.")]
AddressOption = Annotated[str | None, typer.Option("--address", help="The address of a running Ray cluster.")]
ListersOption = Annotated[int | None, typer.Option("--listers", min=1, max=1000, help="How many listers.")]
InFlightOption = Annotated[
    int | None, typer.Option("--in-flight", min=1, max=10000, help="Requests in flight for each lister.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
ExitCodeOption = Annotated[
    bool, typer.Option("--exit-code", help="Exit with 1 after findings, with 5 when something could not be seen.")
]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version("dynamo-consistency"))
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="The configuration file; ./consistency_config.json when it is there."),
    ] = None,
    log_level: Annotated[
        str, typer.Option("--log-level", help="What to log on stderr: debug, info, warning or error.")
    ] = "warning",
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Compare what a store holds with what its inventory says."""
    context.obj = Settings(config, log_level)
    context.obj.set_up_logging()


@app.command("list")
def list_source(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A site, root://host[:port]//path, file:///path or a directory.")
    ],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The file to write.")] = None,
    form: Annotated[str, typer.Option("--format", help="The file's format: snapshot, text or jsonl.")] = "snapshot",
    runtime: RuntimeOption = None,
    address: AddressOption = None,
    listers: ListersOption = None,
    in_flight: InFlightOption = None,
    exit_code: ExitCodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """List a store and save what was seen."""
    from cli.list_command import run

    options = RunOptions(runtime, address, listers, in_flight, exit_code, as_json)
    _leave(run(context.obj, source, output, form, options))


@app.command()
def compare(
    context: typer.Context,
    inventory: Annotated[str, typer.Argument(metavar="INVENTORY", help="A snapshot, an inventory file or a SOURCE.")],
    remote: Annotated[str, typer.Argument(metavar="REMOTE", help="A snapshot, a list of files or a SOURCE.")],
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="BASE", help="Write BASE_missing.txt and BASE_orphan.txt.")
    ] = None,
    ignore_age: Annotated[
        float | None, typer.Option("--ignore-age", min=0, metavar="DAYS", help="Leave younger files alone.")
    ] = None,
    runtime: RuntimeOption = None,
    address: AddressOption = None,
    listers: ListersOption = None,
    in_flight: InFlightOption = None,
    exit_code: ExitCodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare two lists of files."""
    from cli.compare_command import run

    options = RunOptions(runtime, address, listers, in_flight, exit_code, as_json)
    _leave(run(context.obj, inventory, remote, output, ignore_age, options))


@app.command(short_help="List a site, compare, record and report.")
def check(
    context: typer.Context,
    site: Annotated[str | None, typer.Argument(metavar="SITE", help="The site; the only one when left out.")] = None,
    inventory: Annotated[
        Path | None, typer.Option("--inventory", help="The inventory file, instead of the configuration's.")
    ] = None,
    remote: Annotated[
        str | None, typer.Option("--remote", metavar="SOURCE", help="The store, instead of the configuration's doors.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over, even if an unfinished run is there.")] = False,
    runtime: RuntimeOption = None,
    address: AddressOption = None,
    listers: ListersOption = None,
    in_flight: InFlightOption = None,
    exit_code: ExitCodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check a site: list it, compare it with its inventory, record and report what differs."""
    from cli.check_command import CheckRequest, run

    options = RunOptions(runtime, address, listers, in_flight, exit_code, as_json)
    _leave(run(context.obj, CheckRequest(site, inventory, remote, fresh), options))


@app.command(short_help="Stop the run of a site; the next one goes on.")
def halt(
    context: typer.Context,
    site: Annotated[str, typer.Argument(metavar="SITE", help="The site whose run is to stop.")],
    wait: Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait until it has stopped.")] = 10.0,
) -> None:
    """Stop the run of a site; its journal stays, and the next check goes on from there."""
    from cli.site_commands import halt_site

    _leave(halt_site(context.obj, site, wait))


@app.command()
def history(
    context: typer.Context,
    site: Annotated[str, typer.Argument(metavar="SITE", help="The site.")],
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many runs, newest first.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Show the last runs of a site."""
    from cli.site_commands import show_history

    _leave(show_history(context.obj, site, limit, as_json))


@app.command(short_help="Check a small site with known faults.")
def demo(
    runtime: RuntimeOption = None,
    directory: Annotated[
        Path | None, typer.Option("--directory", help="Where to put the demo; a new temporary directory by default.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a small site with known faults and check it, on a real XRootD server when there is one."""
    from cli.demo import run

    _leave(run(runtime, directory, as_json))


_INTERRUPTED = (128 + signal.SIGINT, signal.SIGTERM)
"""What typer makes of Ctrl-C, and what Ray exits with while its own handler of SIGTERM is in place."""


def _leave(code: ExitCode) -> None:
    if code != ExitCode.DONE:
        raise typer.Exit(code)


def _terminate(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run the program and exit."""
    # Until a run takes the signals over, being told to end is the same as Ctrl-C.
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = app(standalone_mode=False) or 0
        if code in _INTERRUPTED:
            raise KeyboardInterrupt
    except BaseException as error:
        code = _report(error)
    sys.exit(code)


def _usage(message: str, context: typer.Context | None) -> str:
    """Put what is wrong with the command line into one line that says where the right way is written."""
    command = context.command_path if context else "dynamo-consistency"
    return f"{' '.join(message.split()).rstrip('.')}; see {command} --help"


def _report(error: BaseException) -> int:
    """Say on stderr what went wrong and give the exit code for it."""
    if isinstance(error, SystemExit) and error.code in _INTERRUPTED:
        error = KeyboardInterrupt()
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else ExitCode.USAGE
    # typer has no public names for the errors of the command line itself.
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()  # type: ignore[attr-defined]
        return ExitCode.USAGE
    if hasattr(error, "exit_code") and hasattr(error, "format_message"):
        error = CommandError(_usage(error.format_message(), getattr(error, "ctx", None)))
    if type(error).__name__ == "Abort":
        error = KeyboardInterrupt()
    known = as_command_error(error)
    if known is None:
        traceback.print_exception(error)
        known = CommandError(
            f"internal error: {type(error).__name__}: {error}; please report it with the lines above",
            ExitCode.INTERNAL,
        )
    print(f"dynamo-consistency: {known}", file=sys.stderr)
    return known.code
