"""Simulated listers, each with the real `actors.lister.Pump`, and who looks after them."""

from __future__ import annotations

from collections.abc import Callable

from actors.coordinator import Coordinator
from actors.lister import ListerStuck, Pump
from actors.messages import ListerSettings
from actors.runtime import ActorLost
from storage.listers.doors import SpreadLister
from storage.listers.protocol import Lister, Sink, StoreSpec
from tests.simulation.clockwork import Clockwork
from tests.simulation.post import Handler, Post
from tests.simulation.world import TIMEOUT, Door, World

_LOOK_EVERY = 1.0
_LEAVING = 3
_CUT_OFF = 0.1
_NOTICED_AFTER = (0.5, 5.0, 30.0)
"""Seconds until somebody notices that a lister is dead, or takes one for dead that only stands still."""


class Worker:
    """A lister: steps when there is something to do, unless it is dead or stands still."""

    def __init__(self, clockwork: Clockwork, world: World, name: str, handle: Handler) -> None:
        self.name = name
        self.alive = True
        self.retiring = False
        self.trouble = ""
        self._clockwork = clockwork
        self._still_until = 0.0
        self._wake_at = -1.0
        self._lister: Lister | None = None

        def open_store(_spec: StoreSpec, sink: Sink) -> Lister:
            def open_door(number: int) -> Callable[[Sink], Lister]:
                return lambda inner: Door(clockwork, world, number, inner)

            def take(number: int, outcome: object) -> None:
                sink(number, outcome)  # type: ignore[arg-type]
                self.poke()

            self._lister = SpreadLister([open_door(number) for number in range(len(world.dead))], take, clockwork.clock)
            return self._lister

        settings = ListerSettings(
            StoreSpec(("root://door",), TIMEOUT), *clockwork.chance.choice(((1, 1), (4, 2), (16, 64)))
        )
        post = Post(clockwork, world.troubles, handle, self.poke)
        self._pump = Pump(name, settings, post, clockwork.clock, open_store)
        self.poke()

    @property
    def at_home(self) -> bool:
        """Whether it was sent home."""
        return self._pump.stopped

    def die(self) -> None:
        """Drop everything; nobody is told."""
        self.alive = False
        if self._lister is not None:
            self._lister.close()

    def retire(self) -> None:
        """Take no more, and go home when what is in hand is done."""
        self.retiring = True
        self._pump.retire()
        self.poke()

    def stand_still(self, seconds: float) -> None:
        """Do nothing for some time; what comes meanwhile waits."""
        self._still_until = self._clockwork.now + seconds

    def poke(self) -> None:
        """Step soon: there is something to do."""
        now = self._clockwork.now
        if self.alive and self._wake_at != now:
            self._wake_in(0.0)

    def _wake_in(self, seconds: float) -> None:
        at = self._wake_at = self._clockwork.now + seconds
        self._clockwork.after(seconds, lambda: self._step(at))

    def _step(self, planned: float) -> None:
        if not self.alive or planned != self._wake_at or self._lister is None or self._pump.stopped:
            return
        now = self._clockwork.now
        if now < self._still_until:
            self._wake_in(self._still_until - now)
            return
        self._wake_at = -1.0
        try:
            self._pump.collect(0.0)
            wait = self._pump.turn(self._lister)
        except (ActorLost, ListerStuck) as error:
            self._clockwork.tell(f"{self.name} gives up: {error!r}")
            self.trouble = repr(error)
            self._lister.close()
            return
        if not self._pump.stopped and self._wake_at != now and wait < 1e6:
            # A moment later, so that what is due then is due indeed.
            self._wake_in(wait + 1e-6)


class Foreman:
    """Keeps listers at work: looks around once a second and replaces those that are dead or in trouble."""

    def __init__(self, clockwork: Clockwork, world: World, coordinator: Coordinator, handle: Handler) -> None:
        self._clockwork = clockwork
        self._world = world
        self._coordinator = coordinator
        self._handle = handle
        self._hired = 0
        self._told: set[str] = set()
        self.on_lost: Callable[[str], None] = lambda name: None
        self.on_left: Callable[[str], None] = lambda name: None
        self.dismissed = False
        self.workers: list[Worker] = []
        for _ in range(clockwork.chance.choice((1, 1, 2, 3))):
            self._hire()
        clockwork.after(_LOOK_EVERY, self._look)

    def dismiss(self) -> None:
        """End all at once: the process that they depended on is gone."""
        self.dismissed = True
        for worker in self.workers:
            worker.die()

    @property
    def all_home(self) -> bool:
        """Whether every living lister was sent home."""
        return all(worker.at_home or not worker.alive or worker.trouble for worker in self.workers)

    def _hire(self) -> None:
        self._hired += 1
        self.workers.append(Worker(self._clockwork, self._world, f"lister {self._hired}", self._handle))

    def _look(self) -> None:
        if self.dismissed:
            return
        chance, troubles = self._clockwork.chance, self._world.troubles
        for worker in list(self.workers):
            if worker.at_home:
                if worker.retiring:
                    self._clockwork.tell(f"{worker.name} has gone")
                    self._part_with(worker)
                continue
            if worker.trouble or not worker.alive:
                self._replace_soon(worker, 0.0 if worker.trouble else chance.choice(_NOTICED_AFTER))
            elif troubles.dying and chance.random() < troubles.dying:
                self._clockwork.tell(f"{worker.name} dies")
                worker.die()
            elif self._may_retire(worker) and chance.random() < troubles.retiring:
                self._clockwork.tell(f"{worker.name} is told to take no more")
                worker.retire()
                self._hire()
            elif worker.retiring and worker.name not in self._told and chance.random() < _CUT_OFF:
                self._clockwork.tell(f"{worker.name} leaves what it has in hand")
                worker.die()
                self.workers.remove(worker)
                self.on_left(worker.name)
                self._coordinator.lister_left(worker.name)
            elif troubles.pausing and chance.random() < troubles.pausing:
                seconds = chance.choice((0.5, 3.0, 15.0))
                self._clockwork.tell(f"{worker.name} stands still for {seconds:g} s")
                worker.stand_still(seconds)
                if chance.random() < 0.2:
                    # Taken for dead although it will come back, with reports that nobody expects any more.
                    self._replace_soon(worker, chance.choice(_NOTICED_AFTER))
        self._clockwork.after(_LOOK_EVERY, self._look)

    def _may_retire(self, worker: Worker) -> bool:
        # Those that are about to go keep their seats until then, so there are never many of them.
        leaving = sum(other.retiring for other in self.workers)
        return self._world.troubles.retiring > 0 and not worker.retiring and leaving < _LEAVING

    def _replace_soon(self, worker: Worker, seconds: float) -> None:
        if worker.name not in self._told:
            self._told.add(worker.name)
            self._clockwork.after(seconds, lambda: self._replace(worker))

    def _replace(self, worker: Worker) -> None:
        if self.dismissed:
            return
        self._clockwork.tell(f"{worker.name} is replaced")
        if not worker.alive or worker.trouble:
            self.workers.remove(worker)
        self._tell_of(worker)
        self._hire()

    def _part_with(self, worker: Worker) -> None:
        self.workers.remove(worker)
        self._tell_of(worker)

    def _tell_of(self, worker: Worker) -> None:
        self.on_lost(worker.name)
        self._coordinator.lister_lost(worker.name)
