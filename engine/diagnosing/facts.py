"""What was found out about a site, its doors and the places that a check writes to.

Times are in seconds since the epoch or, where they are called ``seconds``, how long something took; sizes are in bytes.
None is not known. A ``problem`` is in words, and empty where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.states import Reason


@dataclass(frozen=True, slots=True)
class AddressProbe:
    """One address of a door: how long it took to connect to it, or why that failed."""

    address: str
    seconds: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class DoorProbe:
    """A door, as its URL, by itself.

    ``addresses`` are those of its host; ``name_problem`` is why there are none. ``protocol`` is what it speaks, such as
    ``XRootD protocol 5.2.0``, ``tls`` the version of TLS, empty without; ``certificate_ends`` is when its certificate
    does. ``wants`` are the ways in which it wants to know who asks, None where it was not heard. ``problem`` is what
    went wrong behind the connection, and ``advice`` what to do about that.
    ``clock`` is by how many seconds its clock is ahead of the one here, give or take ``clock_error``, and ``clock_by``
    says what told that. ``space`` is how much room there is and how much of it is free.
    """

    door: str
    is_local: bool = False
    addresses: tuple[AddressProbe, ...] = ()
    name_problem: str = ""
    protocol: str = ""
    seconds: float | None = None
    tls: str = ""
    certificate_ends: float | None = None
    wants: tuple[str, ...] | None = None
    problem: str = ""
    advice: str = ""
    clock: float | None = None
    clock_error: float = 1.0
    clock_by: str = ""
    space: SpaceFacts | None = None

    @property
    def is_up(self) -> bool:
        """Whether it can be talked to at all."""
        connected = self.is_local or any(not address.problem for address in self.addresses)
        return connected and not self.problem and not self.name_problem


@dataclass(frozen=True, slots=True)
class SpaceFacts:
    """Room in all and free room."""

    total: int | None
    free: int | None


@dataclass(frozen=True, slots=True)
class CredentialFacts:
    """Something to be somebody with: what it is, where it was found, when it ends, and why it is of no use.

    ``method`` is what XRootD calls the way in which it is shown to a server.
    """

    method: str
    kind: str
    place: str
    ends: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PlaceFacts:
    """A directory that is written to: the key that names it, why it cannot be, and the free room of its disk.

    ``wanted`` is the room that the next check is likely to need.
    """

    key: str
    path: str
    problem: str = ""
    free: int | None = None
    wanted: int = 0


@dataclass(frozen=True, slots=True)
class TopFacts:
    """A directory that is listed, or the root of all: what the store says of it, None when there was no sure answer."""

    path: bytes
    there: bool | None
    reason: Reason = Reason.NONE
    detail: str = ""
    entries: int | None = None


@dataclass(frozen=True, slots=True)
class StoreProbe:
    """The store as a whole: how it lies on its doors, in words, and what its directories are.

    ``problem`` is why it cannot be listed in a way that could be trusted, ``warnings`` what was said on the way.
    ``clustered``: each door has a part of it, so that none may be silent.
    """

    layout: str = ""
    clustered: bool = False
    problem: str = ""
    warnings: tuple[str, ...] = ()
    tops: tuple[TopFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class SpeedSample:
    """Some directories listed three times: one by one, all at once on one connection, and all at once on several.

    ``alone`` is what one takes, in seconds; ``on_one`` and ``on_several`` what all together take. ``files`` counts the
    files in them, ``requests`` the requests that it took in all.
    """

    directories: int
    alone: float
    on_one: float
    on_several: float
    connections: int
    files: int = 0
    requests: int = 0


@dataclass(frozen=True, slots=True)
class InventoryProbe:
    """Whether the inventory can be read: from where, when it was made, and whether it names anything.

    ``elsewhere`` is the first file that it names, printable, where none of the first ones lies below RootPath.
    """

    source: str = ""
    made: float | None = None
    has_lines: bool = False
    problem: str = ""
    advice: str = ""
    elsewhere: str = ""


@dataclass(frozen=True, slots=True)
class PastFacts:
    """How the last runs went: when the last one with findings ended, and how the very last one did.

    ``running`` is since when one goes on, ``state`` how the site stands in the summary. ``directories`` is how many the
    last one has listed. ``unfit`` is why the backend would not have the site checked now. ``problem`` is why nothing
    of it can be told.
    """

    last_good: float | None = None
    last_run: int | None = None
    last_status: str = ""
    last_message: str = ""
    running: float | None = None
    state: str = ""
    directories: int = 0
    unfit: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class SettingFault:
    """One thing that is wrong with the configuration; ``minor`` stops nothing."""

    key: str
    wrong: str
    advice: str
    minor: bool = False


@dataclass(frozen=True, slots=True)
class SiteProbe:
    """All of it. ``check_every`` (days), ``in_flight``, ``connections`` and ``listers`` are those of the settings.

    ``paced``: how much its doors are asked is found out in a run, up to these limits.
    """

    site: str
    now: float
    faults: tuple[SettingFault, ...] = ()
    places: tuple[PlaceFacts, ...] = ()
    inventory: InventoryProbe = InventoryProbe()
    past: PastFacts = PastFacts()
    doors: tuple[DoorProbe, ...] = ()
    doors_from: str = ""
    credentials: tuple[CredentialFacts, ...] = ()
    store: StoreProbe | None = None
    speed: SpeedSample | None = None
    check_every: float = 7.0
    listers: int = 1
    in_flight: int = 512
    connections: int = 16
    paced: bool = True
