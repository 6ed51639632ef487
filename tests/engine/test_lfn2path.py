"""Paths of names, and names of paths; that they are Rucio's own is held against a server in tests/storage/rucio."""

from __future__ import annotations

from hashlib import md5
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.lfn2path import (
    DIDRules,
    NameRules,
    NoPath,
    PathRule,
    hash_path,
    identity_path,
    lfn2path,
    storage_rules,
)

SCOPES = st.sampled_from([b"mc23", b"user.jdoe", b"group.phys.higgs", b"data.x", b"users"])
NAMES = st.lists(st.binary(min_size=1, max_size=6).filter(lambda part: b"/" not in part), min_size=1, max_size=4).map(
    b"/".join
)


def test_the_algorithms_of_rucio() -> None:
    assert hash_path(b"mc23", b"EVNT.001._0001.pool.root.1").startswith(b"mc23/87/1e/")
    assert hash_path(b"user.jdoe", b"a") == b"user/jdoe/" + _digits(b"user.jdoe:a") + b"/a"
    assert hash_path(b"data.x", b"a/b") == b"data.x/" + _digits(b"data.x:a/b") + b"/a/b"
    assert identity_path(b"mc23", b"a/b") == b"mc23/a/b"
    assert identity_path(b"group.phys.higgs", b"a") == b"group/phys/higgs/a"


def _digits(did: bytes) -> bytes:
    digest = md5(did).hexdigest().encode()
    return digest[:2] + b"/" + digest[2:4]


def test_names_are_bytes() -> None:
    assert hash_path(b"mc", b"\xff") == b"mc/" + _digits(b"mc:\xff") + b"/\xff"


@given(SCOPES, NAMES)
def test_a_hashed_path_leads_back_to_its_name(scope: bytes, name: bytes) -> None:
    assert (scope, name) in lfn2path("hash").dids(hash_path(scope, name))


@given(SCOPES, NAMES)
def test_an_identical_path_leads_back_to_its_name(scope: bytes, name: bytes) -> None:
    assert (scope, name) in lfn2path("identity").dids(identity_path(scope, name))


@given(st.sampled_from(["hash", "identity"]), NAMES)
def test_what_a_path_leads_back_to_has_that_path(algorithm: str, path: bytes) -> None:
    made_by = lfn2path(algorithm)
    assert made_by.paths(made_by.dids(path)) == [path] * len(made_by.dids(path))


def test_a_path_that_no_name_has() -> None:
    assert lfn2path("hash").dids(b"mc23/00/00/EVNT.001._0001.pool.root.1") == []
    assert lfn2path("hash").dids(b"mc23/EVNT") == []
    assert lfn2path("identity").dids(b"alone") == []


def test_the_name_of_cms_is_the_path() -> None:
    names = lfn2path("name", scope="cms")
    assert names.paths([(b"cms", b"/store/mc/a"), (b"user.x", b"/store/user/b")]) == [b"/store/mc/a", b"/store/user/b"]
    assert names.dids(b"/store/mc/a") == [(b"cms", b"/store/mc/a")]


def test_a_rule_has_to_match_the_whole_name() -> None:
    rules = [PathRule.of(rb"mc:(\d+)", b"sim/$1"), PathRule.of(rb"([a-z]+):(.*)", b"$1/$2")]
    made_by = DIDRules(rules)
    assert made_by.paths([(b"mc", b"12"), (b"mc", b"12x")]) == [b"sim/12", b"mc/12x"]
    with pytest.raises(NoPath, match="MC:1"):
        made_by.paths([(b"MC", b"1")])
    assert made_by.dids(b"sim/12") == []


@pytest.mark.parametrize(
    ("pattern", "template", "why"),
    [(b"(", b"", "not a regular expression"), (b"(a)", b"$2", "with 1 groups")],
)
def test_a_rule_that_cannot_be_used(pattern: bytes, template: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        PathRule.of(pattern, template)


def volumes(*protocols: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"site": "T2_X", "volume": "Disk", "rse": "T2_X", "type": "DISK", "protocols": list(protocols)},
        {"site": "T2_X", "volume": "Tape", "rse": "T2_X_Tape", "type": "TAPE", "protocols": []},
    ]


def test_a_prefix_of_a_storage_description() -> None:
    described = volumes({"protocol": "XRootD", "access": "global-rw", "prefix": "root://door.x:1094//eos/$1/cms/"})
    made_by = NameRules(storage_rules(described, rse="T2_X"))
    assert made_by.paths([(b"cms", b"/store/mc/a"), (b"cms", b"store/b")]) == [
        b"/eos/$1/cms/store/mc/a",
        b"/eos/$1/cms/store/b",
    ]
    assert made_by.dids(b"/eos/$1/cms/store/mc/a") == []


