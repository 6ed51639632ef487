"""Everything that is looked at of a site: first what is on this machine, then its doors, its store and its speed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from engine.diagnosing.facts import (
    DoorProbe,
    SiteProbe,
    StoreProbe,
    TopFacts,
)
from engine.listing import Failed, Listed, Outcome
from engine.states import Reason
from storage.answers.probing.credentials import credentials
from storage.answers.probing.doors import probe_doors
from storage.answers.probing.here import faults, inventory, past, places
from storage.answers.probing.speed import measure
from storage.config.site import KnownSites, SiteConfig
from storage.doors import layout
from storage.doors.redirectors import kept_doors
from storage.doors.resolve import resolve
from storage.doors.source import SourceError, StoreSource, site_source
from storage.listers.protocol import DIRECTX, GFAL, Ask, StoreSpec
from storage.shown import printable

_PATIENCE = 10.0
"""Seconds that one question may take."""

_SHARED_DOORS = 3
"""So many doors that all show the same store are asked for its directories."""

Say = Callable[[str], None]
"""Is told what is looked at next."""


def probe_site(
    config: KnownSites,
    site: SiteConfig,
    environment: Mapping[str, str],
    now: float,
    say: Say = lambda _: None,
    heed: Callable[[], None] = lambda: None,
) -> SiteProbe:
    """Look at a site, with a few dozen questions to its doors; ``now`` is in seconds since the epoch.

    ``heed`` is called now and then, and may raise to give up.
    """
    say("settings, places, inventory and runs")
    probe = SiteProbe(
        site.name,
        now,
        faults(config, site, environment),
        tuple(places(site)),
        inventory(config, site),
        past(config, site),
        credentials=credentials(environment),
        check_every=site.check_every,
        listers=site.listers,
        in_flight=site.in_flight,
        connections=site.most_connections,
    )
    return _with_store(probe, site, environment, say, heed)


def _with_store(
    probe: SiteProbe,
    site: SiteConfig,
    environment: Mapping[str, str],
    say: Say,
    heed: Callable[[], None],
) -> SiteProbe:
    try:
        source = site_source(site)
    except SourceError as error:
        return replace(probe, store=StoreProbe(problem=printable(str(error))))
    say("the doors")
    named = source.spec.doors or _found_before(site)
    doors = probe_doors(named, site.root_path, min(site.timeout, _PATIENCE), environment, heed)
    probe = replace(probe, doors=doors, paced=not _is_fixed(source.spec))
    if doors and not any(door.is_up for door in doors):
        # What follows would say the same in other words, and take its time for it.
        return probe
    say("how the store lies on its doors")
    with _warnings() as said:
        try:
            source = resolve(source, heed)
        except SourceError as error:
            return replace(probe, store=StoreProbe(problem=printable(str(error)), warnings=_of_site(said, site)))
    new = [door for door in source.spec.doors if door not in named]
    if not named:
        doors = probe_doors(new, site.root_path, min(site.timeout, _PATIENCE), environment, heed)
        probe = replace(probe, doors=doors)
    say("its directories")
    listed, tops = _list_tops(source, heed)
    store = StoreProbe(_layout(source), source.spec.clustered, "", _of_site(said, site), tuple(tops))
    probe = replace(probe, store=store)
    if not listed:
        return probe
    say("how fast it answers")
    door = _door_of(source.spec, doors)
    alone = replace(source.spec, doors=(door,), clustered=False, open_ended=False)
    alone = replace(alone, timeout=min(alone.timeout, _PATIENCE))
    return replace(probe, speed=None if source.as_of is not None else measure(alone, listed))


def _of_site(said: Sequence[str], site: SiteConfig) -> tuple[str, ...]:
    """Give what was warned of, without the name of the site in front of it."""
    return tuple(text.removeprefix(f"{site.name}: ") for text in said)


def _found_before(site: SiteConfig) -> tuple[str, ...]:
    """Give the doors of a site that names none, as they were found the last time."""
    kept = kept_doors(site)
    return () if kept is None else tuple([f"root://{door}" for door in kept.doors])


def _is_fixed(spec: StoreSpec) -> bool:
    """Tell whether how much the doors are asked is not found out in a run."""
    return spec.method in (GFAL, DIRECTX) or spec.is_of_this_machine


def _door_of(spec: StoreSpec, doors: Sequence[DoorProbe]) -> str:
    up = [door.door for door in doors if door.is_up]
    return next((door for door in spec.doors if door in up), spec.doors[0])


def _layout(source: StoreSource) -> str:
    spec = source.spec
    count = len(spec.doors)
    many = f"{count} door{'' if count == 1 else 's'}"
    if source.as_of is not None:
        return "the store is known by a dump"
    if spec.clustered:
        known = "all of which are known" if not spec.open_ended else "perhaps not all, so no file is called missing"
        return f"a cluster of {count} data server{'' if count == 1 else 's'}, {known}"
    if spec.open_ended:
        return f"{many}, which may show a part of the store, so no file is called missing"
    return f"{many}, taken to show the whole store"


def _list_tops(source: StoreSource, heed: Callable[[], None]) -> tuple[list[tuple[bytes, Listed]], list[TopFacts]]:
    """List the top directories through the doors; gives those that could be listed, and what is to be said of each."""
    spec = source.spec
    asked_doors = spec.doors if spec.clustered else spec.doors[:_SHARED_DOORS]
    # What each door says is wanted, and not what they would have to say together.
    each = replace(spec, doors=asked_doors, open_ended=False, timeout=min(spec.timeout, _PATIENCE))
    listed: list[tuple[bytes, Listed]] = []
    facts: list[TopFacts] = []
    with layout.panel(each, heed) as asked:
        for top in source.tops:
            said = asked.ask([(door, Ask.LIST, top) for door in range(len(asked))])
            found = [outcome for outcome in said if isinstance(outcome, Listed)]
            silent = _silent(said)
            if found and not (spec.clustered and silent):
                largest = max(found, key=lambda outcome: len(outcome.files) + len(outcome.directories))
                listed.append((top, largest))
                facts.append(TopFacts(top, True, entries=len(largest.files) + len(largest.directories)))
            elif silent and (spec.clustered or len(silent) == len(said)):
                door, why = next((d, o) for d, o in zip(asked_doors, said, strict=True) if o in silent)
                assert isinstance(why, Failed)
                facts.append(TopFacts(top, None, why.reason, printable(f"{door}: {why.detail or why.reason.label}")))
            else:
                facts.append(_denied(top, said))
    return listed, facts


def _silent(said: Sequence[Outcome]) -> list[Failed]:
    """Give what is no answer of a store: nobody knows what it has."""
    reasons = (Reason.TIMEOUT, Reason.CONNECTION, Reason.AUTHENTICATION, Reason.SERVER)
    return [outcome for outcome in said if isinstance(outcome, Failed) and outcome.reason in reasons]


def _denied(top: bytes, said: Sequence[Outcome]) -> TopFacts:
    """Say what those answered that did, none of which has listed it."""
    silent = _silent(said)
    answers = [outcome for outcome in said if isinstance(outcome, Failed) and outcome not in silent]
    worst = next((outcome for outcome in answers if outcome.reason != Reason.NOT_FOUND), None)
    if worst is None:
        return TopFacts(top, False, Reason.NOT_FOUND)
    return TopFacts(top, None, worst.reason, printable(worst.detail))


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Take down what is warned of on the way, instead of having it shown."""
    said: list[str] = []

    class _Taker(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(printable(record.getMessage()))

    logger, taker = logging.getLogger("storage.doors"), _Taker(logging.WARNING)
    before = logger.propagate, logger.level
    logger.addHandler(taker)
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    try:
        yield said
    finally:
        logger.removeHandler(taker)
        logger.propagate = before[0]
        logger.setLevel(before[1])
