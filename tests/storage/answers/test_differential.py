"""Whatever a small site is like: of every path, what is explained is what a whole run has found, and why not."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from actors.oversight import Oversight, Progress, Refused
from actors.threads import ThreadRuntime
from engine.explaining.facts import PathFacts, Verdict
from engine.explaining.outcome import statements
from engine.explaining.words import Writing
from storage.answers.path_facts import path_facts
from storage.inventory import InventoryError
from tests.actors.small_site import OLD, SITE, Site, run

FINDINGS = {Verdict.MISSING, Verdict.ORPHAN, Verdict.SIZE_MISMATCH}
WRITING = Writing(str, str)
DAY = 86400
MADE = OLD + 100 * DAY

DIRECTORIES = ("mc", "mc/a", "mc/a/deep", "mc/a/deep/er", "mc/skip", "mc/skip/in", "data", "data/caf\udce9", "else")
ALWAYS = ("mc/always", "mc/always too")
FILES = tuple(f"{directory}/{name}" for directory in DIRECTORIES for name in ("f", "keep.x", "g\n"))


@dataclass(frozen=True)
class Held:
    """A file as one side has it."""

    size: int
    mtime: int


held = st.builds(Held, st.sampled_from([1, 2]), st.sampled_from([OLD, MADE + DAY]))
sides = st.dictionaries(st.sampled_from(FILES), held, max_size=12)
keys = st.fixed_dictionaries(
    {"IgnoreAge": st.sampled_from([0, 2]), "MinFiles": st.just(0)},
    optional={
        "IgnoreDirectories": st.lists(st.sampled_from(["/skip", "keep", "deep/er/"]), max_size=2, unique=True),
        "MaxDepth": st.sampled_from([1, 2]),
        "DeleteOrphans": st.booleans(),
        "DirectoryList": st.sampled_from([["mc"], ["mc", "data"], ["mc/a", "data"], ["mc", "gone"]]),
        "SecondInventory": st.sampled_from(["again", "none"]),
    },
)


def _write(site: Site, files: dict[str, Held], odd: bool) -> None:
    """Write the inventory, as a dump; ``odd``: with a line of which nobody can tell the file."""
    # A dump has a line for each file, so that no name has a newline there.
    rows = [f"{site.lfn(name)}|{file.size}|{file.mtime}" for name, file in files.items() if "\n" not in name]
    lines = [*(f"{site.lfn(name)}|1|{OLD}" for name in ALWAYS), *rows, *(["error: what is this"] if odd else [])]
    path = site.home / "inventory.csv"
    path.write_bytes(os.fsencode("".join(f"{line}\n" for line in lines)))
    os.utime(path, (MADE, MADE))


def _fill(site: Site, files: dict[str, Held]) -> None:
    root = site.home / "store"
    shutil.rmtree(root)
    for name, file in {**dict.fromkeys(ALWAYS, Held(1, OLD)), **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * file.size)
        os.utime(path, (file.mtime, file.mtime))
    for directory in root.rglob("*"):
        if directory.is_dir():
            os.utime(directory, (OLD, OLD))


def _facts(site: Site, name: str, as_directory: bool = False) -> PathFacts:
    config = site.config
    return path_facts(config, config.site(SITE), os.fsencode(site.lfn(name)), as_directory, time.time())


@settings(max_examples=10, deadline=None, phases=[Phase.generate])
@given(sides, sides, st.none() | sides, keys, st.booleans(), st.booleans())
def test_what_is_explained_is_what_was_found(
    inventory: dict[str, Held],
    store: dict[str, Held],
    second: dict[str, Held] | None,
    given_keys: dict[str, object],
    odd: bool,
    agreeing: bool,
) -> None:
    with tempfile.TemporaryDirectory() as home:
        site = Site(Path(home), {**given_keys, "InventoryFormat": "pipe", "MaxMalformed": 0.9})
        _fill(site, {**store, **(inventory if agreeing else {})})
        _write(site, inventory, odd)

        def watch(phase: str, _progress: Progress) -> None:
            if phase == "listing" and second is not None:
                _write(site, {**inventory, **second} if agreeing else second, False)
                os.utime(site.home / "inventory.csv", (MADE + 1, MADE + 1))

        runtime = ThreadRuntime()
        try:
            run(runtime, site, Oversight(lambda: "", watch))
        except (Refused, InventoryError):
            # Nothing was found then, and nothing of it may be told.
            pass
        finally:
            runtime.shutdown()
        with site.history() as history:
            (last,) = history.runs(SITE, 1)
            found: dict[str, Verdict] = {}
            for verdict, rows in (
                (Verdict.MISSING, history.missing(SITE)),
                (Verdict.ORPHAN, history.orphans(SITE)),
                (Verdict.SIZE_MISMATCH, history.size_mismatches(SITE)),
            ):
                found |= {os.fsdecode(row[0]): verdict for row in rows}
        for name in {*FILES, *ALWAYS, "mc/none", "nowhere/x"}:
            facts = _facts(site, name)
            assert facts.notices == ()
            expected = found.get(site.lfn(name))
            summary = statements(facts, WRITING)[0].text
            assert [past.kind for past in facts.found if past.current] == ([expected.value] if expected else [])
            if expected is not None:
                assert facts.judged.verdict == expected, (name, summary)
            elif last.status in ("done", "incomplete"):
                assert facts.judged.verdict not in FINDINGS, (name, summary)
                _has_a_reason(site, name, facts)
        _is_told_of_directories(site, found, last.status in ("done", "incomplete"))


def _is_told_of_directories(site: Site, found: dict[str, Verdict], judged: bool) -> None:
    """What is said of a directory is what was found in and below it, and how it was listed."""
    with site.history() as history:
        empty = {os.fsdecode(path) for path, _ in history.empty_directories(SITE)}
        unlisted = {os.fsdecode(path) for path, _, _ in history.unlisted(SITE)}
    for name in (*DIRECTORIES, "mc/none"):
        facts, path = _facts(site, name, as_directory=True), site.lfn(name)
        summary = statements(facts, WRITING)[0].text
        below = [file for file in found if file.startswith(f"{path}/")]
        counts = {count.kind: count.count for count in facts.counts}
        assert {kind: counts.get(kind, 0) for kind in FINDINGS} == {
            kind: sum(found[file] == kind for file in below) for kind in FINDINGS
        }
        assert counts.get("empty", 0) == sum(f"{directory}/".startswith(f"{path}/") for directory in empty)
        if not judged:
            continue
        assert ("It is an empty directory" in summary) == (path in empty)
        if path in unlisted:
            assert "not listed completely" in summary or "judged under another name" in summary
        if "nothing is wrong" in summary:
            assert not below
        if "was listed completely" in summary:
            assert (site.home / "store" / name).is_dir()
        if "no such directory" in summary:
            assert not (site.home / "store" / name).exists()


def _has_a_reason(site: Site, name: str, facts: PathFacts) -> None:
    """What is no finding and differs all the same has a reason that is true of it."""
    there = (site.home / "store" / name).exists()
    known = facts.inventory is not None and facts.inventory.file is not None
    match facts.judged.verdict:
        case Verdict.AGREES:
            assert there
            assert known
        case Verdict.NOWHERE:
            assert not known
            assert not there
        case Verdict.YOUNG:
            limit = facts.rules.young_after
            entries = [side.file for side in (facts.inventory, facts.store) if side is not None]
            assert limit is not None
            assert any(entry is not None and (entry.mtime or 0) > limit for entry in entries)
        case Verdict.SPARED:
            assert facts.rules.ignored_by or facts.rules.keeps_orphans
        case Verdict.OUTSIDE:
            assert facts.rules.top is None
        case Verdict.UNSEEN:
            assert facts.store is not None
            assert facts.store.hidden is not None
        case Verdict.LINK:
            assert facts.judged.same_as is not None
        case Verdict.UNREAD:
            assert there
            assert not known
            assert facts.inventory is not None
            assert facts.inventory.has_unread
        case Verdict.MEANWHILE:
            assert there != known or (there and known)
        case verdict:
            raise AssertionError(verdict)
