"""What is found out of what a dead process had begun, where that cannot be noted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.oversight import Oversight
from actors.plans.left_over import left_over, settle_left_over
from actors.plans.removal import StoreHand
from actors.runtime import Runtime
from engine.plan import Action, Cause, ItemEvent, PlanItem
from storage.listers.protocol import StoreSpec
from storage.plans.audit import AuditLog
from tests.actors.plans.test_applying import FullDisk
from tests.actors.plans.test_removal import job_of, planted


@pytest.mark.parametrize("room", [0, 1])
def test_a_full_disk_leaves_it_in_doubt_and_ends_nothing(
    start_threads: Callable[[], Runtime], tmp_path: Path, room: int
) -> None:
    orders = planted(tmp_path, 2)
    log = FullDisk(tmp_path / "audit.jsonl")
    items = [PlanItem(n, Cause.ORPHAN, order.path, 5, 1, "", Action.QUARANTINE) for n, order in enumerate(orders)]
    AuditLog(log.path).note("old", ItemEvent.BEGUN, items, asides=[order.aside for order in orders])
    log.room = room
    with StoreHand(start_threads(), job_of(StoreSpec((f"file://{tmp_path}",)), tmp_path), Oversight()) as hand:
        settle_left_over(log, hand, "new")
        assert len(left_over(log, "new")) == 2 - room
        settle_left_over(AuditLog(log.path), hand, "new")
    assert left_over(log, "new") == []
