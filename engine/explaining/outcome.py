"""How a path stands, in one sentence; what followed from it; and what the store says now."""

from __future__ import annotations

from collections.abc import Iterator

from engine import paths
from engine.explaining.facts import (
    ActFacts,
    ActionFacts,
    ConfirmFacts,
    DoorFacts,
    FoundFacts,
    LiveFacts,
    PathFacts,
    PlanFacts,
    RequestFacts,
    Source,
    Verdict,
)
from engine.explaining.words import KINDS, Statement, Topic, Writing, findings, is_unsettled, rules, sides
from engine.states import Reason

_FINDINGS = (Verdict.MISSING, Verdict.ORPHAN, Verdict.SIZE_MISMATCH)
_STATUS = {
    "new": "nobody has taken it yet",
    "taken": "somebody is about it",
    "done": "it is done",
    "failed": "it failed",
}


def statements(facts: PathFacts, writing: Writing) -> list[Statement]:
    """Say all that is known: how the path stands first, and then why."""
    said = [Statement(Topic.SUMMARY, summary(facts, writing))]
    said += sides(facts, writing)
    said += rules(facts, writing)
    said += findings(facts, writing)
    said += _run(facts, writing)
    said += _action(facts, writing)
    if facts.live is not None:
        said += _now(facts, facts.live, writing)
    said += [Statement(Topic.NOTICE, f"Not everything could be read: {notice}") for notice in facts.notices]
    return said


def summary(facts: PathFacts, writing: Writing) -> str:
    """Say in one sentence how the path stands."""
    current = next((found for found in facts.found if found.current and found.acted is None), None)
    if current is not None:
        gone = facts.action.taken_away
        return _found(current, writing) if gone is None or gone.at < current.entered else _gone(current, gone, writing)
    back = facts.action.brought_back
    if back is not None and facts.store is not None and back.at > facts.store.begun:
        when = writing.when(back.at)
        return f"It was brought back from the quarantine {when}, behind the last listing; the next check judges it."
    if facts.rules.quarantine is not None:
        return "It lies in the quarantine, which no check looks at; `plan quarantine` shows what was put aside there."
    if facts.is_directory:
        return _directory(facts)
    match facts.judged.verdict:
        case Verdict.AGREES:
            return "Nothing is wrong with it: inventory and store both have it."
        case Verdict.NOWHERE:
            return f"Neither the inventory nor the store has it{_as_far_as_read(facts)}{_since(facts, writing)}."
        case Verdict.UNSEEN:
            return f"Whether it is there is not known: its directory could not be seen ({facts.judged.reason})."
        case Verdict.UNREAD:
            return "It differs, and is not judged: it may be one of the lines that nobody could read."
        case Verdict.MEANWHILE:
            return "It is no finding: the inventory that was read again after the listing speaks against that."
        case Verdict.YOUNG if is_unsettled(facts):
            return "It differs, and is not judged while it is on its way in or out."
        case Verdict.YOUNG:
            return "It differs, and is too young to be judged."
        case Verdict.SPARED:
            return "It differs, and is left alone on purpose."
        case Verdict.LINK:
            return "It is judged under another name."
        case Verdict.OUTSIDE:
            return "It is not looked at: it lies below no directory that is checked."
        case Verdict.UNKNOWN:
            return _nothing_to_go_by(facts)
        case verdict:
            return _not_recorded(facts, verdict, writing)


def _as_far_as_read(facts: PathFacts) -> str:
    unread = any(side is not None and side.has_unread for side in (facts.inventory, facts.store))
    return ", as far as their lines could be read" if unread else ""


def _since(facts: PathFacts, writing: Writing) -> str:
    """Say that it is not there since this program has put it aside, where it can be brought back from."""
    gone = facts.action.taken_away
    if gone is None or (gone.event, gone.action) != ("done", "quarantine"):
        return ""
    return f": it was put into the quarantine {writing.when(gone.at)}, and plan undo brings it back"


