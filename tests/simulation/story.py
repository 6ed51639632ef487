"""One run of a store from its seed: listing, crashes, going on, confirmation, and what must be true at the end."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

import msgpack

from actors.confirmation import Confirmation
from actors.coordinator import Coordinator
from actors.messages import ListingPlan
from engine import paths
from engine.compare import CompareOptions, Tally, compare, empty_directories
from engine.findings import Finding, Kind
from engine.incremental import doubtful, is_taken
from engine.states import State
from engine.table import DirectoryTable
from storage.listers.protocol import Ask
from storage.snapshot import Snapshot, SnapshotError, SnapshotHeader, part_of
from tests.simulation.before import LISTED, Before
from tests.simulation.clockwork import Clockwork
from tests.simulation.post import Direct
from tests.simulation.staff import Foreman
from tests.simulation.watch import Crashed, Watch
from tests.simulation.world import IGNORED, World

_POLL = 0.5
"""Seconds between two looks at the progress, which is when leases run out."""

TAKING_OVER = 0.4
"""The share of stories in which directories are taken over from an earlier listing."""


@dataclass(frozen=True)
class Outcome:
    """What came of a story: figures, and a digest of every line of it where it was told."""

    events: int
    seconds: float
    requests: int
    listed: int
    failed: int
    missing: int
    beginnings: int
    taken: int = 0
    distrusted: bool = False
    digest: str = ""


class Story:
    """Everything of one seed. ``directory`` is where the journal goes; ``told`` keeps each line of the story."""

    def __init__(self, seed: int, directory: Path, told: bool = False) -> None:
        self.clockwork = Clockwork(seed)
        if told:
            self.clockwork.lines = []
        self.world = World(self.clockwork)
        self._before = Before(seed, self.world) if random.Random(f"takes over {seed}").random() < TAKING_OVER else None
        self._watch = Watch(self.clockwork, self.world, self._before)
        self._path = directory / "store"
        self._header = SnapshotHeader("listing", "simulated", 2 * LISTED, "SITE", self.world.tops)
        if self._before is not None:
            self._before.write(directory / "earlier", replace(self._header, created=LISTED))
        self._beginnings = 0
        self._takes_over = False
        self._foreman: Foreman
        self._coordinator: Coordinator | None = None
        self.clockwork.after_each = self._watch.check

    def run(self) -> Outcome:
        """Tell the story to its end.

        Raises:
            AssertionError: something was not as it must be.
        """
        try:
            return self._run()
        finally:
            if self._coordinator is not None:
                self._coordinator.release()

    def _run(self) -> Outcome:
        for _ in range(self.world.troubles.crashes):
            if self._list_until_a_crash():
                break
        else:
            self._begin()
            self._list()
        assert self._coordinator is not None
        self._coordinator.seal()
        if self._before is not None:
            self._list_what_differs()
        snapshot = Snapshot(self._path)
        snapshot.verify()
        self._check_the_snapshot(snapshot.table)
        self._check_what_was_taken(snapshot.table)
        missing = self._compare(snapshot.table)
        self._coordinator.no_more_work()
        self.clockwork.run_while(lambda: not self._foreman.all_home)
        assert self._foreman.all_home, "listers never went home"
        self._watch.check()
        self._check_the_requests(snapshot.table)
        snapshot.close()
        for path in self._path.parent.iterdir():
            path.unlink()
        table = snapshot.table
        lines = self.clockwork.lines or ()
        return Outcome(
            self.clockwork.events,
            self.clockwork.now,
            sum(self.world.asked.values()),
            table.count(State.LISTED),
            table.count(State.FAILED),
            missing,
            self._beginnings,
            self._watch.taken_ever,
            bool(self._watch.distrust),
            blake2b("\n".join(lines).encode(), digest_size=8).hexdigest() if lines else "",
        )

    def _begin(self) -> None:
        self._beginnings += 1
        self.clockwork.tell(f"beginning {self._beginnings}")
        resume = self._beginnings > 1
        earlier = None if self._before is None or self._watch.distrust else self._before.earlier(resume)
        self._takes_over = earlier is not None
        plan = ListingPlan(self._header, self._path, self.world.limits, (IGNORED,), resume, earlier=earlier)
        self._coordinator = coordinator = Coordinator(plan, self.clockwork.clock)
        self._watch.begin(coordinator)
        resumed = self._read_the_journal()
        # What is ignored or too deep among the tops is written down in the start itself, where nobody looks.
        coordinator.start()
        index = coordinator._journal.index
        for path in index.in_state(State.IGNORED):
            assert IGNORED in path
            resumed[path] = State.IGNORED
        taken = set(index.listed_until(LISTED))
        self._watch.started(resumed, [path for state in State for path in index.in_state(state)], taken)
        self._watch.check()
        self._foreman = Foreman(self.clockwork, self.world, coordinator, self._watch.handle)
        self._foreman.on_lost = self._watch.lost
        self._foreman.on_left = self._watch.left

    def _read_the_journal(self) -> dict[bytes, State]:
        """Read what an earlier beginning left, by other means than its successor."""
        part = part_of(self._path)
        if not part.exists():
            return {}
        try:
            left = Snapshot(part)
        except SnapshotError:
            # Not even its head had come as far as the disk.
            return {}
        states = {path: left.table.state(row) for row, path in enumerate(left.table.paths)}
        left.close()
        return states

    def _list(self) -> None:
        """List until nothing is left to ask."""
        while not self._watch.look().idle:
            self.clockwork.run_for(_POLL)

    def _list_what_differs(self) -> None:
        """Do as `actors.doubtful.list_what_differs`."""
        found = Snapshot(self._path)
        again = doubtful(self.world.inventory_table(), found.table, found.header.taken_until)
        found.close()
        if again:
            assert set(again) <= self._watch.taken
            self.clockwork.tell(f"{len(again)} directories are listed after all")
            self._watch.handle("list_again", msgpack.packb(again))
            self._list()
            self._watch.handle("seal")

    def _list_until_a_crash(self) -> bool:
        """List until something ends it; True when the listing was quicker."""
        self._begin()
        clockwork, watch = self.clockwork, self._watch
        chance = clockwork.chance
        how = chance.choice(("kill", "crash", "crash inside", "lose the machine"))
        until = clockwork.now + chance.expovariate(1.0) * chance.choice((0.1, 1.0, 5.0))
        if how == "crash inside":
            watch.crash_after = chance.randrange(2 * len(self.world.directories))
        clockwork.tell(f"it will end by: {how}")
        try:
            while not self._watch.look().idle:
                if how != "crash inside" and clockwork.now >= until:
                    self._end_by(how)
                    return False
                clockwork.run_for(min(_POLL, max(0.001, until - clockwork.now)) if how != "crash inside" else _POLL)
        except Crashed:
            self._crash(None)
            return False
        watch.crash_after = None
        return True

    def _end_by(self, how: str) -> None:
        if how == "kill":
            self._watch.handle("kill", "enough")
            self.clockwork.run_for(40.0)
            assert (
                all(worker.at_home for worker in self._foreman.workers if worker.alive and not worker.trouble)
                or self.world.troubles.lost_message + self.world.troubles.lost_answer + self.world.troubles.pausing
            )
            before = set(self._watch.listed)
            self._watch.handle("release")
            self._gone()
            self._check_the_journal(before, before)
        elif how == "crash":
            self._crash(None)
        else:
            self._crash(self._watch.synced)

    def _crash(self, synced: int | None) -> None:
        """End without a word; with the machine goes what was not ``synced`` to its disk, or some of it."""
        watch, part = self._watch, part_of(self._path)
        self.clockwork.tell("the end, without a word")
        listed, in_file = set(watch.listed), part.stat().st_size
        watch.forget_what_was_not_written()
        assert part.stat().st_size == in_file
        self._gone()
        if synced is None:
            # Everything that was answered for is there; a crash inside may lose what was on its way.
            self._check_the_journal({path for path in watch.answered_for if path in listed}, listed)
            return
        chance = self.clockwork.chance
        lost = int((in_file - synced) * chance.random() ** chance.choice((1, 4)))
        os.truncate(part, in_file - lost)
        if chance.random() < 0.3:
            with part.open("ab") as file:
                file.write(chance.choice((bytes(50), b"\xff" * 9, chance.randbytes(30))))
        self._check_the_journal(set(), listed)

    def _gone(self) -> None:
        self._watch.end()
        self._foreman.dismiss()
        self.clockwork.forget()

    def _check_the_journal(self, at_least: set[bytes], at_most: set[bytes]) -> None:
        there = {path for path, state in self._read_the_journal().items() if state == State.LISTED}
        assert at_least <= there, "what was answered for is not in the journal"
        assert there <= at_most, "the journal has what nobody listed"

    def _check_the_snapshot(self, table: DirectoryTable) -> None:
        """Hold the finished file against all that was said."""
        watch = self._watch
        ends = {path: table.state(row) for row, path in enumerate(table.paths)}
        assert ends == watch.ends, "the snapshot has other ends than there were"
        assert State.UNFILLED not in ends.values()
        for row, path in enumerate(table.paths):
            if table.states[row] == State.LISTED:
                files = table.load(row)
                assert path in watch.taken or any(files == said.files for said in self.world.said[path])
                assert table.digest(row) == files.digest()
        if self.world.calm:
            self._check_that_all_is_there(ends, table)

    def _check_what_was_taken(self, table: DirectoryTable) -> None:
        watch, before = self._watch, self._before
        taken = {path for row, path in enumerate(table.paths) if before is not None and is_taken(table, row, LISTED)}
        assert taken == watch.taken
        assert watch.look().taken == len(taken)
        assert not (watch.distrust and taken), "what was taken over from a store that lies is not listed"
        assert self._takes_over or not taken, "what was taken over can be held against nothing, and is not listed"
        if before is None or not self._takes_over or self.world.cut or self.world.gone_at:
            return
        # Where nothing goes wrong, nobody is kept from saying whether a time has changed.
        assert not (self.world.calm and before.is_honest and watch.distrust), "a store that is true is not believed"
        lies = [path for path in before.lies & before.trusted.keys() if path in watch.ends]
        if before.share == 1.0 and any(watch.ends[path] == State.LISTED for path in lies):
            assert watch.distrust, "a store that lies is believed"

    def _is_stale(self, path: bytes, table: DirectoryTable) -> bool:
        """Whether a directory is, or is below, one that changed and was taken over as it was."""
        row = table.nearest(path)
        return (
            row is not None and self._before is not None and table.paths[row] in self._watch.taken & self._before.stale
        )

    def _check_that_all_is_there(self, ends: dict[bytes, State], table: DirectoryTable) -> None:
        world = self.world
        for path in world.directories:
            tops = [top for top in world.tops if paths.is_under(path, top)]
            above = [path]
            while tops and above[-1] not in world.tops:
                above.append(paths.parent_of(above[-1]) or b"/")
            if self._is_stale(path, table):
                continue
            if not tops:
                assert path not in ends
            elif not any(IGNORED in one or len(above) - 1 > world.limits.max_depth for one in above):
                assert ends[path] == State.LISTED, "nothing went wrong, and it is not listed"

    def _compare(self, table: DirectoryTable) -> int:
        """Compare and confirm as a check does; give the number of files that are missing."""
        world, tally = self.world, Tally()
        inventory = world.inventory_table()
        confirmation = Confirmation(Direct(self._watch.handle), tally, lambda: False, self._let_time_pass)
        candidates = 0
        for finding in compare(inventory, table, CompareOptions(), tally):
            row = table.nearest(finding.directory)
            assert row is None or table.paths[row] not in self._watch.taken, "it rests on what was not listed"
            if finding.kind == Kind.MISSING:
                candidates += len(finding)
                confirmation.add(finding)
            elif finding.kind == Kind.ORPHAN:
                self._check_orphans(finding)
        before = tally.protected
        unlisted = {path for path, _, _ in table.unlisted()}
        missing = [one for one in confirmation.confirmed(unlisted) if len(one)]
        count = sum(map(len, missing))
        assert count + tally.protected - before == candidates, "candidates were lost, or judged twice"
        truth = world.truth
        for finding in missing:
            held = truth.get(finding.directory)
            for name in finding.files.name_list():
                there = held is not None and name in held.files
                assert not there, f"called missing, and there: {paths.escape(paths.join(finding.directory, name))}"
        not_empty = confirmation.not_empty(one.directory for one in empty_directories(table, None))
        for finding in empty_directories(table, None, not_empty):
            inside = [path for path, held in truth.items() if held.files and paths.is_under(path, finding.directory)]
            assert not inside, f"called empty, and is not: {paths.escape(finding.directory)}"
        if world.calm:
            self._check_that_all_is_found(table, missing)
        return count

    def _let_time_pass(self, _seconds: float) -> None:
        self._watch.look()
        self.clockwork.run_for(_POLL)

    def _check_orphans(self, finding: Finding) -> None:
        held = self.world.directories[finding.directory]
        expected = self.world.inventory.get(finding.directory, {})
        for name in finding.files.name_list():
            assert name in held.files, "an orphan that was never there"
            assert name not in expected, "an orphan that the inventory knows"

    def _check_that_all_is_found(self, table: DirectoryTable, missing: list[Finding]) -> None:
        found = {paths.join(one.directory, name) for one in missing for name in one.files.name_list()}
        for directory, expected in self.world.inventory.items():
            row = table.nearest(directory)
            if row is None or table.states[row] != State.LISTED or self._is_stale(directory, table):
                continue
            blind = table.blind_rows()[row] >= 0
            held = self.world.directories.get(directory)
            for name in expected:
                # A directory of the name of a file is something that nobody calls missing.
                if not blind and (held is None or (name not in held.files and name not in held.directories)):
                    assert paths.join(directory, name) in found, "missing, and not found"

    def _check_the_requests(self, table: DirectoryTable) -> None:
        """Hold the number of requests against what the limits allow, and without troubles against what is needed."""
        world = self.world
        ever = len({*world.directories, *self._watch.known, *world.tops})
        assert world.asked[Ask.LIST] <= self._watch.handed_out
        again = self._watch.asked_again
        tries = (ever * self._beginnings + again) * world.limits.max_attempts
        assert world.asked[Ask.LIST] <= tries + self._watch.left_behind
        if world.calm and self._before is not None:
            listed = table.count(State.LISTED) - len(self._watch.taken) + self._watch.asked_again
            asked = listed + sum(1 for _, reason, _ in table.unlisted() if reason.name != "DEPTH")
            assert world.asked[Ask.LIST] <= asked, "directories were asked for more often than there was cause to"
        elif world.calm:
            asked = table.count(State.LISTED) + sum(1 for _, reason, _ in table.unlisted() if reason.name != "DEPTH")
            assert world.asked[Ask.LIST] == asked, "directories were asked for more than once"
