"""How a site stands: its state in words and as a colour, and what about it needs a look.

A colour is never the only sign: each has words that say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from engine.actions import ActionLimits
from engine.site_states import Reporting, SiteStatus
from storage.history import RunStatus
from storage.page import words
from storage.page.runs import Run
from storage.sites.summary import Heartbeat, SiteRow

DAY = 86400.0
"""Seconds within which an update is fresh, and after which a run is long."""


class Tone(StrEnum):
    """The colours of the page; the values are classes of its style sheet."""

    NONE = ""
    GREEN = "green"
    BLUE = "blue"
    YELLOW = "yellow"
    GRAY = "gray"
    RED = "red"


@dataclass(frozen=True, slots=True)
class State:
    """The state of a site; ``running_since`` in seconds since the epoch, None when it does not run."""

    words: str
    tone: Tone
    running_since: float | None = None


_WORDS = {
    SiteStatus.DISABLED: "disabled",
    SiteStatus.HALT: "halted",
    SiteStatus.READY: "ready",
    SiteStatus.LOCKED: "queued",
    SiteStatus.RUNNING: "running",
}


def state_of(row: SiteRow, latest: Run | None, now: float, sign: Heartbeat | None = None) -> State:
    """Say how a site stands. What happens now goes before what was; the words say both.

    ``sign`` is the last sign of life of its run.
    """
    text, tone, since = _WORDS[row.status], Tone.NONE, None
    match row.status:
        case SiteStatus.RUNNING:
            since = row.last_started
            tone = Tone.GREEN
            if since is not None and now - since > DAY:
                text, tone = "running for over 24 h", Tone.YELLOW
            if sign is not None:
                far = words.counted(sign.directories, "directory", "directories")
                text += f": {words.shown(sign.phase)}, {far}, sign of life {words.utc(sign.given)} UTC"
                text += f"; {words.shown(sign.note)}" if sign.note else ""
        case SiteStatus.LOCKED:
            tone = Tone.BLUE
        case SiteStatus.HALT | SiteStatus.DISABLED:
            tone = Tone.GRAY
        case _ if not row.is_good:
            text, tone = "not ready", Tone.GRAY
    if is_empty(latest):
        text += ", no files in last listing"
        tone = tone or Tone.RED
    return State(text, tone, since)


def is_empty(latest: Run | None) -> bool:
    """Whether the last listing of a site had no files."""
    return latest is not None and latest.files == 0


def is_fresh(latest: Run | None, now: float) -> bool:
    """Whether the last results are of the last 24 hours."""
    return latest is not None and latest.ended is not None and now - latest.ended <= DAY


def reporting_words(row: SiteRow) -> str:
    """Say whether results are acted on."""
    return "acting" if row.reporting == Reporting.ACT else "dry run"


def concerns(state: State, runs: Sequence[Run], latest: Run | None, limits: ActionLimits) -> tuple[str, ...]:
    """Say what about a site needs a look; nothing about a site that is disabled on purpose."""
    if state.tone == Tone.GRAY and state.words.startswith(_WORDS[SiteStatus.DISABLED]):
        return ()
    found = []
    if state.tone == Tone.YELLOW:
        found.append(state.words)
    if latest is not None:
        if is_empty(latest):
            found.append("the last listing had no files")
        if latest.unlisted_bad:
            what = words.counted(latest.unlisted_bad, "directory", "directories")
            found.append(f"{what} could not be listed because of an error")
        found += [f"not acted on: gate {words.shown(gate.gate)}: {words.shown(gate.message)}" for gate in latest.gates]
    if latest is not None and not any(gate.gate == "too-many" for gate in latest.gates):
        if (latest.missing or 0) > limits.max_missing:
            found.append(f"more missing files than MaxMissing, {limits.max_missing:,}")
        if (latest.orphan or 0) > limits.max_orphan:
            found.append(f"more orphans than MaxOrphan, {limits.max_orphan:,}")
    # A cleaning that went well says nothing about a check that did not.
    ended = next((run for run in runs if run.status != RunStatus.RUNNING and not run.cleaned), None)
    if ended is not None and ended.status in (RunStatus.FAILED, RunStatus.DIED):
        why = f": {words.shown(ended.message)}" if ended.message else ""
        found.append(f"the last run {ended.status.value}{why}")
    return tuple(found)