def _nothing_to_go_by(facts: PathFacts) -> str:
    """Say what a judgement wants, and is not there or cannot be read."""
    unread = {Source.INVENTORY: "the inventory", Source.LISTING: "the listing", Source.BACKEND: "the backend"}
    found = [words for source, words in unread.items() if source in facts.unread]
    if found:
        return f"Nothing can be said of it: {' and '.join(found)} cannot be read."
    missing = [] if facts.inventory is not None else ["no inventory"]
    missing += [] if facts.store is not None else ["no listing"]
    return f"Nothing can be said of it: there is {' and '.join(missing)} to go by."


def _found(found: FoundFacts, writing: Writing) -> str:
    if found.kind == "unlisted" and found.detail.startswith(Reason.LINK.label):
        return f"What is in it is judged under another name: run {found.run} has found it {found.detail}."
    since = "" if found.since is None else f", since {writing.when(found.since)}"
    times = f", in {found.seen} runs one after the other" if found.seen > 1 else ""
    return f"It is {KINDS[found.kind]}: run {found.run} has found it{times}{since}."


def _gone(found: FoundFacts, act: ActFacts, writing: Writing) -> str:
    """Say of what this program has taken away since it was found."""
    became = "was put into the quarantine" if act.event == "done" and act.action == "quarantine" else "was deleted"
    when = f"{writing.when(act.at)}, at the store itself; the next check looks anew"
    return f"It was {KINDS[found.kind]}, which run {found.run} has found, and {became} {when}."


def _directory(facts: PathFacts) -> str:
    store, inventory = facts.store, facts.inventory
    if facts.rules.is_outside:
        return "It is not looked at: it lies below no directory that is checked."
    if store is None and inventory is None:
        return _nothing_to_go_by(facts)
    below = sum(count.count for count in facts.counts)
    if store is not None and store.hidden is not None and store.hidden.state == "ignored":
        return "It is not looked at: IgnoreDirectories leaves it out, or a directory above it."
    if store is not None and store.hidden is not None:
        return "What is in it is not known: it could not be listed completely, or lies below one that could not."
    known = inventory is not None and inventory.below is not None
    what = _wrong_below(facts, below)
    if facts.rules.above and facts.rules.top is None:
        return f"Directories that are checked lie below it; {what}."
    if store is None:
        return f"No listing says what the store has there; {what}."
    if store.directory is None:
        return "The store has no such directory" + (", and the inventory has files there." if known else ".")
    return f"It was listed completely, and {what}."


def _wrong_below(facts: PathFacts, below: int) -> str:
    """Say what runs have found in and below a directory, as far as any has looked."""
    if Source.HISTORY in facts.unread:
        return "whether anything is wrong there cannot be told"
    if below:
        return f"{below:,} finding{' lies' if below == 1 else 's lie'} in and below it"
    if facts.run is None or facts.run.last_with_findings is None:
        return "no run has said yet whether anything is wrong there"
    hidden = facts.store is not None and facts.store.below is not None and facts.store.below.unlisted
    return "nothing is wrong in or below it" + (", as far as it could be seen" if hidden else "")


def _not_recorded(facts: PathFacts, verdict: Verdict, writing: Writing) -> str:
    """Say why what the rules call a finding is none of the last run's."""
    head = f"By the last inventory and listing it is {KINDS[verdict]}"
    if Source.HISTORY in facts.unread:
        return f"{head}; whether a run has found that cannot be told, since the history cannot be read."
    acted = next((found for found in facts.found if found.acted is not None), None)
    if acted is not None and acted.acted is not None:
        when = writing.when(acted.acted)
        return f"{head}, and no finding now: somebody acted on it {when}, and no run has looked since."
    if verdict == Verdict.MISSING and facts.confirmed:
        return "Nothing is wrong with it: its listing lacked it, and the store has it when it is asked for by name."
    run = facts.run
    if run is None:
        return f"{head}, and no finding: the history has no run that is over."
    if run.number != run.last_with_findings:
        return f"{head}, and no finding now: run {run.number} {_ended(run.status)}, and what it found does not count."
    if not run.compared:
        return f"{head}, and no finding yet: what is on disk is newer than run {run.number}, and was not compared yet."
    return f"{head}, and no finding of run {run.number}: {_perhaps(facts, verdict)}."


