"""All members of a store: of a cluster, each holds a part, and what is at several is taken away at each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from engine.listing import Absent, Failed, Present
from engine.quarantine import Fate, Order, Settled
from storage.listers.protocol import StoreSpec
from storage.removers.factory import open_doors
from storage.removers.looking import Looker
from storage.removers.member import CHANGED, DONE, GONE, IN_THE_WAY, Member, what_is_wrong

_STILL_THERE = Settled(Fate.FAILED, "something is where it was; look there, and move it by hand")
_ANOTHER = Settled(Fate.FAILED, "something else lies in its place in the quarantine; look there, and move it by hand")
_PUT_BEFORE = Settled(Fate.DOUBTFUL, "it was put aside before, and something else is where it was")

NOT_ASIDE = Settled(Fate.DROPPED, "it is not in the quarantine")
BACK = Settled(Fate.DROPPED, "it is not in the quarantine, and something is where it was")

_A_LINK = Present(UNKNOWN_SIZE, UNKNOWN_MTIME, False)
"""What is known of one that leads nowhere."""

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

    def begin(self) -> None:
        """Take nothing for known of what is changed from now on."""
        for member in self._members:
            member.begin()

    def close(self) -> None:
        """Ask and change nothing more."""
        for member in self._members:
            member.close()

    def put_aside(self, order: Order) -> Settled:
        """Move something to its place in the quarantine, if it is still what was found."""
        views = self._look(order)
        if isinstance(views, Settled):
            return views
        holders = _meant(order, views)
        if isinstance(holders, Settled):
            is_aside = holders.fate is not Fate.DONE and any(isinstance(view.aside, Present) for view in views)
            return _PUT_BEFORE if is_aside else holders
        if any(isinstance(view.aside, Present) for view in holders):
            return IN_THE_WAY
        return _behind_link(order, holders) or _each(holders, lambda member: member.put_aside(order))

    def take_away(self, order: Order) -> Settled:
        """Delete something for good, if it is still what was found."""
        views = self._look(order)
        holders = _meant(order, views) if not isinstance(views, Settled) else views
        if isinstance(holders, Settled):
            return holders
        behind = _behind_link(order, holders)
        if behind is not None:
            return behind
        if order.is_directory:
            return _each(holders, lambda member: member.delete_directory(order.path))
        return _each(holders, lambda member: member.delete(order.path))

    def bring_back(self, order: Order) -> Settled:
        """Move what lies in the quarantine to where it was, if nothing is there."""
        views = self._look(order, links=True)
        if isinstance(views, Settled):
            return views
        aside = [view for view in views if isinstance(view.aside, Present)]
        if not aside:
            return self._not_aside(order, views)
        # A server to which it came back before has the same file there as another one has aside.
        same = {view.aside for view in aside}
        if any(isinstance(view.at_path, Present) and (view in aside or view.at_path not in same) for view in views):
            return _STILL_THERE
        return _each(aside, lambda member: member.bring_back(order))

    def purge(self, order: Order) -> Settled:
        """Delete for good what lies in the quarantine, and the directories there that are empty then."""
        views = self._look(order, links=True)
        if isinstance(views, Settled):
            return views
        aside = [view for view in views if isinstance(view.aside, Present)]
        if not aside:
            return self._not_aside(order, views)
        if any(isinstance(view.aside, Present) and what_is_wrong(order, view.aside) for view in aside):
            return _ANOTHER
        return _each(aside, lambda member: member.delete(order.aside))

    def was_put(self, order: Order) -> bool | None:
        """Tell whether it lies in the quarantine; None if nobody can tell."""
        views = self._look(order, links=True)
        if isinstance(views, Settled):
            return None
        if any(isinstance(view.aside, Present) for view in views):
            return True
        is_anywhere = any(isinstance(view.at_path, Present) for view in views)
        return False if is_anywhere or self._shows(order.top) else None

    def tidy(self, directory: bytes) -> None:
        """Delete an empty directory of the quarantine; one that is not stays, and so does one that cannot be seen."""
        for member in self._members:
            member.delete_directory(directory)

    def _not_aside(self, order: Order, views: Sequence[_View]) -> Settled:
        """Say that it is not there, where it shows that this is the store at which it was put aside."""
        if not self._shows(order.top):
            top = paths.escape(order.top)
            said = f"it is not in the quarantine, and neither is {top}: look whether the settings still name its store"
            return Settled(Fate.DOUBTFUL, f"{said}; if it was deleted by hand, make that directory again")
        return BACK if any(isinstance(view.at_path, Present) for view in views) else NOT_ASIDE

    def _shows(self, top: bytes) -> bool:
        """Tell whether the directory of a plan in the quarantine is to be seen, and no server shows nothing at all."""
        if not top:
            return True
        have = [isinstance(member.look.stat(top), Present) for member in self._members]
        root = paths.parent_of(paths.parent_of(top) or b"/") or b"/"
        others = [member for member, has in zip(self._members, have, strict=True) if not has]
        shown = [member.look.names(root) for member in others]
        return any(have) and not any(isinstance(names, Failed) or not names for names in shown)

    def _look(self, order: Order, links: bool = False) -> list[_View] | Settled:
        """Look at both places; with ``links`` one that leads nowhere from the quarantine is something as well."""
        views = []
        for member in self._members:
            found: list[Found] = []
            for path in (order.path, order.aside):
                at = member.look.stat(path) if path else Absent()
                if links and path == order.aside and isinstance(at, Absent):
                    named = member.look.is_named(path)
                    at = _A_LINK if named is True else named or at
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


def _behind_link(order: Order, views: Sequence[_View]) -> Settled | None:
    return next((said for view in views if (said := view.member.behind_link(order)) is not None), None)


def _each(views: Sequence[_View], change: Callable[[Member], Settled]) -> Settled:
    """Have each member change it; the first one that cannot ends it."""
    settled = CHANGED
    for number, view in enumerate(views):
        settled = change(view.member)
        if settled.fate is not Fate.DONE:
            # At the members before it was done, which is not to be forgotten.
            return Settled(Fate.DOUBTFUL, f"at one of its servers: {settled.said}") if number else settled
    return settled
