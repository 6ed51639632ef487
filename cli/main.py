"""The command ``dynamo-consistency``: its commands, and how errors become messages and exit codes."""

from __future__ import annotations

import gc
import re
import signal
import sys
import traceback
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.main

from cli import signals, streams
from cli.app import answers, cluster, config, fleet, plans, runs, sites, web
from cli.app.plain import PlainGroup
from cli.exits import CommandError, ExitCode, as_command_error
from cli.session import Settings

app = typer.Typer(
    name="dynamo-consistency",
    cls=PlainGroup,
    help="Compare what a store holds with what its inventory says.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
        typer.Option(
            "--config", metavar="FILE", help="The configuration file; ./consistency_config.json when it is there."
        ),
    ] = None,
    log_level: Annotated[
        str, typer.Option("--log-level", metavar="LEVEL", help="What to log on stderr: debug, info, warning or error.")
    ] = "warning",
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Compare what a store holds with what its inventory says."""
    context.obj = Settings(config, log_level)
    context.obj.set_up_logging()


app.command("list")(runs.list_source)
app.command("compare")(runs.compare)
app.command("identify", short_help="Say what a list or dump is, and what is wrong with it.")(runs.identify)
app.command("check", short_help="List a site, compare, record and report.")(runs.check)
app.command("run", short_help="Check every site when it is due.")(fleet.run)
app.command("drain", short_help="Let run finish what it does, and take no more.")(fleet.drain)
app.command("halt", short_help="Stop the run of a site; the next one goes on.")(sites.halt)
app.command("history")(sites.history)
app.command("diff", short_help="Show what is new and gone between two runs.")(answers.diff)
app.command("search", short_help="Look for paths among the findings.")(answers.search)
app.command("explain", short_help="Tell all about one file, and why.")(answers.explain)
app.command("doctor", short_help="Say whether a site is fit to be checked.")(answers.doctor)
app.command("sites", short_help="Show how the sites stand.")(sites.sites)
app.command("status", short_help="Show what runs now, or how one site stands.")(sites.status)
app.command("set-status", short_help="Set a site ready, halt or disable it; act or dry.")(sites.set_status)
app.command("invalidate", short_help="Have missing files brought back.")(sites.invalidate)
app.command("unmerged", short_help="Find what may be deleted in an unmerged area.")(sites.unmerged)
app.command("dump-tree", short_help="Save the tree of a site.")(sites.dump_tree)
app.add_typer(plans.plan)
app.add_typer(web.web)
app.add_typer(cluster.cluster)
app.add_typer(config.config)
app.command("demo", short_help="Check a small site with known faults.")(runs.demo)


@cache
def command_line() -> Any:
    """Build what typer reads the command line with."""
    return typer.main.get_command(app)


_INTERRUPTED = (128 + signal.SIGINT, signal.SIGTERM)
"""What typer makes of Ctrl-C, and what Ray exits with while its own handler of SIGTERM is in place."""


def main() -> None:
    """Run the program and exit."""
    # Until a run takes the signals over, being told to end is the same as Ctrl-C.
    signals.handle()
    streams.prepare()
    try:
        code = command_line()(standalone_mode=False) or 0
        if code in _INTERRUPTED:
            raise KeyboardInterrupt
        sys.stdout.flush()
    except BaseException as error:
        code = _report(error)
    signals.end_with(code)
    # Everything goes with the process, so that nobody need look through it for what refers to itself.
    gc.freeze()
    sys.exit(code)


_PLAINER = (
    (re.compile(r"Input should be greater than or equal to (\S+)"), r"expected \1 or more"),
    (re.compile(r"Input should be less than or equal to (\S+)"), r"expected \1 or less"),
    (re.compile(r"Input should be a valid integer\b.*"), "expected a whole number"),
    (re.compile(r"Input should be a (?:valid|finite) number\b.*"), "expected a number"),
)
"""What the checker of numbers behind typer says, and how this program says it."""


def _usage(message: str, context: typer.Context | None) -> str:
    """Put what is wrong with the command line into one line that says where the right way is written."""
    command = context.command_path if context else "dynamo-consistency"
    line = " ".join(message.split()).rstrip(".")
    for theirs, ours in _PLAINER:
        line = theirs.sub(ours, line)
    return f"{line}; see {command} --help"


def _report(error: BaseException) -> int:
    """Say on stderr what went wrong and give the exit code for it."""
    # An import that was interrupted may end in any error, and leaves modules that cannot be used.
    stopped = signals.is_stopping() or type(error).__name__ == "Abort" or isinstance(error, KeyboardInterrupt)
    if stopped or (isinstance(error, SystemExit) and error.code in _INTERRUPTED):
        print("dynamo-consistency: halted", file=sys.stderr)
        return ExitCode.HALTED
    if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):
        # typer ends with the code of findings then.
        error = error.__context__
    if isinstance(error, OSError) and error.filename == streams.STDOUT:
        streams.give_up_stdout()
        if isinstance(error, BrokenPipeError):
            return ExitCode.UNREAD
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else ExitCode.USAGE
    # typer has no public names for the errors of the command line itself.
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()  # type: ignore[attr-defined]
        return ExitCode.USAGE
    if hasattr(error, "exit_code") and hasattr(error, "format_message"):
        error = CommandError(_usage(error.format_message(), getattr(error, "ctx", None)))
    known = as_command_error(error)
    if known is None:
        traceback.print_exception(error)
        known = CommandError(
            f"internal error: {type(error).__name__}: {error}; please report it with the lines above",
            ExitCode.INTERNAL,
        )
    print(f"dynamo-consistency: {known}", file=sys.stderr)
    return known.code