def _perhaps(facts: PathFacts, verdict: Verdict) -> str:
    """Say what may have kept something from being a finding, where nothing on disk tells."""
    unsure = verdict == Verdict.MISSING and facts.confirmed is None
    asked = "the store may have given no sure answer when it was asked for it by its name, or " if unsure else ""
    return f"{asked}the inventory, what belongs to datasets or the settings may be others now than in that run"


def _ended(status: str) -> str:
    """Say how a run has ended."""
    return {"failed": "failed", "died": "died", "halted": "was halted"}.get(status, f"is {status}")


def _run(facts: PathFacts, writing: Writing) -> Iterator[Statement]:
    run = facts.run
    if Source.HISTORY in facts.unread:
        return
    if run is None:
        yield Statement(Topic.RUN, "No run of the site that is over is in the history.")
        return
    message = f": {run.message}" if run.message else ""
    yield Statement(
        Topic.RUN, f"The last run, {run.number} of {writing.when(run.started)}, {_ended(run.status)}{message}."
    )
    if run.number != run.last_with_findings:
        last = run.last_with_findings
        yield Statement(Topic.RUN, "No run has findings." if last is None else f"The findings are those of run {last}.")
    for gate in run.gates:
        yield Statement(Topic.RUN, f"It closed the gate {gate.gate}: {gate.message}.")


def _action(facts: PathFacts, writing: Writing) -> Iterator[Statement]:
    action = facts.action
    if Source.SUMMARY not in facts.unread:
        or_gone = " or taken away" if action.at_store else ""
        nothing = f"nothing is asked of the registry{or_gone} by itself"
        acting = "is set to act" if action.acting else f"is dry: {nothing}"
        yield Statement(Topic.ACTION, f"The site {acting}.")
    if action.confirm is not None:
        yield Statement(Topic.ACTION, _due(action.confirm))
    if action.plan is not None and (facts.found or action.plan.item is not None):
        yield Statement(Topic.ACTION, _plan(action.plan, writing))
    for act in action.acts:
        detail = f": {act.detail}" if act.detail else ""
        what = _BECAME.get(act.event, f"had the {act.action} {act.event}")
        if act.aside:
            what = f"{_PUT[act.event == 'done']} {paths.escape(act.aside)}"
        what = f"{act.who} {what} by plan {act.plan}{detail}"
        yield Statement(Topic.ACTION, f"{writing.when(act.at)}: {what}.")
    for request in action.requests:
        yield Statement(Topic.ACTION, _request(request, action.registry, writing))
    if not action.requests and facts.found and action.taken_away is None and Source.REGISTRY not in facts.unread:
        yield Statement(Topic.ACTION, _nothing_asked(action))


_PUT = ("began to move it to", "moved it to")
_BECAME = {
    "sourceless": "found no source for it",
    "restoring": "began to bring it back from the quarantine, where it was put",
    "restored": "brought it back from the quarantine, where it was put",
    "purging": "began to delete it for good from the quarantine, where it was put",
    "purged": "deleted it for good from the quarantine, where it was put",
}


def _nothing_asked(action: ActionFacts) -> str:
    if action.registry:
        return f"The registry is the backend {action.registry}, which cannot be asked here what became of requests."
    return "No deletion or transfer of it was ever asked for."


def _due(confirm: ConfirmFacts) -> str:
    if confirm.twin:
        return "It is left alone: its directory has the very files of another one, as behind a link."
    if confirm.spared:
        return "It is left alone: it was brought back from a quarantine less than QuarantineDays ago, or lies in one."
    days = f" and {confirm.days:g} days" if confirm.days else ""
    known = f"{confirm.seen} run{'' if confirm.seen == 1 else 's'}"
    known += f" and {confirm.known_days:.1f} days" if confirm.days else ""
    wanted = f"{confirm.needed} run{'' if confirm.needed == 1 else 's'}{days}"
    wanted += " is wanted" if confirm.needed == 1 and not days else " are wanted"
    if confirm.is_due:
        return f"It is due: known for {known}, and {wanted}."
    return f"It is not due yet: known for {known}, and {wanted}."


