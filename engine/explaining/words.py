"""What is known of a path, in sentences: the first says how it stands, and the others why.

Times and sizes are written by whoever shows them (`Writing`), since how people read them is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from engine import paths
from engine.explaining.facts import (
    BelowFacts,
    DirectoryFacts,
    FileEntry,
    FoundFacts,
    InventoryFacts,
    PathFacts,
    Source,
    StoreFacts,
    Verdict,
)

_SHOWN_RUNS = 10
"""So many runs are told one by one."""


class Topic(StrEnum):
    """What a sentence is about."""

    SUMMARY = "summary"
    INVENTORY = "inventory"
    STORE = "store"
    RULES = "rules"
    FINDINGS = "findings"
    RUN = "run"
    ACTION = "action"
    NOW = "now"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence."""

    topic: Topic
    text: str


@dataclass(frozen=True, slots=True)
class Writing:
    """How times (seconds since the epoch) and sizes (bytes) are written."""

    when: Callable[[float], str]
    size: Callable[[int], str]


KINDS = {
    "missing": "missing",
    "orphan": "an orphan",
    "size_mismatch": "of another size than the inventory says",
    "checksum_mismatch": "of another checksum than the inventory says",
    "empty": "an empty directory",
    "unlisted": "not listed completely",
}
"""What a finding says that something is."""


def sides(facts: PathFacts, writing: Writing) -> Iterator[Statement]:
    """Say what inventory and store have."""
    inventory, store = facts.inventory, facts.store
    if facts.rules.is_outside:
        # What is kept of either has nothing of it, whatever they have.
        return
    if inventory is None:
        is_there = Source.INVENTORY in facts.unread
        none = "No inventory is kept here: no check has read one yet."
        yield Statement(Topic.INVENTORY, "The inventory that is kept here cannot be read." if is_there else none)
    else:
        yield Statement(Topic.INVENTORY, _inventory(facts, inventory, writing))
        if inventory.changed_since is not None:
            changed = writing.when(inventory.changed_since)
            yield Statement(Topic.INVENTORY, f"Its file has changed since ({changed}); the next check reads it anew.")
    if store is None and Source.LISTING in facts.unread:
        yield Statement(Topic.STORE, "The listing that is kept here cannot be read.")
        return
    if store is None:
        yield Statement(Topic.STORE, "No listing is kept here: no check has listed the site to its end yet.")
        return
    yield from _store(facts, store, writing)
    if facts.confirmed is not None:
        said = "had it after all" if facts.confirmed else "denied it"
        yield Statement(Topic.STORE, f"When it was asked for the file by its name, the store {said}.")
    if store.newer is not None:
        grown = writing.when(store.newer)
        yield Statement(Topic.STORE, f"A newer listing is under way, or was stopped; it last grew {grown}.")


def _inventory(facts: PathFacts, inventory: InventoryFacts, writing: Writing) -> str:
    head = f"The inventory read {writing.when(inventory.read)} ({inventory.source})"
    if facts.is_directory:
        return f"{head} has {_below(inventory.below, writing)}{_nearest(facts, inventory)}."
    if inventory.file is None:
        unread = ", and lines that nobody could read" if inventory.has_unread else ""
        return f"{head} has no such file{unread}{_nearest(facts, inventory)}."
    return f"{head} has it: {_entry(inventory.file, writing)}."


def _nearest(facts: PathFacts, inventory: InventoryFacts) -> str:
    """Name the nearest directory in which the inventory has something, where that is not the path's own."""
    own = facts.path if facts.is_directory else paths.parent_of(facts.path)
    if inventory.nearest is None:
        return ", and nothing above it"
    return (
        "" if inventory.nearest == own else f"; the nearest directory with files is {paths.escape(inventory.nearest)}"
    )


def _below(below: BelowFacts | None, writing: Writing) -> str:
    if below is None:
        return "nothing in or below it"
    return f"{_count(below.files, 'file')} ({writing.size(below.size)}) in and below it"


