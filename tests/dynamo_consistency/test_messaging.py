from __future__ import annotations

import actors.messages
from dynamo_consistency import messaging


def test_killed_is_what_a_run_that_was_told_to_stop_raises() -> None:
    assert messaging.Killed is actors.messages.Killed