def _plan(plan: PlanFacts, writing: Writing) -> str:
    head = f"Plan {plan.name} of run {plan.run}, made {writing.when(plan.made)}"
    rejected = ", was rejected and" if plan.rejected else ""
    if plan.item is None:
        return f"{head}{rejected}, does not name it." if not rejected else f"{head}{rejected} does not name it."
    state = {
        "": "nothing was done yet",
        "begun": "it was begun, and nobody knows what became of it",
        "sourceless": _sourceless(plan),
    }
    became = state.get(plan.state, f"it is {plan.state}")
    return f"{head}{rejected or ','} has it as item {plan.item} ({plan.action}: {plan.reason}); {became}."


def _sourceless(plan: PlanFacts) -> str:
    only = "; it is declared, and lost for good, only with --last-copies" if plan.action == "declare" else ""
    return f"no other copy of it is known{only}"


def _request(request: RequestFacts, registry: str, writing: Writing) -> str:
    said = _STATUS.get(request.status, f"it is {request.status}")
    if registry and request.status == "done":
        # The queue has what was handed over, and not what became of it.
        when = writing.when(request.changed)
        said = f"the backend {registry} took that over {when}, and knows what became of it"
        return f"A {request.kind} was asked for {writing.when(request.requested)}; {said}."
    since = "" if request.status == "new" else f", since {writing.when(request.changed)}"
    return f"A {request.kind} was asked for {writing.when(request.requested)}; {said}{since}."


def _now(facts: PathFacts, live: LiveFacts, writing: Writing) -> Iterator[Statement]:
    """Say what the backend says, what the doors say, and whether that is what the last listing said."""
    if live.registered:
        yield Statement(Topic.NOW, f"{live.registered}.")
    if live.problem:
        yield Statement(Topic.NOW, f"The store could not be asked: {live.problem}.")
        return
    for door in live.doors:
        yield Statement(Topic.NOW, f"{door.door}: {_door(door, writing)}.")
    if any(door.there for door in live.doors):
        now: bool | None = True
    elif any(door.there is None for door in live.doors) or not live.doors:
        now = None
    else:
        now = False
    yield Statement(Topic.NOW, _against_the_listing(facts, live, now))


def _door(door: DoorFacts, writing: Writing) -> str:
    if door.there is None:
        return f"no answer that can be relied on: {door.problem}"
    if not door.there:
        return "it is not there"
    if door.is_directory:
        return "it is there, a directory"
    size = "size not known" if door.size is None else writing.size(door.size)
    changed = "" if door.mtime is None else f", changed {writing.when(door.mtime)}"
    return f"it is there, {size}{changed}"


def _against_the_listing(facts: PathFacts, live: LiveFacts, now: bool | None) -> str:
    store = facts.store
    if now is None:
        return "So whether it is there now is not known."
    listed = None
    if store is not None and store.hidden is None:
        listed = store.directory is not None if facts.is_directory else store.file is not None
    where = "some server of the cluster" if live.clustered and now else "the store"
    said = f"So {where} has it now" if now else "So the store does not have it now"
    if listed is None:
        return f"{said}; the last listing could not tell."
    if now and listed and any(door.is_directory != facts.is_directory for door in live.doors if door.there):
        was = "directory" if facts.is_directory else "file"
        return f"So it is no {was} now, other than the last listing says; the next check will judge it anew."
    if listed == now:
        size = None if store is None or store.file is None else store.file.size
        sizes = {door.size for door in live.doors if door.there and not door.is_directory}
        if now and None not in (size, *sizes) and sizes - {size}:
            return f"{said}, with another size than the last listing says; the next check will judge it anew."
        return f"{said}, as the last listing says."
    return f"{said}, other than the last listing says; the next check will judge it anew."