def _entry(entry: FileEntry, writing: Writing) -> str:
    size = "size not known" if entry.size is None else writing.size(entry.size)
    if entry.unsettled:
        time = "on its way in or out"
    else:
        time = "time not known" if entry.mtime is None else f"changed {writing.when(entry.mtime)}"
    return ", ".join([size, time, *([f"block {entry.block}"] if entry.block else [])])


def _store(facts: PathFacts, store: StoreFacts, writing: Writing) -> Iterator[Statement]:
    head = f"The listing begun {writing.when(store.begun)} ({store.source})"
    directory, hidden = store.directory, store.hidden
    yield Statement(Topic.STORE, f"{head} {_listing_has(facts, store, writing)}.")
    if hidden is not None:
        yield Statement(Topic.STORE, _how_listed(hidden, writing, facts.rules.quarantine))
    elif directory is not None:
        yield Statement(Topic.STORE, _how_listed(directory, writing))
    elif not facts.is_directory:
        yield Statement(Topic.STORE, f"It has no directory {paths.escape(paths.parent_of(facts.path) or b'/')}.")
    if store.nearest is not None and (directory is None or hidden is not None):
        nearest = paths.escape(store.nearest)
        yield Statement(Topic.STORE, f"The nearest directory above that was listed completely is {nearest}.")
    if facts.is_directory and hidden is None and store.below is not None and store.below.unlisted:
        what = _count(store.below.unlisted, "directory", "directories")
        yield Statement(Topic.STORE, f"{what} in or below it could not be listed; nobody knows what is in there.")
    if facts.is_directory and directory is not None and hidden is None and store.below is not None:
        yield from _why_not_empty(facts, directory, store.below, writing)


def _listing_has(facts: PathFacts, store: StoreFacts, writing: Writing) -> str:
    if store.hidden is not None and store.file is None:
        return "could not see what is there" if facts.is_directory else "could not see whether it is there"
    if not facts.is_directory:
        unread = ", and lines that nobody could read" if store.has_unread else ""
        return f"has no such file{unread}" if store.file is None else f"has it: {_entry(store.file, writing)}"
    if store.directory is None and not facts.rules.above:
        return "has no such directory"
    return f"has {_below(store.below, writing)}"


def _why_not_empty(
    facts: PathFacts, directory: DirectoryFacts, below: BelowFacts, writing: Writing
) -> Iterator[Statement]:
    """Say why a directory without files is not called empty."""
    if below.files or below.unlisted or any(found.kind == "empty" and found.current for found in facts.found):
        return
    young = facts.rules.young_after
    if directory.path == facts.rules.top:
        why = "a check begins from it"
    elif directory.reason:
        why = f"it {directory.reason}"
    elif directory.mtime is None:
        why = "the store gives no time of it"
    elif young is not None and directory.mtime > young:
        why = f"it changed {writing.when(directory.mtime)}, and what changed after {writing.when(young)} is too young"
    else:
        why = "a directory below it is not, the inventory has files to come there, or somebody acted on it"
    yield Statement(Topic.STORE, f"No file is in or below it, and it is not called empty: {why}.")


def _how_listed(directory: DirectoryFacts, writing: Writing, quarantine: bytes | None = None) -> str:
    path = paths.escape(directory.path)
    if directory.state == "listed":
        when = "" if directory.listed is None else f" {writing.when(directory.listed)}"
        taken = ", and was taken over from an earlier listing" if directory.taken_over else ""
        more = f" ({directory.reason})" if directory.reason else ""
        note = f"; {directory.detail}" if directory.detail else ""
        return f"{path} was listed completely{when}, with {_count(directory.files, 'file')}{more}{taken}{note}."
    when = "" if directory.listed is None else f" {writing.when(directory.listed)}"
    detail = f" ({directory.detail})" if directory.detail else ""
    if directory.state == "ignored":
        is_aside = quarantine is not None and paths.is_under(directory.path, quarantine)
        why = "it is the quarantine" if is_aside else "IgnoreDirectories names a part of it"
        return f"{path} was left out on purpose: {why}."
    return f"{path} was not listed completely{when}: {directory.reason}{detail}. What is in and below it is not judged."


