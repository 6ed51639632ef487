"""Where a command is told to write to: what would be found out after the work is found out before it."""

from __future__ import annotations

from pathlib import Path

from cli.exits import CommandError
from storage.atomic import is_replaceable
from storage.snapshot import is_part


def must_be_writable(output: Path, as_snapshot: bool = True) -> None:
    """Make sure that a file can be written under a name, and make its directory if it is not there.

    Raises:
        CommandError: it cannot.
    """
    if output.is_dir():
        raise CommandError(f"{output} is a directory; -o takes the name of a file")
    if not is_replaceable(output):
        raise CommandError(f"{output} is no plain file, and would be replaced; -o takes the name of a file")
    if as_snapshot and is_part(output):
        raise CommandError(f"{output}: an unfinished listing is called so; give -o another name")
    directory = output.absolute().parent
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{output}: the directory {directory} cannot be made: {error.strerror}") from error
