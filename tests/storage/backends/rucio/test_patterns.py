"""Rules for paths whose regular expressions might take for ever."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.threads import ThreadRuntime
from engine.lfn2path import PathRule, first_of, storage_rules
from storage.backends.protocols import BackendError
from storage.backends.rucio import patterns
from storage.backends.rucio.naming import paths_of_names
from storage.backends.rucio.patterns import is_quick, matchers_of
from storage.config.site import RucioSettings, SiteConfig
from storage.history import RunStatus
from storage.inventory import open_inventory
from tests.actors.small_site import SITE, Site, run

FOR_EVER = "mc:(a|aa)+"
NAME = "a" * 70 + "b"

USUAL = [
    rb"/+store/(.*)",
    rb"mc\w+:(.*)",
    rb"/+(?!store/temp)(store/.*)",
    rb"user\.([a-z]):(.+)",
    rb"[+*){]\)\*(a)?:.*",
]
OTHERS = [
    *(
        rb"(mc\d+|data\d+)_(\w+):(?:.*/)?([^/]+)",
        rb"(?:([a-z]+)\.)*(\w+):(.*)",
        rb"((?:/\w+){2})/(.*)",
        rb"(\w+):(a|b+)*",
    ),
    rb"(?P<scope>[a-z]{1,3}):(?:(\d)|(.))*",
    # Here braces are those of no number.
    *(rb"(a){e}*", rb"(\w|[{e}]|\{){1,}{i<=1}"),
]


@pytest.mark.parametrize("pattern", USUAL)
def test_the_usual_ones_are_left_to_the_usual_library(pattern: bytes) -> None:
    assert is_quick(pattern)
    assert isinstance(matchers_of("X")(pattern), re.Pattern)


@pytest.mark.parametrize("pattern", [FOR_EVER.encode(), rb"(a+)+$", rb".*.*.*x", rb"(\w{2,}){3}", *OTHERS])
def test_what_may_take_for_ever_has_a_limit(pattern: bytes) -> None:
    assert not is_quick(pattern)
    assert not isinstance(matchers_of("X")(pattern), re.Pattern)


HIDDEN = {
    "what may be left out": rb"a?" * 30 + rb"a" * 30 + rb"b",
    "alternatives": rb"(a|a)" * 30 + rb"b",
    "blanks": rb"(?x)(a+) +b",
    "a comment behind a group": b"(?x: (a+) # all\n +b)",
    "brackets in comments": rb"(?#[)(a+)+b(?#])",
}


@pytest.mark.parametrize("pattern", HIDDEN.values(), ids=HIDDEN)
def test_what_takes_for_ever_otherwise_has_a_limit_as_well(pattern: bytes, impatient: None) -> None:
    assert not is_quick(pattern)
    with suppress(BackendError):
        assert matchers_of("X")(pattern).fullmatch(b"a" * 60) is None


TEXTS = st.lists(
    st.sampled_from([b"mc", b"data", b"1", b"_", b":", b"/", b".", b"a", b"b", b"\n", b"\xff", b"{e}", b"{i<=1}"]),
    max_size=9,
)


@given(st.sampled_from(OTHERS), TEXTS.map(b"".join))
def test_with_a_limit_the_same_is_matched(pattern: bytes, text: bytes) -> None:
    plain, limited = re.compile(pattern).fullmatch(text), matchers_of("X")(pattern).fullmatch(text)
    assert (plain is None) == (limited is None)
    if plain is not None and limited is not None:
        assert limited.groups() == plain.groups()


def test_what_is_no_expression_is_refused() -> None:
    for pattern in (b"(a+)+(", b"(a+)+(?P<1>x)"):
        with pytest.raises(ValueError, match="not a regular expression"):
            PathRule.of(pattern, b"x", compiled=matchers_of("X"))
    with pytest.raises(ValueError, match=r"\$2 in the path, of a pattern with 1 groups"):
        PathRule.of(b"(a+)+", b"$2", compiled=matchers_of("X"))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "MOST_SECONDS", 0.2)


MESSAGE = rf'Rucio.PathRules: the rule "mc:\(a\|aa\)\+" takes more than 0.2 seconds for the name mc:{NAME}: nothing'


@pytest.mark.usefixtures("impatient")
def test_a_name_that_takes_too_long_is_said_with_its_rule(tmp_path: Path) -> None:
    site = SiteConfig("T2_X", rucio=RucioSettings(path_rules=((FOR_EVER, "sim/$1"),)))
    path_of = paths_of_names(site)
    assert path_of is not None
    assert path_of(b"mc", b"aaa") == b"/store/sim/a"
    with pytest.raises(BackendError, match=MESSAGE):
        path_of(b"mc", NAME.encode())

    description = [{"rse": "T2_X", "volume": "Disk", "protocols": [{"protocol": "X", "rules": []}]}]
    rules = [{"lfn": "/(a|aa)+", "pfn": "/p/$1", "chain": "Y"}]
    chained = {"protocol": "Y", "rules": [{"lfn": "(.*)", "pfn": "$1"}]}
    description[0]["protocols"] = [{"protocol": "X", "rules": rules}, chained]
    (tmp_path / "storage.json").write_text(json.dumps(description))
    found = storage_rules(description, rse="T2_X", protocol="X", compiled=matchers_of("storage.json"))
    with pytest.raises(BackendError, match=r"storage\.json: the rule "):
        first_of(found, b"/" + NAME.encode())


@pytest.mark.usefixtures("impatient")
def test_a_dump_ends_there_also_where_lines_may_be_let_pass(tmp_path: Path) -> None:
    row = "T2_X\tmc\t{}\tab\t7\t2020-01-01 00:00:00\t\t2020-01-01 00:00:00\tA\n"
    (tmp_path / "dump").write_text("".join(row.format(name) for name in ["a", NAME, "aa"]))
    site = SiteConfig("T2_X", rucio=RucioSettings(path_rules=((FOR_EVER, "sim/$1"),)))
    path_of = paths_of_names(site)
    assert path_of is not None
    with (
        open_inventory(tmp_path / "dump", root=b"/", allowed=1.0, lfn_to_path=path_of) as reading,
        pytest.raises(BackendError, match=MESSAGE),
    ):
        list(reading.rows)


@pytest.mark.usefixtures("impatient")
def test_a_run_fails_with_the_rule_and_the_name(tmp_path: Path) -> None:
    site = Site(tmp_path, keys={"Rucio": {"PathRules": [{"DID": FOR_EVER, "Path": "mc/$1"}]}})
    (tmp_path / "inventory.csv").write_text(f"rse,scope,name,size,state\n{SITE},mc,{NAME},7,A\n")
    threads = ThreadRuntime()
    try:
        with pytest.raises(BackendError, match=MESSAGE):
            run(threads, site)
    finally:
        threads.shutdown()
    with site.history() as history:
        (row,) = history.runs(SITE)
    assert row.status == RunStatus.FAILED
    assert "nothing that is repeated may be repeated in it" in row.message
