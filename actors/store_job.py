"""One store to be listed: how, by whom, and what is raised when that does not come to its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actors.messages import ListerSettings, ListingPlan
from actors.runtime import ANYWHERE, ActorRef, Placement, Runtime, RuntimeUnavailable
from engine.stall import StallLimits
from storage.sites.seats import SeatPlan

if TYPE_CHECKING:
    from storage.listers.protocol import StoreSpec


class ListingFailed(Exception):
    """The listing cannot go on; the message says why. The journal stays."""


class CoordinatorLost(ListingFailed):
    """The coordinator died or does not answer; another one can go on from its journal."""


class Stalled(ListingFailed):
    """Nothing has answered for as long as anybody wants to wait."""


@dataclass(frozen=True, slots=True)
class StoreJob:
    """One store to be listed, by how many listers at most, how, and how long without an answer.

    With ``seats`` it shares the number of listers with other runs. Listers of a store that is not of this machine run
    where the ``placement`` says.
    """

    label: str
    plan: ListingPlan
    settings: ListerSettings
    listers: int = 1
    stall: StallLimits = field(default_factory=StallLimits)
    seats: SeatPlan | None = None
    placement: Placement = ANYWHERE


def must_have_place(runtime: Runtime, label: str, spec: StoreSpec, placement: Placement) -> None:
    """Find out before anything is begun whether listers can ever be placed; those of a store of this machine are here.

    Raises:
        RuntimeUnavailable: no machine has what the placement wants.
    """
    why = "" if spec.is_of_this_machine else runtime.why_not(placement)
    if why:
        raise RuntimeUnavailable(f"{label}: Placement: {why}")


def spawn_for(runtime: Runtime, job: StoreJob, name: str, actor: type, *arguments: Any) -> ActorRef:
    """Start an actor that asks the store of a job, where it can be asked from."""
    if job.settings.spec.is_of_this_machine:
        return runtime.spawn(name, actor, *arguments)
    return runtime.spawn_anywhere(name, actor, *arguments, placement=job.placement)