def test_rules_of_a_storage_description_with_a_chain() -> None:
    described = volumes(
        {
            "protocol": "SRMv2",
            "rules": [
                {"lfn": "/+store/temp/(.*)", "pfn": "srm://se.x:8443/srm/v2?SFN=/scratch/$1"},
                {"lfn": "(.*)", "pfn": "srm://se.x:8443/srm/v2?SFN=$1", "chain": "pnfs"},
            ],
        },
        {"protocol": "pnfs", "rules": [{"lfn": "/+store/(.*)", "pfn": "/pnfs/x/$1"}]},
    )
    made_by = NameRules(storage_rules(described, volume="Disk", protocol="SRMv2"))
    assert made_by.paths([(b"cms", b"/store/temp/a"), (b"cms", b"//store/mc/b")]) == [b"/scratch/a", b"/pnfs/x/mc/b"]
    with pytest.raises(NoPath, match="cms:/other"):
        made_by.paths([(b"cms", b"/other")])


def test_an_lfn_that_stays_what_it_is_leads_back() -> None:
    made_by = NameRules(storage_rules(volumes({"protocol": "XRootD", "prefix": "root://door.x/"}), rse="T2_X"))
    assert made_by.dids(b"/store/mc/a") == [(b"cms", b"/store/mc/a")]


@pytest.mark.parametrize(
    ("described", "asked", "why"),
    [
        ({}, {}, "expected a list of volumes"),
        (volumes(), {"rse": "T2_Y"}, "0 volumes fit rse T2_Y; it has Disk .RSE T2_X., Tape"),
        (volumes(), {}, "2 volumes fit any volume"),
        (volumes({"protocol": "XRootD"}), {"rse": "T2_X", "protocol": "WebDAV"}, "no protocol WebDAV; it has XRootD"),
        (volumes({"protocol": "XRootD"}), {"rse": "T2_X"}, "expected a prefix, or a list of rules"),
        (
            volumes({"protocol": "X", "rules": [{"lfn": "a"}]}),
            {"rse": "T2_X"},
            "protocol X: rule 1 has no lfn or no pfn",
        ),
        (
            volumes({"protocol": "X", "rules": [{"lfn": "a", "pfn": "b", "chain": "X"}]}),
            {"rse": "T2_X"},
            "protocol X is chained to itself",
        ),
        (
            volumes({"protocol": "X", "rules": [{"lfn": "a", "pfn": "b", "chain": "Y"}]}),
            {"rse": "T2_X"},
            "chained to Y, which there is not",
        ),
    ],
)
def test_a_storage_description_that_cannot_be_used(described: Any, asked: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        storage_rules(described, **asked)


def test_an_algorithm_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="no algorithm xenon; known: hash, identity"):
        lfn2path("xenon")


def test_rules_that_cannot_be_used_are_named() -> None:
    rules = [{"lfn": "/a", "pfn": "/b"}, {"lfn": "/(a", "pfn": "/b"}]
    with pytest.raises(ValueError, match=r"protocol X: rule 2, /\(a: not a regular expression: missing \)"):
        storage_rules(volumes({"protocol": "X", "rules": rules}), volume="Disk")
    with pytest.raises(ValueError, match=r"protocol X: rule 1, /\(a\): \$2 in the path, of a pattern with 1 groups"):
        storage_rules(volumes({"protocol": "X", "rules": [{"lfn": "/(a)", "pfn": "$2"}]}), volume="Disk")


def test_each_protocol_of_a_chain_is_read_and_asked_once() -> None:
    """Otherwise rules, each chained to the same next protocol, would be read and tried 12 to the power of 10 times."""

    def chained(number: int) -> dict[str, object]:
        own = [{"lfn": f"/store/{n}/(.*)", "pfn": "/store/$1"} for n in range(12)]
        return {
            "protocol": f"p{number}",
            "rules": [rule if number == 9 else {**rule, "chain": f"p{number + 1}"} for rule in own],
        }

    rules = storage_rules(volumes(*map(chained, range(10))), volume="Disk")
    path = b"/store/" + b"/".join(b"%d" % n for n in range(10)) + b"/f"
    made = lfn2path("storage.json", rules, "cms")
    assert made.paths([(b"cms", path)]) == [b"/store/f"]
    with pytest.raises(NoPath):
        made.paths([(b"cms", b"/store/f")])
