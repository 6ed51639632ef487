"""Runs that are killed with kill -9, and what the runs behind them make of it.

What comes out in the end is held, byte for byte, against a run that nobody disturbed (see `tests.faults.kills`).
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.program import Ended, wait_for
from tests.faults.kills import HELD, KillableSite, Trial, end, find_below, lacking, repeated, title_of, wait_until
from tests.faults.site import FaultySite
from tests.servers.processes import is_running, processes_below
from tests.servers.xrootd import XRootDServer

_DIRECTORIES = 300

_TO_APPEAR = 60.0
"""Seconds that Ray may take until an actor is there."""

Kill = Callable[[FaultySite, int, list[str]], Ended | None]


@pytest.fixture(scope="module")
def killable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillableSite]:
    """A site that has been checked once, and what a check of it leaves that nobody disturbs."""
    server = XRootDServer(("xrootd.trace fs",))
    server.start()
    try:
        yield KillableSite(server, tmp_path_factory.mktemp("kills"), _DIRECTORIES)
    finally:
        server.stop()


@pytest.fixture
def ray_env() -> Iterator[dict[str, str]]:
    # The names of sockets are short.
    directory = Path(tempfile.mkdtemp(prefix="kills"))
    yield {"RAY_TMPDIR": str(directory)}
    shutil.rmtree(directory)


@contextmanager
def _on_ray(killable: KillableSite, env: dict[str, str]) -> Iterator[KillableSite]:
    killable.runtime, killable.env = "ray", env
    try:
        yield killable
    finally:
        killable.runtime, killable.env = "threads", {}


def _at_touch(killable: KillableSite, *numbers: int) -> Kill:
    """Die when the disk is touched for the n-th time, in one run after another."""

    def kill(site: FaultySite, number: int, story: list[str]) -> Ended:
        ended = wait_for(killable.start(site, numbers[number]))
        story.append(f"touch {numbers[number]}: {ended.code} {ended.err.strip()}")
        return ended

    return kill


def _at_times(killable: KillableSite, *seconds: float) -> Kill:
    """Kill the program after so many seconds, every other time with whatever it has started."""

    def kill(site: FaultySite, number: int, story: list[str]) -> Ended | None:
        process = killable.start(site)
        try:
            process.wait(seconds[number])
        except subprocess.TimeoutExpired:
            end(process, group=number % 2 == 0)
            story.append(f"killed after {seconds[number]:.2f} s")
            return None
        return wait_for(process)

    return kill


class _ProcessOf:
    """Kill one process that Ray runs for a check, some time after it appeared; the check has to end by itself."""

    def __init__(self, killable: KillableSite, title: str, delay: float) -> None:
        self._killable = killable
        self._title = title
        self._delay = delay
        self.killed = False

    def __call__(self, site: FaultySite, _number: int, story: list[str]) -> Ended:
        process = self._killable.start(site)
        victim = self._find(process)
        time.sleep(self._delay)
        below = processes_below(process.pid)
        if victim is not None and self._title in title_of(victim):
            os.kill(victim, signal.SIGKILL)
            self.killed = True
            story.append(f"{self._title} killed after {self._delay:.2f} s")
        ended = wait_for(process)
        story.append(f"ended with {ended.code}: {ended.err.strip()}")
        wait_until(lambda: not any(map(is_running, below)), f"still there: {list(map(title_of, below))}")
        return ended

    def _find(self, process: subprocess.Popen[str]) -> int | None:
        give_up = time.monotonic() + _TO_APPEAR
        while process.poll() is None and time.monotonic() < give_up:
            for found in find_below(process, self._title):
                return found
            time.sleep(0.02)
        return None


class _InActor:
    """Have one process that Ray runs for a check die ``after`` so many seconds behind its n-th touch of the disk."""

    def __init__(self, killable: KillableSite, title: str, touch: int, after: float) -> None:
        self._killable = killable
        self._dies = {"DYING_ACTOR": title, "DYING_AT": str(touch), "DYING_AFTER": str(after)}
        self.killed = False

    def __call__(self, site: FaultySite, _number: int, story: list[str]) -> Ended:
        done = site.home.with_suffix(".died")
        paths = (Path(__file__).with_name("in_actors"), Path(__file__).parents[2])
        env = {
            **self._dies,
            "DYING_HOME": str(site.home),
            "DYING_DONE": str(done),
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
        }
        process = self._killable.start(site, env=env)
        ended = wait_for(process)
        self.killed = done.exists()
        story.append(f"{self._dies}: {self.killed}, ended with {ended.code}: {ended.err.strip()}")
        return ended


def _assert_undisturbed(killable: KillableSite, trial: Trial, kills: int = 1) -> None:
    """The end is that of the undisturbed run, and nothing was asked again but what was in hand when it was killed.

    What is acted on is asked for right before, so by each run that acts.
    """
    before = killable.undisturbed
    assert trial.left.differences(before.left) == [], trial.story
    assert lacking(trial, before) == [], trial.story
    assert repeated(trial, before, "dirstat") <= kills * HELD, trial.story
    again = repeated(trial, before, "stat") + repeated(trial, before, "dirlist")
    assert again <= kills * (HELD + len(before.left.asked)), trial.story


@pytest.mark.fault(
    "kills",
    "the program is killed (kill -9) at places of its work that a seed picks: where it touches the disk, where it has "
    "recorded its findings, where it acts",
    "the next check brings the run to its end; lists, findings, counts, requests and summary are byte for byte those "
    "of an undisturbed run",
)
def test_killed_where_it_touches_the_disk(killable: KillableSite) -> None:
    chance = random.Random(7)
    last = killable.touches
    for part in range(6):
        # Most of what is delicate comes late.
        touch = chance.randrange(1 + part * last // 6, 1 + (part + 1) * last // 6)
        _assert_undisturbed(killable, killable.run(_at_touch(killable, touch), 1))


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.fault(
    "kills",
    "the program is killed (kill -9) each time that it touches the disk, some 240 runs",
    "each time the next check brings the run to its end, byte for byte that of an undisturbed one",
)
def test_killed_each_time_it_touches_the_disk(killable: KillableSite) -> None:
    for touch in range(1, killable.touches + 1):
        _assert_undisturbed(killable, killable.run(_at_touch(killable, touch), 1))


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.fault(
    "kills",
    "the program is killed (kill -9) three times in one run, at random touches of the disk, 40 runs",
    "the last check brings the run to its end, byte for byte that of an undisturbed one",
)
def test_killed_again_and_again(killable: KillableSite) -> None:
    for seed in range(40):
        chance = random.Random(seed)
        touches = [chance.randrange(1, killable.touches + 1) for _ in range(3)]
        _assert_undisturbed(killable, killable.run(_at_touch(killable, *touches), 3), 3)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.fault(
    "kills",
    "the program is killed (kill -9) at random moments, up to three times in one run, 100 runs",
    "the last check brings the run to its end, byte for byte that of an undisturbed one",
)
def test_killed_at_any_moment(killable: KillableSite) -> None:
    for seed in range(100):
        chance = random.Random(seed)
        seconds = [chance.uniform(0, killable.seconds) for _ in range(3)]
        _assert_undisturbed(killable, killable.run(_at_times(killable, *seconds), 3), 3)


@pytest.mark.fault(
    "kills",
    "on Ray the coordinator is killed (kill -9) in the middle of a run",
    "another one goes on from its journal, and the end is byte for byte that of an undisturbed one",
)
def test_a_coordinator_on_ray_is_killed(killable: KillableSite, ray_env: dict[str, str]) -> None:
    with _on_ray(killable, ray_env) as on_ray:
        kill = _ProcessOf(on_ray, "ray::Coordinator", 0.05)
        trial = on_ray.run(kill, 1)
        _assert_undisturbed(on_ray, trial)
    assert kill.killed
    # The run in which it was killed came to its end itself.
    assert any("ended with 0" in said for said in trial.story), trial.story


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("title", "touches", "longest"),
    [("ray::Coordinator", 6, 1.0), ("ray::Comparison", 2, 0.05), ("ray::HistoryStore", 50, 0.1)],
)
@pytest.mark.fault(
    "kills",
    "on Ray the coordinator, the comparison or the history store is killed (kill -9) at a random touch of the disk or "
    "a random time behind it, 25 times each",
    "the run ends and says what it lost, and the next one goes on; the end is byte for byte that of an undisturbed one",
)
def test_an_actor_on_ray_is_killed_in_its_work(
    killable: KillableSite, ray_env: dict[str, str], title: str, touches: int, longest: float
) -> None:
    killed = 0
    with _on_ray(killable, ray_env) as on_ray:
        for seed in range(25):
            chance = random.Random(f"{title} {seed}")
            kill = _InActor(on_ray, title, chance.randint(1, touches), chance.choice((0, chance.uniform(0, longest))))
            _assert_undisturbed(on_ray, on_ray.run(kill, 1))
            killed += kill.killed
    # One may be done before its time comes.
    assert killed >= 15


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("title", "longest", "times"),
    [("ray::ListerActor", 0.8, 25), ("ray::RecheckActor", 0.05, 6), ("raylet/raylet", 4.0, 6), ("gcs_server", 4.0, 6)],
)
@pytest.mark.fault(
    "kills",
    "on Ray a lister (25 times), the one that asks again, the raylet or Ray's head (6 times each) is killed (kill -9) "
    "at random moments",
    "a lister and whoever asks again are replaced; otherwise the run ends and says what it lost, and the next one goes "
    "on; the end is byte for byte that of an undisturbed one",
)
def test_a_process_on_ray_is_killed(
    killable: KillableSite, ray_env: dict[str, str], title: str, longest: float, times: int
) -> None:
    killed = 0
    with _on_ray(killable, ray_env) as on_ray:
        for seed in range(times):
            chance = random.Random(f"{title} {seed}")
            kill = _ProcessOf(on_ray, title, chance.uniform(0, longest))
            _assert_undisturbed(on_ray, on_ray.run(kill, 1))
            killed += kill.killed
    # Some live for the blink of an eye.
    assert killed >= (1 if longest < 0.1 else times // 2)
