"""Asking a store once more for what is about to be acted on. What it says is judged in the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.asking import AskingActor, Errand, ask_store
from engine.confirm import ConfirmLimits
from engine.recheck import Candidates, Query, Recheck, Rechecked
from storage.listers.protocol import LONGEST_LISTED_NAME, Ask, Request

if TYPE_CHECKING:
    from actors.oversight import Oversight, Progress
    from actors.runtime import Runtime
    from actors.store_job import StoreJob

_PHASE = "asking again before acting"
_FAILED = "the store could not be asked again for what was found"


class RecheckActor(AskingActor):
    """Asks one store for the candidates of one run; it is known by this name where actors are shown."""


def recheck(
    runtime: Runtime,
    job: StoreJob,
    candidates: Candidates,
    young_after: float | None,
    oversight: Oversight,
    progress: Progress,
) -> Rechecked:
    """Ask a store once more for what is about to be acted on; ``job`` says how it is asked, the others as `ask_store`.

    Raises:
        Killed: the oversight asked to stop.
        ListingFailed: the store cannot be asked, or has not answered for too long; nothing is certain then.
    """
    if not candidates:
        return Rechecked()
    confirm = ConfirmLimits(LONGEST_LISTED_NAME, complete=job.settings.spec.names_are_complete)

    def begin() -> Recheck:
        return Recheck(candidates, young_after, confirm)

    rechecked: Rechecked = ask_store(
        runtime, job, Errand("recheck", RecheckActor, _PHASE, _FAILED, begin, _as_request), oversight, progress
    )
    return rechecked


def _as_request(number: int, query: Query) -> Request:
    return Request(number, Ask.NAMES if query.name is None else Ask.STAT, query.path)
