"""A plan comes back as it was written, or not at all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from engine.gates import Refusal
from engine.plan import Action, Cause, Held, PlanHeader, PlanItem, PlanRun
from storage.plans.plan_file import PlanError, read_plan, write_plan

NAMES = st.binary(min_size=1, max_size=30).filter(lambda name: b"/" not in name and b"\0" not in name)
RUN = PlanRun(7, 1_650_000_000.5, None, 1_600_000_000.25, orphan=3)
HELD = (Held(Cause.MISSING, 3, "not known for 2 runs yet"),)
HEADER = PlanHeader("T2_X", RUN, 1_700_000_000.5, (Refusal("top", "not listed"),), "abc", 12, HELD)


def items(*names: bytes) -> list[PlanItem]:
    return [
        PlanItem(number, Cause.ORPHAN, b"/store/" + name, 5, 1_700_000_000, "for\nsome \"reason\" 'ü'", Action.DELETE)
        for number, name in enumerate(names, 1)
    ]


@given(st.lists(NAMES, max_size=5))
def test_any_name_comes_back_as_the_same_bytes(tmp_path_factory: pytest.TempPathFactory, names: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("plan") / "plan.jsonl"
    written = write_plan(path, HEADER, items(*names))
    assert read_plan(path, "T2_X") == written
    assert [item.path for item in written.items] == [b"/store/" + name for name in names]


def test_the_file_is_as_documented(tmp_path: Path) -> None:
    path = tmp_path / "plan.jsonl"
    unknown = PlanItem(2, Cause.MISSING, b"/store/\xff", UNKNOWN_SIZE, UNKNOWN_MTIME, "why", Action.TRANSFER)
    plan = write_plan(path, HEADER, [*items(b"one"), unknown])
    lines = path.read_bytes().splitlines(keepends=True)
    head, first, second, sums, digest = map(json.loads, lines)
    assert head == {
        "format": "dynamo-consistency-plan",
        "version": 1,
        "site": "T2_X",
        "run": {
            "number": 7,
            "started": 1_650_000_000.5,
            "begun": None,
            "young_after": 1_600_000_000.25,
            "missing": 0,
            "orphan": 3,
            "missing_size": 0,
            "orphan_size": 0,
            "inventory_files": 0,
            "store_files": 0,
            "directories": 0,
            "unlisted": 0,
        },
        "made": 1_700_000_000.5,
        "gates": [{"gate": "top", "message": "not listed"}],
        "mark": "abc",
        "audit": 12,
        "held": [{"cause": "missing", "items": 3, "why": "not known for 2 runs yet"}],
    }
    assert (first["item"], first["action"], first["cause"], first["size"]) == (1, "delete", "orphan", 5)
    assert (second["action"], second["size"], second["mtime"]) == ("transfer", None, None)
    assert paths.encode(second["path"]) == b"/store/\xff"
    assert sums == {"items": 2, "bytes": 5}
    assert digest == {"digest": "sha256:" + hashlib.sha256(b"".join(lines[:-1])).hexdigest()}
    assert plan.name == plan.digest[:12]


@pytest.mark.parametrize("change", ["byte", "line", "cut", "cut newline", "empty", "more"])
def test_a_plan_that_was_changed_is_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "plan.jsonl"
    write_plan(path, HEADER, items(b"one", b"two", b"three"))
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    changed = {
        "byte": content.replace(b"/store/two", b"/store/tow"),
        "line": b"".join(lines[:2] + lines[3:]),
        "cut": b"".join(lines[:-1]),
        "cut newline": content[:-1],
        "empty": b"",
        "more": content + b"{}\n",
    }
    path.write_bytes(changed[change])
    with pytest.raises(PlanError, match=r"plan\.jsonl: its digest is not that of its lines: it was changed by hand"):
        read_plan(path, "T2_X")


def test_a_plan_that_is_not_this_ones_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.jsonl"
    with pytest.raises(PlanError, match="T2_X has no plan; check T2_X makes one"):
        read_plan(path, "T2_X")
    write_plan(path, HEADER, ())
    with pytest.raises(PlanError, match="is a plan for T2_X, not for T2_Y"):
        read_plan(path, "T2_Y")
    body = path.read_bytes().replace(b'"version": 1', b'"version": 2').splitlines(keepends=True)[:-1]
    digest = hashlib.sha256(b"".join(body)).hexdigest()
    path.write_bytes(b"".join(body) + json.dumps({"digest": f"sha256:{digest}"}).encode() + b"\n")
    with pytest.raises(PlanError, match="of version 2, which this program does not read"):
        read_plan(path, "T2_X")


def test_a_plan_of_before_plans_said_what_they_leave_is_read(tmp_path: Path) -> None:
    path = tmp_path / "plan.jsonl"
    write_plan(path, HEADER, items(b"one"))
    head, *lines = path.read_bytes().splitlines(keepends=True)[:-1]
    values = json.loads(head)
    del values["held"]
    body = json.dumps(values).encode() + b"\n" + b"".join(lines)
    path.write_bytes(body + json.dumps({"digest": f"sha256:{hashlib.sha256(body).hexdigest()}"}).encode() + b"\n")
    assert read_plan(path, "T2_X").header.held == ()
