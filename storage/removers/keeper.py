"""All members of a store: of a cluster, each holds a part, and what is at several is taken away at each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from engine import paths
from engine.listing import Absent, Failed, Present
from engine.quarantine import Fate, Order, Settled
from storage.listers.protocol import StoreSpec
from storage.removers.factory import open_doors
from storage.removers.looking import Looker
from storage.removers.member import CHANGED, DONE, GONE, IN_THE_WAY, Member, what_is_wrong

_STILL_THERE = Settled(Fate.FAILED, "something is where it was; look there, and move it by hand")
_NOT_ASIDE = Settled(Fate.DROPPED, "it is not in the quarantine")

Found = Present | Absent


@dataclass(frozen=True, slots=True)
class _View:
    """What a member has: at the place of an order, and in the quarantine."""

    member: Member
    at_path: Found
    aside: Found


class Keeper:
    """Carries orders out, on whatever thread, each by itself.

    Raises:
        ValueError: nothing can be taken away through the doors of the store; the message says why.
    """

    def __init__(self, spec: StoreSpec) -> None:
        self._members: list[Member] = []
        parts = [spec]
        if spec.clustered:
            parts = [replace(spec, doors=(door,), clustered=False, open_ended=False) for door in spec.doors]
        for part in parts:
            self._members.append(Member(Looker(part), open_doors(part)))

    def close(self) -> None:
        """Ask and change nothing more."""
        for member in self._members:
            member.close()

    def put_aside(self, order: Order) -> Settled:
        """Move something to its place in the quarantine, if it is still what was found."""
        views = self._look(order)
        holders = _meant(order, views) if not isinstance(views, Settled) else views
        if isinstance(holders, Settled):
            return holders
        if any(isinstance(view.aside, Present) for view in holders):
            return IN_THE_WAY
        return _each(holders, lambda member: member.put_aside(order))

    def take_away(self, order: Order) -> Settled:
        """Delete something for good, if it is still what was found."""
        views = self._look(order)
        holders = _meant(order, views) if not isinstance(views, Settled) else views
        if isinstance(holders, Settled):
            return holders
        if order.is_directory:
            return _each(holders, lambda member: member.delete_directory(order.path))
        return _each(holders, lambda member: member.delete(order.path))

    def bring_back(self, order: Order) -> Settled:
        """Move what lies in the quarantine to where it was, if nothing is there."""
        views = self._look(order)
        if isinstance(views, Settled):
            return views
        aside = [view for view in views if isinstance(view.aside, Present)]
        if not aside:
            return _NOT_ASIDE
        if any(isinstance(view.at_path, Present) for view in views):
            return _STILL_THERE
        return _each(aside, lambda member: member.bring_back(order))

    def purge(self, order: Order) -> Settled:
        """Delete for good what lies in the quarantine, and the directories there that are empty then."""
        views = self._look(order)
        if isinstance(views, Settled):
            return views
        aside = [view for view in views if isinstance(view.aside, Present)]
        if not aside:
            return _NOT_ASIDE
        return _each(aside, lambda member: member.delete(order.aside))

    def was_put(self, order: Order) -> bool | None:
        """Tell whether it lies in the quarantine; None if nobody can tell."""
        views = self._look(order)
        if isinstance(views, Settled):
            return None
        return any(isinstance(view.aside, Present) for view in views)

    def tidy(self, directory: bytes) -> None:
        """Delete an empty directory of the quarantine; one that is not stays, and so does one that cannot be seen."""
        for member in self._members:
            member.delete_directory(directory)

    def _look(self, order: Order) -> list[_View] | Settled:
        views = []
        for member in self._members:
            found: list[Found] = []
            for path in (order.path, order.aside):
                at = member.look.stat(path) if path else Absent()
                if isinstance(at, Failed):
                    return Settled(Fate.FAILED, f"{paths.escape(path)}: {at.detail or at.reason.label}")
                found.append(at)
            views.append(_View(member, *found))
        return views


def _meant(order: Order, views: Sequence[_View]) -> list[_View] | Settled:
    """Give the members that have what is to go, or say why it stays; what lies in the quarantine was put there."""
    holders = [view for view in views if isinstance(view.at_path, Present)]
    if not holders:
        return DONE if any(isinstance(view.aside, Present) for view in views) else GONE
    for view in holders:
        wrong = what_is_wrong(order, view.at_path) if isinstance(view.at_path, Present) else None
        if wrong is not None:
            return wrong
    return holders


def _each(views: Sequence[_View], change: Callable[[Member], Settled]) -> Settled:
    """Have each member change it; the first one that cannot ends it."""
    settled = CHANGED
    for view in views:
        settled = change(view.member)
        if settled.fate is not Fate.DONE:
            return settled
    return settled
