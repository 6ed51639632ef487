"""What was found out becomes lines: each says how it stands, and what to do where it is not well."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.diagnosing.facts import (
    AddressProbe,
    CredentialFacts,
    DoorProbe,
    InventoryProbe,
    PastFacts,
    PlaceFacts,
    SettingFault,
    SiteProbe,
    SpaceFacts,
    SpeedSample,
    StoreProbe,
    TopFacts,
)
from engine.diagnosing.lines import Level, Line, Part, Writing, lines, worst
from engine.states import Reason

NOW = 1_000_000_000.0
DAY = 86400.0
WRITING = Writing(lambda seconds: f"at {seconds - NOW:+g}", lambda size: f"{size} B")

UP = DoorProbe(
    "root://a",
    addresses=(AddressProbe("192.0.2.1", 0.002),),
    protocol="XRootD protocol 5.2.0",
    seconds=0.004,
    wants=(),
    clock=0.4,
    clock_by="its statistics",
    space=SpaceFacts(100, 40),
)
DOWN = DoorProbe("root://b", addresses=(AddressProbe("192.0.2.2", problem="Connection refused"),))
WELL = SiteProbe(
    "T2_X",
    NOW,
    places=(PlaceFacts("VarLocation", "/var", free=2 * 10**9, wanted=10**9),),
    inventory=InventoryProbe("the inventory x", NOW - DAY, True),
    past=PastFacts(NOW - DAY, 5, "done", directories=720_000),
    doors=(UP,),
    store=StoreProbe("1 door", tops=(TopFacts(b"/s/mc", True, entries=3), TopFacts(b"/s/data", True, entries=3))),
    speed=SpeedSample(10, 0.05, 0.052, 0.052, 4, 100, 36),
)


def said(probe: SiteProbe, part: Part) -> list[Line]:
    return [line for line in lines(probe, WRITING) if line.part == part]


def levels(probe: SiteProbe, part: Part) -> list[str]:
    return [line.level.value for line in said(probe, part)]


def test_a_site_that_is_well_has_nothing_but_ok() -> None:
    found = lines(WELL, WRITING)
    assert worst(found) == Level.OK
    assert [line.part for line in found] == sorted((line.part for line in found), key=list(Part).index)
    assert {line.part for line in found} == set(Part)
    texts = [line.text for line in found]
    for text in (
        "VarLocation (/var) can be written; 2000000000 B free",
        "the inventory x can be read, made at -86400",
        "root://a: XRootD protocol 5.2.0, connected in 2.0 ms, round trip 4.0 ms",
        "no door wants to know who asks",
        "/s/mc, /s/data can be listed: 3 entries",
        "root://a: its clock is that of this machine, by its statistics, give or take 1 s",
        "root://a: 40 B free, 100 B in all",
        "the last run with findings ended at -86400, 1.0 days ago",
    ):
        assert text in texts
    (rate, limits) = said(WELL, Part.SPEED)
    assert (
        "192 a second were listed (36 requests), at which the 720,000 of the last listing take about 62 min"
        in rate.text
    )
    assert "NumThreads 1, InFlight 512, Connections 16 suit it as limits (now 1, 512, 16)" in limits.text


def test_worst_is_what_counts() -> None:
    assert worst([]) == Level.OK
    both = [Line(Level.PROBLEM, Part.RUNS, ""), Line(Level.WARNING, Part.RUNS, "")]
    assert worst(both) == Level.PROBLEM
    assert worst(both[1:]) == Level.WARNING


@pytest.mark.parametrize(
    ("changes", "part", "level", "words", "advice"),
    [
        ({"faults": (SettingFault("Timeout", "found 0", "write more"),)}, Part.SETTINGS, "problem", "Timeout", "more"),
        ({"faults": (SettingFault("Timeout", "x", "y", True),)}, Part.SETTINGS, "warning", "Timeout: x", "y"),
        ({"places": (PlaceFacts("WebDir", "/w", "no"),)}, Part.PLACES, "problem", "WebDir (/w): no", "name another"),
        ({"places": (PlaceFacts("WebDir", "/w", "", 5, 6),)}, Part.PLACES, "problem", "likely to need 6 B", "room"),
        ({"places": (PlaceFacts("WebDir", "/w", "", 5),)}, Part.PLACES, "warning", "5 B free", "make room"),
        ({"places": (PlaceFacts("WebDir", "/w"),)}, Part.PLACES, "ok", "can be written", ""),
        ({"inventory": InventoryProbe(problem="gone")}, Part.INVENTORY, "problem", "gone", "put it right"),
        ({"inventory": InventoryProbe("it", NOW, False)}, Part.INVENTORY, "problem", "names nothing", "whoever"),
        ({"inventory": InventoryProbe("it", NOW - 8 * DAY, True)}, Part.INVENTORY, "warning", "it can", "8 days old"),
        ({"inventory": InventoryProbe("it", None, True)}, Part.INVENTORY, "ok", "it can be read", ""),
        (
            {"inventory": InventoryProbe("it", None, True, elsewhere="/a/b")},
            Part.INVENTORY,
            "warning",
            "elsewhere than below RootPath, such as /a/b",
            "see RootPath",
        ),
        ({"doors": (DOWN,)}, Part.DOORS, "problem", "nobody accepts a connection", "firewall"),
        ({"doors": (replace(DOWN, addresses=(), name_problem="unknown"),)}, Part.DOORS, "problem", "unknown", "name"),
        ({"doors": (replace(UP, problem="mute", advice="wake it"),)}, Part.DOORS, "problem", "root://a: mute", "wake"),
        ({"doors": (replace(UP, clock=3600.2),)}, Part.CLOCK, "warning", "3,600 s ahead of", "NTP"),
        ({"doors": (replace(UP, clock=-61.0),)}, Part.CLOCK, "warning", "61 s behind", "NTP"),
        ({"doors": (replace(UP, clock=None),)}, Part.CLOCK, "ok", "not known", ""),
        ({"doors": (replace(UP, space=None),)}, Part.SPACE, "ok", "not known", ""),
        ({"past": PastFacts(problem="damaged; restore a copy")}, Part.RUNS, "problem", "damaged", "restore a copy"),
        ({"past": PastFacts(problem="locked")}, Part.RUNS, "problem", "locked", "see docs/formats.md"),
        ({"past": PastFacts()}, Part.RUNS, "warning", "no run has had findings yet", "check T2_X"),
        ({"past": PastFacts(NOW - 20 * DAY, 5, "done")}, Part.RUNS, "warning", "20.0 days ago", "every 7 days"),
    ],
)
def test_what_is_not_well_says_what_to_do(
    changes: dict[str, Any], part: Part, level: str, words: str, advice: str
) -> None:
    found = said(replace(WELL, **changes), part)[-1]
    assert found.level == level
    assert words in found.text
    assert advice in found.advice
    assert bool(found.advice) == (level != "ok")


def test_one_of_several_doors_that_is_down_stops_nothing_unless_it_alone_has_its_part() -> None:
    several = replace(WELL, doors=(UP, DOWN))
    assert levels(several, Part.DOORS) == ["ok", "warning"]
    assert levels(replace(several, store=StoreProbe(clustered=True)), Part.DOORS) == ["ok", "problem"]
    one_address = replace(UP, addresses=(*UP.addresses, *DOWN.addresses))
    assert levels(replace(WELL, doors=(one_address,)), Part.DOORS) == ["warning", "ok"]


def test_a_certificate_that_ends_is_told_of() -> None:
    soon = replace(WELL, doors=(replace(UP, tls="TLSv1.3", certificate_ends=NOW + DAY),))
    assert [line.text for line in said(soon, Part.DOORS)][1] == "root://a: its certificate ends at +86400"
    over = replace(WELL, doors=(replace(UP, tls="TLSv1.3", certificate_ends=NOW - DAY),))
    assert "its certificate ended" in said(over, Part.DOORS)[1].text
    late = replace(WELL, doors=(replace(UP, tls="TLSv1.3", certificate_ends=NOW + 30 * DAY),))
    assert levels(late, Part.DOORS) == ["ok"]


TOKEN = CredentialFacts("ztn", "token", "BEARER_TOKEN_FILE", NOW + DAY)


@pytest.mark.parametrize(
    ("wants", "credentials", "expected"),
    [
        (("ztn",), (TOKEN,), ["ok"]),
        (("ztn",), (), ["problem"]),
        (("ztn",), (replace(TOKEN, method="sss"),), ["ok", "problem"]),
        (("ztn",), (replace(TOKEN, ends=NOW - 1),), ["problem"]),
        (("ztn",), (replace(TOKEN, ends=NOW + 60),), ["warning"]),
        (("ztn",), (replace(TOKEN, ends=None),), ["ok"]),
        (("ztn",), (replace(TOKEN, problem="open to others"),), ["problem"]),
        # Nobody asks for it, so that nothing is stopped.
        ((), (replace(TOKEN, ends=NOW - 1),), ["ok", "warning"]),
        (("unix",), (), ["ok"]),
        (None, (TOKEN,), ["ok"]),
        (None, (), []),
    ],
)
def test_credentials_are_held_against_what_the_doors_want(
    wants: tuple[str, ...] | None, credentials: tuple[CredentialFacts, ...], expected: list[str]
) -> None:
    probe = replace(WELL, doors=(replace(UP, wants=wants),), credentials=credentials)
    assert levels(probe, Part.CREDENTIALS) == expected


def test_what_the_store_says_of_its_directories() -> None:
    tops = (
        TopFacts(b"/s/mc", True, entries=1),
        TopFacts(b"/s/x", False, Reason.NOT_FOUND),
        TopFacts(b"/s/y", False, Reason.NOT_FOUND),
        TopFacts(b"/s/z", None, Reason.TIMEOUT, "root://b: no answer"),
    )
    found = said(replace(WELL, store=StoreProbe("2 doors", warnings=("odd; set Layout",), tops=tops)), Part.STORE)
    assert [(line.level.value, line.text, line.advice.partition(",")[0]) for line in found] == [
        ("warning", "odd", "set Layout"),
        ("ok", "2 doors", ""),
        ("ok", "/s/mc can be listed: 1 entry", ""),
        ("warning", "/s/x, /s/y are not there", "take it out of DirectoryList"),
        ("problem", "/s/z cannot be listed: timeout (root://b: no answer)", "see the server"),
    ]
    none = replace(WELL, store=StoreProbe(tops=tops[1:2]))
    assert levels(none, Part.STORE) == ["problem"]
    refused = said(replace(WELL, store=StoreProbe(problem="doors differ; set Doors")), Part.STORE)
    assert [(line.level.value, line.text, line.advice) for line in refused] == [
        ("problem", "doors differ", "set Doors")
    ]


def test_runs_that_failed_go_on_or_are_not_wanted_are_told_of() -> None:
    failed = replace(WELL, past=PastFacts(NOW - DAY, 6, "failed", "no doors", directories=1))
    assert said(failed, Part.RUNS)[0].text == "the last run, 6, failed: no doors"
    assert levels(failed, Part.RUNS) == ["problem", "ok"]
    running = replace(failed, past=replace(failed.past, running=NOW - 5))
    assert levels(running, Part.RUNS) == ["ok", "ok"]
    stopped = replace(WELL, past=replace(WELL.past, state="disabled", unfit="no memory"))
    assert levels(stopped, Part.RUNS) == ["warning", "warning", "ok"]


def test_what_the_settings_have_said_of_the_inventory_is_not_said_again() -> None:
    fault = SettingFault("Inventory", "x does not exist", "name it")
    probe = replace(WELL, faults=(fault,), inventory=InventoryProbe(problem="x: no such file"))
    assert said(probe, Part.INVENTORY) == []
    assert levels(probe, Part.SETTINGS) == ["problem"]


def test_doors_with_a_fixed_pace_get_no_limits() -> None:
    assert len(said(replace(WELL, paced=False), Part.SPEED)) == 1
    assert said(replace(WELL, speed=None), Part.SPEED) == []


def test_a_place_that_cannot_be_written_is_said_once() -> None:
    fault = SettingFault("VarLocation", "/var may not be written by this user", "name another directory")
    place = PlaceFacts("VarLocation", "/var", "/var may not be written by this user")
    probe = replace(WELL, faults=(fault,), places=(place,))
    assert levels(probe, Part.PLACES) == ["problem"]
    assert said(probe, Part.SETTINGS) == []
