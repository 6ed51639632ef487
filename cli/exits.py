"""Exit codes, and which error ends in which. The table for users is in ``docs/commands.md``."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the program tells the shell."""

    DONE = 0
    FINDINGS = 1
    """Something was found; only with ``--exit-code``."""
    USAGE = 2
    """The command line, the configuration or a file that they name is wrong, or cannot be read or written."""
    HALTED = 3
    """The run was stopped."""
    NOT_LISTED = 4
    """The site could not be listed, a safety gate refused the result, or a run that was told to halt did not."""
    INCOMPLETE = 5
    """Done, but something could not be seen; only with ``--exit-code``."""
    INTERNAL = 70
    """A fault of the program itself."""
    UNREAD = 141
    """Whoever read stdout went away; what a shell shows of a program that SIGPIPE ended."""


class CommandError(Exception):
    """Ends the program with one line on stderr and an exit code."""

    def __init__(self, message: str, code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.code = code


def as_command_error(error: BaseException) -> CommandError | None:
    """Translate an error that is expected; None for what only a fault of the program can raise."""
    # Loaded here because the way to an error is the only one on which all of them are needed.
    from actors.listing import ListingFailed
    from actors.oversight import Killed, Refused
    from actors.plans.applying import Trouble
    from actors.runtime import ActorLost, RuntimeUnavailable
    from actors.site_run import NotReady
    from engine.site_states import BadAction, NoMatchingSite
    from engine.unmerged import OutsideUnmerged
    from storage.backends.protocols import BackendError
    from storage.config.files import ConfigError
    from storage.doors.source import DoorsError, SourceError
    from storage.history import HistoryError
    from storage.inventory import InventoryError
    from storage.plans.plan_file import PlanError
    from storage.runs.directory import AlreadyRunning, RunDirError
    from storage.runs.reports import ReportError
    from storage.sites.seats import SeatError
    from storage.sites.summary import SummaryError
    from storage.snapshot import SnapshotError
    from storage.unmerged.protected_list import ProtectedListError

    match error:
        case CommandError():
            return error
        case KeyboardInterrupt():
            return CommandError("halted", ExitCode.HALTED)
        case Killed():
            return CommandError(f"halted: {error}", ExitCode.HALTED)
        case DoorsError():
            return CommandError(str(error), ExitCode.NOT_LISTED)
        case Refused() | ListingFailed() | Trouble() | ActorLost() | TimeoutError() | OutsideUnmerged() | NotReady():
            return CommandError(str(error), ExitCode.NOT_LISTED)
        case SeatError():
            return CommandError(f"VarLocation: {error}")
        case RunDirError() if not isinstance(error, AlreadyRunning):
            return CommandError(f"VarLocation: {error}")
        case (
            ConfigError()
            | SourceError()
            | InventoryError()
            | ProtectedListError()
            | ReportError()
            | HistoryError()
            | PlanError()
            | RunDirError()
            | SnapshotError()
            | BackendError()
            | SummaryError()
            | NoMatchingSite()
            | BadAction()
            | RuntimeUnavailable()
        ):
            return CommandError(str(error))
        case OSError() if error.strerror:
            return CommandError(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    return None


def of_result(asked: bool, findings: int, unseen: int) -> ExitCode:
    """Choose between done, findings and incomplete; the latter two only when ``--exit-code`` asked for them."""
    if asked and findings:
        return ExitCode.FINDINGS
    if asked and unseen:
        return ExitCode.INCOMPLETE
    return ExitCode.DONE
