"""What every command needs around its work: configuration, runtime, signals, progress."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cli.exits import CommandError, ExitCode
from cli.signals import asking

if TYPE_CHECKING:
    from actors.oversight import Oversight
    from actors.runtime import Runtime
    from storage.config.site import KnownSites

DEFAULT_CONFIG = Path("consistency_config.json")
"""Read when it is there and ``--config`` names no other."""

RUNTIMES = ("ray", "threads")


@dataclass(frozen=True)
class Settings:
    """The options that stand before the command."""

    config_file: Path | None = None
    log_level: str = "warning"

    @property
    def has_config_file(self) -> bool:
        """Whether there is a configuration file at all."""
        return self.config_file is not None or DEFAULT_CONFIG.is_file()

    @property
    def path(self) -> Path:
        """The configuration file, whether it is there or not."""
        return self.config_file or DEFAULT_CONFIG

    @cached_property
    def config(self) -> KnownSites:
        """The configuration, read on first use; without a file, the defaults and the environment."""
        from storage.config.defaults import Defaults
        from storage.config.site import KEYS

        if not self.has_config_file and KEYS.isdisjoint(os.environ):
            return Defaults()
        from storage.config.loading import Config

        if self.has_config_file:
            return Config.load(self.path, os.environ)
        return Config.default(os.environ)

    def with_config(self, config: KnownSites) -> Settings:
        """Give the same options with a configuration that was read from them and has become another one since."""
        settings = Settings(self.config_file, self.log_level)
        # What is there is not read again.
        vars(settings)["config"] = config
        return settings

    def set_up_logging(self) -> None:
        """Send the log to stderr from the chosen level on."""
        level = logging.getLevelNamesMapping().get(self.log_level.upper())
        if level is None:
            raise CommandError(f"--log-level: expected debug, info, warning or error, found {self.log_level!r}")
        logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options that all working commands share."""

    runtime: str | None = None
    address: str | None = None
    listers: int | None = None
    in_flight: int | None = None
    exit_code: bool = False
    as_json: bool = False
    ship: bool = False


def runtime_named(name: str) -> None:
    """Make sure that there is such a runtime.

    Raises:
        CommandError: there is none.
    """
    if name not in RUNTIMES:
        raise CommandError(f"--runtime: expected ray or threads, found {name!r}")


@contextmanager
def open_runtime(
    options: RunOptions,
    configured: str | None,
    default: str,
    environment: str | None = None,
    command: str = "",
    site: str = "",
) -> Iterator[Runtime]:
    """Start a runtime and end it afterwards: the option's, else the configuration's, else the command's own default.

    Ray is loaded only when it is asked for; ``environment`` is what it sets up on the nodes of a cluster, as JSON, and
    its dashboard shows the ``command`` and the ``site``.

    Raises:
        CommandError: an address for the runtime that has none.
        RuntimeUnavailable: Ray could not be started or reached.
    """
    from actors import deployment

    name, address = options.runtime or configured or default, options.address
    runtime_named(name)
    if name == "threads" and address:
        raise CommandError("--address goes with --runtime ray")
    if name == "threads" and options.ship:
        raise CommandError("--ship goes with --runtime ray")
    if options.ship:
        environment = environment or "{}"
    address = address or os.environ.get("RAY_ADDRESS") or None
    with deployment.open_runtime(name, address, environment, command, site) as runtime:
        if runtime.dashboard:
            print(f"Ray dashboard: {runtime.dashboard}", file=sys.stderr)
        yield runtime


@contextmanager
def overseen(label: str, address: str = "", kept: str = "") -> Iterator[Oversight]:
    """Draw the progress and turn SIGINT and SIGTERM into a request to stop; a second one stops at once.

    ``address`` says where the store is, for a refusal; ``kept`` what is left of the work, for a halt.

    Raises:
        CommandError: the run was halted, or refused by a gate.
    """
    from actors.oversight import Killed, Oversight, Refused
    from cli.display import ProgressDisplay

    reasons: list[str] = []

    try:
        with asking(lambda name: reasons.append(f"{name} received")), ProgressDisplay(label) as display:
            yield Oversight(lambda: reasons[0] if reasons else "", display.show)
    except Killed as error:
        message = f"{label}: halted: {error}" + (f"; {kept}" if kept else "")
        raise CommandError(message, ExitCode.HALTED) from error
    except Refused as error:
        where = f"{label} ({address})" if address else label
        raise CommandError(f"{where}: {error}", ExitCode.NOT_LISTED) from error
