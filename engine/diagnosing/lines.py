"""What was found out, line by line: whether it is well, and what to do where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from engine import paths
from engine.diagnosing.facts import (
    AddressProbe,
    CredentialFacts,
    DoorProbe,
    PastFacts,
    PlaceFacts,
    SiteProbe,
    StoreProbe,
    TopFacts,
)
from engine.diagnosing.tuning import Kind, Suggestion, suggest
from engine.states import Reason

_DAY = 86400.0
_SOON = 3 * 3600.0
"""A token or proxy that ends within so many seconds is not worth the beginning of a listing."""

_CERTIFICATE_SOON = 14 * _DAY
_CLOCK_MATTERS = 60.0
"""Seconds that clocks may differ before a file's age is judged wrongly by an amount that matters."""

_LEAST_FREE = 1_000_000_000
_OLD_INVENTORY = 7 * _DAY
_OVERDUE = 2.0
"""A run is overdue after so many times the time between two checks."""

_DOES_NOT_ASK = frozenset(("unix", "host"))
"""Ways of knowing who asks for which nothing is needed."""


class Level(StrEnum):
    """How it stands."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Part(StrEnum):
    """What a line is about."""

    SETTINGS = "settings"
    PLACES = "places"
    INVENTORY = "inventory"
    DOORS = "doors"
    CREDENTIALS = "credentials"
    STORE = "store"
    SPEED = "speed"
    CLOCK = "clock"
    SPACE = "space"
    RUNS = "runs"


@dataclass(frozen=True, slots=True)
class Line:
    """One line: how it stands, about what, what there is to say, what to do, and the figures behind it."""

    level: Level
    part: Part
    text: str
    advice: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Writing:
    """How times (seconds since the epoch) and sizes (bytes) are written."""

    when: Callable[[float], str]
    size: Callable[[int], str]


def lines(probe: SiteProbe, writing: Writing) -> list[Line]:
    """Say everything, in the order in which a check would come upon it."""
    said = [*_settings(probe)]
    said += (_place(place, writing) for place in probe.places)
    said += _inventory(probe, writing)
    said += _doors(probe, writing)
    said += _credentials(probe, writing)
    if probe.store is not None:
        said += _store(probe.store)
    said += _speed(probe)
    said += _clock(probe)
    said += _space(probe, writing)
    said += _past(probe.past, probe, writing)
    return said


def worst(said: Iterable[Line]) -> Level:
    """Give the worst level of some lines."""
    return max((line.level for line in said), key=list(Level).index, default=Level.OK)


def _settings(probe: SiteProbe) -> Iterator[Line]:
    # A place that cannot be written has a line of its own.
    told = {place.key for place in probe.places if place.problem}
    for fault in probe.faults:
        if fault.key in told and not fault.minor:
            continue
        level = Level.WARNING if fault.minor else Level.PROBLEM
        yield Line(level, Part.SETTINGS, f"{fault.key}: {fault.wrong}" if fault.key else fault.wrong, fault.advice)
    if not probe.faults:
        yield Line(Level.OK, Part.SETTINGS, "nothing is wrong with the configuration")


def _place(place: PlaceFacts, writing: Writing) -> Line:
    name = f"{place.key} ({place.path})"
    figures = {"key": place.key, "free": place.free, "wanted": place.wanted}
    if place.problem:
        advice = "name another directory, or let this user write there"
        return Line(Level.PROBLEM, Part.PLACES, f"{name}: {place.problem}", advice, figures)
    if place.free is None:
        return Line(Level.OK, Part.PLACES, f"{name} can be written", figures=figures)
    free = f"{name} can be written; {writing.size(place.free)} free"
    if place.free < place.wanted:
        wanted = f"{free}, and the next check is likely to need {writing.size(place.wanted)}"
        return Line(Level.PROBLEM, Part.PLACES, wanted, "make room, or name a directory on a larger disk", figures)
    if place.free < _LEAST_FREE:
        return Line(Level.WARNING, Part.PLACES, free, "make room: a full disk ends a run", figures)
    return Line(Level.OK, Part.PLACES, free, figures=figures)


def _inventory(probe: SiteProbe, writing: Writing) -> Iterator[Line]:
    inventory, now = probe.inventory, probe.now
    figures = {"made": inventory.made}
    if inventory.problem:
        named = ("Inventory", "Backend", "Backends")
        if any(fault.key.partition(".")[0] in named and not fault.minor for fault in probe.faults):
            # It was said already, in other words.
            return
        advice = inventory.advice or "put it right, or name another one"
        yield Line(Level.PROBLEM, Part.INVENTORY, inventory.problem, advice, figures)
        return
    if not inventory.source:
        return
    if not inventory.has_lines:
        text = f"{inventory.source} can be read, and names nothing"
        yield Line(Level.PROBLEM, Part.INVENTORY, text, "see whoever makes it", figures)
        return
    made = "" if inventory.made is None else f", made {writing.when(inventory.made)}"
    age = None if inventory.made is None else now - inventory.made
    text = f"{inventory.source} can be read{made}"
    if age is not None and age > _OLD_INVENTORY:
        what = f"it is {age / _DAY:.0f} days old, and nothing younger is judged; see whoever makes it"
        yield Line(Level.WARNING, Part.INVENTORY, text, what, figures)
    else:
        yield Line(Level.OK, Part.INVENTORY, text, figures=figures)
    if inventory.elsewhere:
        text = f"its first files lie elsewhere than below RootPath, such as {inventory.elsewhere}"
        yield Line(Level.WARNING, Part.INVENTORY, text, "see RootPath, and whether it is the inventory of this site")


def _doors(probe: SiteProbe, writing: Writing) -> Iterator[Line]:
    others_up = any(door.is_up for door in probe.doors)
    clustered = probe.store is not None and probe.store.clustered
    for door in probe.doors:
        # One of several that is down is passed over by a run, unless nobody else has what it holds.
        fault = Level.WARNING if others_up and not clustered else Level.PROBLEM
        yield from _door(door, fault, probe.now, writing)
    if not probe.doors and probe.doors_from:
        yield Line(Level.OK, Part.DOORS, probe.doors_from)


def _door(door: DoorProbe, fault: Level, now: float, writing: Writing) -> Iterator[Line]:
    figures: dict[str, Any] = {"door": door.door}
    if door.name_problem:
        advice = "correct the name in Doors, or see the name server of this machine"
        yield Line(fault, Part.DOORS, f"{door.door}: its host is not known: {door.name_problem}", advice, figures)
        return
    dead = [address for address in door.addresses if address.problem]
    if door.addresses and len(dead) == len(door.addresses):
        advice = "see whether the server runs, and whether a firewall lets this machine through"
        what = "; ".join(_address(address) for address in dead)
        yield Line(fault, Part.DOORS, f"{door.door}: nobody accepts a connection: {what}", advice, figures)
        return
    for address in dead:
        advice = "have it taken out of the alias, or put right; others are asked meanwhile"
        yield Line(Level.WARNING, Part.DOORS, f"{door.door}: {_address(address)}", advice, figures)
    if door.problem:
        yield Line(fault, Part.DOORS, f"{door.door}: {door.problem}", door.advice, figures)
        return
    fastest = min((a.seconds for a in door.addresses if a.seconds is not None), default=None)
    figures |= {"connect_seconds": fastest, "round_trip_seconds": door.seconds, "wants": door.wants}
    parts = [door.protocol or "it answers"]
    if fastest is not None:
        parts.append(f"connected in {fastest * 1000:.1f} ms")
    if door.seconds is not None:
        parts.append(f"round trip {door.seconds * 1000:.1f} ms")
    if door.tls:
        parts.append(door.tls)
    yield Line(Level.OK, Part.DOORS, f"{door.door}: {', '.join(parts)}", figures=figures)
    if door.certificate_ends is not None:
        yield from _certificate(door, now, writing)


def _address(address: AddressProbe) -> str:
    return f"{address.address}: {address.problem}"


def _certificate(door: DoorProbe, now: float, writing: Writing) -> Iterator[Line]:
    assert door.certificate_ends is not None
    left = door.certificate_ends - now
    if left < _CERTIFICATE_SOON:
        ends = "ended" if left < 0 else "ends"
        text = f"{door.door}: its certificate {ends} {writing.when(door.certificate_ends)}"
        yield Line(Level.WARNING, Part.DOORS, text, "tell whoever runs the server", {"ends": door.certificate_ends})


def _credentials(probe: SiteProbe, writing: Writing) -> Iterator[Line]:
    heard = [door.wants for door in probe.doors if door.wants is not None]
    wanted = list(dict.fromkeys(way for wants in heard for way in wants))
    asking = [way for way in wanted if way not in _DOES_NOT_ASK]
    if heard and not wanted:
        yield Line(Level.OK, Part.CREDENTIALS, "no door wants to know who asks")
    elif wanted and not asking:
        yield Line(Level.OK, Part.CREDENTIALS, f"the doors take everybody's word for who asks ({', '.join(wanted)})")
    for credential in probe.credentials:
        yield _credential(credential, probe.now, credential.method in asking, writing)
    if asking and not any(credential.method in asking for credential in probe.credentials):
        text = f"the doors want to know who asks ({', '.join(asking)}), and there is nothing of that kind"
        advice = "set BEARER_TOKEN_FILE for ztn, XrdSecSSSKT for sss, X509_USER_PROXY for gsi; see docs/doors.md"
        yield Line(Level.PROBLEM, Part.CREDENTIALS, text, advice)


def _credential(credential: CredentialFacts, now: float, is_wanted: bool, writing: Writing) -> Line:
    name = f"{credential.kind} of {credential.place}"
    bad = Level.PROBLEM if is_wanted else Level.WARNING
    figures = {"kind": credential.kind, "place": credential.place, "ends": credential.ends}
    if credential.problem:
        return Line(bad, Part.CREDENTIALS, f"{name}: {credential.problem}", "put it right, or unset it", figures)
    if credential.ends is None:
        return Line(Level.OK, Part.CREDENTIALS, f"{name}; it does not say when it ends", figures=figures)
    ends = writing.when(credential.ends)
    if credential.ends <= now:
        return Line(bad, Part.CREDENTIALS, f"{name} ended {ends}", "renew it", figures)
    if credential.ends < now + _SOON:
        advice = "renew it now, and have something renew it while a listing goes on"
        return Line(Level.WARNING, Part.CREDENTIALS, f"{name} ends {ends}", advice, figures)
    return Line(Level.OK, Part.CREDENTIALS, f"{name} ends {ends}", figures=figures)


def _store(store: StoreProbe) -> Iterator[Line]:
    for warning in store.warnings:
        what, _, advice = warning.partition("; ")
        yield Line(Level.WARNING, Part.STORE, what, advice)
    if store.problem:
        what, _, advice = store.problem.partition("; ")
        yield Line(Level.PROBLEM, Part.STORE, what, advice or "see docs/doors.md")
        return
    if store.layout:
        yield Line(Level.OK, Part.STORE, store.layout)
    some = any(top.there for top in store.tops)
    # What is wrong with all of them in the same way is said once.
    alike: dict[tuple[bool | None, Reason, str, int | None], list[TopFacts]] = {}
    for top in store.tops:
        alike.setdefault((top.there, top.reason, top.detail, top.entries), []).append(top)
    for tops in alike.values():
        yield _tops(tops, some)


def _tops(tops: list[TopFacts], others_are_there: bool) -> Line:
    names, first = ", ".join(paths.escape(top.path) for top in tops), tops[0]
    figures = {"paths": [paths.decode(top.path) for top in tops], "entries": first.entries}
    if first.there:
        return Line(Level.OK, Part.STORE, f"{names} can be listed: {_entries(first.entries or 0)}", figures=figures)
    detail = f" ({first.detail})" if first.detail else ""
    if first.there is None:
        text = f"{names} cannot be listed: {first.reason.label}{detail}"
        return Line(Level.PROBLEM, Part.STORE, text, "see the server, and whether this user may read it", figures)
    advice = "take it out of DirectoryList, or see RootPath and PathPrefix"
    level = Level.WARNING if others_are_there else Level.PROBLEM
    is_not = "is not there" if len(tops) == 1 else "are not there"
    return Line(level, Part.STORE, f"{names} {is_not}", advice, figures)


def _entries(count: int) -> str:
    return f"{count:,} {'entry' if count == 1 else 'entries'}"


def _speed(probe: SiteProbe) -> Iterator[Line]:
    sample = probe.speed
    if sample is None:
        return
    found = suggest(sample)
    figures = {
        "requests": sample.requests,
        "directories_per_second": round(found.directories, 1),
        "files_per_second": round(found.files, 1),
        "listing_seconds": round(sample.alone, 4),
        "NumThreads": found.listers,
        "InFlight": found.in_flight,
        "Connections": found.connections,
    }
    text = f"a directory takes {sample.alone * 1000:.1f} ms alone; {found.directories:,.0f} a second were listed"
    text += f" ({sample.requests} requests)"
    if probe.past.directories:
        text += f", at which the {probe.past.directories:,} of the last listing take about {_long(probe, found)}"
    yield Line(Level.OK, Part.SPEED, text, figures=figures)
    if not probe.paced:
        return
    suits = f"NumThreads {found.listers}, InFlight {found.in_flight}, Connections {found.connections}"
    now = f"{probe.listers}, {probe.in_flight}, {probe.connections}"
    yield Line(Level.OK, Part.SPEED, f"{_KINDS[found.kind]}: {suits} suit it as limits (now {now})")


_KINDS = {
    Kind.QUICK: "the door answers quickly",
    Kind.FAR: "the door is far away, and takes many requests at a time",
    Kind.QUEUED: "the door has work with each request, and works on several connections at a time",
    Kind.BUSY: "the door has work with each request, and more connections gain nothing",
}


def _long(probe: SiteProbe, found: Suggestion) -> str:
    seconds = probe.past.directories / max(found.directories, 1e-6)
    if seconds < 120:
        return f"{max(1.0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _clock(probe: SiteProbe) -> Iterator[Line]:
    told = [door for door in probe.doors if door.clock is not None]
    for door in told:
        assert door.clock is not None
        ahead = "ahead of" if door.clock > 0 else "behind"
        apart = abs(door.clock)
        figures = {"door": door.door, "ahead_seconds": door.clock, "error_seconds": door.clock_error}
        if apart <= _CLOCK_MATTERS:
            text = f"{door.door}: its clock is that of this machine, by {door.clock_by}, give or take"
            yield Line(Level.OK, Part.CLOCK, f"{text} {max(1.0, apart, door.clock_error):.0f} s", figures=figures)
        else:
            text = f"{door.door}: its clock is {apart:,.0f} s {ahead} the one of this machine, by {door.clock_by}"
            advice = "set the one that is wrong (NTP): the ages of files are judged by both"
            yield Line(Level.WARNING, Part.CLOCK, text, advice, figures)
    if not told and any(door.is_up and not door.is_local for door in probe.doors):
        yield Line(Level.OK, Part.CLOCK, "the clock of the store is not known: its doors do not tell it")


def _space(probe: SiteProbe, writing: Writing) -> Iterator[Line]:
    told = [door for door in probe.doors if door.space is not None]
    for door in told:
        assert door.space is not None
        total, free = door.space.total, door.space.free
        figures = {"door": door.door, "total": total, "free": free}
        parts = [] if free is None else [f"{writing.size(free)} free"]
        parts += [] if total is None else [f"{writing.size(total)} in all"]
        yield Line(Level.OK, Part.SPACE, f"{door.door}: {', '.join(parts)}", figures=figures)
    if not told and any(door.is_up for door in probe.doors):
        yield Line(Level.OK, Part.SPACE, "how much room the store has is not known: its doors do not tell it")


def _past(past: PastFacts, probe: SiteProbe, writing: Writing) -> Iterator[Line]:
    figures = {"last_good": past.last_good, "last_run": past.last_run, "last_status": past.last_status or None}
    if past.problem:
        what, _, advice = past.problem.partition("; ")
        yield Line(Level.PROBLEM, Part.RUNS, what, advice or "see docs/formats.md, history", figures)
        return
    if past.running is not None:
        yield Line(Level.OK, Part.RUNS, f"a check goes on since {writing.when(past.running)}", figures=figures)
    if past.state in ("halt", "disabled"):
        advice = f"set-status {probe.site} ready"
        yield Line(Level.WARNING, Part.RUNS, f"the site is set to {past.state}, and is not checked", advice)
    if past.unfit:
        what, _, advice = past.unfit.partition("; ")
        text = f"it is not fit to be checked now: {what}"
        yield Line(Level.WARNING, Part.RUNS, text, advice or "wait, or see to it")
    if past.last_status in ("failed", "died") and past.running is None:
        why = f": {past.last_message}" if past.last_message else ""
        text = f"the last run, {past.last_run}, {past.last_status}{why}"
        yield Line(Level.PROBLEM, Part.RUNS, text, f"see the log of the run, then check {probe.site}", figures)
    if past.last_good is None:
        text = "no run has had findings yet"
        yield Line(Level.WARNING, Part.RUNS, text, f"check {probe.site} makes the first", figures)
        return
    age = probe.now - past.last_good
    text = f"the last run with findings ended {writing.when(past.last_good)}, {age / _DAY:.1f} days ago"
    if probe.check_every and age > _OVERDUE * probe.check_every * _DAY:
        advice = f"it is due every {probe.check_every:g} days (CheckEvery); see whether `run` goes on"
        yield Line(Level.WARNING, Part.RUNS, text, advice, figures)
    else:
        yield Line(Level.OK, Part.RUNS, text, figures=figures)
