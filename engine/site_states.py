"""The states of sites: what they mean, which of them may be set when, and which site is to be checked next.

BadAction         a state or an action that there is not, or that makes no sense now
NoMatchingSite    a site that nobody knows, or none that could be checked
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum


class BadAction(Exception):
    """A state or an action that there is not, or that makes no sense now; the message says what would."""


class NoMatchingSite(Exception):
    """A site that nobody knows, or none that could be checked; the message says which there are."""


class SiteStatus(IntEnum):
    """How a site stands. The values are part of the summary database."""

    DISABLED = -2
    """Not to be checked until somebody sets it ready."""
    HALT = -1
    """Told to stop. A run of it ends; the next one goes on from there."""
    READY = 0
    LOCKED = 1
    """Picked: a process is about to check it."""
    RUNNING = 2


class Reporting(IntEnum):
    """What follows from the findings of a site. The values are part of the summary database."""

    DRY = 0
    """They are shown, and nothing else."""
    ACT = 1
    """The registry is asked to act on them."""


ACTIONS: dict[str, SiteStatus | Reporting] = {
    "ready": SiteStatus.READY,
    "halt": SiteStatus.HALT,
    "disable": SiteStatus.DISABLED,
    "act": Reporting.ACT,
    "dry": Reporting.DRY,
}
"""What people may set a site to, by the words that they use for it."""

GFAL_LOCK = "gfal"
"""The lock that all sites share which are listed through SRM."""

BUSY = (SiteStatus.LOCKED, SiteStatus.RUNNING)
"""The states that belong to a process."""


def action_of(word: str) -> SiteStatus | Reporting:
    """Give what a word sets; raises `BadAction`, which lists the words."""
    action = ACTIONS.get(word)
    if action is None:
        raise BadAction(f"no action {_shown(word)}; expected one of {', '.join(ACTIONS)}")
    return action


def status_of(value: object) -> SiteStatus:
    """Read a status, a whole number; raises `BadAction`, which lists those there are."""
    if isinstance(value, int) and not isinstance(value, bool) and value in SiteStatus.__members__.values():
        return SiteStatus(value)
    raise BadAction(f"no status {_shown(value)}; expected one of {_listed(SiteStatus)}")


def reporting_of(value: object) -> Reporting:
    """Read a way of reporting, a whole number or a truth value; raises `BadAction`, which lists those there are."""
    if isinstance(value, int) and value in Reporting.__members__.values():
        return Reporting(value)
    raise BadAction(f"no reporting {_shown(value)}; expected one of {_listed(Reporting)}")


def _listed(states: type[IntEnum]) -> str:
    return ", ".join(f"{state.value} ({state.name.lower()})" for state in states)


def _printable(name: str) -> str:
    return "".join([c if c.isprintable() else ascii(c)[1:-1] for c in name])


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def check_action(site: str, now: SiteStatus, action: SiteStatus | Reporting) -> None:
    """Refuse to halt a disabled site, which would be the end of its being disabled; raises `BadAction`."""
    if action == SiteStatus.HALT and isinstance(action, SiteStatus) and now == SiteStatus.DISABLED:
        raise BadAction(
            f"{_printable(site)} is disabled, which halts it already; set it ready to have it checked again"
        )


def check_not_taken(site: str, status: SiteStatus, by_others: bool) -> None:
    """Refuse to take a site from another process that is at work there; raises `BadAction`."""
    if by_others and status not in (SiteStatus.HALT, SiteStatus.DISABLED):
        raise BadAction(f"{_printable(site)} is being checked by another process; halt that first")


def after_interrupt(now: SiteStatus) -> SiteStatus:
    """Give the state of a site after SIGINT or SIGTERM: told to halt, unless it is disabled."""
    return SiteStatus.DISABLED if now == SiteStatus.DISABLED else SiteStatus.HALT


def lock_of(access_method: str) -> str:
    """Name the lock that a site needs which is listed in this way; empty when it needs none."""
    return GFAL_LOCK if access_method == "SRM" else ""


@dataclass(frozen=True, slots=True)
class OwnerSigns:
    """What can be seen of the process that a site's state belongs to.

    ``known`` is false when the state names none. ``here`` tells whether it is one of this machine, ``alive`` whether
    such a process lives; ``run_locked`` whether any process holds the run's directory. ``left_behind`` tells that the
    run's directory, which is therefore shared with that process, names it as the one that held it last. ``silent``
    tells that it gave signs of life, and has not given a new one for long.
    """

    known: bool
    here: bool
    alive: bool
    run_locked: bool
    left_behind: bool
    silent: bool = False


def is_over(signs: OwnerSigns) -> bool:
    """Whether the process that a state belongs to is gone for certain.

    Of a process on another machine only the lock of a directory that both share can tell, or its long silence.
    """
    if not signs.known or signs.run_locked:
        return False
    return not signs.alive if signs.here else signs.left_behind or signs.silent


def is_at_work(signs: OwnerSigns) -> bool:
    """Whether some process is at the site for certain."""
    return signs.run_locked or (signs.known and signs.here and signs.alive)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A site that may be picked.

    ``listed`` and ``ready`` are what the backend says; ``lock`` names the lock that the site needs. ``over`` tells that
    the process that the state belongs to is gone, ``at_work`` that one is at the site, whatever its state is.
    ``last_run`` is when it was last begun or had a result, None when never.
    """

    site: str
    status: SiteStatus
    last_run: float | None = None
    ready: bool = True
    lock: str = ""
    over: bool = False
    at_work: bool = False


