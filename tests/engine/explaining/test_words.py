"""Facts become sentences; each fact that matters is in one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.explaining.facts import (
    ActFacts,
    ActionFacts,
    BelowFacts,
    ConfirmFacts,
    CountFacts,
    DirectoryFacts,
    DoorFacts,
    FileEntry,
    FoundFacts,
    InventoryFacts,
    Judged,
    LiveFacts,
    PathFacts,
    PlanFacts,
    RequestFacts,
    RuleFacts,
    RunFacts,
    Source,
    StoreFacts,
    Verdict,
)
from engine.explaining.outcome import statements
from engine.explaining.words import Topic, Writing
from engine.gates import Refusal

WRITING = Writing(lambda seconds: f"at {seconds:g}", lambda size: f"{size} B")

SEEN = DirectoryFacts(b"/s/d", "listed", listed=3.0, mtime=1, files=4)
FAILED = DirectoryFacts(b"/s/u", "failed", "timeout", "after 30 s")
FACTS_RUN = RunFacts(5, 4.0, "done", last_with_findings=5)
FACTS = PathFacts(
    "T2_X",
    b"/s/d/f",
    False,
    RuleFacts(b"/s"),
    Judged(Verdict.AGREES),
    InventoryFacts(1.0, "list.txt", file=FileEntry(7, 2, "/x#1"), nearest=b"/s/d"),
    StoreFacts(2.0, "root://door", FileEntry(7, None), SEEN, nearest=b"/s/d"),
    run=FACTS_RUN,
)
MISSING = FoundFacts("missing", 5, 6.0, 7, current=True, seen=3, since=4.0)


def said(facts: PathFacts, topic: Topic | None = None) -> list[str]:
    return [each.text for each in statements(facts, WRITING) if topic in (None, each.topic)]


def summary(facts: PathFacts) -> str:
    first, *_ = statements(facts, WRITING)
    assert first.topic == Topic.SUMMARY
    return first.text


def test_a_file_of_which_nothing_is_wrong() -> None:
    assert said(FACTS) == [
        "Nothing is wrong with it: inventory and store both have it.",
        "The inventory read at 1 (list.txt) has it: 7 B, changed at 2, block /x#1.",
        "The listing begun at 2 (root://door) has it: 7 B, time not known.",
        "/s/d was listed completely at 3, with 4 files.",
        "No run has found anything about it, as far as the history is kept.",
        "The last run, 5 of at 4, is done.",
        "The site is dry: nothing is asked of the registry by itself.",
    ]


@pytest.mark.parametrize(
    ("judged", "words"),
    [
        (Judged(Verdict.NOWHERE), "Neither the inventory nor the store has it."),
        (Judged(Verdict.UNSEEN, "timeout"), "Whether it is there is not known"),
        (Judged(Verdict.YOUNG), "too young to be judged"),
        (Judged(Verdict.SPARED), "left alone on purpose"),
        (Judged(Verdict.LINK, "", b"/s/other"), "judged under another name"),
        (Judged(Verdict.OUTSIDE), "not looked at"),
        (Judged(Verdict.UNREAD), "it may be one of the lines that nobody could read"),
        (Judged(Verdict.MEANWHILE), "the inventory that was read again after the listing speaks against that"),
        (Judged(Verdict.UNKNOWN), "Nothing can be said of it"),
    ],
)
def test_each_verdict_has_its_words(judged: Judged, words: str) -> None:
    assert words in summary(replace(FACTS, judged=judged))


def test_what_a_run_has_found_goes_first() -> None:
    facts = replace(FACTS, judged=Judged(Verdict.MISSING), found=(MISSING,))
    assert summary(facts) == "It is missing: run 5 has found it, in 3 runs one after the other, since at 4."
    assert said(facts, Topic.FINDINGS) == ["Run 5 (at 6): missing, 7 B."]


def test_both_checksums_are_told() -> None:
    sums = "adler32:00000002 at the store, adler32:00000001 in the inventory"
    found = FoundFacts("checksum_mismatch", 5, 6.0, 7, None, True, detail=sums)
    facts = replace(FACTS, judged=Judged(Verdict.AGREES), found=(found,))
    assert summary(facts) == "It is of another checksum than the inventory says: run 5 has found it."
    words = f"Run 5 (at 6): of another checksum than the inventory says, 7 B: {sums}."
    assert said(facts, Topic.FINDINGS) == [words]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"found": (replace(MISSING, current=False, acted=9.0),)}, "somebody acted on it at 9"),
        ({"confirmed": True}, "its listing lacked it, and the store has it when it is asked for by name"),
        (
            {"run": RunFacts(6, 4.0, "failed", last_with_findings=5)},
            "run 6 failed, and what it found does not count",
        ),
        ({}, "the store may have given no sure answer when it was asked for it by its name"),
        ({"confirmed": False}, "no finding of run 5: the inventory, what belongs to datasets or the settings may be"),
        ({"run": replace(FACTS_RUN, compared=False)}, "what is on disk is newer than run 5, and was not compared yet"),
        ({"run": None}, "and no finding: the history has no run that is over"),
        (
            {"unread": (Source.HISTORY,)},
            "whether a run has found that cannot be told, since the history cannot be read",
        ),
    ],
)
def test_what_would_be_missing_and_is_no_finding_says_why(changes: dict[str, object], words: str) -> None:
    assert words in summary(replace(FACTS, judged=Judged(Verdict.MISSING), **changes))  # type: ignore[arg-type]


def test_what_hides_a_file_is_told() -> None:
    assert FACTS.store is not None
    store = replace(FACTS.store, file=None, directory=None, hidden=FAILED, nearest=b"/s")
    assert said(replace(FACTS, store=store, judged=Judged(Verdict.UNSEEN, "timeout")), Topic.STORE) == [
        "The listing begun at 2 (root://door) could not see whether it is there.",
        "/s/u was not listed completely: timeout (after 30 s). What is in and below it is not judged.",
        "The nearest directory above that was listed completely is /s.",
    ]


def test_a_directory_that_is_gone_is_named_with_what_is_above() -> None:
    assert FACTS.store is not None
    store = replace(FACTS.store, file=None, directory=None, nearest=b"/s", newer=8.0)
    assert said(replace(FACTS, store=store, confirmed=False), Topic.STORE) == [
        "The listing begun at 2 (root://door) has no such file.",
        "It has no directory /s/d.",
        "The nearest directory above that was listed completely is /s.",
        "When it was asked for the file by its name, the store denied it.",
        "A newer listing is under way, or was stopped; it last grew at 8.",
    ]


def test_rules_that_apply_are_named() -> None:
    rules = RuleFacts(b"/s", False, 5.0, 2.0, (b"/d",), True, True, True, "protected", True)
    found = said(replace(FACTS, rules=rules, judged=Judged(Verdict.YOUNG)), Topic.RULES)
    for words in (
        "IgnoreDirectories leaves it out: /d.",
        "protected here, so that it is never an orphan",
        "whose deletion was asked for",
        "DeleteOrphans is off",
        "IgnoreAge is 2: what changed after at 5 is not judged.",
        "found that it may be deleted",
        "The cleaning of the unmerged area leaves it: protected.",
    ):
        assert any(words in text for text in found), words
    assert said(FACTS, Topic.RULES) == []
    link = replace(FACTS, judged=Judged(Verdict.LINK, "", b"/s/real"))
    assert "the same as /s/real" in said(link, Topic.RULES)[0]


def test_what_lies_in_the_quarantine_is_said_to() -> None:
    assert FACTS.store is not None
    hidden = replace(FACTS.store, file=None, directory=None, hidden=DirectoryFacts(b"/s/q", "ignored"))
    rules = RuleFacts(b"/s", quarantine=b"/s/q")
    facts = replace(FACTS, path=b"/s/q/p/f", rules=rules, store=hidden, judged=Judged(Verdict.UNSEEN))
    assert summary(facts).startswith("It lies in the quarantine, which no check looks at; `plan quarantine` shows")
    assert said(facts, Topic.RULES) == ["It lies in the quarantine, /s/q, which no check looks at."]
    assert "/s/q was left out on purpose: it is the quarantine." in said(facts, Topic.STORE)


def test_of_what_is_outside_nothing_is_claimed() -> None:
    facts = replace(FACTS, rules=RuleFacts(None), judged=Judged(Verdict.OUTSIDE), inventory=None, store=None)
    assert said(facts, Topic.INVENTORY) == said(facts, Topic.STORE) == []
    assert said(facts, Topic.RULES) == ["It lies below no directory of DirectoryList, so that no check looks at it."]


def test_what_followed_is_told_in_its_order() -> None:
    action = ActionFacts(
        True,
        ConfirmFacts(2, 3, 1.0, 0.5),
        PlanFacts("abc", 5, 7.0, item=4, action="transfer", reason="gone", state="done"),
        (ActFacts(8.0, "root", "abc", "done", "transfer", "again"),),
        (RequestFacts("transfer", 8.5, "taken", 9.5), RequestFacts("deletion", 1.0, "new", 1.0)),
    )
    assert said(replace(FACTS, found=(MISSING,), action=action), Topic.ACTION) == [
        "The site is set to act.",
        "It is not due yet: known for 2 runs and 0.5 days, and 3 runs and 1 days are wanted.",
        "Plan abc of run 5, made at 7, has it as item 4 (transfer: gone); it is done.",
        "at 8: root had the transfer done by plan abc: again.",
        "A transfer was asked for at 8.5; somebody is about it, since at 9.5.",
        "A deletion was asked for at 1; nobody has taken it yet.",
    ]
    one = replace(FACTS, found=(MISSING,), action=ActionFacts(confirm=ConfirmFacts(1, 1)))
    assert "It is due: known for 1 run, and 1 run is wanted." in said(one, Topic.ACTION)
    other = said(replace(FACTS, found=(MISSING,), action=ActionFacts(registry="ours")), Topic.ACTION)
    assert "The registry is the backend ours" in other[-1]
    handed = ActionFacts(requests=(RequestFacts("deletion", 1.0, "done", 2.0),), registry="ours")
    words = "A deletion was asked for at 1; the backend ours took that over at 2, and knows what became of it."
    assert said(replace(FACTS, found=(MISSING,), action=handed), Topic.ACTION)[-1] == words
    twin = ActionFacts(confirm=ConfirmFacts(5, 1, twin=True))
    assert "left alone" in said(replace(FACTS, found=(MISSING,), action=twin), Topic.ACTION)[1]
    back = ActionFacts(confirm=ConfirmFacts(5, 1, spared=True))
    assert "brought back from a quarantine" in said(replace(FACTS, found=(MISSING,), action=back), Topic.ACTION)[1]
    rejected = ActionFacts(plan=PlanFacts("abc", 5, 7.0, rejected=True))
    assert "was rejected" in said(replace(FACTS, found=(MISSING,), action=rejected), Topic.ACTION)[1]


def test_the_last_run_has_its_gates() -> None:
    run = RunFacts(6, 4.0, "failed", "nobody answers", (Refusal("top", "no top"),), 5)
    assert said(replace(FACTS, run=run), Topic.RUN) == [
        "The last run, 6 of at 4, failed: nobody answers.",
        "The findings are those of run 5.",
        "It closed the gate top: no top.",
    ]
    assert said(replace(FACTS, run=None), Topic.RUN) == ["No run of the site that is over is in the history."]


def test_a_directory_has_what_is_below_it() -> None:
    assert FACTS.inventory is not None
    assert FACTS.store is not None
    facts = replace(
        FACTS,
        path=b"/s/d",
        is_directory=True,
        inventory=replace(FACTS.inventory, file=None, below=BelowFacts(9, 90, 3)),
        store=replace(FACTS.store, file=None, below=BelowFacts(8, 80, 3, 1)),
        counts=(CountFacts("missing", 2, 20), CountFacts("empty", 1, 0)),
    )
    assert summary(facts) == "It was listed completely, and 3 findings lie in and below it."
    assert said(facts, Topic.INVENTORY) == ["The inventory read at 1 (list.txt) has 9 files (90 B) in and below it."]
    assert said(facts, Topic.STORE) == [
        "The listing begun at 2 (root://door) has 8 files (80 B) in and below it.",
        "/s/d was listed completely at 3, with 4 files.",
        "1 directory in or below it could not be listed; nobody knows what is in there.",
    ]
    assert said(facts, Topic.FINDINGS) == [
        "In and below it the last run has 2 of the kind missing (20 B).",
        "In and below it the last run has 1 of the kind empty.",
    ]
    unsaid = replace(facts, counts=(), run=None)
    assert summary(unsaid) == "It was listed completely, and no run has said yet whether anything is wrong there."
    assert summary(replace(facts, counts=())).endswith("nothing is wrong in or below it, as far as it could be seen.")
    gone = replace(facts, store=replace(facts.store, directory=None, below=None), counts=())
    assert summary(gone) == "The store has no such directory, and the inventory has files there."
    hidden = replace(facts, store=replace(facts.store, hidden=FAILED))
    assert summary(hidden).startswith("What is in it is not known")
    above = replace(gone, rules=RuleFacts(None, above=True))
    assert summary(above) == "Directories that are checked lie below it; nothing is wrong in or below it."


@pytest.mark.parametrize(
    ("directory", "rules", "why"),
    [
        (SEEN, RuleFacts(b"/s/d"), "a check begins from it"),
        (replace(SEEN, reason="holds what is no file"), RuleFacts(b"/s"), "it holds what is no file"),
        (replace(SEEN, mtime=None), RuleFacts(b"/s"), "the store gives no time of it"),
        (replace(SEEN, mtime=9), RuleFacts(b"/s", young_after=5.0), "what changed after at 5 is too young"),
        (SEEN, RuleFacts(b"/s", young_after=5.0), "the inventory has files to come there"),
    ],
)
def test_a_directory_without_files_that_is_not_empty_says_why(
    directory: DirectoryFacts, rules: RuleFacts, why: str
) -> None:
    assert FACTS.store is not None
    store = replace(FACTS.store, directory=directory, file=None, below=BelowFacts(0, 0, 1))
    facts = replace(FACTS, path=b"/s/d", is_directory=True, rules=rules, store=store)
    assert why in said(facts, Topic.STORE)[-1]
    empty = replace(facts, found=(FoundFacts("empty", 5, 1.0, current=True),))
    assert not any("not called empty" in text for text in said(empty, Topic.STORE))


THERE = DoorFacts("root://door", True, size=7, mtime=2)


@pytest.mark.parametrize(
    ("doors", "last"),
    [
        ((THERE,), "So the store has it now, as the last listing says."),
        ((replace(THERE, size=8),), "So the store has it now, with another size than the last listing says"),
        ((replace(THERE, is_directory=True, size=None),), "So it is no file now, other than the last listing says"),
        ((DoorFacts("root://door", False),), "So the store does not have it now, other than the last listing says"),
        ((DoorFacts("root://door", None, problem="timeout"),), "So whether it is there now is not known."),
        ((DoorFacts("a", False), DoorFacts("b", None, problem="x")), "So whether it is there now is not known."),
        ((DoorFacts("a", False), THERE), "So some server of the cluster has it now"),
    ],
)
def test_what_the_doors_say_is_held_against_the_listing(doors: tuple[DoorFacts, ...], last: str) -> None:
    facts = replace(FACTS, live=LiveFacts(9.0, doors, clustered=len(doors) > 1))
    *each, conclusion = said(facts, Topic.NOW)
    assert len(each) == len(doors)
    assert conclusion.startswith(last)


def test_a_store_that_cannot_be_asked_says_why() -> None:
    facts = replace(FACTS, live=LiveFacts(9.0, problem="no doors"), notices=("x: damaged",))
    assert said(facts, Topic.NOW) == ["The store could not be asked: no doors."]
    assert said(facts, Topic.NOTICE) == ["Not everything could be read: x: damaged"]


def test_what_cannot_be_read_is_not_said_to_be_none() -> None:
    """Nobody is told that there is nothing where nobody could look."""
    found = replace(FACTS, run=None, unread=(Source.HISTORY, Source.SUMMARY, Source.REGISTRY))
    assert said(found, Topic.FINDINGS) == ["What runs have found cannot be told: the history cannot be read."]
    assert said(found, Topic.RUN) == said(found, Topic.ACTION) == []
    directory = replace(found, path=b"/s/d", is_directory=True)
    assert summary(directory) == "It was listed completely, and whether anything is wrong there cannot be told."
    damaged = (Source.INVENTORY, Source.LISTING)
    neither = replace(FACTS, judged=Judged(Verdict.UNKNOWN), inventory=None, store=None, unread=damaged)
    assert said(neither, Topic.INVENTORY) == ["The inventory that is kept here cannot be read."]
    assert said(neither, Topic.STORE) == ["The listing that is kept here cannot be read."]
    assert summary(neither) == "Nothing can be said of it: the inventory and the listing cannot be read."
    assert summary(replace(neither, is_directory=True)) == summary(neither)
    backend = replace(FACTS, judged=Judged(Verdict.UNKNOWN), unread=(Source.BACKEND,))
    assert summary(backend) == "Nothing can be said of it: the backend cannot be read."
    one = replace(FACTS, judged=Judged(Verdict.UNKNOWN), store=None)
    assert summary(one) == "Nothing can be said of it: there is no listing to go by."
    assert summary(replace(one, is_directory=True)).startswith("No listing says what the store has there; ")


def test_lines_that_nobody_could_read_are_told_of_where_a_file_is_not_found() -> None:
    assert FACTS.inventory is not None
    assert FACTS.store is not None
    inventory = replace(FACTS.inventory, file=None, has_unread=True)
    store = replace(FACTS.store, file=None, has_unread=True)
    facts = replace(FACTS, judged=Judged(Verdict.NOWHERE), inventory=inventory, store=store)
    assert summary(facts) == "Neither the inventory nor the store has it, as far as their lines could be read."
    assert said(facts, Topic.INVENTORY)[0].endswith("has no such file, and lines that nobody could read.")
    assert said(facts, Topic.STORE)[0].endswith("has no such file, and lines that nobody could read.")


def test_a_replica_that_is_on_its_way_is_not_called_young() -> None:
    assert FACTS.inventory is not None
    inventory = replace(FACTS.inventory, file=FileEntry(None, None, unsettled=True))
    facts = replace(FACTS, judged=Judged(Verdict.YOUNG), inventory=inventory, rules=RuleFacts(b"/s", young_after=5.0))
    assert summary(facts) == "It differs, and is not judged while it is on its way in or out."
    assert said(facts, Topic.INVENTORY)[0].endswith("has it: size not known, on its way in or out.")
    assert said(facts, Topic.RULES) == [
        "It is on its way in or out, says the inventory; it is not judged until that is over."
    ]


def test_a_directory_that_is_left_out_or_judged_elsewhere_is_not_called_unknown() -> None:
    assert FACTS.store is not None
    ignored = replace(FACTS.store, file=None, directory=None, hidden=DirectoryFacts(b"/s/i", "ignored"))
    facts = replace(FACTS, path=b"/s/i", is_directory=True, store=ignored)
    assert summary(facts) == "It is not looked at: IgnoreDirectories leaves it out, or a directory above it."
    same = "the same as another directory (/s/real)"
    link = FoundFacts("unlisted", 5, 6.0, current=True, detail=same)
    assert summary(replace(facts, found=(link,))) == (
        f"What is in it is judged under another name: run 5 has found it {same}."
    )


@pytest.mark.parametrize(
    ("event", "action", "words"),
    [
        ("done", "quarantine", "It was an orphan, which run 5 has found, and was put into the quarantine at 8"),
        ("done", "delete", "It was an orphan, which run 5 has found, and was deleted at 8, at the store itself"),
        ("purged", "quarantine", "It was an orphan, which run 5 has found, and was deleted at 8"),
        ("restored", "quarantine", "It is an orphan: run 5 has found it"),
        ("begun", "quarantine", "It is an orphan: run 5 has found it"),
        ("done", "transfer", "It is an orphan: run 5 has found it"),
    ],
)
def test_what_was_taken_away_since_is_no_finding_any_more(event: str, action: str, words: str) -> None:
    orphan = FoundFacts("orphan", 5, 6.0, 7, current=True, seen=1, since=6.0)
    act = ActFacts(8.0, "root", "abc", event, action)
    facts = replace(FACTS, found=(orphan,), action=ActionFacts(acts=(act,), at_store=True))
    assert summary(facts).startswith(words)
    # Nothing is asked of a registry then.
    taken = words.startswith("It was")
    assert any("was ever asked for" in text for text in said(facts, Topic.ACTION)) != taken
    # A request to a registry is no deletion, and one that was found again after that is there again.
    assert summary(replace(facts, action=ActionFacts(acts=(act,)))).startswith("It is an orphan")
    assert summary(replace(facts, found=(replace(orphan, entered=9.0),))).startswith("It is an orphan")
    dry = said(facts, Topic.ACTION)[0]
    assert dry == "The site is dry: nothing is asked of the registry or taken away by itself."


def test_what_lies_in_the_quarantine_is_said_to_with_its_place() -> None:
    begun = ActFacts(7.0, "root", "abc", "begun", "quarantine", aside=b"/q/abc/a b")
    done = replace(begun, at=8.0, event="done")
    facts = replace(FACTS, judged=Judged(Verdict.NOWHERE), action=ActionFacts(acts=(begun, done), at_store=True))
    assert summary(facts) == (
        "Neither the inventory nor the store has it: it was put into the quarantine at 8, and plan undo brings it back."
    )
    acts = said(facts, Topic.ACTION)
    assert "at 7: root began to move it to /q/abc/a b by plan abc." in acts
    assert "at 8: root moved it to /q/abc/a b by plan abc." in acts
    purged = replace(done, at=9.0, event="purged", aside=b"")
    gone = replace(facts, action=ActionFacts(acts=(begun, done, purged), at_store=True))
    assert summary(gone) == "Neither the inventory nor the store has it."


def test_what_was_brought_back_behind_the_listing_is_not_called_gone() -> None:
    back = ActionFacts(acts=(ActFacts(8.0, "root", "abc", "restored", "quarantine"),), at_store=True)
    facts = replace(FACTS, judged=Judged(Verdict.NOWHERE), action=back)
    assert summary(facts).startswith("It was brought back from the quarantine at 8, behind the last listing")
    assert FACTS.store is not None
    assert summary(replace(facts, store=replace(FACTS.store, begun=9.0))).startswith("Neither the inventory nor")