def rules(facts: PathFacts, writing: Writing) -> Iterator[Statement]:
    """Say which rules bear on the path."""
    known = facts.rules
    if known.is_outside:
        yield Statement(Topic.RULES, "It lies below no directory of DirectoryList, so that no check looks at it.")
    if known.ignored_by:
        parts = ", ".join(paths.escape(part) for part in known.ignored_by)
        yield Statement(Topic.RULES, f"IgnoreDirectories leaves it out: {parts}.")
    if known.quarantine is not None:
        where = paths.escape(known.quarantine)
        yield Statement(Topic.RULES, f"It lies in the quarantine, {where}, which no check looks at.")
    if known.protected:
        yield Statement(Topic.RULES, "It may be of a dataset that is protected here, so that it is never an orphan.")
    if known.being_deleted:
        what = "It may be of a dataset whose deletion was asked for, so that it is neither missing nor an orphan."
        yield Statement(Topic.RULES, what)
    if known.keeps_orphans:
        yield Statement(Topic.RULES, "DeleteOrphans is off: no orphan of the site is reported.")
    if is_unsettled(facts):
        what = "It is on its way in or out, says the inventory; it is not judged until that is over."
        yield Statement(Topic.RULES, what)
    elif known.young_after is not None and facts.judged.verdict == Verdict.YOUNG:
        limit = f"what changed after {writing.when(known.young_after)} is not judged"
        yield Statement(Topic.RULES, f"IgnoreAge is {known.ignore_age_days:g}: {limit}.")
    if facts.judged.verdict == Verdict.LINK:
        other = "another one" if facts.judged.same_as is None else paths.escape(facts.judged.same_as)
        yield Statement(Topic.RULES, f"Its directory is the same as {other}, as behind a link; it is judged there.")
    if known.deletable:
        yield Statement(Topic.RULES, "The last cleaning of the unmerged area found that it may be deleted.")
    if known.in_unmerged:
        yield Statement(Topic.RULES, f"The cleaning of the unmerged area leaves it: {known.in_unmerged}.")


def is_unsettled(facts: PathFacts) -> bool:
    """Tell whether it is left alone as long as its replica is on its way."""
    entry = None if facts.inventory is None else facts.inventory.file
    return facts.judged.verdict == Verdict.YOUNG and entry is not None and entry.unsettled


def findings(facts: PathFacts, writing: Writing) -> Iterator[Statement]:
    """Say which runs have found it."""
    if Source.HISTORY in facts.unread:
        yield Statement(Topic.FINDINGS, "What runs have found cannot be told: the history cannot be read.")
        return
    for found in facts.found[:_SHOWN_RUNS]:
        yield Statement(Topic.FINDINGS, _finding(found, writing))
    left = len(facts.found) - _SHOWN_RUNS
    if left > 0:
        yield Statement(Topic.FINDINGS, f"So did {_count(left, 'earlier finding')}.")
    for below in facts.counts:
        size = f" ({writing.size(below.size)})" if below.size else ""
        what = below.kind.replace("_", " ")
        yield Statement(Topic.FINDINGS, f"In and below it the last run has {below.count:,} of the kind {what}{size}.")
    if not facts.found and not facts.counts:
        yield Statement(Topic.FINDINGS, "No run has found anything about it, as far as the history is kept.")


def _finding(found: FoundFacts, writing: Writing) -> str:
    sizes = "" if found.size is None else f", {writing.size(found.size)}"
    if found.remote_size is not None:
        sizes += f" in the inventory and {writing.size(found.remote_size)} on the store"
    detail = f": {found.detail}" if found.detail else ""
    acted = "" if found.acted is None else f"; somebody acted on it {writing.when(found.acted)}"
    return f"Run {found.run} ({writing.when(found.entered)}): {KINDS[found.kind]}{sizes}{detail}{acted}."


def _count(number: int, word: str, plural: str = "") -> str:
    return f"{number:,} {word if number == 1 else plural or word + 's'}"