def matching(names: Iterable[str], pattern: str | None) -> list[str]:
    """Give the names that contain a regular expression, sorted; all of them without one.

    Raises:
        NoMatchingSite: it is no regular expression.
    """
    if not pattern:
        return sorted(names)
    try:
        expression = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise NoMatchingSite(f"no site matches {_shown(pattern)}, which is no regular expression: {error}") from error
    return sorted(name for name in names if expression.search(name))


def why_not(candidate: Candidate, lock_name: str | None = None, held: Collection[str] = ()) -> str:
    """Say why a site cannot be picked now; empty when it can.

    ``lock_name`` is the lock that the site must use, empty for none at all, None for whichever; ``held`` are those that
    processes hold.
    """
    status = candidate.status
    # A run that was told to halt and is over leaves a journal to go on from.
    free = status == SiteStatus.READY or (candidate.over and status != SiteStatus.DISABLED)
    if not free:
        return {
            SiteStatus.DISABLED: "disabled",
            SiteStatus.HALT: "halted",
            SiteStatus.LOCKED: "picked by a process",
            SiteStatus.RUNNING: "running",
        }[status]
    if candidate.at_work:
        return "a process is at work there"
    if not candidate.ready:
        return "not ready, says the backend"
    if lock_name is not None and candidate.lock != lock_name:
        return f"needs the lock {candidate.lock}" if candidate.lock else "needs no lock"
    if candidate.lock in held:
        return f"the lock {candidate.lock} is held"
    return ""


def next_site(
    candidates: Iterable[Candidate], lock_name: str | None = None, held: Collection[str] = ()
) -> Candidate | None:
    """Pick the site that has not been checked for the longest time: never first, then the oldest, then by name."""
    free = [candidate for candidate in candidates if not why_not(candidate, lock_name, held)]
    return min(free, key=_turn, default=None)


def by_turn(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Sort sites as `next_site` would pick them, one after another."""
    return sorted(candidates, key=_turn)


def _turn(candidate: Candidate) -> tuple[bool, float, str]:
    return (candidate.last_run is not None, candidate.last_run or 0.0, candidate.site)


def explain_none(candidates: Sequence[Candidate], lock_name: str | None = None, held: Collection[str] = ()) -> str:
    """Say of each site why it was not picked."""
    return "; ".join(f"{_printable(candidate.site)}: {why_not(candidate, lock_name, held)}" for candidate in candidates)
