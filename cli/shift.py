"""The work of `run`: it starts a check of each site as a process of its own, and does little that could go wrong.

Whatever goes wrong here is told of and tried again, and leaves alone the checks that are at work.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cli.children import Child, Ended
from cli.exits import CommandError, ExitCode
from cli.roll_call import LOOK_ERRORS, RollCall, Seen
from cli.session import RunOptions, Settings
from cli.shared_node import SharedNode
from cli.signals import asking
from engine.roster import Ending, Roster, RosterLimits
from engine.site_states import Candidate, why_not
from engine.stall import duration
from storage.shown import printable
from storage.sites import picker
from storage.sites.keeper import Keeper

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


@dataclass(slots=True)
class Shift:
    """The work of one `run`; ``address`` is that of a Ray cluster, empty for a node that the checks share."""

    settings: Settings
    request: RunRequest
    options: RunOptions
    keeper: Keeper
    address: str
    _roster: Roster = field(init=False)
    _roll: RollCall = field(init=False)
    _node: SharedNode = field(init=False)
    _children: dict[str, Child] = field(default_factory=dict)
    _seen: Seen | None = None
    """None when there is no look since a check has ended, which would be begun once more."""
    _look_at: float = 0.0
    _todo: set[str] | None = None
    _said: dict[str, str] = field(default_factory=dict)
    _last: dict[str, tuple[Ending, int]] = field(default_factory=dict)
    _reasons: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._roster = Roster(RosterLimits(self.request.parallel, self.request.gap))
        self._roll = RollCall(self.settings, self.request.pattern, self._roster)
        self._node = SharedNode(self.keeper.path / "node.err")

    def work(self) -> ExitCode:
        """Do it until there is nothing more to do, or somebody says to stop."""
        self._begin_to_look()
        try:
            with asking(lambda name: self._reasons.append(f"{name} received")):
                self._work_until(lambda: self._reasons[0] if self._reasons else "")
        except BaseException:
            # A second signal, or a fault of this program: what the checks have is on the disk.
            self._leave_at_once()
            raise
        finally:
            self._node.stop()
        if self._reasons:
            raise CommandError(
                f"halted: {self._reasons[0]}; the next run goes on where this one stopped", ExitCode.HALTED
            )
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
            with suppress(Exception):
                self._collect()
            time.sleep(_POLL)
        for child in self._children.values():
            child.process.kill()

    def _begin_to_look(self) -> None:
        self._seen = self._roll.first()
        self._look_at = time.monotonic() + _LOOK_EVERY
        if self.request.once:
            self._todo = {candidate.site for candidate in self._roster.due(self._seen.candidates, time.time())}
            if not self._todo:
                self._note(f"none of {len(self._seen.candidates)} sites is due")

    def _look(self) -> None:
        """Look at all sites; what goes wrong with that is told of once, and tried again."""
        self._look_at = time.monotonic() + _LOOK_EVERY
        try:
            self._seen = self._roll.again()
        except LOOK_ERRORS as error:
            self._say("sites", f"the sites could not be looked at: {error}")
            return
        self._say("sites", "")
        self._say("news", self._roll.news)

    def _is_done(self) -> bool:
        """Whether each site that was due has had its turn; those that cannot have one are named."""
        if self._todo is None:
            return False
        if self._seen is not None:
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
            self._seen, self._look_at = None, 0.0
            self._over(site, ended)

    def _over(self, site: str, ended: Ended) -> None:
        self._roster.ended(site, ended.ending, time.time())
        goes_on = ended.ending is Ending.DIED and self._roster.troubles(site) < _TRIES
        if self._todo is not None and not goes_on:
            self._todo.discard(site)
        self._last[site] = ended.ending, ended.code
        self._tell(site, ended)

    def _begin(self) -> None:
        """Start the checks whose turn it is."""
        if time.monotonic() >= self._look_at:
            self._look()
        while (seen := self._seen) is not None:
            wanted = self._wanted(seen)
            chosen = self._roster.next(wanted, seen.held, time.time(), len(seen.others))
            if chosen is None:
                self._say_what_is_in_the_way(seen, wanted)
                return
            self._start(chosen.site)

    def _wanted(self, seen: Seen) -> Sequence[Candidate]:
        if self._todo is None:
            return seen.candidates
        return [candidate for candidate in seen.candidates if candidate.site in self._todo]

    def _say_what_is_in_the_way(self, seen: Seen, wanted: Sequence[Candidate]) -> None:
        is_full = len(self._roster.running) + len(seen.others) >= self.request.parallel
        is_due = bool(self._roster.due(wanted, time.time()))
        blocked = is_full and is_due and bool(seen.others) and len(self._roster.running) < self.request.parallel
        sites = ", ".join(map(printable, seen.others))
        self._say("others", f"checks that others have begun count as well: {sites}" if blocked else "")

    def _start(self, site: str) -> None:
        self._roster.begun(site, time.time())
        try:
            child = Child.start(site, self.keeper, *self._call(site))
        except (CommandError, OSError, ValueError) as error:
            self._over(site, Ended(ExitCode.NOT_LISTED, f"could not be begun: {error}", None, 0.0))
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
        runtime = options.runtime or picker.settings_of(self._roll.config, site).runtime or "ray"
        # Whatever the environment says of ages: the summary tells when the site is due.
        after = ["--runtime", runtime, "--json", "--update-summary"]
        if runtime == "ray" and self.address:
            after += ["--address", self.address]
        elif runtime == "ray":
            address, its_own = self._node.for_use(lambda: bool(self._reasons))
            after += ["--address", address]
            environment |= its_own
        after += ["--ship"] if runtime == "ray" and options.ship else []
        after += [] if options.listers is None else ["--listers", str(options.listers)]
        after += [] if options.in_flight is None else ["--in-flight", str(options.in_flight)]
        after += ["--exit-code"] if options.exit_code else []
        return [*before, "check", *after, "--", site], environment

    def _tell(self, site: str, ended: Ended) -> None:
        if self.options.as_json:
            row = {"site": site, "code": ended.code, "ended": ended.ending.value, "seconds": round(ended.seconds, 3)}
            _print(json.dumps({**row, "said": ended.said, "results": ended.results}), sys.stdout)
            return
        took = f"after {duration(ended.seconds)}"
        if ended.ending is Ending.DONE:
            self._note(f"{site}: done {took}: {_found(ended)}")
            return
        how = f"ended by signal {-ended.code}" if ended.code < 0 else f"{ended.ending.value} (exit code {ended.code})"
        self._note(f"{site}: {how} {took}" + (f": {printable(ended.said)}" if ended.said else ""))

    def _say(self, about: str, text: str) -> None:
        """Tell of something once, for as long as it stays the same."""
        if text and self._said.get(about) != text:
            self._note(text)
        self._said[about] = text

    def _note(self, text: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        _print(f"{now} {text}", sys.stderr if self.options.as_json else sys.stdout)

    def _code(self) -> ExitCode:
        """Say with one exit code how the checks of all sites ended, the last one of each."""
        endings = {ending for ending, _ in self._last.values()}
        if endings & {Ending.FAILED, Ending.DIED}:
            return ExitCode.NOT_LISTED
        if not self.request.once:
            return ExitCode.DONE
        codes = {code for _, code in self._last.values()}
        return next((code for code in _TOLD if code in codes), ExitCode.DONE)


_TOLD = (ExitCode.HALTED, ExitCode.FINDINGS, ExitCode.INCOMPLETE)
"""Exit codes of checks that a run passes on, the first one of them that there is."""


def _print(text: str, stream: object) -> None:
    """Print a line; a terminal or a disk that is gone ends nothing."""
    with suppress(OSError, ValueError):
        print(text, file=stream, flush=True)  # type: ignore[call-overload]


def _found(ended: Ended) -> str:
    results = ended.results or {}
    counts = ["files", "missing", "orphan", "size_mismatch", "empty", "unlisted"]
    if results.get("checksums") is not None:
        counts.insert(4, "checksum_mismatch")
    words = {"orphan": "orphans", "size_mismatch": "of another size", "checksum_mismatch": "of another checksum"}
    return ", ".join(f"{int(results.get(name) or 0):,} {words.get(name, name)}" for name in counts)
