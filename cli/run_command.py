"""The commands ``run`` and ``drain``: one process that has every site checked when it is due.

It starts a check of each as a process of its own, and does nothing itself that could go wrong with one of them.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cli.children import Child, Ended
from cli.exits import CommandError, ExitCode
from cli.session import RunOptions, Settings, runtime_named
from cli.shared_node import SharedNode
from cli.signals import asking
from engine.roster import Ending, Roster, RosterLimits
from engine.site_states import Candidate, NoMatchingSite, why_not
from engine.stall import duration
from storage.backends import choose
from storage.backends.protocols import BackendError
from storage.config.files import ConfigError
from storage.config.site import KnownSites
from storage.runs.directory import RunDirError
from storage.shown import printable
from storage.sites import picker
from storage.sites.keeper import Keeper, KeeperInfo
from storage.sites.summary import SummaryDatabase, SummaryError

_POLL = 0.25
"""Seconds between two looks at the checks that are at work, and at whether to stop."""

_LOOK_EVERY = 15.0
"""Seconds between two looks at all sites."""

_STOP_SECONDS = 300.0
_LEAVE_SECONDS = 30.0
"""Seconds that checks have to stop when they are asked to, and when they are to stop at once."""

_TRIES = 3
"""With ``--once``, a check that dies is gone on with so often in all."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What of a run stands on the command line: which sites, how many checks at a time, seconds between their starts,
    how many listers in all, and whether each site has one turn.
    """

    pattern: str | None = None
    parallel: int = 2
    gap: float = 1.0
    pool: int | None = None
    once: bool = False


def run(settings: Settings, request: RunRequest, options: RunOptions) -> ExitCode:
    """Have the sites checked that are due, until told to stop, or once."""
    runtime_named(options.runtime or "ray")
    if options.runtime == "threads" and options.address:
        raise CommandError("--address goes with --runtime ray")
    if options.runtime == "threads" and options.ship:
        raise CommandError("--ship goes with --runtime ray")
    keeper = Keeper(settings.config.top_level().var_location)
    address = options.address or os.environ.get("RAY_ADDRESS") or ""
    info = KeeperInfo(os.getpid(), socket.gethostname(), time.time(), options.runtime or "", address, request.parallel)
    keeper.acquire(info)
    with keeper:
        return _Shift(settings, request, options, keeper, address).work()


def drain(settings: Settings, wait: float) -> ExitCode:
    """Ask the process that checks all sites to take no more, and wait for it to end."""
    keeper = Keeper(settings.config.top_level().var_location)
    if not keeper.is_held():
        print("no run is on")
        return ExitCode.DONE
    keeper.request_drain()
    if not keeper.wait(wait):
        print("no further check begins; the run ends when those at work have")
        return ExitCode.DONE
    print("the run has ended")
    return ExitCode.DONE


@dataclass(slots=True)
class _Seen:
    """How the sites stood at the last look."""

    candidates: Sequence[Candidate] = ()
    held: frozenset[str] = frozenset()
    others: int = 0


@dataclass(slots=True)
class _Shift:
    """The work of one `run`."""

    settings: Settings
    request: RunRequest
    options: RunOptions
    keeper: Keeper
    address: str
    _roster: Roster = field(init=False)
    _node: SharedNode = field(default_factory=SharedNode)
    _children: dict[str, Child] = field(default_factory=dict)
    _seen: _Seen = field(default_factory=_Seen)
    _look_at: float = 0.0
    _todo: set[str] | None = None
    _problem: str = ""
    _config: KnownSites = field(init=False)
    _config_of: tuple[int, int] = (0, 0)
    _worst: list[Ended] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._roster = Roster(RosterLimits(self.request.parallel, self.request.gap))
        self._config, self._config_of = self.settings.config, self._config_stamp()

    def work(self) -> ExitCode:
        """Do it until there is nothing more to do, or somebody says to stop."""
        reasons: list[str] = []
        self._look(first=True)
        try:
            with asking(lambda name: reasons.append(f"{name} received")):
                self._work_until(lambda: reasons[0] if reasons else "")
        except KeyboardInterrupt:
            self._leave_at_once()
            raise
        finally:
            self._node.stop()
        if reasons:
            raise CommandError(f"halted: {reasons[0]}; the next run goes on where this one stopped", ExitCode.HALTED)
        return self._code()

    def _work_until(self, stop: Callable[[], str]) -> None:
        told_at, times = 0.0, 0
        while True:
            self._collect()
            why = stop()
            if why and (not times or time.monotonic() - told_at > (_STOP_SECONDS if times == 1 else _LEAVE_SECONDS)):
                # First they are asked; then they are to stop at once; and in the end nobody asks any more.
                times += 1
                told_at = time.monotonic()
                self._tell_all(why, times)
            is_closing = bool(why) or self.keeper.drain_requested()
            if not is_closing:
                self._begin()
            if not self._children and (is_closing or self._is_done()):
                return
            self._node.rest(bool(self._children))
            time.sleep(_POLL)

    def _tell_all(self, why: str, times: int) -> None:
        if self._children and times == 1:
            self._note(f"{why}: {', '.join(sorted(self._children))} told to stop")
        for child in self._children.values():
            if times > 2:
                child.process.kill()
            else:
                child.tell_to_stop()

    def _leave_at_once(self) -> None:
        for child in self._children.values():
            child.tell_to_stop()
            child.tell_to_stop()
        end = time.monotonic() + _LEAVE_SECONDS
        while self._children and time.monotonic() < end:
            self._collect()
            time.sleep(_POLL)
        for child in self._children.values():
            child.process.kill()

    def _is_done(self) -> bool:
        """Whether each site that was due has had its turn; those that cannot have one are named."""
        if self._todo is None:
            return False
        for candidate in self._seen.candidates:
            why = why_not(candidate, None, self._seen.held)
            if candidate.site in self._todo and why:
                self._note(f"{candidate.site}: not checked: {why}")
                self._todo.discard(candidate.site)
        self._todo &= {candidate.site for candidate in self._seen.candidates}
        return not self._todo

    def _collect(self) -> None:
        """Take note of the checks that have ended."""
        for site, child in list(self._children.items()):
            ended = child.ended()
            if ended is None:
                continue
            del self._children[site]
            self._roster.ended(site, ended.ending, time.time())
            is_over = ended.ending is not Ending.DIED or self._roster.troubles(site) >= _TRIES
            if self._todo is not None and is_over:
                self._todo.discard(site)
            if is_over:
                self._worst.append(ended)
            self._tell(site, ended)
            self._look_at = 0.0

    def _begin(self) -> None:
        """Start the checks whose turn it is."""
        if time.monotonic() >= self._look_at:
            self._look()
        while True:
            chosen = self._roster.next(self._wanted(), self._seen.held, time.time(), self._seen.others)
            if chosen is None:
                return
            self._start(chosen.site)

    def _wanted(self) -> Sequence[Candidate]:
        if self._todo is None:
            return self._seen.candidates
        return [candidate for candidate in self._seen.candidates if candidate.site in self._todo]

    def _start(self, site: str) -> None:
        self._roster.begun(site, time.time())
        try:
            child = Child.start(site, self.keeper, *self._call(site))
        except (CommandError, OSError) as error:
            ended = Ended(ExitCode.NOT_LISTED, f"could not be begun: {error}", None, 0.0)
            self._roster.ended(site, ended.ending, time.time())
            if self._todo is not None:
                self._todo.discard(site)
            self._worst.append(ended)
            self._tell(site, ended)
            return
        self._children[site] = child
        self._note(f"{site}: its check begins, as process {child.process.pid}")

    def _call(self, site: str) -> tuple[list[str], dict[str, str]]:
        """Give the arguments of the check of a site, and what its environment has beside this one's."""
        options, pool = self.options, self.request.pool
        environment = {} if pool is None else {"Pool": str(pool)}
        before = ["--log-level", self.settings.log_level]
        if self.settings.has_config_file:
            before += ["--config", str(self.settings.path)]
        runtime = options.runtime or picker.settings_of(self._config, site).runtime or "ray"
        after = ["--runtime", runtime, "--json"]
        if runtime == "ray" and self.address:
            after += ["--address", self.address]
        elif runtime == "ray":
            address, its_own = self._node.for_use()
            after += ["--address", address]
            environment |= its_own
        after += ["--ship"] if runtime == "ray" and options.ship else []
        after += [] if options.listers is None else ["--listers", str(options.listers)]
        after += [] if options.in_flight is None else ["--in-flight", str(options.in_flight)]
        after += ["--exit-code"] if options.exit_code else []
        return [*before, "check", *after, "--", site], environment

    def _look(self, first: bool = False) -> None:
        """Look at all sites; what goes wrong with that later on is told of once, and tried again."""
        self._look_at = time.monotonic() + _LOOK_EVERY
        try:
            self._take_over_config()
            self._seen = self._see(first)
        except (ConfigError, BackendError, SummaryError, RunDirError, NoMatchingSite, OSError) as error:
            if first:
                raise
            if str(error) != self._problem:
                self._note(f"the sites could not be looked at: {error}")
            self._problem = str(error)
            return
        self._problem = ""

    def _see(self, first: bool) -> _Seen:
        config = self._config
        sites = choose(config, config.top_level()).sites
        with SummaryDatabase(picker.summary_path(config)) as database:
            names = frozenset(picker.sync(database, sites, self.request.pattern))
            picker.free_stale(database, config)
            states = picker.states(database, config)
        every = {name: picker.settings_of(config, name).check_every * 86400 for name in names}
        self._roster.intervals = every
        looked = [state for state in states if state.row.site in names]
        if first:
            self._roster.unfinished |= {state.row.site for state in looked if _is_unfinished(state)}
        now = time.time()
        candidates = [state.candidate(now) for state in looked]
        if first and self.request.once:
            self._todo = {candidate.site for candidate in self._roster.due(candidates, now)}
            if not self._todo:
                self._note(f"none of {len(candidates)} sites is due")
        others = sum(state.at_work and state.row.site not in self._roster.running for state in states)
        return _Seen(candidates, frozenset(picker.held_locks(config, looked)), others)

    def _config_stamp(self) -> tuple[int, int]:
        if not self.settings.has_config_file:
            return 0, 0
        status = Path(self.settings.path).stat()
        return status.st_ino, status.st_mtime_ns

    def _take_over_config(self) -> None:
        """Read the configuration again when its file has changed."""
        stamp = self._config_stamp()
        if stamp != self._config_of:
            self._config = Settings(self.settings.config_file, self.settings.log_level).config
            self._config_of = stamp
            self._note("the configuration has changed: the new one counts from now on")

    def _tell(self, site: str, ended: Ended) -> None:
        if self.options.as_json:
            row = {"site": site, "code": ended.code, "ended": ended.ending.value, "seconds": round(ended.seconds, 3)}
            print(json.dumps({**row, "said": ended.said, "results": ended.results}), flush=True)
            return
        took = f"after {duration(ended.seconds)}"
        if ended.ending is Ending.DONE and ended.results is not None:
            self._note(f"{site}: done {took}: {_found(ended)}")
            return
        how = f"ended by signal {-ended.code}" if ended.code < 0 else f"{ended.ending.value} (exit code {ended.code})"
        self._note(f"{site}: {how} {took}" + (f": {printable(ended.said)}" if ended.said else ""))

    def _note(self, text: str) -> None:
        stream = sys.stderr if self.options.as_json else sys.stdout
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        print(f"{now} {text}", file=stream, flush=True)

    def _code(self) -> ExitCode:
        """Say with one exit code how all ended."""
        codes = [ended.code for ended in self._worst]
        if any(ended.ending in (Ending.FAILED, Ending.DIED) for ended in self._worst):
            return ExitCode.NOT_LISTED
        for code in (ExitCode.HALTED, ExitCode.FINDINGS, ExitCode.INCOMPLETE):
            if code in codes:
                return code
        return ExitCode.DONE


def _is_unfinished(state: picker.SiteState) -> bool:
    """Whether the last check of a site did not come to a result."""
    begun = state.row.last_started
    return begun is not None and (state.result is None or state.result.entered < begun)


def _found(ended: Ended) -> str:
    results = ended.results or {}
    counts = ("files", "missing", "orphan", "size_mismatch", "empty", "unlisted")
    words = {"orphan": "orphans", "size_mismatch": "of another size"}
    return ", ".join(f"{int(results.get(name) or 0):,} {words.get(name, name)}" for name in counts)
